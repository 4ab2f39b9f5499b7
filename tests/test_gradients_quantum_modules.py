"""Quantum layers are found by what they hold, under their names."""

import pennylane as qml
import pytest
import torch
from torch.nn.utils import prune

from qnn import QuantumLayer
from qnn.errors import ArgumentError
from qnn.gradients.quantum_modules import computed_weights, quantum_modules, weights_of


def test_layers_are_found_by_name_and_nothing_else_is() -> None:
    first, second = QuantumLayer(2, 1, seed=0), QuantumLayer(2, 1, seed=0)
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), first, torch.nn.ModuleDict({"inner": second}))
    model[0].circuit = model[0].plan = model[0].angle_map = "none"
    assert quantum_modules(model) == {"1": first, "2.inner": second}
    assert quantum_modules(first) == {"": first}


def test_weights_in_the_order_of_the_angle_map() -> None:
    def function(inputs, w, v):
        qml.RX(w[0] + v[0], wires=0)
        qml.RY(inputs[0] * v[1], wires=0)
        qml.RX(w[1], wires=0)

    options = {"n_inputs": 1, "weight_shapes": {"w": 2, "v": 2}, "observables": qml.Z(0), "seed": 0}
    layer = QuantumLayer.from_pennylane(function, **options)
    assert list(weights_of(layer)) == ["w", "v"]
    assert computed_weights(layer.angle_map, layer.angle_map.shared_extras) == {0: {"w", "v"}}
    assert computed_weights(layer.angle_map, layer.angle_map.row_extras) == {0: {"v"}}
    layer.w.requires_grad_(False)
    assert list(weights_of(layer)) == ["v"]
    prune.random_unstructured(layer, "v", amount=1)
    with pytest.raises(ArgumentError, match=r"`model` must hold .* plain parameters; got 'v'.*pruning mask"):
        weights_of(layer)
