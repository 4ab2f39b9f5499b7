"""Which loss a model is tuned with, by its outputs and the targets."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

import qnn
from qnn import FitConfig, QuantumLayer
from qnn.compression.networks.pruning import prune_classical
from qnn.compression.quantisation.quantising import quantize
from qnn.compression.table_bundles import SplitRows
from qnn.compression.tuning import reported_part, tune, tuning_config
from qnn.errors import ArgumentError, ShapeError
from qnn.tasks.data import Part

X = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
LABELS = (X[:, 0] > 0).long()


@pytest.mark.parametrize(
    ("last", "y", "loss"),
    [
        (nn.Linear(2, 1), LABELS, "binary_cross_entropy"),
        (nn.Sequential(nn.Linear(2, 1), nn.Flatten(0)), LABELS, "binary_cross_entropy"),
        (nn.Linear(2, 2), LABELS, "cross_entropy"),
        (nn.Linear(2, 1), LABELS.float(), "mse"),
    ],
)
def test_the_loss_is_that_of_the_outputs_and_no_circuit_is_run_to_choose_it(last, y, loss):
    model = nn.Sequential(nn.Linear(4, 2), layer := QuantumLayer(2, 1, seed=0, shots=10), last)
    state = layer.sampling_state()
    assert tuning_config(3, (X, y), model).loss == loss
    assert layer.sampling_state() == state and "forward" not in vars(layer)
    assert tuning_config(own := FitConfig(loss="mse"), (X, y), model) is own


def test_a_classifier_with_one_logit_learns_when_it_is_tuned():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    for found, report in (
        prune_classical(model, (X, LABELS), method="neuron", amount=1, fine_tune=30, device=None),
        prune_classical(model, (X, LABELS), method="l1", device=None),
    ):
        assert found(X).shape == (40, 1) and report.after.loss < 0.95 * report.before.loss
    hybrid = nn.Sequential(nn.Linear(4, 2), QuantumLayer(2, 1, seed=0), nn.Linear(2, 1))
    _, report = quantize(hybrid, (X, LABELS), method="angles", bits=4, fine_tune=2, device=None)
    assert report.details["training_steps"] == 4


def test_rows_are_called_what_they_are():
    part = Part(X, LABELS)
    given = {"test": SplitRows(part, Part(X, LABELS)), "train": SimpleNamespace(train=part, test=part)}
    given |= {"validation": SplitRows(part, Part(X, LABELS), called="validation"), "data": (X, LABELS)}
    assert [reported_part(data) for data in given.values()] == [*given]
    assert qnn.prune(nn.Linear(4, 2), (X, LABELS), method="weight", amount=1)[1].after.part == "data"


def test_what_cannot_be_tuned_is_named():
    model = nn.Linear(4, 1)
    with pytest.raises(ShapeError, match=r"must have rows that the model takes; got rows of shape \(3,\)"):
        tuning_config(1, (X[:, :3], LABELS), model)
    with pytest.raises(ArgumentError, match='loss="binary_cross_entropy" knows two classes'):
        tune(model, (X, 2 * LABELS), tuning_config(1, (X, 2 * LABELS), model))
