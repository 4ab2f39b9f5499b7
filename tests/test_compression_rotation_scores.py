"""Scores of rotations against derivatives by finite differences and closed forms."""

import math

import pennylane as qml
import pytest
import torch

from qnn._meter import measure
from qnn.compression.circuits.circuit_layers import quantum_layers
from qnn.compression.circuits.rotation_scores import by_angle, by_fisher, by_gradient
from qnn.errors import ArgumentError, CapabilityError, UnknownNameError
from qnn.layers import QuantumLayer

G = torch.Generator().manual_seed(5)
X = torch.rand(5, 3, generator=G, dtype=torch.float64)
Y = torch.tensor([0, 1, 1, 0, 1])


def twice(inputs, w):
    """A weight that is used twice, and one that is a frequency."""
    qml.RX(inputs[0], wires=0)
    qml.RY(w[0], wires=0)
    qml.CRX(w[1] * inputs[1], wires=[0, 1])
    qml.RY(w[0], wires=1)
    qml.RX(w[2], wires=1)


@pytest.fixture
def network():
    torch.manual_seed(0)
    circuit = {"n_inputs": 2, "weight_shapes": {"w": 3}, "observables": [qml.Z(0), qml.Y(1)], "dtype": torch.float64}
    layer = QuantumLayer.from_pennylane(twice, **circuit, seed=1)
    linear = torch.nn.Linear(3, 2), torch.nn.Linear(2, 2)
    return torch.nn.Sequential(linear[0], torch.nn.Tanh(), layer, torch.nn.Dropout(0.5), linear[1]).double()


def by_slot(network, x, shift):
    """Losses (B,) with the rotations' angles shifted one by one: a circuit of the same gates, written anew."""
    w = network[2].w.tolist()

    def function(inputs, d):
        qml.RX(inputs[0], wires=0)
        qml.RY(w[0] + d[0], wires=0)
        qml.CRX(w[1] * inputs[1] + d[1], wires=[0, 1])
        qml.RY(w[0] + d[2], wires=1)
        qml.RX(w[2] + d[3], wires=1)

    shapes, z = {"d": 4}, [qml.Z(0), qml.Y(1)]
    shifted = QuantumLayer.from_pennylane(
        function, n_inputs=2, weight_shapes=shapes, observables=z, dtype=torch.float64, init="zeros"
    )
    shifted.d.data += shift
    out = shifted(network[1](network[0](x)))
    return out, torch.nn.functional.cross_entropy(network[4](out), Y, reduction="none")


def differences(network, which):
    h, eye = 1e-5, torch.eye(4, dtype=torch.float64)
    with torch.no_grad():
        pairs = [(by_slot(network, X, h * e)[which], by_slot(network, X, -h * e)[which]) for e in eye]
    return [(plus - minus) / (2 * h) for plus, minus in pairs]


def scores(found):
    return [found["2"][n] for n in (1, 2, 3, 4)]


@pytest.mark.parametrize("method", ["adjoint", "parameter-shift"])
def test_gradient_and_fisher_are_means_over_rows_of_each_slot(network, method):
    network[2].to_backend("statevector", gradient=method)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    layers, expected = quantum_layers(network), differences(network, 1)
    assert scores(by_gradient(network, layers, (X, Y))) == pytest.approx(
        [d.abs().mean().item() for d in expected], abs=1e-8
    )
    found = scores(by_fisher(network, layers, (X, Y), "loss"))
    assert found == pytest.approx([d.square().mean().item() for d in expected], abs=1e-8)
    outputs = scores(by_fisher(network, layers, (X, Y), "outputs"))
    assert outputs == pytest.approx([d.square().sum().item() / 5 for d in differences(network, 0)], abs=1e-8)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert network.training and all(p.grad is None for p in network.parameters())


def test_quantum_fisher_information_is_the_variance_of_the_generator(network):
    found = scores(by_fisher(network, quantum_layers(network), (X, Y), "quantum"))
    inputs = network[1](network[0](X))[:, 0]
    # RY after RX(x) on |0>: 1 - <Y>^2 with <Y> = -sin x
    assert found[0] == pytest.approx((1 - torch.sin(inputs) ** 2).mean().item(), abs=1e-10)
    assert all(0 < score <= 1 + 1e-12 for score in found)
    network[2].to_backend("statevector", shots=10)
    with pytest.raises(CapabilityError, match='got shots=10 of the layer "2"'):
        by_fisher(network, quantum_layers(network), (X, Y), "quantum")
    with pytest.raises(UnknownNameError, match="Fisher information"):
        by_fisher(network, quantum_layers(network), (X, Y), "classical")


def test_angles_are_wrapped_and_those_with_inputs_are_means_over_rows(network):
    layer = network[2]
    with torch.no_grad():
        layer.w[:] = torch.tensor([2 * math.pi - 0.25, 5.0, -math.pi], dtype=torch.float64)
    found = scores(by_angle(network, quantum_layers(network), (X, Y)))
    mixed = 5.0 * network[1](network[0](X))[:, 1]  # below 2π, half the period of CRX
    assert found == pytest.approx([0.25, mixed.abs().mean().item(), 0.25, math.pi], abs=1e-12)
    plain = QuantumLayer(2, 2, seed=0)
    with measure() as usage:
        angles = by_angle(plain, {"": plain}, (X[:, :2], Y))[""]
    assert usage.circuits == 0 and all(0 <= angle <= math.pi for angle in angles.values())
    with pytest.raises(ArgumentError, match=r'`data` must be given .* the layer "2"'):
        by_angle(network, quantum_layers(network), None)


def test_patches_are_summed_for_a_data_row_and_a_layer_used_twice_counts_twice():
    layer = QuantumLayer(2, 1, dtype=torch.float64, seed=0)

    class Patches(torch.nn.Module):
        def __init__(self, layer):
            super().__init__()
            self.layer = layer

        def forward(self, x):  # (B, 2, 2)
            return self.layer(x).sum(dim=1) + self.layer(2 * x[:, 0])

    x, y = torch.rand(3, 2, 2, dtype=torch.float64), torch.rand(3, 2, dtype=torch.float64)
    model = Patches(layer)
    found = by_gradient(model, quantum_layers(model), (x, y))["layer"]
    expected = torch.zeros(2, dtype=torch.float64)
    for i in range(3):
        layer.zero_grad()
        (model(x[i : i + 1]) - y[i]).square().mean().backward()
        expected += layer.weights.grad[0].abs() / 3
    assert list(found.values()) == pytest.approx(expected.tolist(), abs=1e-12)


def test_scores_of_shots_follow_from_the_seed(network):
    network[2].to_backend("statevector", shots=500)
    layers = quantum_layers(network)
    first, again = (by_gradient(network, layers, (X, Y))["2"] for _ in range(2))
    exact = by_gradient(network, {"2": network[2].to_backend("statevector")}, (X, Y))["2"]
    assert first != exact and again != exact
    # the standard error of a shift rule's derivative is below 1 / sqrt(2 shots) for each row and output
    assert all(abs(first[n] - exact[n]) < 5 * 4 / math.sqrt(2 * 500) for n in exact)
