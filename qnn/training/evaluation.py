"""Measuring a trained model, without changing anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from qnn._integers import whole
from qnn._seeding import step_scope
from qnn.errors import ArgumentError, unknown_name
from qnn.training.data import Rows, read_rows
from qnn.training.isolation import module_mode, own_randomness, reference_tensor
from qnn.training.losses import LOSSES, Loss, Metrics

CHUNK_ROWS = 1024
_FIRST_STEP = -2  # step numbers of evaluations: -2, -3, … (see qnn._seeding)


@dataclass(frozen=True)
class Evaluation:
    """How a model does on one part.

    Attributes:
        loss: mean over the rows.
        accuracy: share of rows predicted right, 0 to 1; None for regression.
        predictions: (N,) int64 labels; for regression the outputs, (N,) or (N, K). On the CPU.
        n: number of rows.
    """

    loss: float
    accuracy: float | None
    predictions: torch.Tensor  # shape: (N,) or (N, K)
    n: int


def evaluate(
    model: torch.nn.Module, part: Any, *, loss: str = "cross_entropy", batch_size: int | None = None, seed: int = 0
) -> Evaluation:
    """Loss, accuracy and predictions of `model` on `part`, in eval mode and without gradients.

    Nothing is left behind: modes, weights and torch's generators are as before, and a second call
    gives the same result. With shots, what a row draws depends on `seed` and the row's number, not
    on `batch_size`.

    Args:
        model: maps x (B, ...) to outputs (B, C); runs where its first parameter is.
        part: unpacks to x (N, ...) and y (N,).
        loss: "cross_entropy" or "mse".
        batch_size: rows per forward call; None is 1024.
        seed: number of the evaluation, for models that sample: different seeds, independent shots.
            `fit` uses the numbers of its epochs, from 1.

    Raises:
        ArgumentError: see `fit`; also a negative seed, or a batch size below 1.

    Example:
        >>> model = torch.nn.Linear(2, 2, bias=False)
        >>> _ = torch.nn.init.eye_(model.weight)
        >>> evaluate(model, (torch.eye(2), torch.tensor([0, 0]))).accuracy
        0.5
    """
    if loss not in LOSSES:
        raise unknown_name("loss", loss, LOSSES)
    size = CHUNK_ROWS if batch_size is None else batch_size
    for name, value, least in (("batch_size", size, 1), ("seed", seed, 0)):
        number = whole(value)
        if number is None or number < least:
            raise ArgumentError(
                f"`{name}` must be an integer of at least {least}; got {value!r}. Leave it out for the default."
            )
    rows = read_rows(part, LOSSES[loss], "evaluated")
    return evaluate_rows(model, rows, LOSSES[loss], batch_size=int(size), seed=int(seed))


@torch.no_grad()
def evaluate_rows(
    model: torch.nn.Module, part: Rows, loss: Loss, *, batch_size: int = CHUNK_ROWS, seed: int = 0
) -> Evaluation:
    """`evaluate` for rows that have been checked."""
    like = reference_tensor(model)
    metrics, predictions = Metrics(loss), []
    with module_mode(model, training=False), own_randomness(seed, like.device):
        for rows in part.chunks(batch_size):
            x, y = part.select(rows, like)
            with step_scope(_FIRST_STEP - seed, rows):
                outputs = model(x)
            if metrics.n == 0:
                loss.check_outputs(outputs, len(rows), part.y, "evaluated")
            metrics.update(float(loss(outputs, y)), outputs, y)
            predictions.append(loss.predict(outputs).cpu())
    return Evaluation(metrics.loss, metrics.accuracy, torch.cat(predictions), metrics.n)
