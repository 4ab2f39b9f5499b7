"""Pruning of classical layers: what goes, what is left alone, what is reported, what is refused."""

import copy
from itertools import pairwise

import pytest
import torch

from qnn import FitConfig, QuantumLayer, QuantumNeuralNetwork, build_baseline, load, save
from qnn.compression.networks.pruning import prune_classical
from qnn.compression.networks.tracing import free_widths
from qnn.compression.networks.weight_pruning import prunable
from qnn.errors import ArgumentError, DtypeError, NotFiniteError, ShapeError, UnknownNameError

X = torch.randn(60, 8, generator=torch.Generator().manual_seed(0))
DATA = (X, (X[:, 0] + X[:, 1] > 0).long())


def mlp(*widths, seed=0):
    torch.manual_seed(seed)
    layers = []
    for n_in, n_out in pairwise(widths):
        layers += [torch.nn.Linear(n_in, n_out), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def hybrid():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(8, 6), torch.nn.Tanh(), torch.nn.Linear(6, 2), QuantumLayer(2, 1, seed=0, observables="probs"),
        torch.nn.Linear(4, 5), torch.nn.ReLU(), torch.nn.Linear(5, 2),
    )  # fmt: skip


def size(model):
    return sum(p.numel() for p in model.parameters())


class Residual(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.inner, self.back = torch.nn.Linear(8, 4), torch.nn.Linear(4, 6), torch.nn.Linear(6, 4)
        self.norm, self.last = torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2)

    def forward(self, inputs):
        wide = self.first(inputs)
        return self.last(torch.relu(wide + self.norm(self.back(torch.relu(self.inner(wide))))))


def test_the_smallest_weights_of_all_layers_or_of_each_are_zero_and_the_model_given_is_not_changed():
    model = mlp(8, 6, 2)
    before = copy.deepcopy(model.state_dict())
    found, report = prune_classical(model, method="weight", amount=0.25)
    weights = torch.cat([layer.weight.flatten() for layer in prunable(model).values()])
    limit = weights.abs().sort().values[15]
    for name, layer in prunable(model).items():
        kept = torch.where(layer.weight.abs() < limit, 0, layer.weight)
        assert torch.equal(found.get_submodule(name).weight, kept)
    assert report.details["zero_weights"] == 15 and report.details["of_weights"] == 60
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in before.items())
    each, _ = prune_classical(model, method="weight", amount=0.25, scope="layer")
    assert [int((layer.weight == 0).sum()) for layer in prunable(each).values()] == [12, 3]
    by_count, _ = prune_classical(model, method="weight", amount=15)
    assert torch.equal(by_count[0].weight, found[0].weight)
    below, _ = prune_classical(model, method="weight", threshold=0.1)
    assert torch.equal(below[0].weight == 0, model[0].weight.abs() < 0.1)
    relative, _ = prune_classical(model, method="weight", threshold=0.1, scope="layer")
    assert torch.equal(relative[0].weight == 0, model[0].weight.abs() < 0.1 * model[0].weight.abs().mean())
    left, _ = prune_classical(model, method="weight", target=size(model) - 7)
    assert sum(int((p == 0).sum()) for p in left.parameters()) == 7


def test_neurons_that_matter_least_are_really_gone_and_dead_ones_change_no_output():
    model = mlp(8, 6, 5, 2)
    with torch.no_grad():
        for layer, dead in ((0, [1, 4]), (2, [0])):
            model[layer].weight[dead], model[layer].bias[dead] = 0, 0
            model[layer + 2].weight[:, dead] = 0
    found, report = prune_classical(model, method="neuron", amount=3)
    assert [found[i].out_features for i in (0, 2, 4)] == [4, 4, 2]
    assert torch.allclose(found(X), model(X), atol=1e-6)
    assert report.details["widths"] == {"0": "6 -> 4", "2": "5 -> 4"} and report.details["weights_after"] == size(found)
    below, _ = prune_classical(model, method="channel", threshold=1e-6)
    assert [below[i].out_features for i in (0, 2)] == [4, 4]
    each, _ = prune_classical(model, method="neuron", amount=0.5, scope="layer")
    assert [each[i].out_features for i in (0, 2)] == [3, 3]


def test_order_of_the_norm_decides_which_neuron_goes():
    model = mlp(2, 2, 1)
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 1.0], [1.5, 0.0]]))
        model[2].weight.zero_()
    one, _ = prune_classical(model, method="neuron", amount=1, norm=1)
    two, _ = prune_classical(model, method="neuron", amount=1, norm=2)
    assert one[0].weight.tolist() == [[1.0, 1.0]] and two[0].weight.tolist() == [[1.5, 0.0]]


def test_neurons_that_the_next_layer_hardly_sees_go_first_by_activation():
    model = mlp(8, 4, 2)
    with torch.no_grad():
        model[0].weight[2] *= 10  # large, and silent: its bias keeps it below 0
        model[0].bias[2] = -1e4
    found, _ = prune_classical(model, DATA, method="activation", amount=1, device=None)
    assert torch.equal(found[0].weight, model[0].weight[[0, 1, 3]])
    by_norm, _ = prune_classical(model, method="neuron", amount=1)
    assert by_norm[0].weight.abs().max() > 1


@pytest.mark.parametrize(
    ("model", "free"),
    [
        (hybrid(), {"0": 6, "4": 5}),
        (QuantumNeuralNetwork(8, [6], 2, n_qubits=3, n_layers=1, seed=0), {"network.0.linear": 6}),
        (build_baseline("cnn", n_inputs=64, n_outputs=10, image_shape=(1, 8, 8)), {"1": 16, "4": 32}),
        (build_baseline("mlp", n_inputs=8, n_outputs=3), {"0": 64, "2": 32}),
        (Residual(), {"first": 4, "inner": 6}),
    ],
    ids=["quantum layer within", "QuantumNeuralNetwork", "cnn", "mlp", "residual and batch norm"],
)
def test_widths_that_nothing_else_fixes_shrink_and_all_others_stay(model, free, tmp_path):
    rows = torch.randn(3, 64 if "1" in free else 8)
    assert free_widths(model.eval(), rows[:2]) == free
    given = copy.deepcopy(model.state_dict())
    found, _ = prune_classical(
        model, (rows, torch.zeros(3).long()), method="neuron", target=size(model) - 30, device=None
    )
    assert size(found) <= size(model) - 30 and found(rows).shape == model(rows).shape
    assert all(torch.equal(tensor, given[name]) for name, tensor in model.state_dict().items())
    assert "forward" not in {name for module in (*found.modules(), *model.modules()) for name in vars(module)}
    if not isinstance(model, Residual):
        assert torch.equal(load(save(found, tmp_path / "found"))(rows), found.eval()(rows))


def test_circuits_are_not_run_to_find_out_what_belongs_together():
    model = hybrid()
    model[3].to_backend("aer", shots=10)
    state = model[3].sampling_state()
    found, _ = prune_classical(model, method="neuron", amount=0.5)
    assert found[3].sampling_state() == state and (found[0].out_features, found[4].out_features) != (6, 5)


def test_layers_that_cost_no_loss_go_whole_with_their_activation():
    model = mlp(8, 6, 6, 6, 2)
    with torch.no_grad():
        model[4].weight.copy_(torch.eye(6))
        model[4].bias.zero_()  # the identity, behind a ReLU
    found, report = prune_classical(model, DATA, method="whole-layer", threshold=1e-9, device=None)
    assert len(found) == 5 and report.details["removed_layers"] == 1 and report.details["of_layers"] == 2
    assert torch.allclose(found(X), model(X), atol=1e-6)
    both, _ = prune_classical(model, DATA, method="whole-layer", amount=2, device=None)
    assert [type(module).__name__ for module in both] == ["Linear", "ReLU", "Linear"]
    small, _ = prune_classical(model, DATA, method="whole-layer", target=size(model) - 1, device=None)
    assert size(small) == size(model) - 42
    inside = Residual()
    inside.inner, inside.back = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)
    dropped, _ = prune_classical(inside, DATA, method="whole-layer", amount=1, device=None)
    assert torch.nn.Identity in {type(module) for module in dropped.modules()}
    with pytest.raises(ArgumentError, match="must have a layer whose removal keeps shapes"):
        prune_classical(mlp(8, 6, 2), DATA, method="whole-layer", amount=1)
    with pytest.raises(ArgumentError, match="`target` must be what whole layers can reach"):
        prune_classical(model, DATA, method="whole-layer", target=5)
    with pytest.raises(ArgumentError, match="`threshold` must allow a layer to go"):
        prune_classical(mlp(8, 6, 6, 2), DATA, method="whole-layer", threshold=1e-9)


def test_rounds_take_their_part_and_masked_weights_stay_zero_while_the_others_train():
    model = mlp(8, 10, 2)
    found, report = prune_classical(
        model, DATA, method="weight", amount=0.5, rounds=2, schedule="linear", fine_tune=1, device=None
    )
    assert [m.label for m in report.measurements] == ["before", "round 1", "after"]
    assert report.details["training_steps"] == 4 and report.details["zero_weights"] == 50
    assert not torch.equal(found[0].bias, model[0].bias)
    assert list(found.state_dict()) == list(model.state_dict())  # masks are gone
    widths = [
        prune_classical(model, DATA, method="neuron", amount=0.5, rounds=2, schedule=schedule, fine_tune=1, device=None)
        for schedule in ("linear", "cubic")
    ]
    assert [[m.n_weights for m in r.measurements] for _, r in widths] == [[112, 90, 57], [112, 68, 57]]
    config = FitConfig(epochs=2, batch_size=60, progress=False)
    assert prune_classical(model, DATA, amount=0.5, fine_tune=config, device=None)[1].details["training_steps"] == 2


def test_models_with_masks_are_taken_as_what_they_compute():
    model = mlp(8, 6, 2)
    torch.nn.utils.prune.l1_unstructured(model[0], "weight", amount=10)
    torch.nn.utils.prune.random_unstructured(model[2], "bias", amount=1)
    for options in ({"method": "weight", "amount": 12, "rounds": 2}, {"method": "neuron", "amount": 2}):
        found, report = prune_classical(model, DATA, device=None, **options)
        assert list(found.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
        assert len(report.measurements) == 1 + options.get("rounds", 1)
    assert torch.nn.utils.prune.is_pruned(model) and int((found[2].bias == 0).sum()) == 1


def test_training_with_an_l1_penalty_pushes_weights_to_zero_and_holds_angles():
    config = FitConfig(epochs=5, batch_size=10, progress=False)
    zeros = [
        prune_classical(mlp(8, 10, 2), DATA, method="l1", penalty=penalty, fine_tune=config, device=None)[1].details[
            "zero_weights"
        ]
        for penalty in (1e-6, 3e-2)
    ]
    assert zeros[1] > 3 * zeros[0]
    model = hybrid()
    found, report = prune_classical(
        model,
        DATA,
        method="l1",
        then="neuron",
        threshold=0.9,
        scope="layer",
        fine_tune=FitConfig(epochs=1, progress=False),
        device=None,
    )
    assert report.details["l1_penalty"] == 0.001 and report.details["removed_channels"] > 0
    assert all(p.requires_grad for p in found.parameters())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, ArgumentError, "One of `amount`, `threshold` and `target` must be given; got none"),
        ({"amount": 0.5, "target": 3}, ArgumentError, "got `amount` and `target`"),
        ({"amount": 1.0}, ArgumentError, "`amount` must be a share below 1 or a count; got 1.0"),
        ({"amount": 66}, ArgumentError, "`amount` must be between 1 and 65 of the 66 weights; got 66"),
        ({"amount": 0}, ArgumentError, "`amount` must be finite and above 0; got 0"),
        ({"amount": True}, DtypeError, "`amount` must be a number; got True"),
        ({"amount": "half"}, DtypeError, "`amount` must be a number; got 'half'"),
        ({"threshold": float("nan")}, ArgumentError, "`threshold` must be finite"),
        ({"threshold": 100.0}, ArgumentError, '`threshold` must leave each layer some weights; .* empties "0"'),
        ({"target": 10_000}, ArgumentError, "`target` must be below the size of the model, 75; got 10,000"),
        ({"target": 7.5}, DtypeError, "`target` must be a whole number"),
        ({"target": 9}, ArgumentError, "`target` must leave more than the 9 scalars"),
        ({"method": "neuron", "amount": 6}, ArgumentError, "`amount` must be between 1 and 5 of the 6 neurons"),
        ({"method": "neuron", "threshold": 1e3}, ArgumentError, "`threshold` must leave each layer a channel"),
        ({"method": "neuron", "target": 5}, ArgumentError, "leave each layer a channel, which takes 15 weights"),
        ({"method": "neuron", "target": 75}, ArgumentError, "must be below the size of the model, 75"),
        ({"method": "weights", "amount": 0.5}, UnknownNameError, 'Did you mean "weight"'),
        ({"scope": "all", "amount": 0.5}, UnknownNameError, "No scope"),
        ({"schedule": "quick", "amount": 0.5}, UnknownNameError, "No schedule"),
        ({"rounds": 0, "amount": 0.5}, ArgumentError, "`rounds` must be at least 1"),
        ({"rounds": 2.5, "amount": 0.5}, DtypeError, "`rounds` must be an integer"),
        ({"fine_tune": 3, "amount": 0.5}, ArgumentError, "`data` must be given to fine-tune"),
        ({"fine_tune": None, "amount": 0.5}, DtypeError, "`fine_tune` must be a number of epochs"),
        ({"fine_tune": -1, "amount": 0.5}, ArgumentError, "`fine_tune` must be at least 0"),
        ({"method": "activation", "amount": 0.5}, ArgumentError, "`data` must be given"),
        ({"method": "l1"}, ArgumentError, "`data` must be given"),
        ({"method": "neuron", "amount": 0.5, "norm": 0}, ArgumentError, "`norm` must be a finite number above 0"),
        ({"amount": 0.5, "norm": 1}, ArgumentError, "`norm` must be left out"),
        ({"amount": 0.5, "penalty": 0.1}, ArgumentError, "`penalty` must be left out"),
        ({"method": "l1", "then": "layer"}, UnknownNameError, "No value of `then`"),
        ({"method": "whole-layer", "scope": "layer", "amount": 1}, ArgumentError, "`scope` must be left out"),
    ],
)
def test_mistakes_are_named(options, error, message):
    with pytest.raises(error, match=message):
        prune_classical(mlp(8, 6, 3), **options)


def test_models_and_data_that_do_not_fit_are_named():
    other = (torch.zeros(4, 5), torch.zeros(4).long())
    for method in ("neuron", "activation", "whole-layer"):
        with pytest.raises(ShapeError, match=r"rows of shape \(5,\)"):
            prune_classical(mlp(8, 6, 6, 2), other, method=method, amount=1)
    with pytest.raises(ArgumentError, match="`data` must be a task or a pair"):
        prune_classical(mlp(8, 6, 2), 3, method="activation", amount=1)
    with pytest.raises(ArgumentError, match="must have linear or convolution layers"):
        prune_classical(QuantumLayer(2, 1, seed=0), amount=0.5)
    with pytest.raises(ArgumentError, match="must have a hidden layer whose width is free"):
        prune_classical(torch.nn.Linear(3, 2), method="neuron", amount=0.5)
    with pytest.raises(ArgumentError, match="whose first layer does not say"):
        prune_classical(torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Linear(3, 2)), method="neuron", amount=0.5)
    diverged = mlp(8, 6, 2)
    diverged[2].bias.detach()[0] = float("nan")
    with pytest.raises(NotFiniteError, match=r'finite weights; got NaN or infinity in "2\.bias"'):
        prune_classical(diverged, amount=0.5)
    with pytest.raises(DtypeError, match="`model` must be a torch"):
        prune_classical("mlp", amount=0.5)
