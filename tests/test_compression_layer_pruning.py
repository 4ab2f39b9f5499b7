"""Whole layers that leave: where they stand, under which names, and what is left alone."""

from collections import OrderedDict

import torch
from torch import nn

from qnn import QuantumLayer
from qnn.compression.networks.layer_pruning import WholeLayers, drop
from qnn.compression.networks.pruning import prune_classical
from qnn.compression.shares import checked_share

X = torch.randn(20, 8, generator=torch.Generator().manual_seed(0))
DATA = (X, (X[:, 0] > 0).long())


class Named(nn.Sequential):
    """A subclass with a forward of its own, which calls its parts by name."""

    def __init__(self):
        super().__init__()
        self.first, self.middle, self.last = nn.Linear(8, 6), nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, inputs):
        return self.last(torch.relu(self.middle(torch.relu(self.first(inputs)))))


def test_a_part_that_a_forward_calls_by_name_becomes_the_identity():
    model = Named()
    found, report = prune_classical(model, DATA, method="whole-layer", amount=1, device=None)
    assert type(found.middle) is nn.Identity and type(model.middle) is nn.Linear
    assert torch.equal(found(X), model.last(torch.relu(model.first(X))))
    assert report.details["removed_layers"] == 1


def test_parts_keep_their_own_names_and_numbers_stay_without_gaps():
    parts = OrderedDict(a=nn.Linear(8, 6), r=nn.ReLU(), b=nn.Linear(6, 6), s=nn.ReLU(), c=nn.Linear(6, 2))
    found, _ = prune_classical(nn.Sequential(parts), DATA, method="whole-layer", amount=1, device=None)
    assert list(found._modules) == ["a", "r", "c"] and torch.equal(found.c.weight, parts["c"].weight)
    numbered = nn.Sequential(*parts.values())
    drop(numbered, "2")
    numbered.append(nn.Linear(2, 1))  # named by their number
    assert list(numbered._modules) == ["0", "1", "2", "3"] and numbered(X).shape == (20, 1)


def test_layers_that_are_asked_for_more_than_their_outputs_stay_and_no_circuit_is_run_to_find_out():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.free, self.asked, self.circuit = nn.Linear(8, 8), nn.Linear(8, 8), QuantumLayer(8, 1, seed=0, shots=5)

        def forward(self, inputs):
            return self.circuit(self.asked(self.free(inputs)) + self.asked.weight.sum())

    model = Tied()
    state = model.circuit.sampling_state()
    assert WholeLayers(model, *DATA, checked_share(1, None, None)).candidates == 1
    assert model.circuit.sampling_state() == state
    found, _ = prune_classical(model, DATA, method="whole-layer", amount=1, device=None)
    assert type(found.free) is nn.Identity and type(found.asked) is nn.Linear
