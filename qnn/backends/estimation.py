"""From exact outcome distributions to estimates: exactly, or by sampling them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from qnn.backends.base import Angles, Estimate
from qnn.circuits.settings import MeasurementPlan
from qnn.errors import ArgumentError
from qnn.simulation.sampling import sample_counts


def estimate(
    plan: MeasurementPlan,
    distributions: Sequence[np.ndarray],
    angles: Angles,
    shots: int | None,
    keys: torch.Tensor | None,
) -> Estimate:
    """The estimate that follows from each setting's distribution.

    Args:
        plan: the measurement plan of the circuit.
        distributions: for each setting, shape (N, 2^k).
        angles: those that were run; the result takes their dtype and device.
        shots: None for exact values; otherwise the distributions are sampled.
        keys: shape (N, 5), sampling keys; needed with shots.
    """
    if shots is None:
        return Estimate(like(plan.values(distributions), angles))
    if keys is None:
        raise ArgumentError("`keys` must be given to sample shots; got None. Make them with qnn._seeding.row_keys.")
    key_rows = keys.cpu().numpy()
    counts = [sample_counts(p, shots, key_rows, stream) for stream, p in enumerate(distributions)]
    return from_counts(plan, counts, angles, shots)


def from_counts(plan: MeasurementPlan, counts: Sequence[np.ndarray], angles: Angles, shots: int) -> Estimate:
    """The estimate that follows from counts, for each setting of shape (N, 2^k)."""
    frequencies = [c / shots for c in counts]
    return Estimate(
        values=like(plan.values(frequencies), angles),
        variance=like(plan.variance(frequencies, shots), angles),
        shots=shots,
        counts=tuple(torch.from_numpy(np.ascontiguousarray(c)) for c in counts),
    )


def like(values: np.ndarray, angles: Angles) -> torch.Tensor:
    """`values` (N or 1, M) as a tensor with N rows, in the dtype and on the device of `angles`."""
    full = np.array(np.broadcast_to(values, (angles.n_rows, values.shape[1])))
    return torch.from_numpy(full).to(dtype=angles.rows.dtype, device=angles.rows.device)
