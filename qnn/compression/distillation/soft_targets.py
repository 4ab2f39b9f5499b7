"""The loss of a distillation: targets and the teacher's outputs travel to each batch in the columns of one tensor."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from qnn.training.losses import BinaryCrossEntropy, CrossEntropy, Loss

LOWEST, HIGHEST = 1e-4, 1e4  #: temperatures for which the loss is right


class Distillation(Loss):
    """(1 - w) times a loss of the targets, plus w times a distance from the teacher's outputs.

    The distance is T² KL(softmax(t / T) || softmax(s / T)) between logits (Hinton et al. 2015; T² keeps gradients as
    large as those of the labels), a lone logit z counting as (0, z); in a regression the mean squared error. The
    divergence is a difference of numbers of order 1 that T² makes larger, with what they were rounded by: in float64,
    in which it is computed whatever the student's dtype, 1e-16 becomes 1e-8 at the highest temperature.

    Args:
        hard: the loss of the targets.
        temperature: T, from `LOWEST` to `HIGHEST`.
        weight: w, from 0 to 1.
        y: targets (N, ...) as `hard` has checked them, for their shape and dtype.
    """

    def __init__(self, hard: Loss, temperature: float, weight: float, y: Tensor) -> None:
        self.hard, self.temperature, self.weight = hard, float(temperature), float(weight)
        self.name = f"distillation of {hard.name}"
        self._shape, self._dtype = y.shape[1:], y.dtype
        self.of_logits = isinstance(hard, CrossEntropy | BinaryCrossEntropy) or not y.is_floating_point()

    def join(self, y: Tensor, teacher: Tensor) -> Tensor:
        """Targets (N, ...) and the teacher's outputs (N, C) as float64 columns (N, K + C); labels stay exact."""
        columns = [part.detach().cpu().double().reshape(len(y), -1) for part in (y, teacher)]
        return torch.cat(columns, dim=1)

    def targets(self, y: Tensor) -> Tensor:
        """The targets (N, ...) out of the columns."""
        return y[:, : self._shape.numel()].reshape(-1, *self._shape).to(self._dtype)

    def __call__(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The mean over the rows, a scalar."""
        if not self.weight:
            return self.hard(outputs, self.targets(y))
        soft = self.weight * self._distances(outputs, y).mean()
        return soft if self.weight == 1.0 else (1.0 - self.weight) * self.hard(outputs, self.targets(y)) + soft

    def rows(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The loss of each row, shape (N,)."""
        hard = self.hard.rows(outputs, self.targets(y))
        return (1.0 - self.weight) * hard + self.weight * self._distances(outputs, y)

    def _distances(self, outputs: Tensor, y: Tensor) -> Tensor:
        """From the teacher, shape (N,)."""
        student = outputs.reshape(len(outputs), -1)
        teacher = y[:, self._shape.numel() :]
        if not self.of_logits:
            return (student - teacher.to(student.dtype)).square().mean(dim=1)
        if student.shape[1] == 1:
            student, teacher = (functional.pad(logit, (1, 0)) for logit in (student, teacher))
        said, wanted = ((logits / self.temperature).log_softmax(dim=1) for logits in (student.double(), teacher))
        apart = functional.kl_div(said, wanted, reduction="none", log_target=True).sum(dim=1)
        return (self.temperature**2 * apart).to(outputs.dtype)

    def check_targets(self, y: Tensor, part: str) -> Tensor:
        """The columns as they are: they were checked when they were joined."""
        return y

    def check_outputs(self, outputs: Tensor, n_rows: int, y: Tensor, part: str) -> None:
        """What the loss of the targets asks for."""
        self.hard.check_outputs(outputs, n_rows, self.targets(y), part)

    def predict(self, outputs: Tensor) -> Tensor:
        """What the loss of the targets says."""
        return self.hard.predict(outputs)

    def count_correct(self, outputs: Tensor, y: Tensor, weight: Tensor | None = None) -> float | None:
        """Rows whose targets are predicted, by weight."""
        return self.hard.count_correct(outputs, self.targets(y), weight)
