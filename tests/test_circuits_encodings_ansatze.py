"""Encodings and ansätze: the documented order of operations, against circuits written by hand."""

import functools
import io

import numpy as np
import pennylane as qml
import pytest
import torch

from qnn import QuantumLayer
from qnn.circuits.ansatze import ANSATZE, Ansatz, ansatz_named
from qnn.circuits.encodings import encoding_named, iqp_encoding
from qnn.errors import ArgumentError, InertParameterWarning, UnknownNameError

F64 = torch.float64
ROW = torch.tensor([0.4, -1.3, 2.2, 0.9], dtype=F64)
ROW5 = torch.tensor([0.4, -1.3, 2.2, 0.9, -0.6], dtype=F64)


def by_hand(n: int, n_layers: int, reupload: bool):
    """RX(x_i) on |0>; per layer H on every wire, RX(w) on every wire, CNOT from i to i+1 mod n (none for one wire)."""

    @qml.qnode(qml.device("default.qubit", wires=n), interface="torch")
    def circuit(x, w):
        for layer in range(n_layers):
            if layer == 0 or reupload:
                for i in range(n):
                    qml.RX(x[i], wires=i)
            for i in range(n):
                qml.Hadamard(wires=i)
            for i in range(n):
                qml.RX(w[layer, i], wires=i)
            if n > 1:
                for i in range(n):
                    qml.CNOT(wires=[i, (i + 1) % n])
        return [qml.expval(qml.Z(i)) for i in range(n)]

    return circuit


@pytest.mark.parametrize("reupload", [False, True])
@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_the_default_layer_is_h_rx_cnot_in_this_order(n: int, reupload: bool) -> None:
    layer = QuantumLayer(n, 3, reupload=reupload, seed=n, dtype=F64)
    expected = torch.stack(by_hand(n, 3, reupload)(ROW[:n], layer.weights.detach()))
    torch.testing.assert_close(layer(ROW[:n]).detach(), expected, atol=1e-10, rtol=0)
    names = [op.gate for op in layer.circuit.operations][: n + 2 * n]
    assert names == ["RX"] * n + ["Hadamard"] * n + ["RX"] * n


def test_the_ring_of_cnots() -> None:
    pairs = lambda n: [op.wires for op in QuantumLayer(n, 1, seed=0).circuit.operations if op.gate == "CNOT"]
    assert pairs(1) == []
    assert pairs(2) == [(0, 1), (1, 0)]
    assert pairs(3) == [(0, 1), (1, 2), (2, 0)]


def test_other_ansaetze_by_hand() -> None:
    @qml.qnode(qml.device("default.qubit", wires=3), interface="torch")
    def hardware_efficient(x, w):
        qml.AngleEmbedding(x, wires=range(3))
        for layer in w:
            for i in range(3):
                qml.RZ(layer[i, 0], wires=i)
                qml.RY(layer[i, 1], wires=i)
            qml.CNOT(wires=[0, 1])
            qml.CNOT(wires=[1, 2])
        return [qml.expval(qml.Z(i)) for i in range(3)]

    @qml.qnode(qml.device("default.qubit", wires=3), interface="torch")
    def strongly_entangling(x, w):
        qml.AngleEmbedding(x, wires=range(3))
        qml.StronglyEntanglingLayers(w, wires=range(3))
        return [qml.expval(qml.X(i)) for i in range(3)]

    words = [qml.X(i) for i in range(3)]
    for node, observables in ((hardware_efficient, "Z"), (strongly_entangling, words)):
        layer = QuantumLayer(3, 2, ansatz=node.func.__name__, observables=observables, seed=3, dtype=F64)
        expected = torch.stack(node(ROW[:3], layer.weights.detach()))
        torch.testing.assert_close(layer(ROW[:3]).detach(), expected, atol=1e-10, rtol=0)


def by_hand_qcnn(weights, n: int) -> None:
    """Convolution of neighbours on the ring, even pairs first; pooling of the second wire into the first."""
    rings = {2: [(0, 1)], 3: [(0, 1), (2, 0), (1, 2)], 4: [(0, 1), (2, 3), (1, 2), (3, 0)]}
    rings[5] = [(0, 1), (2, 3), (4, 0), (1, 2), (3, 4)]
    stages = {2: [[0, 1]], 3: [[0, 1, 2], [0, 2]], 4: [[0, 1, 2, 3], [0, 2]], 5: [[0, 1, 2, 3, 4], [0, 2, 4], [0, 4]]}
    for layer in weights:
        assert len(layer) == len(stages[n])
        for w, active in zip(layer, stages[n], strict=True):
            for i, j in rings[len(active)]:
                a, b = active[i], active[j]
                qml.RY(w[0], a)
                qml.RY(w[1], b)
                qml.IsingXX(w[2], [a, b])
                qml.IsingYY(w[3], [a, b])
                qml.IsingZZ(w[4], [a, b])
            for place in range(0, len(active) - 1, 2):
                kept, pooled = active[place], active[place + 1]
                qml.ctrl(qml.RZ(w[5], kept), control=pooled)
                qml.ctrl(qml.RX(w[6], kept), control=pooled)


def by_hand_tree(weights, n: int) -> None:
    merges = {2: [(0, 1)], 3: [(0, 1), (0, 2)], 4: [(0, 1), (2, 3), (0, 2)], 5: [(0, 1), (2, 3), (0, 2), (0, 4)]}
    for layer in weights:
        for w, (kept, other) in zip(layer, merges[n], strict=True):
            for angles, wire in ((w[:2], kept), (w[2:], other)):
                qml.RZ(angles[0], wire)
                qml.RY(angles[1], wire)
            qml.CNOT([other, kept])


@pytest.mark.parametrize("observables", ["Z", "root"])
@pytest.mark.parametrize("reupload", [False, True])
@pytest.mark.parametrize("n", [2, 3, 4, 5])
@pytest.mark.parametrize(("name", "by_hand_ansatz"), [("qcnn", by_hand_qcnn), ("tree", by_hand_tree)])
def test_trees_by_hand_with_gradients(name: str, by_hand_ansatz, n: int, reupload: bool, observables: str) -> None:
    measured = [qml.Z(i) for i in range(n)] if observables == "Z" else [qml.Z(0)]

    @qml.qnode(qml.device("default.qubit", wires=n), interface="torch")
    def node(x, w):
        for layer in range(2):
            if layer == 0 or reupload:
                qml.AngleEmbedding(x, wires=range(n))
            by_hand_ansatz(w[layer : layer + 1], n)
        return [qml.expval(o) for o in measured]

    layer = QuantumLayer(n, 2, ansatz=name, reupload=reupload, observables=measured, seed=n, dtype=F64)
    agree(layer, node, ROW5[:n])


def agree(layer: QuantumLayer, node, row: torch.Tensor) -> None:
    """Values and gradients of inputs and weights are those of a QNode of (inputs, weights), within 1e-8."""
    found = []
    for run in (lambda x: layer(x), lambda x: torch.stack(node(x, layer.weights))):
        inputs = row.clone().requires_grad_()
        values = run(inputs)
        mixed = values @ torch.linspace(1, 2, len(values), dtype=F64)
        found.append((values.detach(), *torch.autograd.grad(mixed, (inputs, layer.weights))))
    torch.testing.assert_close(found[0], found[1], atol=1e-8, rtol=0)


@pytest.mark.parametrize("n", [1, 2, 4])
@pytest.mark.parametrize("n_repeats", [1, 3])
@pytest.mark.parametrize("reupload", [False, True])
def test_iqp_is_pennylanes_embedding(n: int, n_repeats: int, reupload: bool) -> None:
    @qml.qnode(qml.device("default.qubit", wires=n), interface="torch")
    def node(x, w):
        for layer in range(2):
            if layer == 0 or reupload:
                qml.IQPEmbedding(x, wires=range(n), n_repeats=n_repeats)
            ansatz_named("hardware_efficient").function(w[layer : layer + 1], range(n))
        return [qml.expval(qml.Z(i)) for i in range(n)]

    encoding = "iqp" if n_repeats == 1 else functools.partial(iqp_encoding, n_repeats=n_repeats)
    layer = QuantumLayer(n, 2, encoding=encoding, ansatz="hardware_efficient", reupload=reupload, seed=n, dtype=F64)
    agree(layer, node, ROW5[:n])


def test_reuploading_with_trainable_frequencies() -> None:
    """x enters each layer as RY(f·x + b) with trainable f and b: values and gradients are PennyLane's."""

    def function(inputs, f, b, w):
        for layer in range(3):
            for wire in range(2):
                qml.RY(f[layer, wire] * inputs[wire] + b[layer, wire], wires=wire)
            ANSATZE["h_rx_cnot"].function(w[layer : layer + 1], range(2))
        return [qml.expval(qml.Z(0)), qml.var(qml.X(0) @ qml.Y(1))]

    shapes = {"f": (3, 2), "b": (3, 2), "w": (3, 2)}
    layer = QuantumLayer.from_pennylane(function, n_inputs=2, weight_shapes=shapes, seed=0, dtype=F64)
    node = qml.QNode(function, qml.device("default.qubit", wires=2), interface="torch")
    found = []
    for run in (lambda x: layer(x), lambda x: torch.stack(node(x, layer.f, layer.b, layer.w))):
        inputs = ROW[:2].clone().requires_grad_()
        values = run(inputs)
        gradients = torch.autograd.grad(values[0] - 0.7 * values[1], (inputs, layer.f, layer.b, layer.w))
        found.append((values.detach(), *gradients))
    torch.testing.assert_close(found[0], found[1], atol=1e-8, rtol=0)


@pytest.mark.parametrize("name", ["qcnn", "tree"])
def test_trees_need_two_wires_and_can_be_drawn(name: str) -> None:
    with pytest.raises(ArgumentError, match=rf'`n_qubits` must be at least 2 for ansatz="{name}".* got 1'):
        QuantumLayer(1, 1, ansatz=name)
    layer = QuantumLayer(4, 2, encoding="iqp", ansatz=name, reupload=True, observables=qml.Z(0), seed=0)
    layer.draw().savefig(io.BytesIO())
    drawn = qml.draw(ansatz_named(name).function)(torch.rand(ansatz_named(name).shape(1, 4)), wires=range(4))
    assert all(f"\n{wire}: " in "\n" + drawn for wire in range(4))
    specs = qml.specs(layer.qnode())(torch.zeros(4))["resources"]
    assert specs.num_allocs == 4 and specs.num_gates == len(layer.circuit.operations)


def test_encodings_by_closed_form() -> None:
    """Product encodings: <Z_i> = cos x_i for angles, cos(π b_i) for bits; Z...Z gives the product."""
    nothing = lambda weights, wires: None
    with pytest.warns(InertParameterWarning, match="weights"):
        angle = QuantumLayer(4, 1, ansatz=nothing, observables=[qml.Z(0), qml.prod(*map(qml.Z, range(4)))], dtype=F64)
    torch.testing.assert_close(angle(ROW), torch.stack([ROW[0].cos(), ROW.cos().prod()]))
    with pytest.warns(InertParameterWarning):
        basis = QuantumLayer(4, 1, encoding="basis", ansatz=nothing, dtype=F64)
    bits = torch.tensor([0.0, 1.0, 1.0, 0.5], dtype=F64)
    torch.testing.assert_close(basis(bits), torch.tensor([1.0, -1.0, -1.0, 0.0], dtype=F64))


@pytest.mark.parametrize("name", ANSATZE)
def test_every_ansatz_runs_in_pennylane_as_it_is(name: str) -> None:
    ansatz = ansatz_named(name)
    shape = ansatz.shape(2, 3)
    tape = qml.tape.make_qscript(ansatz.function)(torch.rand(shape), wires=range(3))
    assert len(tape.operations) > 0 and set(tape.wires) == {0, 1, 2}
    assert shape[0] == 2


def test_quantum_functions_and_template_classes_as_ansatz_and_encoding() -> None:
    template = ansatz_named(qml.BasicEntanglerLayers)
    assert template.shape(2, 3) == (2, 3)
    assert ansatz_named(qml.StronglyEntanglingLayers).shape(2, 3) == (2, 3, 3)
    own = Ansatz(lambda w, wires: [qml.RY(w[0, 0], wire) for wire in wires], lambda n_layers, n: (n_layers, 1))
    assert ansatz_named(own) is own
    layer = QuantumLayer(2, 1, encoding=lambda inputs, wires: qml.IQPEmbedding(inputs, wires), ansatz=own, seed=0)
    assert layer.weights.shape == (1, 1)
    assert QuantumLayer(3, 2, ansatz=qml.BasicEntanglerLayers, seed=0).weights.shape == (2, 3)


def test_misspelt_names_get_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match=r'No encoding named "angel"\. Did you mean "angle"\? Known: amp'):
        encoding_named("angel")
    with pytest.raises(UnknownNameError, match=r'No ansatz named "h_rx_cx"\. Did you mean "h_rx_cnot"\?'):
        ansatz_named("h_rx_cx")
    with pytest.raises(ArgumentError, match=r"`encoding` must be a name or .* f\(inputs, wires\); got 3"):
        encoding_named(3)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match=r"`ansatz` must be a name or .* f\(weights, wires\); got 3"):
        ansatz_named(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("template", [qml.RandomLayers, qml.SimplifiedTwoDesign])
def test_templates_without_one_shape_are_refused_by_name(template) -> None:
    with pytest.raises(ArgumentError, match=rf"`ansatz` must have one tensor of weights.* got {template.__name__}"):
        QuantumLayer(4, 1, ansatz=template)


def test_the_default_layer_is_not_the_h_rx_trap() -> None:
    """Encoding as H then RX leaves |+>, whatever x: every output is constant. Ours is not."""

    def trap(inputs, wires):
        for i, wire in enumerate(wires):
            qml.Hadamard(wires=wire)
            qml.RX(inputs[i], wires=wire)

    def rx_cnot(weights, wires):
        qml.BasicEntanglerLayers(weights, wires=wires)

    with pytest.warns(InertParameterWarning, match=r"6 parameter\(s\) .*: inputs\[0\], inputs\[1\], inputs\[2\], w"):
        trapped = QuantumLayer(3, 1, encoding=trap, ansatz=rx_cnot, seed=0, dtype=F64)
    inputs = torch.rand(5, 3, generator=torch.Generator().manual_seed(0), dtype=F64)
    torch.testing.assert_close(trapped(inputs), torch.zeros(5, 3, dtype=F64), atol=1e-12, rtol=0)
    outputs = QuantumLayer(3, 1, seed=0, dtype=F64)(inputs).detach().numpy()
    assert np.all(outputs.std(axis=0) > 1e-4)


def test_encodings_have_no_gate_before_their_rotation() -> None:
    for name in ("angle", "basis"):
        layer = QuantumLayer(3, 1, encoding=name, seed=0)
        assert [op.gate for op in layer.circuit.operations[:3]] == ["RX"] * 3
