"""Reading what the user trains on: shapes, dtypes and values are checked once, before the first step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from qnn.errors import ArgumentError, DtypeError, NotFiniteError, ShapeError
from qnn.training.losses import Loss


@dataclass(frozen=True)
class Rows:
    """Checked inputs and targets of one part."""

    x: Tensor  # shape: (N, ...)
    y: Tensor  # shape: (N,) labels, or (N,) or (N, K) real targets

    def __len__(self) -> int:
        return len(self.x)

    def select(self, rows: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """The given rows on the device of `like`; inputs in its dtype too, when it is real."""
        dtype = like.dtype if like.is_floating_point() else self.x.dtype
        return self.x[rows].to(like.device, dtype), self.y[rows].to(like.device)

    def chunks(self, size: int) -> Iterator[Tensor]:
        """Row numbers 0 to N-1 in order, `size` at a time."""
        yield from torch.arange(len(self)).split(size)


def read_data(data: Any, loss: Loss) -> tuple[Rows, Rows | None]:
    """The checked training and validation parts of `data`.

    Args:
        data: an object with `.train` and `.validation` (each unpacks to x, y; `.validation` may be
            None), or a tuple (x, y) or (x, y, x_validation, y_validation).
        loss: decides which targets are allowed.

    Raises:
        ArgumentError: none of these forms, parts of different length, or no rows.
        ShapeError, DtypeError, NotFiniteError: as `read_rows`.
    """
    if hasattr(data, "train") and hasattr(data, "validation"):
        train, validation = data.train, data.validation
    elif isinstance(data, (tuple, list)) and len(data) in (2, 4):
        train, validation = tuple(data[:2]), tuple(data[2:]) or None
    elif hasattr(data, "x") and hasattr(data, "y"):
        train, validation = (data.x, data.y), None
    else:
        size = f" of length {len(data)}" if isinstance(data, (tuple, list)) else ""
        raise ArgumentError(
            "`data` must be a task, or a tuple (x, y) or (x, y, x_validation, y_validation); "
            f"got {type(data).__name__}{size}. Load one with qnn.tasks.load_task, or pass (x, y)."
        )
    rows = read_rows(train, loss, "training")
    if validation is None:
        return rows, None
    held_out = read_rows(validation, loss, "validation")
    if held_out.x.shape[1:] != rows.x.shape[1:]:
        raise ShapeError(
            f"`x` of the validation part must have rows of shape {tuple(rows.x.shape[1:])} like the training part; "
            f"got {tuple(held_out.x.shape[1:])}. Prepare both parts in the same way."
        )
    return rows, held_out


def read_rows(part: Any, loss: Loss, name: str) -> Rows:
    """One part, checked; tensors, NumPy arrays and nested lists are all accepted.

    Raises:
        ArgumentError: not a pair, x and y of different length, no rows, or labels below 0.
        ShapeError: x has no feature axis, or y the wrong number of axes.
        DtypeError: x or y is not numeric, or y does not fit the loss.
        NotFiniteError: NaN or infinity; the message has row and column.
    """
    if isinstance(part, Tensor):
        raise ArgumentError(
            f"The {name} part must be a pair (x, y); got a single tensor. Pass inputs and targets together."
        )
    try:
        x, y = part
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f"The {name} part must unpack to a pair (x, y); got {type(part).__name__}. "
            "Pass inputs and targets together."
        ) from error
    x, y = _tensor(x, "x", name), _tensor(y, "y", name)
    if x.ndim < 2:
        raise ShapeError(
            f"`x` of the {name} part must have shape (N, number of features); got {tuple(x.shape)}. "
            "Add a feature axis, for example with x[:, None]."
        )
    if y.ndim < 1 or len(x) != len(y):
        n_targets = len(y) if y.ndim else "a scalar"
        raise ArgumentError(
            f"`x` and `y` of the {name} part must have equally many rows; got {len(x)} and {n_targets}. "
            "Give one target per row of x."
        )
    if len(x) == 0:
        raise ArgumentError(f"The {name} part must have at least one row; got none. Check how the data was split.")
    _check_finite(x, name)
    return Rows(x, loss.check_targets(y, name))


def _tensor(values: Any, argument: str, part: str) -> Tensor:
    """`values` as a detached tensor of numbers."""
    try:
        tensor = torch.as_tensor(values).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise DtypeError(
            f"`{argument}` of the {part} part must be numbers in a tensor or an array; got {type(values).__name__}: "
            f"{error}. Convert it with torch.as_tensor."
        ) from error
    if argument == "x" and tensor.is_complex():
        raise DtypeError(
            f"`x` of the {part} part must be real; got {tensor.dtype}. Give real and imaginary parts as columns."
        )
    return tensor


def _check_finite(x: Tensor, part: str) -> None:
    """Raise with row and column of the first NaN or infinity."""
    wrong = ~torch.isfinite(x)
    if not wrong.any():
        return
    row, *place = (int(i) for i in wrong.nonzero()[0])
    column = f"column {place[0]}" if len(place) == 1 else f"position {tuple(place)}"
    raise NotFiniteError(
        f"`x` of the {part} part must be finite; got {float(x[(row, *place)])} in row {row}, {column} "
        f"({int(wrong.sum())} such values in all). Drop or fill in these values first."
    )
