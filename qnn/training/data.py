"""Reading what the user trains on: shapes, dtypes and values are checked once, before the first step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset, default_collate

from qnn.errors import ArgumentError, DtypeError, NotFiniteError, ShapeError
from qnn.training.losses import Loss


@dataclass(frozen=True)
class Rows:
    """Checked inputs and targets of one part."""

    x: Tensor  # shape: (N, ...)
    y: Tensor  # shape: (N,) labels, or (N,) or (N, K) real targets
    weight: Tensor | None = None  # shape: (N,), how much each row counts; mean 1

    def __len__(self) -> int:
        return len(self.x)

    def select(self, rows: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """The given rows on the device of `like`; inputs in its dtype too, when it is real."""
        dtype = like.dtype if like.is_floating_point() else self.x.dtype
        return self.x[rows].to(like.device, dtype), self.y[rows].to(like.device)

    def chunks(self, size: int) -> Iterator[Tensor]:
        """Row numbers 0 to N-1 in order, `size` at a time."""
        yield from torch.arange(len(self)).split(size)


class Order:
    """The order of the rows: shuffled anew for each epoch, as the seed says, and split into batches.

    Args:
        n_rows: rows of the training part.
        batch_size: rows of a batch; None is all. The last batch holds what is left.
        seed: of the generator that shuffles.
    """

    def __init__(self, n_rows: int, batch_size: int | None, seed: int) -> None:
        self.n_rows, self.batch_size = n_rows, batch_size or n_rows
        self._generator = torch.Generator().manual_seed(seed)
        self._before = self._generator.get_state()
        self._rows = torch.arange(n_rows)

    @property
    def n_batches(self) -> int:
        """Batches in an epoch."""
        return -(-self.n_rows // self.batch_size)

    def shuffle(self) -> None:
        """The next epoch's order."""
        self._before = self._generator.get_state()
        self._rows = torch.randperm(self.n_rows, generator=self._generator)

    def batches(self) -> tuple[Tensor, ...]:
        """Row numbers of each batch of the epoch."""
        return self._rows.split(self.batch_size)

    def state_dict(self, within_epoch: bool) -> dict[str, Any]:
        """The state of the generator, before the present epoch was shuffled if training is within it."""
        return {
            "within_epoch": within_epoch,
            "generator": self._before if within_epoch else self._generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`."""
        self._generator.set_state(state["generator"])
        if state["within_epoch"]:
            self.shuffle()


def weighted(rows: Rows, sample_weight: Any, part: str = "training") -> Rows:
    """`rows` with the given weights, checked and scaled to mean 1.

    Raises:
        ShapeError: not one weight a row.
        ArgumentError, NotFiniteError: negative, not finite, or all zero.
    """
    if sample_weight is None:
        return rows
    weight = _tensor(sample_weight, "sample_weight", part)
    if weight.shape != (len(rows),):
        raise ShapeError(
            f"`sample_weight` must have shape ({len(rows)},), one weight for each row of the {part} part; "
            f"got {tuple(weight.shape)}. Give one number per row."
        )
    wrong = ~torch.isfinite(weight) if weight.is_floating_point() else torch.zeros(len(weight), dtype=torch.bool)
    for bad, kind, error in ((wrong, "finite", NotFiniteError), (weight < 0, "at least 0", ArgumentError)):
        if bad.any():
            row = int(bad.nonzero()[0])
            raise error(
                f"`sample_weight` must be {kind}; got {float(weight[row])} in row {row}. Use 0 to leave a row out."
            )
    if not (weight > 0).any():
        raise ArgumentError(
            "`sample_weight` must have a weight above 0; got zeros only. Leave it out for equal weights."
        )
    weight = weight.to(torch.float64)
    return replace(rows, weight=weight / weight.mean())


def read_data(data: Any, loss: Loss) -> tuple[Rows, Rows | None]:
    """The checked training and validation parts of `data`.

    Args:
        data: an object with `.train` and `.validation` (each unpacks to x, y; `.validation` may be
            None), or a tuple (x, y) or (x, y, x_validation, y_validation), or a torch `Dataset` of pairs.
        loss: decides which targets are allowed.

    Raises:
        ArgumentError: none of these forms, parts of different length, or no rows.
        ShapeError, DtypeError, NotFiniteError: as `read_rows`.
    """
    if isinstance(data, DataLoader):
        raise DtypeError(
            "`data` must be the rows themselves; got a DataLoader, whose batches the loop would not use. "
            "Pass its dataset, and its batch size as batch_size=."
        )
    if isinstance(data, Dataset):
        data = _rows_of_dataset(data)
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
        tensor = torch.as_tensor(values.to_numpy() if hasattr(values, "to_numpy") else values).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise DtypeError(
            f"`{argument}` of the {part} part must be numbers in a tensor or an array; got {type(values).__name__}: "
            f"{error}. Convert it to numbers; number classes with numpy.unique(y, return_inverse=True)."
        ) from error
    if argument == "x" and tensor.is_complex():
        raise DtypeError(
            f"`x` of the {part} part must be real; got {tensor.dtype}. Give real and imaginary parts as columns."
        )
    return tensor


def _rows_of_dataset(dataset: Any) -> Any:
    """(x, y) of a torch dataset of pairs, all rows in memory."""
    if isinstance(dataset, TensorDataset):
        return dataset.tensors
    try:
        return tuple(default_collate([dataset[row] for row in range(len(dataset))]))
    except (TypeError, RuntimeError, NotImplementedError) as error:
        raise DtypeError(
            f"`data` must be a dataset with a length, of pairs (x, y) of equal shapes; "
            f"{type(dataset).__name__} is not: {error}. Pass tensors (x, y)."
        ) from error


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
