"""What users put beside a model (metrics, scaling, …) as plain JSON data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch

from qnn._integers import whole
from qnn.errors import DtypeError, NotFiniteError


def section(value: Any, name: str) -> dict[str, Any] | None:
    """A mapping as plain data; None stays None.

    Args:
        value: a mapping, a dataclass (its fields), or an object with `as_dict`, such as a `qnn.History`.
        name: of the argument, for errors.

    Raises:
        DtypeError: something in it is no plain data; the message says where.
        NotFiniteError: a number is NaN or infinite.
    """
    if value is None:
        return None
    made = plain(value, name)
    if not isinstance(made, dict):
        raise DtypeError(f"`{name}` must be a mapping; got {type(value).__name__}. Write {{'name': value}}.")
    return made


def plain(value: Any, place: str) -> Any:
    """`value` in lists, string-keyed dictionaries, strings, numbers, booleans and None; arrays become lists."""
    if value is None or isinstance(value, str | bool):
        return value
    if (number := whole(value)) is not None:
        return number
    if isinstance(value, float | np.floating):
        if not math.isfinite(value):
            raise NotFiniteError(f"`{place}` must be finite; got {value}. Leave it out, or write None.")
        return float(value)
    if isinstance(value, np.ndarray | np.bool_):
        return plain(value.tolist(), place)
    if isinstance(value, torch.Tensor):
        return plain(value.detach().cpu().tolist(), place)
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise DtypeError(f"`{place}` must have strings as keys; got {key!r}. Write str(key).")
        return {key: plain(item, f"{place}[{key!r}]") for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [plain(item, f"{place}[{i}]") for i, item in enumerate(value)]
    if callable(as_dict := getattr(value, "as_dict", None)):
        return plain(as_dict(), place)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name), f"{place}.{field.name}") for field in fields(value)}
    raise DtypeError(
        f"`{place}` must be plain data (numbers, strings, lists, mappings); got {type(value).__name__}. "
        "Store what it is made of."
    )
