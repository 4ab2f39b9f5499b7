"""Drawing shots from exact outcome distributions."""

from __future__ import annotations

import numpy as np

from qnn import _seeding


def sample_counts(probabilities: np.ndarray, shots: int, keys: np.ndarray, stream: int = 0) -> np.ndarray:
    """How often each outcome is seen in `shots` draws per row: a multinomial sample.

    Args:
        probabilities: shape (N, K), rows summing to 1 up to rounding.
        shots: draws per row.
        keys: shape (N, 5), one sampling key per row; equal keys draw equal samples.
        stream: number of the measurement setting, so that settings are independent.

    Returns:
        Shape (N, K), int64, rows summing to `shots`.
    """
    assert len(keys) == len(probabilities), "one key per row"
    p = np.clip(np.asarray(probabilities, dtype=np.float64), 0.0, None)
    p /= p.sum(axis=1, keepdims=True)
    counts = np.empty(p.shape, dtype=np.int64)
    for row, generator in enumerate(_seeding.generators(keys, stream)):
        counts[row] = generator.multinomial(shots, p[row])
    return counts
