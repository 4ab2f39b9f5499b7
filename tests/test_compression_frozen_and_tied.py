"""Pruning of classical layers keeps what is frozen and what is shared, and refuses weights that are computed."""

import copy

import pytest
import torch
from torch import nn

from qnn import FitConfig, load, save
from qnn.compression.networks.pruning import prune_classical
from qnn.compression.quantisation.quantising import quantize
from qnn.errors import ArgumentError

X = torch.randn(20, 8, generator=torch.Generator().manual_seed(0))
DATA = (X, (X[:, 0] > 0).long())
TUNED = {"fine_tune": FitConfig(epochs=1, learning_rate=0.05, progress=False), "device": None}


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 2)
    )


def frozen():
    model = net()
    model[2].requires_grad_(False)
    return model


def tied(model=None):
    model = model or net()
    model[4].weight = model[2].weight
    return model


def flags(model):
    return [p.requires_grad for p in model.parameters()]


@pytest.mark.parametrize(
    "options", [{"method": "neuron"}, {"method": "activation"}, {"method": "l1", "then": "neuron"}]
)
def test_frozen_layers_stay_so_and_lose_only_the_inputs_that_are_not_given_any_more(options):
    model = frozen()
    found, report = prune_classical(model, DATA, amount=0.5, scope="layer", **TUNED, **options)
    assert flags(found) == flags(model) == [True, True, False, False, *[True] * 4]
    assert "2" not in report.details["widths"] and found[2].out_features == 6
    assert found[2].in_features == 3, "those of the layer in front, which trains"
    columns = [int((model[2].weight - column[:, None]).abs().sum(0).argmin()) for column in found[2].weight.T]
    assert torch.equal(found[2].weight, model[2].weight[:, columns]) and torch.equal(found[2].bias, model[2].bias)


def test_single_weights_of_frozen_layers_are_left_alone():
    model = frozen()
    for options in ({"amount": 0.5}, {"amount": 0.5, "scope": "layer"}, {"threshold": 0.1}, {"target": 100}):
        found, report = prune_classical(model, method="weight", **options)
        assert torch.equal(found[2].weight, model[2].weight)
        assert report.details["of_weights"] == 96 and report.details["zero_weights"] > 10
    found, _ = prune_classical(model, DATA, method="l1", penalty=0.1, amount=0.5, **TUNED)
    assert torch.equal(found[2].weight, model[2].weight) and flags(found) == flags(model)


def test_frozen_layers_do_not_go_whole():
    found, report = prune_classical(frozen(), DATA, method="whole-layer", amount=1, device=None)
    assert report.details["of_layers"] == 1 and torch.equal(found[2].weight, net()[2].weight)


def test_models_that_are_frozen_altogether_are_refused():
    still = net().requires_grad_(False)
    with pytest.raises(ArgumentError, match=r"layers that train to be pruned by weight; got frozen .*requires_grad_"):
        prune_classical(still, method="weight", amount=1)
    with pytest.raises(ArgumentError, match=r"frozen layers keep theirs.* or unfreeze layers by requires_grad_"):
        prune_classical(still, method="neuron", amount=1)
    with pytest.raises(ArgumentError, match="removal keeps shapes, none of it frozen; got none"):
        prune_classical(still, DATA, method="whole-layer", amount=1)


def test_layers_that_share_a_weight_go_on_sharing_it():
    """Single weights go from both alike; neurons go from neither."""
    model = tied()
    for options in (
        {"method": "weight", "amount": 33},
        {"method": "weight", "amount": 33, "scope": "layer", "rounds": 2},
        {"method": "l1", "amount": 33},
    ):
        found, report = prune_classical(model, DATA, **TUNED, **options)
        assert found[2].weight is found[4].weight
        assert report.details["of_weights"] == 96, "the shared weight once"
        assert report.details["zero_weights"] == sum(int((found[i].weight == 0).sum()) for i in (0, 2, 6)) >= 32
    wide = nn.Sequential(nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 6), nn.ReLU(), *tied()[2:])
    for method in ("neuron", "activation"):
        found, report = prune_classical(wide, DATA, method=method, amount=2, device=None)
        assert found[4].weight is found[6].weight and found[4].weight.shape == (6, 6)
        assert report.details["widths"] == {"0": "5 -> 3"}
    with pytest.raises(ArgumentError, match=r"layers that share a weight and frozen layers keep theirs"):
        prune_classical(model, method="neuron", amount=1)


def test_layers_that_share_a_weight_have_a_copy_each_in_int8(tmp_path):
    pytest.importorskip("torchao")
    found, report = quantize(tied(), DATA, device=None)
    assert torch.equal(found[2].weight, found[4].weight) and report.details["int8_weights"] == "96 of 116"
    assert torch.equal(load(save(found, tmp_path / "b"))(X), found(X))


@pytest.mark.parametrize("method", ["weight", "neuron", "activation", "l1"])
def test_weights_that_are_computed_from_others_are_refused(method):
    for wrap, advice in (
        (nn.utils.parametrizations.weight_norm, "parametrize.remove_parametrizations first"),
        (nn.utils.spectral_norm, "remove_spectral_norm or the like first"),
    ):
        model = net()
        wrap(model[2])
        model.eval()
        before = copy.deepcopy(model.state_dict())
        with pytest.raises(ArgumentError, match=rf'must have plain weights to be pruned; got .* in "2", .*{advice}'):
            prune_classical(model, DATA, method=method, amount=3)
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
