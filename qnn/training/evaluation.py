"""Measuring a trained model, without changing anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from qnn._integers import whole
from qnn._seeding import step_scope
from qnn.errors import ArgumentError, DtypeError, QnnError
from qnn.training.data import Rows, read_rows
from qnn.training.isolation import module_mode, own_randomness, reference_tensor, same_samples
from qnn.training.losses import Loss, loss_named
from qnn.training.metrics import Metrics
from qnn.training.processes import ALONE, World

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
        outputs: (N, ...) what the model returned, on the CPU.
    """

    loss: float
    accuracy: float | None
    predictions: torch.Tensor  # shape: (N,) or (N, K)
    n: int
    outputs: torch.Tensor  # shape: (N, C)


def evaluate(
    model: torch.nn.Module, part: Any, *, loss: Any = "cross_entropy", batch_size: int | None = None, seed: int = 0
) -> Evaluation:
    """Loss, accuracy and predictions of `model` on `part`, in eval mode and without gradients.

    Nothing is left behind: modes, weights, torch's generators and what layers sample next are as before, and a second
    call gives the same result. With shots, what a row draws depends on `seed` and the row's number, not on
    `batch_size`.

    Args:
        model: maps x (B, ...) to outputs (B, C); runs where its first parameter is.
        part: unpacks to x (N, ...) and y (N,).
        loss: name or function, as `FitConfig` has it.
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
    function = loss_named(loss)
    size = CHUNK_ROWS if batch_size is None else batch_size
    for name, value, least in (("batch_size", size, 1), ("seed", seed, 0)):
        number = whole(value)
        if number is None or number < least:
            raise ArgumentError(
                f"`{name}` must be an integer of at least {least}; got {value!r}. Leave it out for the default."
            )
    rows = read_rows(part, function, "evaluated")
    return evaluate_rows(model, rows, function, batch_size=int(size), seed=int(seed))


@torch.no_grad()
def evaluate_rows(
    model: torch.nn.Module,
    part: Rows,
    loss: Loss,
    *,
    batch_size: int = CHUNK_ROWS,
    seed: int = 0,
    world: World = ALONE,
) -> Evaluation:
    """`evaluate` for rows that have been checked, each process of `world` running a share of them."""
    metrics = Metrics(loss)
    outputs = row_outputs(model, part, batch_size=batch_size, seed=seed, world=world)
    loss.check_outputs(outputs, len(part), part.y, "evaluated")
    for rows in part.chunks(batch_size):
        weight = None if part.weight is None else part.weight[rows]
        metrics.update(outputs[rows.to(outputs.device)], part.y[rows].to(outputs.device), weight)
    return Evaluation(metrics.loss, metrics.accuracy, loss.predict(outputs).cpu(), metrics.n, outputs.cpu())


@torch.no_grad()
def row_outputs(
    model: torch.nn.Module, part: Rows, *, batch_size: int = CHUNK_ROWS, seed: int = 0, world: World = ALONE
) -> torch.Tensor:  # shape: (N, ...)
    """What `model` returns for each row, in eval mode, leaving nothing behind; each process of `world` runs a share."""
    like = reference_tensor(model)
    found = []
    with module_mode(model, training=False), own_randomness(seed, like.device), same_samples(model):
        for rows in world.share(torch.arange(len(part))).split(batch_size):
            x, _ = part.select(rows, like)
            with step_scope(_FIRST_STEP - seed, rows):
                found.append(outputs_of(model, x))
    return world.gather_rows(torch.cat(found))


def outputs_of(model: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """What `model` returns for rows; an error of one of its layers says which rows it was given."""
    try:
        answer = model(x)
    except (RuntimeError, ValueError) as error:
        if not isinstance(error, QnnError):
            fits = "The first layer must take rows of this shape: change the layer or the rows."
            if len(x) == 1 and isinstance(error, ValueError):  # of batch normalisation
                fits = "A layer that normalises by the batch needs more than one: use another `batch_size`."
            error.add_note(f"`model` was given rows of `data`, {x.dtype} of shape {tuple(x.shape)}. {fits}")
        raise
    return as_tensor(answer)


def as_tensor(answer: object) -> torch.Tensor:
    """What a model returned.

    Raises:
        DtypeError: it is no tensor.
    """
    if not isinstance(answer, torch.Tensor):
        raise DtypeError(
            f"`model` must return a tensor, one row for each row of `data`; got {type(answer).__name__}. "
            "Wrap it in a module that returns the outputs alone."
        )
    return answer
