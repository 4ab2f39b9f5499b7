"""Arrays as JSON, to the last bit."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

import numpy as np

from qnn.errors import ArgumentError

_DTYPES = ("float32", "float64", "int64")


def packed(array: np.ndarray) -> dict[str, Any]:
    """Plain data from which `unpacked` makes an equal array: dtype, shape, and the bytes in base 64, little-endian."""
    plain = np.ascontiguousarray(array)
    data = plain.astype(plain.dtype.newbyteorder("<"), copy=False).tobytes()
    return {"dtype": plain.dtype.name, "shape": list(array.shape), "data": b64encode(data).decode()}


def unpacked(data: Any) -> np.ndarray:
    """The array.

    Raises:
        ArgumentError: `data` is not what `packed` makes.
    """
    try:
        dtype, shape = data["dtype"], tuple(data["shape"])
        if dtype not in _DTYPES:
            raise ValueError(f"dtype {dtype!r}")
        flat = np.frombuffer(b64decode(data["data"], validate=True), np.dtype(dtype).newbyteorder("<"))
        return flat.astype(dtype).reshape(shape)
    except (KeyError, TypeError, ValueError) as error:
        raise ArgumentError(
            f"`data` must be a packed array; got one with {error}. Make it with packed(array)."
        ) from error
