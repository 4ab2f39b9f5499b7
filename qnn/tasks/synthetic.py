"""Synthetic data sets, generated in memory; always the same rows, so that only the split depends on a seed."""

from __future__ import annotations

import numpy as np
from sklearn import datasets

from qnn.tasks.raw import RawData

DATA_SEED = 2024  # of the generators; a task's own `seed` chooses the split

MOONS_ROWS = 1000
MOONS_NOISE = 0.2  # standard deviation added to both coordinates; the moons touch

CIRCLES_ROWS = 1000
CIRCLES_NOISE = 0.1
CIRCLES_FACTOR = 0.5  # radius of the inner circle over that of the outer

PARITY_BITS = 4
PARITY_ROWS = 1024  # 64 for each of the 16 corners, so that both classes are equally large
PARITY_NOISE = 0.3  # standard deviation added to every coordinate; a sign flips in 0.04 % of them


def load_moons() -> RawData:
    """Two interleaved half circles in the plane: not linearly separable."""
    x, y = datasets.make_moons(MOONS_ROWS, noise=MOONS_NOISE, random_state=DATA_SEED)
    source = f"make_moons of scikit-learn ({MOONS_ROWS} rows, noise {MOONS_NOISE})"
    return RawData(x, y.astype(np.int64), ("upper moon", "lower moon"), source)


def load_circles() -> RawData:
    """A circle inside a circle: linear models stay at chance."""
    x, y = datasets.make_circles(CIRCLES_ROWS, noise=CIRCLES_NOISE, factor=CIRCLES_FACTOR, random_state=DATA_SEED)
    source = f"make_circles of scikit-learn ({CIRCLES_ROWS} rows, noise {CIRCLES_NOISE}, radii 1 and {CIRCLES_FACTOR})"
    return RawData(x, y.astype(np.int64), ("outer circle", "inner circle"), source)


def load_parity() -> RawData:
    """Parity of 4 bits given as -1 and +1 with Gaussian noise: no proper subset of the bits says anything.

    Rows gather around the corners of a hypercube; the label counts the corner's +1 bits, odd or even,
    from before the noise. Linear models stay at chance.
    """
    generator = np.random.default_rng(DATA_SEED)
    corners = np.arange(PARITY_ROWS) % 2**PARITY_BITS
    bits = (corners[:, None] >> np.arange(PARITY_BITS)) & 1
    x = 2.0 * bits - 1.0 + PARITY_NOISE * generator.standard_normal(bits.shape)
    source = f"parity of {PARITY_BITS} bits, each -1 or +1 with Gaussian noise {PARITY_NOISE} ({PARITY_ROWS} rows)"
    return RawData(x, bits.sum(axis=1) % 2, ("even", "odd"), source)
