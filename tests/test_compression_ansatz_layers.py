"""Layers of an ansatz found in its circuit, and removed as a whole."""

import pennylane as qml
import pytest
import torch

from qnn.circuits.ansatze import ANSATZE
from qnn.compression.circuits.ansatz_layers import ansatz_layers
from qnn.compression.circuits.circuit_layers import rewritten
from qnn.errors import ArgumentError
from qnn.layers import QuantumLayer


def layer_of(ansatz, n_layers, **options):
    build = QuantumLayer(4, n_layers, ansatz=ansatz, observables=qml.Z(0) @ qml.X(1), dtype=torch.float64, **options)
    build.weights.data = torch.linspace(0, 5, build.weights.numel(), dtype=torch.float64).reshape(build.weights.shape)
    return build


@pytest.mark.filterwarnings("ignore::qnn.errors.InertParameterWarning")
@pytest.mark.parametrize("encoding", ["angle", "iqp"])
@pytest.mark.parametrize("ansatz", sorted(set(ANSATZE) - {"strongly_entangling"}))
def test_without_a_layer_a_circuit_is_that_of_the_other_layers(ansatz, encoding):
    layer = layer_of(ansatz, 3, encoding=encoding)
    smaller = rewritten(layer, ansatz_layers(layer)[1], simplify=False)
    fewer = layer_of(ansatz, 2, encoding=encoding)
    assert smaller.circuit == fewer.circuit
    assert torch.equal(smaller.weights, layer.weights[[0, 2]])
    fewer.load_state_dict(smaller.state_dict())
    x = torch.rand(3, 4, dtype=torch.float64)
    assert torch.equal(smaller(x), fewer(x))


@pytest.mark.filterwarnings("ignore::qnn.errors.InertParameterWarning")
def test_layers_with_other_wires_and_re_uploading_whose_encoding_leaves_too():
    layer = layer_of("strongly_entangling", 3, reupload=True)
    parts = ansatz_layers(layer)
    gates = [[layer.circuit.operations[n].gate for n in part] for part in parts]
    assert gates == [[*["RX"] * 4, *["RZ", "RY", "RZ"] * 4, *["CNOT"] * 4]] * 3
    smaller = rewritten(layer, parts[2])
    assert sum(op.gate == "RX" for op in smaller.circuit.operations) == 8
    again = rewritten(smaller, ansatz_layers(rewritten(layer, parts[2], simplify=False))[0], simplify=False)
    assert again.weights.shape == (1, 4, 3)


def test_weights_that_count_no_layers_are_refused():
    def irregular(inputs, w):
        qml.RX(inputs[0], wires=0)
        qml.RY(w[0], wires=0)
        qml.CNOT(wires=[0, 1])
        qml.RY(w[1], wires=1)
        qml.RY(w[2], wires=0)

    layer = QuantumLayer.from_pennylane(irregular, n_inputs=1, weight_shapes={"w": 3}, observables="Z", n_qubits=2)
    with pytest.raises(ArgumentError, match=r'the layer "net" has weights of shape \(3,\) in a circuit without such'):
        ansatz_layers(layer, "net")
    mixed = QuantumLayer.from_pennylane(
        lambda a, b: [qml.RY(a[0], 0), qml.RY(b[0], 0), qml.RY(b[1], 0), qml.Z(0)],
        n_inputs=0, weight_shapes={"a": 1, "b": 2}, observables=qml.Z(0),
    )  # fmt: skip
    with pytest.raises(ArgumentError, match=r"weights of shape \(1,\), \(2,\)"):
        ansatz_layers(mixed)
