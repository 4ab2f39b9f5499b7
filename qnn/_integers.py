"""What counts as a whole number: Python's integers and NumPy's, and no booleans."""

from __future__ import annotations

from numbers import Integral


def whole(value: object) -> int | None:
    """`value` as an int, or None if it is not a whole number.

    Example:
        >>> import numpy as np
        >>> whole(np.int64(3)), whole(True), whole(3.0)
        (3, None, None)
    """
    return int(value) if isinstance(value, Integral) and not isinstance(value, bool) else None
