"""Observables: PennyLane's, matrices and our own become the same Pauli sums."""

import numpy as np
import oracles
import pennylane as qml
import pytest

from qnn.circuits.observables import (
    Expectation,
    PauliSum,
    Probabilities,
    Variance,
    measurement_from,
    measurements_from,
    pauli,
    pauli_sum,
)
from qnn.circuits.replay import measurement_process, observable
from qnn.errors import ArgumentError, UnsupportedError


@pytest.mark.parametrize(
    "operator",
    [
        qml.Z(0),
        qml.X(0) @ qml.Y(2),
        0.3 * qml.X(1) - 1.2 * qml.Z(0) @ qml.Z(2) + 0.5 * qml.Identity(0),
        qml.Hamiltonian([0.2, -0.4], [qml.Y(0), qml.X(2) @ qml.Z(1)]),
        qml.Hadamard(1),
        qml.Projector([1, 0], wires=[2, 0]),
        qml.Hermitian(np.array([[1.0, 2 - 1j], [2 + 1j, -0.5]]), wires=1),
        qml.Hermitian(np.diag([1.0, 2.0, 3.0, 5.0]), wires=[2, 1]),
        qml.prod(qml.Hadamard(0), qml.Z(2)),
    ],
    ids=str,
)
def test_pauli_sum_has_the_operators_matrix(operator) -> None:
    expected = qml.matrix(operator, wire_order=[0, 1, 2])
    np.testing.assert_allclose(oracles.observable(pauli_sum(operator).terms, 3), expected, atol=1e-12)
    back = qml.matrix(observable(pauli_sum(operator)), wire_order=[0, 1, 2])
    np.testing.assert_allclose(back, expected, atol=1e-12)


def test_pauli_by_string_and_by_letters() -> None:
    assert pauli("XIZ") == pauli(((2, "Z"), (0, "X"))) == pauli_sum(qml.X(0) @ qml.Z(2))
    assert pauli("II", 0.5) == PauliSum(((0.5, ()),))
    assert pauli("XIZ").wires == (0, 2)
    with pytest.raises(ArgumentError, match='`word` must consist of the letters I, X, Y, Z; got "XQ"'):
        pauli("XQ")


def test_texts() -> None:
    assert str(pauli("XIZ")) == "X0 Z2"
    assert str(Expectation(pauli("Z", -0.5))) == "<-0.5 Z0>"
    assert str(PauliSum(())) == "0" and str(pauli("I")) == "1"
    assert str(Probabilities((1, 0))) == "probs(1, 0)"
    assert str(Variance(pauli("XIZ", 2.0))) == "Var(2 X0 Z2)"


def test_the_option_of_a_layer() -> None:
    assert measurements_from("Z", 2) == (Expectation(pauli("Z")), Expectation(pauli("IZ")))
    assert measurements_from("probs", 2) == (Probabilities((0, 1)),)
    assert measurements_from(qml.X(1), 2) == (Expectation(pauli("IX")),)
    mixed = [
        qml.Z(0),
        qml.expval(qml.X(1)),
        qml.probs(wires=[1, 0]),
        pauli("YY"),
        Probabilities((0,)),
        qml.var(qml.Z(1)),
    ]
    assert [m.n_outputs for m in measurements_from(mixed, 2)] == [1, 1, 4, 1, 2, 1]
    assert measurements_from(qml.var(qml.X(1)), 2) == (Variance(pauli("IX")),)
    assert measurements_from([Variance(pauli("Z"))], 1) == (Variance(pauli("Z")),)


def test_a_matrix_of_float32_is_hermitian_enough() -> None:
    matrix = np.random.default_rng(0).normal(size=(2, 4, 4))
    rough = ((matrix[0] + 1j * matrix[1]) + (matrix[0] + 1j * matrix[1]).conj().T).astype(np.complex64)
    rough[0, 1] *= np.float32(1 + 3e-8)
    exact = oracles.observable(pauli_sum(qml.Hermitian(rough, [0, 1])).terms, 2)
    np.testing.assert_allclose(exact, rough, atol=1e-6)


def test_round_trip_through_pennylane() -> None:
    words = (pauli("XIZ", 0.4), pauli("I", 0.3))
    for measurement in (*map(Expectation, words), *map(Variance, words), Probabilities((2, 0))):
        assert measurement_from(measurement_process(measurement)) == measurement
    np.testing.assert_array_equal(qml.matrix(observable(PauliSum(())), wire_order=[0]), np.zeros((2, 2)))


@pytest.mark.parametrize(
    ("observables", "error", "message"),
    [
        ("z", ArgumentError, '`observables` must be "Z", "probs", or a list .*; got "z"'),
        ([], ArgumentError, "`observables` must name at least one observable; got an empty list"),
        (qml.Z(4), ArgumentError, "`observables` must act on wires 0 to 1; got <Z4> on wire 4"),
        ([qml.probs(wires=[0, 3])], ArgumentError, "`observables` must act on wires 0 to 1"),
        ([3], ArgumentError, "`observables` must hold PennyLane observables; got 3 of type int"),
        ([qml.Z("a")], ArgumentError, "`wires` must be numbered from 0; got the label 'a'"),
        (
            [qml.sample()],
            UnsupportedError,
            r"`observables` must be expectation values, variances .* got sample.*layer\.s",
        ),
        ([qml.state()], UnsupportedError, "`observables` must be expectation values, variances or probabilities"),
        ([1j * qml.Z(0)], UnsupportedError, "`observables` must be Hermitian"),
        ([qml.RX(0.3, 0)], UnsupportedError, "`observables` must be Hermitian"),
        ([qml.X(0) @ qml.Y(0)], UnsupportedError, "`observables` must be Hermitian"),
        ([qml.var(qml.Hermitian(np.triu(np.ones((2, 2))), 0))], UnsupportedError, "`observables` must be Hermitian"),
        ([qml.Hermitian(np.triu(np.ones((8, 8))), [0, 1, 2])], UnsupportedError, r"got Hermitian on wires \[0, 1, 2\]"),
        ([qml.var(qml.Z(2))], ArgumentError, r"`observables` must act on wires 0 to 1; got Var\(Z2\) on wire 2"),
        ([qml.AmplitudeDamping(0.1, 0)], UnsupportedError, "`observables` must have a Pauli representation"),
    ],
)
def test_bad_observables_are_refused(observables, error, message) -> None:
    with pytest.raises(error, match=message):
        measurements_from(observables, 2)
