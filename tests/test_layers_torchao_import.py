"""What torchao says about matters of its own is not shown; everything else is."""

import enum
import logging
from contextlib import nullcontext

import pytest
from torch.utils import _pytree

from qnn.errors import MissingDependencyError
from qnn.layers.torchao_import import torchao, without_known_messages


class Kept(logging.Handler):
    """What loggers let through."""

    def __init__(self):
        super().__init__()
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage())


def said(around):
    """Messages that are shown, of those that torchao's import makes and of two others."""
    kept, loggers = Kept(), [logging.getLogger(name) for name in ("torchao", _pytree.__name__)]
    for logger in loggers:
        logger.addHandler(kept)
    try:
        with around:
            for name in ("_C_mxfp8.cpython-310-x86_64-linux-gnu", "_C_cutlass_90a.abi3", "_C_cpu"):
                loggers[0].warning(f"Failed to load /p/torchao/{name}.so: Could not load this library")
            for name in ("KernelPreference", "Other"):
                _pytree.register_constant(enum.Enum(name, "A B", type=str))  # by which torch warns
    finally:
        for logger in loggers:
            logger.removeHandler(kept)
    return kept.messages


def test_known_messages_are_dropped_while_torchao_is_imported_and_no_others():
    assert len(said(nullcontext())) == 5
    shown = said(without_known_messages())
    assert len(shown) == 2 and "_C_cpu" in shown[0] and "Other" in shown[1]
    assert len(said(nullcontext())) == 5  # nothing is left behind


def test_the_import_is_the_package_itself_or_says_what_brings_it():
    assert torchao("torchao.quantization", "Arithmetic").__name__ == "torchao.quantization"
    with pytest.raises(MissingDependencyError, match=r'Arithmetic needs the package "torchao".*qnn\[compress\]'):
        torchao("torchao.no_such_module", "Arithmetic")
