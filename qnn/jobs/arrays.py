"""Results as bytes: safetensors, compressed, with a digest. Reading them executes nothing."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

_HEADER = 8 + 32  # bytes: length before compression, SHA-256 of the rest


def to_bytes(arrays: Sequence[np.ndarray]) -> bytes:
    """Arrays in order, as `from_bytes` reads them."""
    named = {str(number): np.ascontiguousarray(array) for number, array in enumerate(arrays)}
    plain = save(named)
    packed = zlib.compress(plain, level=1)  # counts are small numbers in wide integers
    return len(plain).to_bytes(8, "little") + hashlib.sha256(packed).digest() + packed


def from_bytes(data: bytes) -> list[np.ndarray] | None:
    """The arrays, or None where a bit of the data is not as it was written."""
    length, digest, packed = int.from_bytes(data[:8], "little"), data[8:_HEADER], data[_HEADER:]
    if hashlib.sha256(packed).digest() != digest:
        return None
    try:
        named = load(zlib.decompressobj().decompress(packed, length))
        return [named[str(number)] for number in range(len(named))]
    except (SafetensorError, zlib.error, KeyError, ValueError):
        return None
