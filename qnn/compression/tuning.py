"""Rows to look at and to train on, and training again after something was taken away."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from qnn._integers import whole
from qnn.compression.stand_ins import shapes_of
from qnn.errors import ArgumentError, DtypeError, ShapeError
from qnn.training import FitConfig, fit
from qnn.training.data import read_data
from qnn.training.evaluation import as_tensor
from qnn.training.losses import loss_named

_LEARNING_RATE = 0.003  # gentler than that of a training from the start


def training_rows(data: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and targets of the training part of a task, or of a pair (x, y) or a dataset itself.

    Raises:
        ArgumentError: none of these, or no rows.
        DtypeError: a `DataLoader`, or complex numbers.
    """
    return _pair(getattr(data, "train", data), "rows")


def reported_rows(data: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and targets of the test part of a task, or of a pair (x, y) or a dataset itself; raises as above."""
    return _pair(getattr(data, "test", data), "test rows" if hasattr(data, "test") else "rows")


def reported_part(data: Any) -> str:
    """What the rows of `reported_rows` are: "test", "validation" or "train", or "data", of which nobody knows."""
    if not hasattr(data, "test"):
        return "data"
    same = data.test is getattr(data, "train", None)
    return str(getattr(data, "called", "train" if same else "test"))


def _pair(part: Any, kind: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Tensors of equal length, labels in int64; truth values are classes 0 and 1."""
    if isinstance(part, DataLoader | Dataset):
        rows = read_data(part, loss_named(lambda outputs, y: outputs))[0]
        part = rows.x, rows.y
    try:
        if isinstance(part, str):
            raise TypeError
        x, y = (part.x, part.y) if hasattr(part, "x") else part
        x, y = torch.as_tensor(x), torch.as_tensor(y)
        n, n_targets = len(x), len(y)
    except (AttributeError, TypeError, ValueError, RuntimeError) as error:
        got = f'"{part}"' if isinstance(part, str) else type(part).__name__
        got += f" of length {len(part)}" if isinstance(part, list | tuple) and len(part) != 2 else ""
        raise ArgumentError(
            f"`data` must be a task or a pair (x, y); got {got}. Use qnn.load_task, or pass tensors."
        ) from error
    if not n or n != n_targets:
        raise ArgumentError(f"`data` must have {kind}, as many x as y; got {n} and {n_targets}. Check the split.")
    for name, given in (("x", x), ("y", y)):
        if given.is_complex():
            raise DtypeError(
                f"`data` must have real numbers in {name}; got {given.dtype}. Give real and imaginary parts as columns."
            )
    return x, y if y.is_floating_point() else y.long()


def ranking_rows(data: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows by which alternatives are told apart: the validation part where there is one, else the training part."""
    held_out = getattr(data, "validation", None)
    return training_rows(data if held_out is None else tuple(held_out))


def as_inputs(model: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """`x` on the device and in the dtype of the model's first floating-point parameter or buffer."""
    tensors = (*model.parameters(), *model.buffers())
    like = next((tensor for tensor in tensors if tensor.is_floating_point()), None)
    return x if like is None else x.to(like.device, like.dtype)


def outputs(model: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """What a model returns for rows, in evaluation mode, without gradients.

    Raises:
        ShapeError: it does not take them.
        DtypeError: it returns no tensor.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            return torch.cat([as_tensor(model(rows)) for rows in as_inputs(model, x).split(512)])
    except (RuntimeError, ShapeError) as error:
        raise shape_error(x, error) from error
    finally:
        for module, mode in modes:
            module.training = mode


def shape_error(x: torch.Tensor, error: Exception) -> ShapeError:
    """The error for rows `x`, which a model does not take."""
    return ShapeError(
        f"`data` must have rows that the model takes; got rows of shape {tuple(x.shape[1:])}: {_sentence(error)} "
        "Prepare them as for the model's training."
    )


def _sentence(error: Exception) -> str:
    """The first line of a message, with a full stop."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".") + "."


def tuning_config(fine_tune: Any, data: Any, model: torch.nn.Module) -> FitConfig | None:
    """How to train again: None for not at all.

    Args:
        fine_tune: epochs, 0 for none; or a `FitConfig`.
        data: on which; integer targets are classes, real ones a regression.
        model: of which one output means two classes; no circuit is run to count its outputs.

    Raises:
        DtypeError: something else.
        ArgumentError: a negative number, or no data to train on.
        ShapeError: the model does not take the data.
    """
    epochs = whole(fine_tune)
    if epochs is None and not isinstance(fine_tune, FitConfig):
        raise DtypeError(
            f"`fine_tune` must be a number of epochs or a FitConfig; got {fine_tune!r}. Use fine_tune=10, or 0."
        )
    if epochs == 0:
        return None
    if epochs is not None and epochs < 0:
        raise ArgumentError(f"`fine_tune` must be at least 0; got {epochs}. Use 0 for none.")
    if data is None:
        raise ArgumentError("`data` must be given to fine-tune; got None. Pass a task or (x, y), or fine_tune=0.")
    if isinstance(fine_tune, FitConfig):
        return fine_tune
    loss = loss_for(model, *training_rows(data))
    return FitConfig(epochs=epochs or 1, learning_rate=_LEARNING_RATE, loss=loss, progress=False)


def loss_for(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> str:
    """The name of the loss for targets `y` and the outputs of `model`, of which one means two classes.

    No circuit is run to count them.
    """
    if y.is_floating_point():
        return "mse"
    return "binary_cross_entropy" if outputs(shapes_of(model), x[:1]).numel() == 1 else "cross_entropy"


def tune(model: torch.nn.Module, data: Any, config: FitConfig | None, number: int = 0) -> int:
    """Train `model` in place; the number of optimisation steps.

    Args:
        model: with or without masks.
        data: as `fit` takes it.
        config: how; None does nothing.
        number: of the round, so that each shuffles the rows in another order.
    """
    if config is None:
        return 0
    return fit(model, data, replace(config, seed=config.seed + number)).steps
