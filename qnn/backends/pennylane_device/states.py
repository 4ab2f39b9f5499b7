"""Final states from the engine, measured by PennyLane's own routines: whatever a circuit's values do not cover."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from pennylane.devices.qubit import measure, measure_with_samples

from qnn import _seeding
from qnn.backends.pennylane_device.rows import Group, blocks
from qnn.errors import ArgumentError
from qnn.simulation.engine import MAX_BYTES

_STREAM = 1 << 20  # apart from the streams of the measurement settings


def check_size(n_wires: int, n_states: int, itemsize: int) -> None:
    """Refuse states that would not fit, before anything is allocated."""
    size = 2 * n_states * 2**n_wires * itemsize  # complex numbers of two
    if size > MAX_BYTES:
        rows = f" in each of {n_states} rows" if n_states > 2 else ""
        raise ArgumentError(
            f"`wires` in use must be few enough for memory; got {n_wires}{rows}, whose states take "
            f"{size / 2**30:.0f} GiB, and the bound is {MAX_BYTES / 2**30:.0f} GiB. Use fewer wires or rows."
        )


def final_states(group: Group, dtype: torch.dtype) -> np.ndarray:
    """The final state of every row with PennyLane's global phase, shape (N, S), complex.

    Args:
        group: tapes whose operations are all gates of the table.
        dtype: float32 or float64.
    """
    structure, values = group.structure, group.values()
    check_size(structure.n_wires, 2 * group.n_rows, dtype.itemsize)
    places = structure.angle_places
    angles, shared = blocks(values[:, places], group.shared, dtype)
    states = structure.engine(shared).states(angles.shared.numpy(), angles.rows.numpy())
    return states * structure.phase(values)[:, None].astype(states.dtype)


def measure_states(group: Group, dtype: torch.dtype, keys: np.ndarray | None) -> list[Any]:
    """The results of every tape, measured on its final states.

    Args:
        group: tapes whose operations are all gates of the table.
        dtype: float32 or float64.
        keys: shape (N, 5), sampling keys; needed with shots.
    """
    states = final_states(group, dtype)
    number = group.structure.number
    standard = all(label == i for label, i in number.items())
    results: list[Any] = []
    for i, reading, rows in group.slices():
        tape = group.tapes[i]
        state = states[rows].reshape((-1,) * (reading.batch is not None) + (2,) * group.structure.n_wires)
        processes = tape.measurements if standard else [mp.map_wires(number) for mp in tape.measurements]
        batched = reading.batch is not None
        if tape.shots:
            assert keys is not None, "sampling needs keys"
            rng = _seeding.generator(keys[rows.start], _STREAM)
            own = measure_with_samples(processes, state, shots=tape.shots, is_state_batched=batched, rng=rng)
            results.append(_single(own, tape))
        else:
            own = tuple(measure(mp, state, is_state_batched=batched) for mp in processes)
            results.append(own[0] if len(own) == 1 else own)
    return results


def _single(results: Any, tape: Any) -> Any:
    """A single measurement comes without its tuple."""
    if len(tape.measurements) > 1:
        return results
    return tuple(copy[0] for copy in results) if tape.shots.has_partitioned_shots else results[0]
