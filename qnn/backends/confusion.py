"""Readout error: what a detector reports, given the true outcome distribution."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qnn.circuits.circuit import Circuit, Operation
from qnn.circuits.observables import Expectation, pauli


def apply_confusion(distribution: np.ndarray, confusions: Sequence[np.ndarray | None]) -> np.ndarray:
    """The distribution of reported outcomes, q(m) = Σ_o Π_k C_k[o_k, m_k] p(o).

    Args:
        distribution: shape (N, 2^k), the true outcomes; the first wire is the leftmost bit.
        confusions: for each of the k wires C[true, reported], shape (2, 2), rows summing to 1; None where
            the detector is perfect.

    Returns:
        Shape (N, 2^k).
    """
    tensor = distribution.reshape(len(distribution), *(2,) * len(confusions))
    for axis, confusion in enumerate(confusions, start=1):
        if confusion is not None:  # no matrix product, whose last bits depend on how many rows there are
            true = [np.take(tensor, bit, axis) for bit in (0, 1)]
            reported = [true[0] * confusion[0, bit] + true[1] * confusion[1, bit] for bit in (0, 1)]
            tensor = np.stack(reported, axis)
    return tensor.reshape(distribution.shape)


def flip_circuit(n_wires: int, wires: Sequence[int], flips: bool, others: Sequence[int] = ()) -> Circuit:
    """Nothing, or a bit flip on each of `wires`, and <Z> on each of them and then of the others."""
    operations = tuple(Operation("PauliX", (wire,)) for wire in wires) if flips else ()
    return Circuit(n_wires, operations, tuple(Expectation(pauli(((wire, "Z"),))) for wire in (*wires, *others)))
