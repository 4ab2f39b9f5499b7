"""The gate table: every row against PennyLane, textbook matrices and its own description."""

import numpy as np
import oracles
import pennylane as qml
import pytest

from qnn.circuits.gates import GATES, gate_named, word_matrix
from qnn.errors import UnknownNameError

ANGLES = (-4.9, -np.pi, 0.0, 0.3, 2.1, 9.0)


def up_to_phase(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`a` times the phase that brings it closest to `b`."""
    overlap = np.vdot(a, b)
    return a * overlap / abs(overlap)


def pennylane_matrix(name: str, angle: float | None, n_wires: int) -> np.ndarray:
    wires = list(range(n_wires))
    if name.startswith("Adjoint("):
        return qml.matrix(qml.adjoint(getattr(qml, name[8:-1]))(wires=wires))
    return qml.matrix(getattr(qml, name)(*([] if angle is None else [angle]), wires=wires))


def angles_of(name: str) -> tuple[float | None, ...]:
    return ANGLES if GATES[name].is_parametric else (None,)


@pytest.mark.parametrize("name", GATES)
def test_matrix_is_pennylanes_and_the_textbooks(name: str) -> None:
    gate = gate_named(name)
    for k in (gate.n_wires,) if gate.n_wires else (1, 2, 3):
        for angle in angles_of(name):
            matrix = gate.matrix(angle or 0.0, k)
            assert matrix.shape == (2**k, 2**k)
            for expected in (pennylane_matrix(name, angle, k), oracles.gate_matrix(name, angle, k)):
                np.testing.assert_allclose(up_to_phase(matrix, expected), expected, atol=1e-12)


@pytest.mark.parametrize("name", [n for n, g in GATES.items() if g.is_parametric])
def test_frequencies_are_those_of_the_expectation_values(name: str) -> None:
    """<O>(θ) is a trigonometric polynomial of the gate's frequencies and of no others."""
    gate = gate_named(name)
    k = gate.n_wires or 3
    rng = np.random.default_rng(0)
    psi = rng.normal(size=2**k) + 1j * rng.normal(size=2**k)
    hermitian = rng.normal(size=(2**k, 2**k)) + 1j * rng.normal(size=(2**k, 2**k))
    hermitian = hermitian + hermitian.conj().T
    # Over 4π every frequency that is a multiple of 1/2 is a whole number of periods.
    thetas = np.arange(32) * 4 * np.pi / 32
    states = [gate.matrix(t, k) @ psi for t in thetas]
    spectrum = np.abs(np.fft.rfft([float((s.conj() @ hermitian @ s).real) for s in states])) / 32
    present = {i / 2 for i in range(1, 16) if spectrum[i] > 1e-9}
    assert present == set(gate.frequencies)


def test_fixed_gates_have_no_frequencies() -> None:
    assert all(gate.frequencies == () for gate in GATES.values() if not gate.is_parametric)


def test_word_matrix_has_the_leftmost_letter_in_front() -> None:
    np.testing.assert_array_equal(word_matrix("XI"), np.kron(oracles.X, oracles.I2))
    np.testing.assert_array_equal(word_matrix("YZ"), np.kron(oracles.Y, oracles.Z))


def test_a_misspelt_gate_gets_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match=r'No gate named "CNOTT". Did you mean "CNOT"?'):
        gate_named("CNOTT")
