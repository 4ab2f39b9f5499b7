"""`qnn.prune`: one door to both parts of a hybrid."""

import pytest
import torch

import qnn
from qnn.compression.pruning import prune
from qnn.errors import UnknownNameError
from qnn.models import QuantumNeuralNetwork

G = torch.Generator().manual_seed(0)
X, Y = torch.rand(12, 4, generator=G), torch.arange(12) % 2


def test_each_method_leads_to_its_part_and_leaves_the_other():
    model = QuantumNeuralNetwork(4, 6, 2, n_qubits=2, n_layers=2, seed=0)
    circuit, _ = qnn.compression.prune(model, (X, Y), amount=2, device=None)
    classical, _ = prune(model, (X, Y), method="weight", part="classical", amount=0.5)
    again, _ = prune(model, (X, Y), method="weight", amount=0.5)
    assert circuit.quantum_layers[0].weights.numel() == 2 and classical.quantum_layers[0].weights.numel() == 4
    state = {name: value for name, value in model.state_dict().items() if "linear" in name or name.endswith("2.weight")}
    assert all(torch.equal(value, circuit.state_dict()[name]) for name, value in state.items())
    assert any(not torch.equal(value, classical.state_dict()[name]) for name, value in state.items())
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in classical.state_dict().items())


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"method": "wieght"}, r'No pruning method named "wieght"\. Did you mean "weight"\? Known: .*angle.*weight'),
        ({"method": "wieght", "part": "circuit"}, r'named "wieght"\..* Known: angle, fisher, gradient, layer\.'),
        (
            {"method": "weight", "part": "circuit"},
            'part="circuit", angle, fisher, gradient, layer; got "weight", which is',
        ),
        (
            {"method": "angle", "part": "classical"},
            'part="classical", weight, .*; got "angle", which is of the other part',
        ),
        ({"part": "middle"}, 'No part named "middle"'),
    ],
)
def test_methods_and_parts_that_do_not_exist_are_refused(options, match):
    with pytest.raises(UnknownNameError, match=match):
        prune(QuantumNeuralNetwork(4, None, 2, n_qubits=2, n_layers=2), amount=1, **options)
