"""Rows of the right shape for a model, where only their number is known."""

from __future__ import annotations

from typing import Any

import torch

from qnn._integers import whole
from qnn.errors import ArgumentError, QnnError, ShapeError
from qnn.training.data import Rows
from qnn.training.isolation import module_mode, reference_tensor
from qnn.training.losses import BinaryCrossEntropy, CrossEntropy, Loss, OwnLoss

_LOWEST = 0.05  # of made-up inputs, up to 1: rows with a norm
_ANY_SHAPE = (
    torch.nn.Dropout,
    torch.nn.ELU,
    torch.nn.Flatten,
    torch.nn.GELU,
    torch.nn.Identity,
    torch.nn.ReLU,
    torch.nn.Sigmoid,
    torch.nn.Tanh,
)


def input_shape_of(model: torch.nn.Module) -> tuple[int, ...]:
    """The shape of a row, from the first layer that says how many features it takes.

    Raises:
        ArgumentError: the first layer does not say, as a convolution.
    """
    for module in model.modules():
        for name in ("n_inputs", "in_features", "num_features"):
            width = whole(getattr(module, name, None))
            if width is not None:
                return (width,)
        if isinstance(module, torch.nn.LayerNorm):
            return tuple(module.normalized_shape)
        if not list(module.children()) and not isinstance(module, _ANY_SHAPE):
            raise ArgumentError(
                f"`input_shape` must be given for a model that begins with {type(module).__name__}, which takes "
                "rows of several shapes. Give that of one row, such as input_shape=(1, 28, 28), or the data themselves."
            )
    raise ArgumentError(
        f"`input_shape` must be given for {type(model).__name__}, in which no layer says how many features it takes. "
        "Give the shape of one row, such as input_shape=(4,), or the data themselves."
    )


def made_up_rows(model: torch.nn.Module, loss: Loss, n_rows: list[int], input_shape: Any) -> list[Rows]:
    """Parts of so many rows each, with targets that fit the loss and the outputs of `model`, which is called once.

    Args:
        model: executes nothing.
        loss: decides what targets are; classes follow one another.
        n_rows: of each part.
        input_shape: of one row; None asks the model.

    Raises:
        ArgumentError: `input_shape` is needed or wrong, or targets follow from nothing.
    """
    if isinstance(loss, OwnLoss):
        raise ArgumentError(
            f"`n_samples` must be the data themselves with a loss of your own, {loss.name}, whose targets may be "
            'anything; got a number. Pass (x, y), or name a loss such as loss="mse".'
        )
    shape = input_shape_of(model) if input_shape is None else _checked(input_shape)
    generator = torch.Generator().manual_seed(0)
    parts = [_LOWEST + (1 - _LOWEST) * torch.rand(n, *shape, generator=generator) for n in n_rows]
    outputs = _outputs(model, parts[0][:2], shape, given=input_shape is not None)
    return [Rows(x, loss.check_targets(_targets(loss, outputs, len(x)), "made-up")) for x in parts]


def _checked(shape: Any) -> tuple[int, ...]:
    sizes = [whole(size) for size in (shape if isinstance(shape, tuple | list | torch.Size) else [shape])]
    if not sizes or any(size is None or size < 0 for size in sizes):
        raise ArgumentError(
            f"`input_shape` must be the shape of one row, a tuple of whole numbers; got {shape!r}. Use (4,), say."
        )
    return tuple(size for size in sizes if size is not None)


@torch.no_grad()
def _outputs(model: torch.nn.Module, x: torch.Tensor, shape: tuple[int, ...], *, given: bool) -> torch.Tensor:
    """What the model returns for two rows."""
    like = reference_tensor(model)
    try:
        with module_mode(model, training=False):
            outputs = model(x.to(like) if like.is_floating_point() else x)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        if isinstance(error, QnnError) and not isinstance(error, ShapeError):
            raise
        found = "" if given else ", as its first layer takes,"
        raise ArgumentError(
            f"`input_shape` must be the shape of a row of the model; rows of shape {shape}{found} do not go through it "
            f"({error}). Give the shape of one row of x, or the data themselves."
        ) from error
    if not isinstance(outputs, torch.Tensor) or outputs.ndim == 0:
        raise ArgumentError(
            f"`model` must return a tensor with a line for each row; got {type(outputs).__name__}. Return (B, C)."
        )
    return outputs


def _targets(loss: Loss, outputs: torch.Tensor, n_rows: int) -> torch.Tensor:
    """(N,) labels of several classes, or zeros in the shape of the outputs."""
    if isinstance(loss, CrossEntropy | BinaryCrossEntropy):
        n_classes = max(2, outputs.shape[-1]) if outputs.ndim > 1 and isinstance(loss, CrossEntropy) else 2
        return torch.arange(n_rows) % n_classes
    wide = outputs.ndim == 2 and outputs.shape[1] > 1
    return torch.zeros(n_rows, outputs.shape[1]) if wide else torch.zeros(n_rows)
