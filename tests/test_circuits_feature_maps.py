"""Feature maps: rounds for more features than wires, what comes between them, and the overlap of two states."""

import pennylane as qml
import pytest
import torch

from qnn import QuantumLayer
from qnn.circuits.feature_maps import FeatureMap, feature_map
from qnn.errors import ArgumentError

F64 = torch.float64
X = torch.tensor([[0.4, -1.3, 2.2, 0.9, 0.0, 0.0], [1.1, 0.2, -0.7, 0.3, 0.8, 0.0]], dtype=F64)


def layer(made: FeatureMap) -> QuantumLayer:
    options = {"n_inputs": made.n_inputs, "n_qubits": made.n_qubits, "weight_shapes": {}, "dtype": F64}
    return QuantumLayer.from_pennylane(made.function, observables="probs", **options)


def test_five_angles_on_two_wires_are_three_rounds() -> None:
    @qml.qnode(qml.device("default.qubit", wires=2), interface="torch")
    def by_hand(x):
        for place in (0, 2, 4):
            if place:
                qml.S(0)
                qml.S(1)
                qml.CNOT([0, 1])
            qml.RX(x[place], 0)
            qml.RX(x[place + 1], 1)
        return qml.probs(wires=[0, 1])

    made = feature_map("angle", 5, n_qubits=2)
    assert (made.n_inputs, made.n_qubits, made.idle) == (6, 2, 0)
    torch.testing.assert_close(layer(made)(X), torch.stack([by_hand(x) for x in X]), atol=1e-12, rtol=0)


def test_layers_repeat_all_rounds_and_iqp_needs_nothing_between() -> None:
    @qml.qnode(qml.device("default.qubit", wires=3), interface="torch")
    def by_hand(x):
        qml.IQPEmbedding(x, wires=range(3), n_repeats=2)
        qml.Hadamard(0)
        return qml.probs(wires=range(3))

    made = feature_map("iqp", 3, n_layers=2)

    def turned(inputs):
        made.function(inputs)
        qml.Hadamard(0)

    values = layer(FeatureMap(turned, 3, 3, 0))(X[:, :3])
    torch.testing.assert_close(values, torch.stack([by_hand(x[:3]) for x in X]), atol=1e-12, rtol=0)


@pytest.mark.parametrize("encoding", ["iqp", "amplitude", lambda inputs, wires: qml.AngleEmbedding(inputs, wires)])
def test_overlap_with_itself_is_one(encoding) -> None:
    made = feature_map(encoding, 4, n_qubits=2 if encoding == "amplitude" else 4).overlap()
    rows = torch.cat([X[:, :4], X[:, :4]], dim=1)
    assert made.n_inputs == 8
    torch.testing.assert_close(layer(made)(rows)[:, 0], torch.ones(2, dtype=F64), atol=1e-12, rtol=0)


def test_sizes() -> None:
    assert feature_map("angle", 3).n_qubits == 3
    assert feature_map("angle", 3, n_qubits=5).idle == 2
    amplitudes = feature_map("amplitude", 5)
    assert (amplitudes.n_qubits, amplitudes.n_inputs, amplitudes.idle) == (3, 8, 0)
    with pytest.raises(ArgumentError, match=r'`encoding="amplitude"` must hold all features .* got 5 features for 4'):
        feature_map("amplitude", 5, n_qubits=2)
    with pytest.raises(ArgumentError, match="once; got n_layers=2"):
        feature_map("amplitude", 4, n_layers=2)
