"""Torch and quantum layers, beyond the contract of every kind: names, lambdas, moves of compiled layers, chains."""

import gc
import pickle
import weakref

import pennylane as qml
import pytest
import torch

from qnn import QnnWarning, QuantumLayer
from qnn.errors import ShapeError


def test_no_reference_to_the_users_function_is_kept() -> None:
    class Owner:
        def __call__(self, inputs, w):
            qml.RX(inputs[0], 0)
            qml.RY(w[0], 0)
            return qml.expval(qml.Z(0))

    owner = Owner()
    layer = QuantumLayer.from_pennylane(owner, n_inputs=1, weight_shapes={"w": 1}, seed=0)
    gone = weakref.ref(owner)
    del owner
    gc.collect()
    assert gone() is None
    assert layer(torch.zeros(2, 1)).shape == (2, 1)


def test_layers_of_lambdas_pickle() -> None:
    encoding = lambda x, wires: qml.AngleEmbedding(x, wires)
    ansatz = lambda w, wires: qml.BasicEntanglerLayers(w, wires)
    layer = QuantumLayer(2, 1, encoding=encoding, ansatz=ansatz, seed=0)
    assert torch.equal(pickle.loads(pickle.dumps(layer))(torch.ones(2)), layer(torch.ones(2)))


def test_weights_are_named_by_key() -> None:
    layer = QuantumLayer.from_pennylane(
        lambda inputs, w, s: [qml.RX(inputs[0] * w[0, 1], 0), qml.RY(s + w.sum(), 0), qml.expval(qml.Z(0))][-1],
        n_inputs=1,
        weight_shapes={"w": (2, 2), "s": ()},
        seed=3,
    )
    assert {n: tuple(p.shape) for n, p in layer.named_parameters()} == {"w": (2, 2), "s": ()}
    assert [n for n, _ in QuantumLayer(2, 1, seed=0).named_parameters()] == ["weights"]


def test_a_compiled_layer_can_move() -> None:
    torch._dynamo.reset()
    layer = QuantumLayer(2, 1, seed=0)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    inputs = torch.rand(3, 2, generator=torch.Generator().manual_seed(0))
    exact = compiled(inputs)
    layer.to_backend("statevector", shots=7)
    steps = (1 - compiled(inputs)) * 7 / 2
    torch.testing.assert_close(steps, steps.round(), atol=1e-5, rtol=0)  # shots now
    layer.to_backend("statevector")
    assert torch.equal(compiled(inputs), exact)


def test_exported_programs_run(tmp_path) -> None:
    layer = QuantumLayer(2, 1, seed=0)
    inputs = torch.rand(3, 2, generator=torch.Generator().manual_seed(0))
    rows = torch.export.Dim("rows", min=2)
    program = torch.export.export(layer, (inputs,), dynamic_shapes=({0: rows},))
    torch.export.save(program, tmp_path / "layer.pt2")
    again = torch.export.load(tmp_path / "layer.pt2").module()
    for x in (inputs, torch.ones(5, 2)):
        torch.testing.assert_close(again(x), layer(x), atol=1e-6, rtol=0)


@pytest.mark.parametrize("shots", [None, 50])
def test_a_chain_of_layers_trains_in_a_sequential(shots: int | None) -> None:
    torch.manual_seed(0)
    net = torch.nn.Sequential(QuantumLayer(2, 1, shots=shots), QuantumLayer(2, 1, shots=shots), torch.nn.Linear(2, 1))
    net(torch.rand(3, 2)).sum().backward()
    assert all(bool((p.grad != 0).any()) for p in net.parameters())


def test_many_cotangents_at_once() -> None:
    layer = QuantumLayer(3, 2, seed=0, dtype=torch.float64)
    x = torch.rand(2, 3, dtype=torch.float64, requires_grad=True)
    y = layer(x)
    cotangents = torch.eye(6, dtype=torch.float64).reshape(6, 2, 3)
    (batched,) = torch.autograd.grad(y, layer.weights, cotangents, is_grads_batched=True, retain_graph=True)
    single = torch.stack([torch.autograd.grad(y, layer.weights, c, retain_graph=True)[0] for c in cotangents])
    torch.testing.assert_close(batched, single)
    jacobian = torch.autograd.functional.jacobian(layer, x, vectorize=True)
    torch.testing.assert_close(jacobian, torch.autograd.functional.jacobian(layer, x))


@pytest.mark.parametrize("gradient", ["adjoint", "backprop", "parameter-shift", "finite-difference", "spsa"])
def test_what_is_not_in_the_circuit_has_the_gradient_zero(gradient: str) -> None:
    def function(inputs, w):
        qml.RX(inputs[0], 0)
        return qml.expval(qml.Z(0))

    with pytest.warns(QnnWarning):
        layer = QuantumLayer.from_pennylane(function, n_inputs=1, weight_shapes={"w": ()}, gradient=gradient)
    layer(torch.rand(2, 1)).sum().backward()
    assert layer.w.grad == 0
    x = torch.rand(2, 1, requires_grad=True)
    (by_x, by_w) = torch.autograd.grad(layer(x).sum(), (x, layer.w))
    assert by_w == 0 and bool((by_x != 0).all())


def test_a_qnode_takes_one_row() -> None:
    layer = QuantumLayer(3, 1, seed=0)
    with pytest.raises(ShapeError, match=r"one row of 3 features; got shape \(3, 3\)\. Call the QNode row by row"):
        layer.qnode()(torch.rand(3, 3))
