"""Options that are handed on by name: those that a function does not have are named, with the one that was meant."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from qnn.errors import unknown_name


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
