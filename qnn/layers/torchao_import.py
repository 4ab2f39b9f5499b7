"""The door to torchao, without what it logs about matters of its own when it is first imported."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType

from qnn._optional import require

# By logger. The kernels are for GPUs and of other builds, and nothing in int8 uses them; the enumeration is torchao's
# own, registered in a way that torch calls deprecated (torchao 0.18 with torch 2.13).
_KNOWN = {
    "torchao": re.compile(r"Failed to load \S*_C_(mxfp8|cutlass_90a)\S*\.so: "),
    "torch.utils._pytree": re.compile(r"<enum 'KernelPreference'> is an Enum subclass"),
}


def torchao(module: str, purpose: str) -> ModuleType:
    """A module of torchao, such as "torchao.quantization".

    Raises:
        MissingDependencyError: it is not installed; `purpose` says what needs it.
    """
    if (known := sys.modules.get(module)) is not None:  # None blocks an import
        return known
    with without_known_messages():
        return require(module, extra="compress", purpose=purpose)


@contextmanager
def without_known_messages() -> Iterator[None]:
    """Inside, the messages of `_KNOWN` are dropped, and no others."""
    with ExitStack() as ends:
        for name, known in _KNOWN.items():

            def shown(record: logging.LogRecord, known: re.Pattern[str] = known) -> bool:
                return known.match(record.getMessage()) is None

            logger = logging.getLogger(name)
            logger.addFilter(shown)
            ends.callback(logger.removeFilter, shown)
        yield
