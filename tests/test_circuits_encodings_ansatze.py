"""Encodings and ansätze: the documented order of operations, against circuits written by hand."""

import numpy as np
import pennylane as qml
import pytest
import torch

from qnn import QuantumLayer
from qnn.circuits.ansatze import ANSATZE, Ansatz, ansatz_named
from qnn.circuits.encodings import ENCODINGS, encoding_named
from qnn.errors import ArgumentError, InertParameterWarning, UnknownNameError

F64 = torch.float64
ROW = torch.tensor([0.4, -1.3, 2.2, 0.9], dtype=F64)


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
    with pytest.raises(UnknownNameError, match=r'No encoding named "angel"\. Did you mean "angle"\? Known: ang'):
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
    for name in ENCODINGS:
        layer = QuantumLayer(3, 1, encoding=name, seed=0)
        assert [op.gate for op in layer.circuit.operations[:3]] == ["RX"] * 3
