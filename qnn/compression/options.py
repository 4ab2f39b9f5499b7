"""Options that are handed on by name: those that a function does not have are named, with the one that was meant."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import torch

from qnn.errors import DtypeError, unknown_name


def check_module(model: Any, name: str = "model") -> None:
    """Refuse what is no network.

    Raises:
        DtypeError: `model`, the argument `name`, is none.
    """
    if not isinstance(model, torch.nn.Module):
        raise DtypeError(f"`{name}` must be a torch.nn.Module; got {type(model).__name__}. Pass the network itself.")


def options_of(function: Callable[..., Any]) -> list[str]:
    """The names of the options that a function takes by keyword alone."""
    parameters = inspect.signature(function).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind is inspect.Parameter.KEYWORD_ONLY]


def check_options(given: Iterable[str], function: Callable[..., Any], title: str) -> None:
    """Refuse options that `function`, called `title`, does not have.

    Raises:
        UnknownNameError: there is one.
    """
    known = options_of(function)
    for name in given:
        if name not in known:
            raise unknown_name(f"option of {title}", name, known)
