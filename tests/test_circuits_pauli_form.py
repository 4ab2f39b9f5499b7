"""Matrices, projectors and squares of Pauli sums: the same operators as their dense matrices."""

import numpy as np
import oracles
import pennylane as qml
import pytest
import torch
from scipy import sparse

from qnn.circuits.capture import capture
from qnn.circuits.observables import PauliSum, pauli, pauli_sum
from qnn.circuits.pauli_form import squared
from qnn.errors import UnsupportedError

N = 4


def hermitian(n_wires: int, seed: int = 0) -> np.ndarray:
    real, imaginary = np.random.default_rng(seed).normal(size=(2, 2**n_wires, 2**n_wires))
    matrix = real + 1j * imaginary
    return (matrix + matrix.conj().T) / 2


STATE = np.array([0.5, 0.5j, -0.5, 0.5])
OBSERVABLES = [
    qml.Hermitian(hermitian(3), wires=[3, 0, 2]),
    qml.Projector([1, 0, 1], wires=[2, 0, 3]),
    qml.Projector(STATE, wires=[2, 1]),
    qml.SparseHamiltonian(sparse.csr_matrix(hermitian(2)), wires=[3, 1]),
    qml.Hermitian(hermitian(2), wires=[1, 0]) @ qml.Z(3) @ qml.Projector([0], wires=2),
    0.5 * qml.Projector([1], wires=0) - 2.0 * qml.Hermitian(hermitian(1), wires=3) + qml.X(1) @ qml.Y(2),
    qml.Hamiltonian([0.3, -1.0], [qml.Hermitian(hermitian(1), 0), qml.Hadamard(1) @ qml.Z(2)]),
    qml.Hermitian(hermitian(2), wires=[0, 1]) ** 2,
]


@pytest.mark.parametrize("observable", OBSERVABLES, ids=lambda o: f"{o.name}{list(o.wires)}")
def test_every_kind_of_observable_has_its_matrix(observable) -> None:
    expected = qml.matrix(observable, wire_order=range(N))
    total = pauli_sum(observable)
    np.testing.assert_allclose(oracles.observable(total.terms, N), expected, atol=1e-12)
    np.testing.assert_allclose(oracles.observable(total.squared().terms, N), expected @ expected, atol=1e-11)


@pytest.mark.parametrize("seed", range(5))
def test_squares_of_random_sums(seed: int) -> None:
    rng = np.random.default_rng(seed)
    words = {"".join(rng.choice(list("IXYZ"), size=N)) for _ in range(12)}
    total = PauliSum(
        tuple(pauli(word, c).terms[0] for word, c in zip(sorted(words), rng.normal(size=12), strict=False))
    )
    dense = oracles.observable(total.terms, N)
    square = total.squared()
    np.testing.assert_allclose(oracles.observable(square.terms, N), dense @ dense, atol=1e-12)
    assert len({word for _, word in square.terms}) == len(square.terms)


def test_squares_leave_out_what_cancels() -> None:
    assert pauli("XYZ", 3.0).squared() == pauli("III", 9.0)
    assert PauliSum((pauli("X").terms[0], pauli("Z").terms[0])).squared() == pauli("I", 2.0)  # {X, Z} = 0
    assert PauliSum(()).squared() == PauliSum(())
    projector = pauli_sum(qml.Projector([1, 0], wires=[0, 1]))
    assert dict(map(reversed, projector.squared().terms)) == dict(map(reversed, projector.terms))


def test_sizes_up_to_the_limits() -> None:
    wide = pauli_sum(qml.Projector([1, 0] * 5, wires=range(10)))
    assert len(wide.terms) == 2**10 and {letter for _, word in wide.terms for _, letter in word} == {"Z"}
    assert len(pauli_sum(qml.Hermitian(hermitian(6), range(6))).squared().terms) == 4**6
    far = pauli(((0, "X"), (61, "Z")))
    assert PauliSum((*far.terms, *pauli(((0, "X"), (50, "Z"))).terms)).squared().wires == (50, 61)


@pytest.mark.parametrize(
    ("observable", "message"),
    [
        (
            qml.Hermitian(np.eye(128), range(7)),
            "`observables` of the kind Hermitian must act on at most 6 wires; got 7",
        ),
        (qml.SparseHamiltonian(sparse.eye(128, format="csr"), range(7)), "of the kind SparseHamiltonian .* got 7"),
        (qml.Projector(np.eye(128)[0], range(7)), "`observables` of the kind Projector .* 6 wires; got 7"),
        (qml.Projector([0] * 11, range(11)), r"of the kind Projector .* 10 wires; got 11\. Measure probabilities"),
    ],
)
def test_matrices_on_many_wires_are_refused(observable, message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        pauli_sum(observable)


def test_a_torch_matrix_keeps_its_values_while_the_function_is_traced() -> None:
    matrix = torch.tensor(hermitian(2))

    def function(w):
        qml.RX(w[0], wires=0)
        qml.RY(w[1], wires=1)
        return qml.expval(qml.Hermitian(matrix, wires=[0, 1]) @ qml.Z(2)), qml.var(0.5 * qml.Hermitian(matrix, [1, 0]))

    (product, part) = capture(function, n_inputs=0, weight_shapes={"w": (2,)}).circuit.measurements
    assert product.observable == pauli_sum(qml.Hermitian(hermitian(2), wires=[0, 1]) @ qml.Z(2))
    assert part.observable == pauli_sum(0.5 * qml.Hermitian(hermitian(2), wires=[1, 0]))


@pytest.mark.parametrize(
    "observable",
    [
        lambda w: w[0] * qml.Z(0),
        lambda w: qml.Hermitian(torch.eye(2), wires=0),
        lambda w: qml.X(1) @ (torch.cos(w[1]) * qml.Hadamard(0)),
    ],
)
def test_an_observable_of_weights_is_refused(observable) -> None:
    def function(w):
        qml.RX(w[0], wires=0)
        return qml.expval(observable(w))

    with pytest.raises(
        UnsupportedError, match=r"`observables` must not depend on inputs or weights; got .* Multiply the"
    ):
        capture(function, n_inputs=0, weight_shapes={"w": (2,)})


def test_the_square_of_a_sum_on_many_wires_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="`observables` of a variance must act on at most 62 wires; got 63"):
        squared(((1.0, tuple((wire, "Z") for wire in range(63))),))
