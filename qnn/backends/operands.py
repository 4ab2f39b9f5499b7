"""What a run is given: checked once, in the form that simulators take."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import torch

from qnn.backends.base import Angles
from qnn.circuits.circuit import Circuit
from qnn.errors import ArgumentError, NotFiniteError, ShapeError

_MAX_OUTCOMES = 2**28  # numbers in a table of outcomes: 2 GiB


def check_operands(circuit: Circuit, angles: Angles, shots: int | None, keys: torch.Tensor | None) -> None:
    """Refuse angles, shots or keys that do not fit `circuit`.

    Raises:
        ShapeError: a block has not the columns that the circuit names, or `keys` not one row per execution.
        NotFiniteError: an angle is NaN or infinite.
        ArgumentError: `shots` is not a positive integer.
    """
    if angles.shared.shape != (circuit.n_shared,):
        raise ShapeError(
            f"`angles.shared` must have shape ({circuit.n_shared},) to match the circuit; "
            f"got {tuple(angles.shared.shape)}. Give one angle per shared slot."
        )
    if angles.rows.ndim != 2 or angles.rows.shape[1] != circuit.n_rows:
        raise ShapeError(
            f"`angles.rows` must have shape (N, {circuit.n_rows}) to match the circuit; "
            f"got {tuple(angles.rows.shape)}. Give one column per row slot."
        )
    for name, block in (("shared", angles.shared), ("rows", angles.rows)):
        _check_finite(name, block)
    if shots is not None and (
        isinstance(shots, bool) or not isinstance(shots, int | np.integer) or not 0 < shots < 2**31
    ):
        raise ArgumentError(f"`shots` must be a positive integer below 2^31, or None; got {shots!r}. None means exact.")
    if keys is not None and keys.shape != (angles.n_rows, 5):
        raise ShapeError(
            f"`keys` must have shape ({angles.n_rows}, 5), one key per row of angles; got {tuple(keys.shape)}. "
            "Make them with qnn._seeding.row_keys."
        )


def check_table(circuit: Circuit, n_rows: int, widest: int, advice: str) -> None:
    """Refuse counts or probabilities of more outcomes than fit in memory, before they are computed.

    Args:
        circuit: what is run, for the message.
        n_rows: rows of angles.
        widest: most wires that are measured together.
        advice: what to do instead.
    """
    if n_rows * 2**widest > _MAX_OUTCOMES:
        raise ArgumentError(
            f"`observables` must measure few enough of the {circuit.n_wires} wires together for a table of their "
            f"outcomes to fit in memory; got {widest} wires and {n_rows} rows. {advice}"
        )


def dense_angles(angles: Angles) -> np.ndarray:
    """All angles of every row on the CPU, shape (N, S + R), float64: shared columns first."""
    return angles.dense().detach().to(device="cpu", dtype=torch.float64).numpy()


def seed_from(keys: torch.Tensor) -> int:
    """One seed for a whole call, from all its sampling keys."""
    digest = blake2b(keys.cpu().contiguous().numpy().tobytes(), digest_size=8).digest()
    return int.from_bytes(digest, "little") % (2**31 - 1)


def _check_finite(name: str, block: torch.Tensor) -> None:
    finite = torch.isfinite(block)
    if not bool(finite.all()):
        place = tuple(int(i) for i in torch.nonzero(~finite)[0])
        where = f"column {place[-1]}" if len(place) == 1 else f"row {place[0]}, column {place[1]}"
        raise NotFiniteError(
            f"`angles.{name}` must be finite; got {block[place].item()} in {where}. "
            "Look for a division by zero or a diverged weight before the circuit."
        )
