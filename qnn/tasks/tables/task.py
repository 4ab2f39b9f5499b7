"""A table made ready to train on: features and target prepared, rows split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from qnn._integers import whole
from qnn.errors import ArgumentError, TableError
from qnn.tasks.catalogue import TASKS
from qnn.tasks.data import Part
from qnn.tasks.split import Split, split_rows
from qnn.tasks.tables.column import Column
from qnn.tasks.tables.parts import split_table
from qnn.tasks.tables.preparation import MISSING, Preparation
from qnn.tasks.tables.problems import Problems
from qnn.tasks.tables.table import Table, make_table
from qnn.tasks.tables.target import Target

VALIDATION_FRACTION, TEST_FRACTION = 0.16, 0.2
CLASS = "class"  # the target of a built-in task as a table


@dataclass(frozen=True, eq=False)
class TableTask:
    """Rows of a table in three parts, and how they were prepared.

    Attributes:
        table: where they come from, without rows that were dropped.
        preparation: of the features, learnt from the training part.
        target: what is predicted.
        split: row numbers of the parts.
        train, validation, test: features (N, D) float32, and class numbers (N,) int64 or (y - mean) / deviation
            (N,) float32; None where a part was not wanted.
        notes: what the user should know: rows dropped, categories that only held-out rows have.
    """

    table: Table
    preparation: Preparation
    target: Target
    split: Split
    train: Part
    validation: Part | None
    test: Part | None
    notes: tuple[str, ...]


def prepare_table(
    table: Table,
    target: str,
    *,
    task: str = "auto",
    features: Sequence[str] | None = None,
    categorical: Sequence[str] = (),
    classes: Sequence[str] | None = None,
    scaling: str = "standard",
    missing: str = "error",
    max_categories: int = 50,
    validation_fraction: float = VALIDATION_FRACTION,
    test_fraction: float = TEST_FRACTION,
    split_seed: int = 0,
) -> TableTask:
    """A table made ready; see `Target.learn`, `Preparation.learn` and `split_table` for the options.

    Args:
        table: the rows.
        target: name of the column to predict.
        features: names of the columns to predict from; None takes all others.
        missing: "error" refuses tables with missing values, "drop" leaves out their rows, "fill" puts the median or
            the most frequent category of the training rows. The target is never filled.

    Raises:
        TableError: what is wrong with the table, by row and column.
    """
    _check_seed(split_seed, 2**63 - 1)
    learnt = Target.learn(table, target, task=task, classes=classes)
    names = [name for name in table.names if name != target] if features is None else list(features)
    if target in names or len(set(names)) < len(names):
        raise ArgumentError(
            f'`features` must be different columns other than the target "{target}"; got {names}. Name each once.'
        )
    if missing == "drop":
        table, notes = without_gaps(table, [target, *names])
        learnt = Target.learn(table, target, task=learnt.task, classes=classes)
    else:
        notes = []
    y = _targets(table, learnt)
    split = split_table(
        y,
        stratified=learnt.task == "classification",
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        seed=split_seed,
    )
    preparation = Preparation.learn(
        table,
        names,
        split.train,
        categorical=categorical,
        scaling=scaling,
        missing=missing,
        max_categories=max_categories,
    )
    return _task(table, preparation, learnt.scaled_by(y[split.train]), y, split, notes)


def prepare_builtin(name: str, *, scaling: str = "standard", split_seed: int = 0) -> TableTask:
    """A built-in task as a table of the columns x0, x1, … and "class", split like `qnn.load_task`.

    With `scaling="standard"` the features are those of `qnn.load_task`: images have one mean and deviation a channel.
    """
    _check_seed(split_seed, 2**32 - 1)
    raw = TASKS[name]()
    columns = [Column(f"x{i}", raw.x[:, i].astype(np.float64), None) for i in range(raw.x.shape[1])]
    labels = np.array(raw.class_names, dtype=object)[raw.y]
    table = make_table(name, [*columns, Column(CLASS, None, labels)])
    split = split_rows(raw.y, split_seed)
    groups = None if raw.image_shape is None else raw.image_shape[0]
    names = [column.name for column in columns]
    preparation = Preparation.learn(table, names, split.train, scaling=scaling, groups=groups)
    target = Target(CLASS, "classification", raw.class_names)
    return _task(table, preparation, target, raw.y, split, [])


def _check_seed(seed: Any, most: int) -> None:
    number = whole(seed)
    if number is None or not 0 <= number <= most:
        raise ArgumentError(f"`split_seed` must be an integer from 0 to {most:,}; got {seed!r}. Use split_seed=0.")


def _task(
    table: Table, preparation: Preparation, target: Target, y: np.ndarray, split: Split, notes: list[str]
) -> TableTask:
    prepared = preparation(table)
    if prepared.missing.count:
        raise TableError(
            f"{table.source} must have a finite value in every row of every feature; got {prepared.missing.count} "
            f"without: {prepared.missing.describe()}. Fill them in, leave out rows or columns, or use "
            'missing="drop" or missing="fill" (--missing).'
        )
    if prepared.unseen.count:
        notes = [*notes, f"Categories that no training row has: {prepared.unseen.describe()}"]
    x = torch.as_tensor(prepared.x, dtype=torch.float32)
    scaled = torch.as_tensor((y - target.mean) / target.deviation, dtype=torch.float32)
    values = torch.as_tensor(y) if target.task == "classification" else scaled

    def part(rows: np.ndarray) -> Part | None:
        return Part(x[rows], values[rows]) if len(rows) else None

    train = part(split.train)
    assert train is not None
    return TableTask(table, preparation, target, split, train, part(split.validation), part(split.test), tuple(notes))


def _targets(table: Table, target: Target) -> np.ndarray:
    """Targets of all rows, or an error that names the rows without one."""
    y, missing, outside = target.values(table)
    if outside.count:
        kind = f"one of the classes {', '.join(target.classes[:10])}" if target.classes else "finite"
        raise TableError(
            f'The target "{target.name}" of {table.source} must be {kind}; got {outside.count} others: '
            f"{outside.describe()}. Correct them, or leave out these rows."
        )
    if missing.count:
        raise TableError(
            f'The target "{target.name}" of {table.source} must have a value in every row; got {missing.count} '
            f'without: {missing.describe()}. Leave out these rows, for example with missing="drop" (--missing drop).'
        )
    return y


def without_gaps(table: Table, names: Sequence[str]) -> tuple[Table, list[str]]:
    """The table without rows in which one of the columns has no value."""
    problems = Problems(table)
    for name in names:
        problems.add(np.flatnonzero(table.column(name).missing), name, "no value")
    if not problems.count:
        return table, []
    keep = np.setdiff1d(np.arange(table.n_rows), problems.rows)
    if len(keep) == 0:
        raise TableError(
            f"{table.source} must have rows with a value in every column that is used; got none. "
            'Leave out columns with `features`, or use missing="fill".'
        )
    note = f"Left out {table.n_rows - len(keep)} of {table.n_rows} rows with missing values: {problems.describe()}"
    return table.select(keep), [note]


__all__ = ["MISSING", "TEST_FRACTION", "VALIDATION_FRACTION", "TableTask", "prepare_builtin", "prepare_table"]
