"""Losses by name, and losses of the user's own.

A loss says which targets it accepts, what it is for each row, what a prediction is, and whether rows can be right
or wrong. Adding one is a row of `LOSSES`, or a class where its targets are of a new kind.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from qnn.errors import ArgumentError, DtypeError, NotFiniteError, ShapeError, unknown_name

RowLoss = Callable[..., Tensor]  # (outputs, y, reduction="none") -> one value per row and output


class Loss(ABC):
    """What the training loop needs to know of a loss."""

    name: str

    @abstractmethod
    def __call__(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The mean over the rows, a scalar."""

    @abstractmethod
    def rows(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The loss of each row, shape (N,)."""

    @abstractmethod
    def check_targets(self, y: Tensor, part: str) -> Tensor:
        """`y` in the dtype that the loss computes with, or an error that names `part`."""

    def check_classes(self, y: Tensor) -> None:  # noqa: B027
        """Raise where the training part shows one class only, of which nothing can be learnt; most losses know none."""

    @abstractmethod
    def check_outputs(self, outputs: Tensor, n_rows: int, y: Tensor, part: str) -> None:
        """Raise unless outputs for `n_rows` rows can be compared with targets such as `y`."""

    @abstractmethod
    def predict(self, outputs: Tensor) -> Tensor:
        """What the model says about each row."""

    def targets(self, y: Tensor) -> Tensor:
        """What predictions are compared with by metrics: `y`, or the part of it where it carries more."""
        return y

    def count_correct(self, outputs: Tensor, y: Tensor, weight: Tensor | None = None) -> float | None:
        """Rows predicted right, by weight (N,); None where right and wrong have no meaning."""
        return None


class CrossEntropy(Loss):
    """Mean of -log softmax(outputs)[y]: outputs are logits (N, C), targets are labels 0 to C-1."""

    name = "cross_entropy"

    def __call__(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The mean over the rows, a scalar."""
        return functional.cross_entropy(outputs, y)

    def rows(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The loss of each row, shape (N,)."""
        return functional.cross_entropy(outputs, y, reduction="none")

    def check_targets(self, y: Tensor, part: str) -> Tensor:
        """Labels as int64, shape (N,)."""
        return _labels(y, part, self.name)

    def check_classes(self, y: Tensor) -> None:
        """Two classes or more."""
        _check_two_classes(y)

    def check_outputs(self, outputs: Tensor, n_rows: int, y: Tensor, part: str) -> None:
        """Logits of shape (n_rows, C) with C > 1, and every label below C."""
        if outputs.ndim != 2 or len(outputs) != n_rows or outputs.shape[1] < 2:
            raise ShapeError(
                f"`model` must return logits of shape ({n_rows}, number of classes), two classes or more, for "
                f'loss="cross_entropy"; got {tuple(outputs.shape)}. End it with one output per class.'
            )
        n_classes, wanted = outputs.shape[1], int(y.max()) + 1 if len(y) else 0
        _check_classes(y, n_classes, part, f"the model has {n_classes} outputs", f"Give the model {wanted} outputs")

    def predict(self, outputs: Tensor) -> Tensor:
        """The label of the largest logit, shape (N,)."""
        return outputs.argmax(dim=-1)

    def count_correct(self, outputs: Tensor, y: Tensor, weight: Tensor | None = None) -> float | None:
        """Rows whose largest logit is the target's."""
        return _count(self.predict(outputs) == y, weight)


class BinaryCrossEntropy(Loss):
    """Mean of -log sigmoid(±output): one logit a row, (N,) or (N, 1); targets are labels 0 and 1."""

    name = "binary_cross_entropy"

    def __call__(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The mean over the rows, a scalar."""
        return self.rows(outputs, y).mean()

    def rows(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The loss of each row, shape (N,)."""
        logits = outputs.reshape(-1)
        return functional.binary_cross_entropy_with_logits(logits, y.to(logits.dtype), reduction="none")

    def check_targets(self, y: Tensor, part: str) -> Tensor:
        """Labels 0 and 1 as int64, shape (N,)."""
        labels = _labels(y, part, self.name)
        _check_classes(labels, 2, part, f'loss="{self.name}" knows two classes', 'Use loss="cross_entropy"')
        return labels

    def check_classes(self, y: Tensor) -> None:
        """Two classes or more."""
        _check_two_classes(y)

    def check_outputs(self, outputs: Tensor, n_rows: int, y: Tensor, part: str) -> None:
        """One logit a row."""
        if tuple(outputs.shape) not in {(n_rows,), (n_rows, 1)}:
            raise ShapeError(
                f'`model` must return shape ({n_rows}, 1), one logit a row, for loss="{self.name}"; '
                f'got {tuple(outputs.shape)}. End it with one output, or use loss="cross_entropy".'
            )

    def predict(self, outputs: Tensor) -> Tensor:
        """1 where the logit is above 0, shape (N,)."""
        return (outputs.reshape(-1) > 0).long()

    def count_correct(self, outputs: Tensor, y: Tensor, weight: Tensor | None = None) -> float | None:
        """Rows whose logit has the target's sign."""
        return _count(self.predict(outputs) == y, weight)


class Regression(Loss):
    """Mean over rows and outputs of a function of outputs and real targets: (N,) for one output, (N, K) for K."""

    def __init__(self, name: str, function: RowLoss) -> None:
        self.name, self._function = name, function

    def __call__(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The mean over rows and outputs, a scalar."""
        predictions = _aligned(outputs, y)
        return self._function(predictions, y.to(predictions.dtype), reduction="mean")

    def rows(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The loss of each row, a mean over its outputs, shape (N,)."""
        predictions = _aligned(outputs, y)
        values = self._function(predictions, y.to(predictions.dtype), reduction="none")
        return values if values.ndim == 1 else values.mean(dim=1)

    def check_targets(self, y: Tensor, part: str) -> Tensor:
        """Finite real numbers, shape (N,) or (N, K)."""
        return _real_targets(y, part)

    def check_outputs(self, outputs: Tensor, n_rows: int, y: Tensor, part: str) -> None:
        """One output for targets (N,), K outputs for targets (N, K)."""
        fits = {(n_rows,), (n_rows, 1)} if y.ndim == 1 else {(n_rows, y.shape[1])}
        if tuple(outputs.shape) not in fits:
            wanted = f"({n_rows}, 1)" if y.ndim == 1 else str((n_rows, y.shape[1]))
            raise ShapeError(
                f'`model` must return shape {wanted} to match `y` of the {part} part for loss="{self.name}"; '
                f"got {tuple(outputs.shape)}. Give it one output per target, "
                'or use loss="cross_entropy" for class labels.'
            )

    def predict(self, outputs: Tensor) -> Tensor:
        """The outputs themselves: (N,) for one output, else (N, K)."""
        return outputs.squeeze(-1) if outputs.ndim == 2 and outputs.shape[1] == 1 else outputs


class OwnLoss(Loss):
    """A user's function (outputs, y) -> scalar, a mean over the rows; targets are passed on as they are."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.function = function
        self.name = getattr(function, "__qualname__", type(function).__name__)

    def __call__(self, outputs: Tensor, y: Tensor) -> Tensor:
        """What the function gives."""
        value = self.function(outputs, y)
        if not isinstance(value, Tensor) or value.numel() != 1:
            got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise ShapeError(
                f"`loss` must return a tensor with one value, a mean over the rows; got {got}. Average it."
            )
        return value.reshape(())

    def rows(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The function, row by row."""
        return torch.stack([self(outputs[row : row + 1], y[row : row + 1]) for row in range(len(outputs))])

    def check_targets(self, y: Tensor, part: str) -> Tensor:
        """Anything finite."""
        return _real_targets(y, part, max_axes=None) if y.is_floating_point() else y

    def check_outputs(self, outputs: Tensor, n_rows: int, y: Tensor, part: str) -> None:
        """One row of outputs for each row."""
        if outputs.ndim == 0 or len(outputs) != n_rows:
            raise ShapeError(
                f"`model` must return {n_rows} rows for {n_rows} rows of the {part} part; got {tuple(outputs.shape)}. "
                "Keep the first axis."
            )

    def predict(self, outputs: Tensor) -> Tensor:
        """The outputs themselves."""
        return outputs


LOSSES: dict[str, Loss] = {
    "cross_entropy": CrossEntropy(),
    "binary_cross_entropy": BinaryCrossEntropy(),
    "mse": Regression("mse", functional.mse_loss),
    "mae": Regression("mae", functional.l1_loss),
    "huber": Regression("huber", functional.huber_loss),
}


def loss_named(loss: Any) -> Loss:
    """The loss of that name, or the user's own function.

    Raises:
        UnknownNameError: no such name.
        DtypeError: neither a name nor a function.
    """
    if isinstance(loss, str):
        if loss not in LOSSES:
            raise unknown_name("loss", loss, LOSSES)
        return LOSSES[loss]
    if isinstance(loss, Loss):
        return loss
    if not callable(loss) or isinstance(loss, type):
        raise DtypeError(
            f'`loss` must be a name or a function (outputs, y) -> scalar; got {loss!r}. Use "cross_entropy" or "mse".'
        )
    return OwnLoss(loss)


def _count(right: Tensor, weight: Tensor | None) -> float:
    return float(right.sum()) if weight is None else float((right * weight).sum())


def _labels(y: Tensor, part: str, loss: str) -> Tensor:
    """Class labels as int64, shape (N,), none below 0."""
    if y.is_floating_point() or y.is_complex():
        raise DtypeError(
            f'`y` of the {part} part must hold integer class labels for loss="{loss}"; got {y.dtype}. '
            'Convert it with y.long(), or use loss="mse" for regression.'
        )
    if y.ndim != 1:
        raise ShapeError(
            f"`y` of the {part} part must have shape (N,), one class label a row; got {tuple(y.shape)}. "
            "Drop the extra axis, for example with y.squeeze(-1), or turn one-hot rows into y.argmax(-1)."
        )
    labels = y.long()
    if len(labels) and labels.min() < 0:
        row = int((labels < 0).nonzero()[0])
        raise ArgumentError(
            f"`y` of the {part} part must hold class labels from 0 up; got {int(labels[row])} in row {row}. "
            "Number the classes 0, 1, 2, and so on."
        )
    return labels


def _check_two_classes(y: Tensor) -> None:
    """Raise where all labels are the same."""
    if bool((y == y[0]).all()):
        raise ArgumentError(
            f"`y` of the training part must hold two classes or more; got class {int(y[0])} in all {len(y)} row(s). "
            "Check how the data were split or sorted; `one_class=True` trains on them all the same."
        )


def _check_classes(y: Tensor, n_classes: int, part: str, since: str, advice: str) -> None:
    """Raise with the row of the first label that is not below `n_classes`."""
    if len(y) and y.max() >= n_classes:
        row = int((y >= n_classes).nonzero()[0])
        raise ArgumentError(
            f"`y` of the {part} part must hold labels 0 to {n_classes - 1}, since {since}; "
            f"got {int(y[row])} in row {row}. {advice}, or number the classes from 0."
        )


def _real_targets(y: Tensor, part: str, max_axes: int | None = 2) -> Tensor:
    """Finite real numbers, in a floating dtype."""
    if y.is_complex():
        raise DtypeError(
            f"`y` of the {part} part must be real; got {y.dtype}. Give real and imaginary parts as two columns."
        )
    if max_axes is not None and not 1 <= y.ndim <= max_axes:
        raise ShapeError(
            f"`y` of the {part} part must have shape (N,) or (N, number of outputs); got {tuple(y.shape)}. "
            "Flatten it to two axes."
        )
    wrong = ~torch.isfinite(y)
    if wrong.any():
        row = int(wrong.nonzero()[0, 0])
        raise NotFiniteError(
            f"`y` of the {part} part must be finite; got NaN or infinity in row {row}. Drop such rows before training."
        )
    return y if y.is_floating_point() else y.to(torch.get_default_dtype())


def _aligned(outputs: Tensor, y: Tensor) -> Tensor:
    """Outputs (N, 1) as (N,) where the targets are (N,)."""
    return outputs.squeeze(-1) if y.ndim == 1 and outputs.ndim == 2 else outputs
