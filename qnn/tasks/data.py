"""What a task hands out: three parts of rows, and what there is to know about them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Part:
    """Rows of one part of a task; unpacks to x, y.

    Example:
        >>> part = Part(torch.zeros(3, 2), torch.tensor([0, 1, 0]))
        >>> x, y = part
        >>> len(part), x.shape
        (3, torch.Size([3, 2]))
    """

    x: torch.Tensor  # shape: (N, D) float32, scaled
    y: torch.Tensor  # shape: (N,) int64 class labels

    def __len__(self) -> int:
        return len(self.y)

    def __iter__(self) -> Iterator[torch.Tensor]:
        return iter((self.x, self.y))


@dataclass(frozen=True)
class TaskData:
    """A classification task, split and scaled.

    Attributes:
        name: as given to `load_task`.
        train: rows to train on; scaling was fitted on these alone.
        validation: rows to choose by (best epoch, learning rate).
        test: rows to report on, once.
        n_inputs: D, features per row.
        n_classes: labels are 0 to n_classes - 1.
        image_shape: (channels, height, width) if a row is an image, flattened in this order; else None.
        class_names: what the labels mean, in order.
        source: where the data come from, in one line.
    """

    name: str
    train: Part
    validation: Part
    test: Part
    n_inputs: int
    n_classes: int
    image_shape: tuple[int, int, int] | None
    class_names: tuple[str, ...]
    source: str
