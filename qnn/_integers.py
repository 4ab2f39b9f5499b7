"""What counts as a whole number: Python's integers and NumPy's, and no booleans; and which of them are seeds."""

from __future__ import annotations

from numbers import Integral
from typing import Any

from qnn.errors import ArgumentError


def whole(value: object) -> int | None:
    """`value` as an int, or None if it is not a whole number.

    Example:
        >>> import numpy as np
        >>> whole(np.int64(3)), whole(True), whole(3.0)
        (3, None, None)
    """
    return int(value) if isinstance(value, Integral) and not isinstance(value, bool) else None


def checked_seed(seed: Any) -> int | None:
    """A seed from 0 to 2^63 - 1, or None."""
    number = whole(seed)
    if seed is not None and (number is None or not 0 <= number < 2**63):
        raise ArgumentError(f"`seed` must be an integer from 0 to 2^63 - 1, or None; got {seed!r}. Use 0.")
    return number
