"""Models are looked at for their shapes without a circuit, and without a trace on the model of the user."""

import torch
from torch import nn

from qnn import QuantumLayer
from qnn.compression.quantisation.quantising import quantize
from qnn.compression.stand_ins import shapes_of, stand_ins
from qnn.compression.tuning import loss_for

X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
LABELS = (X[:, 0] > 0).long()


class Scaled(QuantumLayer):
    """A layer whose forward takes more than inputs."""

    def forward(self, inputs, scale=1.0):
        return super().forward(inputs) * scale


class Net(nn.Module):
    """One that calls it with both."""

    def __init__(self):
        super().__init__()
        self.circuit, self.head = Scaled(4, 1, seed=0), nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.circuit(x, scale=2.0))


def test_a_forward_of_a_layer_of_the_users_own_stays_and_hooks_see_no_made_up_values():
    net = nn.Sequential(nn.Linear(4, 2), layer := QuantumLayer(2, 1, seed=0), nn.Linear(2, 1))
    seen, own = [], layer.forward
    layer.forward = mine = lambda x: own(x)
    layer.register_forward_hook(lambda *_: seen.append("after"))
    layer.register_forward_pre_hook(lambda *_: seen.append("before"))
    assert loss_for(net, X, LABELS) == "binary_cross_entropy"
    assert vars(layer)["forward"] is mine and not seen
    look = shapes_of(net)
    assert look(X).shape == (6, 1) and not seen and not torch.equal(look(X), net(X))
    with stand_ins(net):
        assert not torch.equal(layer(X[:, :2]), mine(X[:, :2]))
    assert vars(layer)["forward"] is mine


def test_a_compiled_layer_is_not_run():
    net = nn.Sequential(nn.Linear(4, 2), layer := QuantumLayer(2, 1, seed=0, shots=10), nn.Linear(2, 2))
    layer.compile(backend="eager")
    state = layer.sampling_state()
    assert loss_for(net, X, LABELS) == "cross_entropy"
    assert layer.sampling_state() == state and layer._compiled_call_impl is not None


def test_layers_whose_forward_takes_more_are_looked_at_too():
    net = Net()
    assert loss_for(net, X, LABELS) == "cross_entropy"
    layer = net.circuit
    made = shapes_of(layer)
    assert made(X, 3).shape == made(x=X).shape == layer(X, 3).shape and "forward" not in vars(layer)


def test_models_that_take_other_things_than_rows_are_quantised_without_a_figure_of_how_far_they_moved():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(4, 2), nn.Linear(4, 2)

        def forward(self, x, y):
            return self.first(x) + self.second(y)

    new, report = quantize(Two(), device=None)
    assert report.details["int8_layers"] == ["first", "second"] and "outputs_moved_at_most" not in report.details
    assert new(X, X).shape == (6, 2)
