"""Preparations of traced values: right states, and right derivatives where amplitudes are zero."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pennylane as qml
import pytest
import torch

from qnn import QuantumLayer
from qnn.circuits.state_preparation import traceable
from qnn.errors import CaptureError, NotFiniteError

F64 = torch.float64
ROWS = {
    "generic": [0.3, 0.2, 0.1, 0.7, -0.5, 0.9, -1.1, 0.05],
    "first": [1, 0, 0, 0, 0, 0, 0, 0],
    "last": [0, 0, 0, 0, 0, 0, 0, -2],
    "blank half": [0.5, 0.5, 0, 0, 0, 0, 0, 0],
    "blank half with signs": [0, 0, 0, 0, 1, -1, 1, 2],
    "uniform": [0.5] * 8,
    "repeated": [1, 2, 1, 2, 1, 2, 1, 2],
    "alternating": [1, -1, 1, -1, 1, -1, 1, -1],
    "scattered": [0, 3, 0, 0, 0, 0, 4, 0],
    "GHZ": [1, 0, 0, 0, 0, 0, 0, 1],
}
MEASURED = [lambda: qml.Z(0), lambda: qml.X(0) @ qml.Y(1), lambda: qml.Z(2) @ qml.X(1), lambda: qml.Y(2)]


def gates(w) -> None:
    for i in range(3):
        qml.RX(w[i], wires=i)
        qml.CNOT(wires=[i, (i + 1) % 3])
        qml.RY(w[3 + i], wires=i)


def turns(w) -> list:
    gates(w)
    return [qml.expval(o()) for o in MEASURED]


def embedding(inputs, w):
    qml.AmplitudeEmbedding(inputs, wires=range(3), normalize=True)
    return turns(w)


def complex_state(inputs, w):
    qml.StatePrep(inputs * torch.exp(1j * torch.cat([w, w[:2]])), wires=[2, 0, 1], normalize=True)
    return turns(w)


def in_a_list(inputs, w):
    qml.AmplitudeEmbedding([inputs[0], 0.0, w[0], inputs[1], 1.0], wires=range(3), pad_with=0.5)
    return turns(w)


def in_a_tensor(inputs, w):
    """The same for default.qubit, which does not take tensors in a list."""
    one = torch.ones_like(inputs[0])
    qml.AmplitudeEmbedding(torch.stack([inputs[0], 0 * one, w[0], inputs[1], one]), wires=range(3), pad_with=0.5)
    return turns(w)


def padded(inputs, w):
    qml.AmplitudeEmbedding(torch.sin(inputs + 0.1), wires=range(3), pad_with=0.0)
    return turns(w)


def moettoenen(inputs, w):
    qml.MottonenStatePreparation(inputs / torch.linalg.norm(inputs), wires=range(3))
    return turns(w)


def oracle(function, inputs: torch.Tensor, w: torch.Tensor, cotangent: torch.Tensor):
    """Values and gradients by autograd through default.qubit, which differentiates a norm only where it is not 1."""
    node = qml.QNode(function, qml.device("default.qubit", wires=3), diff_method="backprop")
    inputs, w = inputs.clone().requires_grad_(), w.clone().requires_grad_()
    result = node(inputs, w)
    values = torch.stack(list(result)) if isinstance(result, (list, tuple)) else result
    return values.detach(), torch.autograd.grad((values * cotangent).sum(), (inputs, w), allow_unused=True)


@pytest.mark.parametrize("row", ROWS)
def test_zeros_and_repetitions_have_right_values_and_derivatives(row: str) -> None:
    """1e-10: the branch that is smallest in the turned frame still has a length of 1e-3."""
    layer = QuantumLayer.from_pennylane(embedding, n_inputs=8, weight_shapes={"w": 6}, dtype=F64, seed=1)
    x = torch.tensor(ROWS[row], dtype=F64, requires_grad=True)
    cotangent = torch.tensor([0.3, -1.0, 0.7, 0.4], dtype=F64)
    found = layer(x)
    gradients = torch.autograd.grad((found * cotangent).sum(), (x, layer.w))
    values, expected = oracle(lambda i, w: embedding(1.7 * i, w), x.detach(), layer.w.detach(), cotangent)
    torch.testing.assert_close(found.detach(), values, atol=1e-12, rtol=0)
    for g, e in zip(gradients, expected, strict=True):
        torch.testing.assert_close(g, e, atol=1e-10, rtol=0)


@pytest.mark.parametrize("function", [complex_state, in_a_list, padded, moettoenen])
def test_preparations_of_expressions(function) -> None:
    n_inputs = {in_a_list: 2, padded: 6}.get(function, 8)
    layer = QuantumLayer.from_pennylane(function, n_inputs=n_inputs, weight_shapes={"w": 6}, dtype=F64, seed=2)
    x = torch.tensor(ROWS["generic"][:n_inputs], dtype=F64, requires_grad=True)
    found = layer(x)
    cotangent = torch.linspace(-1, 1, found.numel(), dtype=F64)
    gradients = torch.autograd.grad((found * cotangent).sum(), (x, layer.w))
    reference = in_a_tensor if function is in_a_list else function
    values, expected = oracle(reference, x.detach(), layer.w.detach(), cotangent)
    torch.testing.assert_close(found.detach(), values, atol=1e-12, rtol=0)
    torch.testing.assert_close(gradients[1], expected[1], atol=1e-10, rtol=0)
    torch.testing.assert_close(gradients[0], expected[0], atol=1e-10, rtol=0)


def test_an_overlap_by_the_adjoint_of_a_preparation() -> None:
    """|<b|a>|² is the probability of |000>; of the other outcomes only the sum is defined."""

    def function(inputs):
        qml.AmplitudeEmbedding(inputs[:8], wires=range(3), normalize=True)
        qml.adjoint(qml.AmplitudeEmbedding)(inputs[8:], wires=range(3), normalize=True)
        return qml.probs(wires=range(3))

    layer = QuantumLayer.from_pennylane(function, n_inputs=16, weight_shapes={}, dtype=F64)
    a, b = torch.tensor(ROWS["generic"], dtype=F64), torch.tensor(ROWS["repeated"], dtype=F64)
    expected = (a @ b) ** 2 / (a @ a) / (b @ b)
    assert layer(torch.cat([a, b]))[0].item() == pytest.approx(expected.item(), abs=1e-12)


def test_functions_written_for_batches() -> None:
    def batched(inputs, w):
        qml.AmplitudeEmbedding(inputs[:, :8], wires=range(3), normalize=True)
        return turns(w)

    one = QuantumLayer.from_pennylane(batched, n_inputs=8, weight_shapes={"w": 6}, dtype=F64, seed=1)
    other = QuantumLayer.from_pennylane(embedding, n_inputs=8, weight_shapes={"w": 6}, dtype=F64, seed=1)
    x = torch.tensor(list(ROWS.values()), dtype=F64)
    assert torch.equal(one(x), other(x))


@pytest.mark.parametrize("template", [qml.BasisEmbedding, qml.BasisState])
def test_bits_of_inputs(template) -> None:
    def function(inputs, w):
        template(inputs, wires=[1, 0])
        qml.CRX(w[0], wires=[0, 1])
        return [qml.expval(qml.Z(0)), qml.expval(qml.Z(1))]

    layer = QuantumLayer.from_pennylane(function, n_inputs=2, weight_shapes={"w": 1}, dtype=F64, seed=1)
    rows = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])
    node = qml.QNode(function, qml.device("default.qubit", wires=2))
    expected = torch.stack([torch.stack(list(node(row, layer.w.detach()))) for row in rows])
    torch.testing.assert_close(layer(rows.to(F64)).detach(), expected.to(F64), atol=1e-12, rtol=0)


def test_the_amplitude_encoding_by_name() -> None:
    layer = QuantumLayer(3, 1, encoding="amplitude", observables="probs", seed=0, dtype=F64)
    assert layer.n_inputs == 8
    x = torch.tensor(ROWS["generic"], dtype=F64)
    bare = QuantumLayer.from_pennylane(
        lambda inputs: qml.AmplitudeEmbedding(inputs, range(3), normalize=True), n_inputs=8, weight_shapes={},
        observables=qml.probs(), dtype=F64,
    )  # fmt: skip
    torch.testing.assert_close(bare(x), x**2 / (x**2).sum(), atol=1e-12, rtol=0)
    torch.testing.assert_close(torch.stack(list(layer.qnode()(x)[None]))[0], layer(x), atol=1e-12, rtol=0)


def test_templates_are_pennylanes_own_again_after_a_capture() -> None:
    before = dict(qml.StatePrep.__dict__), dict(qml.BasisState.__dict__)
    QuantumLayer(2, 1, encoding="amplitude", seed=0)
    assert (dict(qml.StatePrep.__dict__), dict(qml.BasisState.__dict__)) == before
    with pytest.raises(ValueError, match=r"norm 1.0"):
        qml.AmplitudeEmbedding(np.array([1.0, 1.0]), wires=0)


def test_bad_states_are_refused() -> None:
    layer = QuantumLayer(2, 1, encoding="amplitude", seed=0)
    with pytest.raises(NotFiniteError, match="computed from row 1"):
        layer(torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 0]]))

    def build(function, n_inputs: int) -> None:
        QuantumLayer.from_pennylane(function, n_inputs=n_inputs, weight_shapes={}, observables="Z")

    with pytest.raises(CaptureError, match=r"must be 2\^n = 4 numbers for these wires; got shape \(3,\)"):
        build(lambda inputs: qml.AmplitudeEmbedding(inputs, wires=range(2)), 3)
    with pytest.raises(CaptureError, match=r"one bit for each of its 2 wires; got shape \(3,\)"):
        build(lambda inputs: qml.BasisEmbedding(inputs, wires=range(2)), 3)


def test_what_is_replaced_is_so_for_the_tracing_thread_only() -> None:
    def refused() -> bool:
        try:
            qml.AmplitudeEmbedding(torch.tensor([3.0, 4.0]), wires=0)
        except ValueError:
            return True
        return False

    with traceable(), ThreadPoolExecutor(1) as pool:
        assert not refused()
        assert pool.submit(refused).result()
    assert refused()


@pytest.mark.parametrize(("dtype", "scales"), [(torch.float32, (1e-35, 1e-25, 1e25, 1e37)), (F64, (1e-300, 1e200))])
def test_the_scale_of_amplitudes_does_not_matter(dtype: torch.dtype, scales: tuple[float, ...]) -> None:
    layer = QuantumLayer(2, 1, encoding="amplitude", seed=0)
    row = torch.tensor([[0.1, 0.2, -0.3, 0.9]], dtype=dtype)
    for scale in scales:
        torch.testing.assert_close(layer(row * scale), layer(row))
