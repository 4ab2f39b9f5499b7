"""Every gradient method against PennyLane's default.qubit under torch autograd, and against each other."""

import warnings

import numpy as np
import pennylane as qml
import pytest
import torch
from random_functions import N_INPUTS, WEIGHT_SHAPES, gate, random_function

from qnn import QuantumLayer
from qnn.circuits.gates import GATES
from qnn.errors import QnnWarning

METHODS = ("adjoint", "backprop", "parameter-shift", "finite-difference")
TOLERANCE = 1e-6
F64 = torch.float64


def pennylane_gradients(function, n_wires: int, rows, weights: dict, cotangent):
    """Values and gradients of Σ cotangent·values by a QNode, row by row."""
    node = qml.QNode(function, qml.device("default.qubit", wires=n_wires), interface="torch", diff_method="backprop")
    rows = rows.clone().requires_grad_()
    leaves = {k: v.clone().requires_grad_() for k, v in weights.items()}
    values = torch.stack([torch.cat([torch.atleast_1d(v) for v in node(row, **leaves)]) for row in rows])
    (values * cotangent).sum().backward()
    return values.detach(), rows.grad, {k: v.grad for k, v in leaves.items()}


def layer_gradients(layer: QuantumLayer, rows, weights: dict, cotangent):
    rows = rows.clone().requires_grad_()
    with torch.no_grad():
        for name, value in weights.items():
            getattr(layer, name).copy_(value)
    layer.zero_grad()
    values = layer(rows)
    (values * cotangent).sum().backward()
    return values.detach(), rows.grad, {k: getattr(layer, k).grad for k in weights}


def build(function, n_inputs, weight_shapes, n_qubits=None, **options) -> QuantumLayer:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", QnnWarning)
        return QuantumLayer.from_pennylane(
            function, n_inputs=n_inputs, weight_shapes=weight_shapes, n_qubits=n_qubits, dtype=F64, seed=0, **options
        )


def assert_same(found, expected, tolerance: float = TOLERANCE) -> None:
    for a, b in zip(found, expected, strict=True):
        if isinstance(a, dict):
            for name, gradient in a.items():
                reference = torch.zeros_like(gradient) if b[name] is None else b[name]
                torch.testing.assert_close(gradient, reference, atol=tolerance, rtol=0)
        else:
            reference = torch.zeros_like(a) if b is None else b
            torch.testing.assert_close(a, reference, atol=tolerance, rtol=0)


@pytest.mark.parametrize("seed", range(42))
def test_random_circuits_agree_with_pennylane(seed: int) -> None:
    """42 circuits over the whole table, 1 to 6 wires, every kind of angle."""
    n_wires = 1 + seed % 6
    names = list(GATES)
    function = random_function(seed, n_wires, names=[names[(3 * seed + i) % len(names)] for i in range(3)])
    rng = torch.Generator().manual_seed(seed)
    rows = torch.rand(2, N_INPUTS, generator=rng, dtype=F64) * 4 - 2
    weights = {k: torch.rand(s, generator=rng, dtype=F64) * 4 - 2 for k, s in WEIGHT_SHAPES.items()}
    layer = build(function, N_INPUTS, WEIGHT_SHAPES, n_qubits=n_wires)
    cotangent = torch.rand(2, layer.n_outputs, generator=rng, dtype=F64) * 2 - 1
    expected = pennylane_gradients(function, n_wires, rows, weights, cotangent)
    for method in METHODS:
        layer.to_backend("statevector", gradient=method)
        assert_same(layer_gradients(layer, rows, weights, cotangent), expected)


@pytest.mark.parametrize("name", [n for n, g in GATES.items() if g.is_parametric])
def test_every_parametrised_gate_as_input_and_as_weight(name: str) -> None:
    """All methods against all and against PennyLane, batch and none."""
    k = GATES[name].n_wires or 3

    def function(inputs, w):
        for wire in range(k):
            qml.RX(0.4 + 0.3 * wire, wires=wire)
            qml.RY(1.1 - 0.2 * wire, wires=wire)
        gate(name, inputs[0], list(range(k)))
        for wire in range(k):
            qml.RY(0.5 + 0.1 * wire, wires=wire)
        gate(name, w[0], list(reversed(range(k))))
        return [qml.expval(qml.X(0)), qml.expval(qml.Z(k - 1)), qml.probs(wires=range(k))]

    layer = build(function, 1, {"w": 1}, n_qubits=k)
    weights = {"w": torch.tensor([2.3], dtype=F64)}
    rows = torch.tensor([[0.7], [-4.0], [0.0]], dtype=F64)
    cotangent = torch.rand(3, layer.n_outputs, generator=torch.Generator().manual_seed(1), dtype=F64) - 0.5
    expected = pennylane_gradients(function, k, rows, weights, cotangent)
    assert expected[1].abs().max() > 1e-3 and expected[2]["w"].abs().max() > 1e-3  # the test sees the gate
    for method in METHODS:
        layer.to_backend("statevector", gradient=method)
        assert_same(layer_gradients(layer, rows, weights, cotangent), expected)
        one = layer_gradients(layer, rows[1], weights, cotangent[1])
        assert one[0].shape == (layer.n_outputs,) and one[1].shape == (1,)
        torch.testing.assert_close(one[1], expected[1][1], atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("leading", [(), (4,), (2, 3), (2, 1, 2), (0,), (3, 0)], ids=str)
@pytest.mark.parametrize("method", [*METHODS, "spsa"])
def test_leading_dimensions(method: str, leading: tuple[int, ...]) -> None:
    layer = QuantumLayer(
        3, 1, reupload=True, gradient=method, observables=[qml.Z(0), qml.Y(2), qml.X(1)], seed=1, dtype=F64
    )
    inputs = torch.rand(*leading, 3, generator=torch.Generator().manual_seed(0), dtype=F64, requires_grad=True)
    outputs = layer(inputs)
    assert outputs.shape == (*leading, 3)
    outputs.sum().backward()
    assert inputs.grad.shape == inputs.shape and layer.weights.grad.shape == layer.weights.shape
    flat = inputs.detach().reshape(-1, 3)
    looped = [layer(row).detach() for row in flat]
    if looped:
        torch.testing.assert_close(outputs.detach().reshape(-1, 3), torch.stack(looped), atol=1e-12, rtol=0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("which", ["inputs", "weights"])
def test_one_of_inputs_and_weights_alone(method: str, which: str) -> None:
    layer = QuantumLayer(2, 2, seed=3, dtype=F64, gradient=method)
    inputs = torch.tensor([[0.3, 1.2], [-0.4, 2.0]], dtype=F64)
    both = inputs.clone().requires_grad_()
    layer(both).pow(2).sum().backward()
    expected = {"inputs": both.grad.clone(), "weights": layer.weights.grad.clone()}
    layer.zero_grad()
    layer.weights.requires_grad_(which == "weights")
    alone = inputs.clone().requires_grad_(which == "inputs")
    layer(alone).pow(2).sum().backward()
    found = alone.grad if which == "inputs" else layer.weights.grad
    torch.testing.assert_close(found, expected[which], atol=1e-9, rtol=0)
    assert (layer.weights.grad if which == "inputs" else alone.grad) is None


def test_methods_agree_in_float32() -> None:
    gradients = []
    for method in ("adjoint", "backprop", "parameter-shift"):
        layer = QuantumLayer(4, 2, seed=3, gradient=method)
        inputs = torch.rand(5, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
        layer(inputs).pow(3).sum().backward()
        assert inputs.grad.dtype == layer.weights.grad.dtype == torch.float32
        gradients.append(torch.cat([inputs.grad.reshape(-1), layer.weights.grad.reshape(-1)]))
    for other in gradients[1:]:
        torch.testing.assert_close(other, gradients[0], atol=5e-6, rtol=1e-4)


def test_spsa_is_unbiased() -> None:
    """Over 500 independent directions the mean is the gradient within 5 sigma of its own spread, plus O(h²)."""
    layer = QuantumLayer(2, 1, seed=0, dtype=F64, gradient="spsa", observables=[qml.Z(1)])
    row = torch.tensor([0.4, 1.0], dtype=F64)
    samples = []
    for _ in range(500):
        layer.zero_grad()
        layer(row).sum().backward()
        samples.append(layer.weights.grad.reshape(-1).clone())
    found = torch.stack(samples)
    layer.to_backend("statevector", gradient="adjoint").zero_grad()
    layer(row).sum().backward()
    sigma = found.std(dim=0) / np.sqrt(len(samples))
    assert bool((found.std(dim=0) > 0.01).any())  # the directions do vary
    assert bool(((found.mean(dim=0) - layer.weights.grad.reshape(-1)).abs() < 5 * sigma + 1e-3).all())
