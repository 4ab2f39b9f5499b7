"""Metrics: loss and accuracy over the rows seen so far, and scikit-learn's and torchmetrics' on whole parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import sklearn.metrics
import torch
from torch import Tensor

from qnn.errors import ArgumentError, DtypeError, TrainingError, unknown_name
from qnn.training.losses import Loss

_AVERAGED = ("f1_score", "precision_score", "recall_score", "jaccard_score")  # over classes, each alike
_NAMES = (
    "balanced_accuracy_score",
    "cohen_kappa_score",
    "matthews_corrcoef",
    "r2_score",
    "mean_absolute_error",
    "mean_squared_error",
    "median_absolute_error",
    "max_error",
    "explained_variance_score",
    *_AVERAGED,
)

Metric = Callable[[Any, Any], Any]


class Metrics:
    """Loss and accuracy over the rows seen so far: means over rows, whatever the batch sizes."""

    def __init__(self, loss: Loss) -> None:
        self._loss = loss
        self._loss_sum = self._weight = 0.0
        self._n_correct: float | None = 0
        self.n = 0

    def update(self, outputs: Tensor, y: Tensor, weight: Tensor | None = None) -> None:
        """Add the rows of a batch, with weights (N,) or all alike."""
        if weight is None:
            correct = self._loss.count_correct(outputs, y)
            self.add(float(self._loss(outputs, y)) * len(y), len(y), correct)
        else:
            weight = weight.to(outputs.device, outputs.dtype)
            correct = self._loss.count_correct(outputs, y, weight)
            self.add(float((self._loss.rows(outputs, y) * weight).sum()), len(y), correct, float(weight.sum()))

    def add(self, loss_sum: float, n: int, correct: float | None, weight: float | None = None) -> None:
        """Add `n` rows: sums of their losses, of those predicted right and of weights, by weight."""
        self.n += n
        self._loss_sum += loss_sum
        self._weight += n if weight is None else weight
        self._n_correct = None if correct is None or self._n_correct is None else self._n_correct + correct

    @property
    def loss(self) -> float:
        """Mean loss per row, by weight; NaN before the first batch."""
        return self._loss_sum / self._weight if self._weight else float("nan")

    @property
    def accuracy(self) -> float | None:
        """Share of rows predicted right, by weight, 0 to 1; None for regression and before the first batch."""
        return self._n_correct / self._weight if self._weight and self._n_correct is not None else None

    def state_dict(self) -> dict[str, Any]:
        """The sums."""
        return {"loss_sum": self._loss_sum, "weight": self._weight, "n_correct": self._n_correct, "n": self.n}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`."""
        self._loss_sum, self._weight = state["loss_sum"], state["weight"]
        self._n_correct, self.n = state["n_correct"], state["n"]


def named_metrics(metrics: Any) -> dict[str, Metric | Any]:
    """Metrics by the name under which they are recorded.

    Args:
        metrics: names of scikit-learn's metric functions, functions (y_true, y_predicted) -> number, torchmetrics
            objects, in a sequence; or a mapping from names of your own.

    Raises:
        UnknownNameError: not one of the names of scikit-learn that fit here.
        DtypeError: something else.
        ArgumentError: two of one name.
    """
    if isinstance(metrics, str) or not isinstance(metrics, Mapping | Sequence):
        raise DtypeError(
            f"`metrics` must be a sequence or a mapping of metrics; got {metrics!r}. Put it in a list, as in "
            '["f1_score"].'
        )
    pairs = metrics.items() if isinstance(metrics, Mapping) else [(_name(metric), metric) for metric in metrics]
    found: dict[str, Any] = {}
    for name, metric in pairs:
        if name in found:
            raise ArgumentError(f'`metrics` must have different names; got "{name}" twice. Pass a mapping from names.')
        found[name] = _metric(metric)
    return found


def compute(metrics: Mapping[str, Any], outputs: Tensor, predictions: Tensor, y: Tensor) -> dict[str, float]:
    """Each metric on a whole part: torchmetrics see outputs (N, C), functions see predictions.

    Raises:
        TrainingError: a metric failed, or gave something that is not one number; it is named.
    """
    results = {}
    for name, metric in metrics.items():
        try:
            if _is_torchmetric(metric):
                metric.reset()
                metric.update(outputs if outputs.ndim > 1 and outputs.shape[1] > 1 else predictions, y)
                value = metric.compute()
            else:
                value = metric(y.numpy(), predictions.numpy())
            results[name] = float(value)
        except Exception as error:
            raise TrainingError(
                f'The metric "{name}" must give one number for (y, predictions) of shapes {tuple(y.shape)} and '
                f"{tuple(predictions.shape)}; it failed: {error} Leave it out, or choose one that fits the task."
            ) from error
    return results


def _name(metric: Any) -> str:
    if isinstance(metric, str):
        return metric
    return getattr(metric, "__name__", type(metric).__name__)


def _metric(metric: Any) -> Any:
    if isinstance(metric, str):
        if metric not in _NAMES:
            raise unknown_name("metric", metric, _NAMES)
        function = getattr(sklearn.metrics, metric)
        return partial(function, average="macro", zero_division=0) if metric in _AVERAGED else function
    if not callable(metric):
        raise DtypeError(
            f"`metrics` must hold names or functions; got {metric!r}. Pass a function (y_true, y_predicted)."
        )
    return metric


def _is_torchmetric(metric: Any) -> bool:
    return isinstance(metric, torch.nn.Module) and all(hasattr(metric, name) for name in ("update", "compute", "reset"))
