"""Losses by name, and the metrics that go with them.

A loss says which targets it accepts, how its value is computed, what a prediction is, and
whether rows can be right or wrong. Adding one is a class and a row of `LOSSES`.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from qnn.errors import ArgumentError, DtypeError, NotFiniteError, ShapeError


class Loss(Protocol):
    """What the training loop needs to know of a loss."""

    name: str

    def __call__(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The mean over the rows, a scalar."""
        ...

    def check_targets(self, y: Tensor, part: str) -> Tensor:
        """`y` in the dtype that the loss computes with, or an error that names `part`."""
        ...

    def check_outputs(self, outputs: Tensor, n_rows: int, y: Tensor, part: str) -> None:
        """Raise unless outputs for `n_rows` rows can be compared with targets such as `y`."""
        ...

    def predict(self, outputs: Tensor) -> Tensor:
        """What the model says about each row."""
        ...

    def count_correct(self, outputs: Tensor, y: Tensor) -> int | None:
        """Rows predicted right; None where right and wrong have no meaning."""
        ...


class CrossEntropy:
    """Mean of -log softmax(outputs)[y]: outputs are logits (N, C), targets are labels 0 to C-1."""

    name = "cross_entropy"

    def __call__(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The mean over the rows, a scalar."""
        return torch.nn.functional.cross_entropy(outputs, y)

    def check_targets(self, y: Tensor, part: str) -> Tensor:
        """Labels as int64, shape (N,)."""
        if y.is_floating_point() or y.is_complex():
            raise DtypeError(
                f'`y` of the {part} part must hold integer class labels for loss="cross_entropy"; got {y.dtype}. '
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

    def check_outputs(self, outputs: Tensor, n_rows: int, y: Tensor, part: str) -> None:
        """Logits of shape (n_rows, C) with C > 1, and every label below C."""
        if outputs.ndim != 2 or len(outputs) != n_rows or outputs.shape[1] < 2:
            raise ShapeError(
                f"`model` must return logits of shape ({n_rows}, number of classes), two classes or more, for "
                f'loss="cross_entropy"; got {tuple(outputs.shape)}. End it with one output per class.'
            )
        n_classes = outputs.shape[1]
        if y.max() >= n_classes:
            row = int((y >= n_classes).nonzero()[0])
            raise ArgumentError(
                f"`y` of the {part} part must hold labels 0 to {n_classes - 1}, since the model has "
                f"{n_classes} outputs; got {int(y[row])} in row {row}. "
                f"Give the model {int(y.max()) + 1} outputs, or number the classes from 0."
            )

    def predict(self, outputs: Tensor) -> Tensor:
        """The label of the largest logit, shape (N,)."""
        return outputs.argmax(dim=-1)

    def count_correct(self, outputs: Tensor, y: Tensor) -> int | None:
        """Rows whose largest logit is the target's."""
        return int((self.predict(outputs) == y).sum())


class MeanSquaredError:
    """Mean of (outputs - y)²: targets (N,) for one output, (N, K) for K outputs; regression."""

    name = "mse"

    def __call__(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The mean over rows and outputs, a scalar."""
        predictions = outputs.squeeze(-1) if y.ndim == 1 and outputs.ndim == 2 else outputs
        return torch.nn.functional.mse_loss(predictions, y.to(predictions.dtype))

    def check_targets(self, y: Tensor, part: str) -> Tensor:
        """Finite real numbers, shape (N,) or (N, K)."""
        if y.is_complex():
            raise DtypeError(
                f"`y` of the {part} part must be real; got {y.dtype}. Give real and imaginary parts as two columns."
            )
        if y.ndim not in (1, 2):
            raise ShapeError(
                f"`y` of the {part} part must have shape (N,) or (N, number of outputs); got {tuple(y.shape)}. "
                "Flatten it to two axes."
            )
        wrong = ~torch.isfinite(y)
        if wrong.any():
            row = int(wrong.nonzero()[0, 0])
            raise NotFiniteError(
                f"`y` of the {part} part must be finite; got NaN or infinity in row {row}. "
                "Drop such rows before training."
            )
        return y if y.is_floating_point() else y.to(torch.get_default_dtype())

    def check_outputs(self, outputs: Tensor, n_rows: int, y: Tensor, part: str) -> None:
        """One output for targets (N,), K outputs for targets (N, K)."""
        fits = {(n_rows,), (n_rows, 1)} if y.ndim == 1 else {(n_rows, y.shape[1])}
        if tuple(outputs.shape) not in fits:
            wanted = f"({n_rows}, 1)" if y.ndim == 1 else str((n_rows, y.shape[1]))
            raise ShapeError(
                f'`model` must return shape {wanted} to match `y` of the {part} part for loss="mse"; '
                f"got {tuple(outputs.shape)}. Give it one output per target, "
                'or use loss="cross_entropy" for class labels.'
            )

    def predict(self, outputs: Tensor) -> Tensor:
        """The outputs themselves: (N,) for one output, else (N, K)."""
        return outputs.squeeze(-1) if outputs.ndim == 2 and outputs.shape[1] == 1 else outputs

    def count_correct(self, outputs: Tensor, y: Tensor) -> int | None:
        """None: a real number is not right or wrong."""
        return None


LOSSES: dict[str, Loss] = {"cross_entropy": CrossEntropy(), "mse": MeanSquaredError()}


class Metrics:
    """Loss and accuracy over the rows seen so far: means over rows, whatever the batch sizes."""

    def __init__(self, loss: Loss) -> None:
        self._loss = loss
        self._loss_sum = 0.0
        self._n_correct: int | None = 0
        self.n = 0

    def update(self, value: float, outputs: Tensor, y: Tensor) -> None:
        """Add one batch, whose mean loss is `value`."""
        self.n += len(y)
        self._loss_sum += value * len(y)
        correct = self._loss.count_correct(outputs, y)
        self._n_correct = None if correct is None or self._n_correct is None else self._n_correct + correct

    @property
    def loss(self) -> float:
        """Mean loss per row; NaN before the first batch."""
        return self._loss_sum / self.n if self.n else float("nan")

    @property
    def accuracy(self) -> float | None:
        """Share of rows predicted right, 0 to 1; None for regression and before the first batch."""
        return self._n_correct / self.n if self.n and self._n_correct is not None else None
