"""The benchmark circuit and its data: the same for every contestant.

RX(x) on every wire; per layer H, RX(w), CNOT from wire i to (i+1) mod n; <Z> on every wire. One step is one forward and
one backward pass with gradients of all inputs and weights, float32.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FIGURES = ((4, 3, 32), (8, 3, 32), (8, 3, 256), (10, 3, 64), (12, 3, 32), (16, 3, 8))


@dataclass(frozen=True)
class Point:
    """One circuit size."""

    n_qubits: int
    n_layers: int
    batch: int

    def __str__(self) -> str:
        return f"({self.n_qubits}, {self.n_layers}, {self.batch})"

    @property
    def two_states_bytes(self) -> int:
        """Two complex64 states a row, for all rows."""
        return 16 * self.batch * 2**self.n_qubits


@dataclass(frozen=True)
class Data:
    """inputs (N, n), weights (L, n), cotangent (N, n) of the values; float32."""

    inputs: np.ndarray
    weights: np.ndarray
    cotangent: np.ndarray


def data_of(point: Point) -> Data:
    rng = np.random.default_rng([point.n_qubits, point.n_layers, point.batch])
    draw = (
        rng.normal(size=(point.batch, point.n_qubits)),
        rng.uniform(0, 2 * np.pi, size=(point.n_layers, point.n_qubits)),
        rng.normal(size=(point.batch, point.n_qubits)) / np.sqrt(point.batch),
    )
    return Data(*(np.ascontiguousarray(part, dtype=np.float32) for part in draw))


def counted_operations(point: Point) -> float:
    """Additions and multiplications of the circuit gate by gate, forward and adjoint backward.

    Operations an amplitude: H and RX of a wire as one 2x2 matrix 8, RX 6, overlap of two states with an X between 4,
    values n + 3, cotangents n + 2. Forward has L n of the first and n of the second; backward both on two states, and
    (L + 1) n overlaps.
    """
    n, layers = point.n_qubits, point.n_layers
    forward = layers * n * 8 + n * 6
    backward = 2 * forward + (layers + 1) * n * 4
    return float(point.batch * 2**n * (forward + backward + 2 * n + 5))
