"""Options of Qiskit's transpiler, which several backends have."""

from __future__ import annotations

from qnn._integers import whole
from qnn.errors import ArgumentError

LEVEL = 2
_MOST = 2**32  # seeds of the transpiler


def check_transpiler(optimization_level: object, seed_transpiler: object) -> None:
    """Refuse what Qiskit's transpiler does not take.

    Raises:
        ArgumentError: no such level, or no such seed.
    """
    if whole(optimization_level) not in (0, 1, 2, 3):
        raise ArgumentError(f"`optimization_level` must be 0, 1, 2 or 3; got {optimization_level!r}. Use {LEVEL}.")
    seed = whole(seed_transpiler)
    if seed is None or not 0 <= seed < _MOST:
        raise ArgumentError(f"`seed_transpiler` must be from 0 to 2^32 - 1; got {seed_transpiler!r}. Use 0.")
