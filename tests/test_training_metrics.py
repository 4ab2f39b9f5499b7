"""Metrics of scikit-learn and torchmetrics, as `fit` records them."""

from typing import Any

import pytest
import sklearn.metrics
import torch

from qnn.errors import ArgumentError, DtypeError, TrainingError, UnknownNameError
from qnn.training import FitConfig, evaluate, fit

X = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long() + (X[:, 1] > 1).long()
STILL: dict[str, Any] = {"epochs": 1, "optimizer": "sgd", "learning_rate": 1e-30, "progress": False}


def test_names_functions_and_torchmetrics_agree_with_their_libraries():
    torchmetrics = pytest.importorskip("torchmetrics")
    torch.manual_seed(0)
    model = torch.nn.Linear(2, 3)
    predictions = evaluate(model, (X, Y)).predictions
    metrics = {
        "f1": "f1_score",
        "balanced_accuracy_score": "balanced_accuracy_score",
        "zeros": lambda y, p: (p == 0).sum(),
        "auroc": torchmetrics.AUROC(task="multiclass", num_classes=3),
    }
    record = fit(model, (X, Y, X, Y), metrics=metrics, **STILL).epochs[0]
    assert record["validation_f1"] == pytest.approx(
        sklearn.metrics.f1_score(Y, predictions, average="macro", zero_division=0)
    )
    assert record["validation_balanced_accuracy_score"] == sklearn.metrics.balanced_accuracy_score(Y, predictions)
    assert record["validation_zeros"] == (predictions == 0).sum()
    with torch.no_grad():
        chances = torch.softmax(model(X), 1)
    assert record["validation_auroc"] == pytest.approx(
        sklearn.metrics.roc_auc_score(Y, chances, multi_class="ovr"), abs=1e-6
    )


def test_without_a_validation_part_the_training_part_is_measured():
    record = fit(torch.nn.Linear(2, 1), (X, X[:, 0]), loss="mse", metrics=["r2_score"], **STILL).epochs[0]
    assert record["train_r2_score"] < 1 and "validation_r2_score" not in record


@pytest.mark.parametrize(
    ("metrics", "error", "match"),
    [
        (["f1scor"], UnknownNameError, r'No metric named "f1scor"\. Did you mean "f1_score"'),
        ("f1_score", DtypeError, r"`metrics` must be a sequence or a mapping"),
        (["f1_score", "f1_score"], ArgumentError, r'must have different names; got "f1_score" twice'),
        ([3], DtypeError, r"`metrics` must hold names or functions; got 3"),
    ],
)
def test_wrong_metrics_are_refused(metrics, error, match):
    with pytest.raises(error, match=match):
        FitConfig(metrics=metrics)


def test_a_metric_that_does_not_fit_the_task_is_named():
    with pytest.raises(TrainingError, match=r'The metric "r2_score" must give one number .* it failed: '):
        fit(torch.nn.Linear(2, 3), (X, Y), metrics={"r2_score": lambda y, p: 1 / 0}, **STILL)
