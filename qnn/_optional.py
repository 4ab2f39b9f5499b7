"""Importing packages that not every installation has."""

from __future__ import annotations

import importlib
from types import ModuleType

from qnn.errors import MissingDependencyError


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import `module`, or say which extra of qnn brings it.

    Raises:
        MissingDependencyError: the module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependencyError(
            f'{purpose} needs the package "{module.partition(".")[0]}", which cannot be imported ({error}). '
            f'Install it with: pip install "qnn[{extra}]".'
        ) from error
