"""The column to predict: classes, or a number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qnn.errors import ArgumentError, TableError, unknown_name
from qnn.tasks.tables.column import Column
from qnn.tasks.tables.problems import Problems
from qnn.tasks.tables.table import Table

TASKS = ("auto", "classification", "regression")
MAX_GUESSED_CLASSES = 20  # whole numbers with more different values are taken for a regression
_MAX_CLASSES = 1000


@dataclass(frozen=True)
class Target:
    """What is predicted.

    Attributes:
        name: of the column.
        task: "classification" or "regression".
        classes: names of the classes, in the order of the model's outputs; none for a regression.
        mean, deviation: of the training rows in a regression, where the model predicts (y - mean) / deviation.

    Example:
        >>> from qnn.tasks.tables import read_table
        >>> target = Target.learn(read_table({"kind": ["b", "a", "b"]}), "kind")
        >>> target.task, target.classes
        ('classification', ('a', 'b'))
    """

    name: str
    task: str
    classes: tuple[str, ...] = ()
    mean: float = 0.0
    deviation: float = 1.0

    @classmethod
    def learn(cls, table: Table, name: str, *, task: str = "auto", classes: Sequence[str] | None = None) -> Target:
        """What the target of a table is.

        Args:
            table: the columns.
            name: of the target.
            task: "classification", "regression", or "auto": texts, and whole numbers with at most 20 different
                values, are classes.
            classes: their names in order; None takes those of the column, sorted.

        Raises:
            TableError: a target of the wrong kind, or one class or value only.
        """
        if task not in TASKS:
            raise unknown_name("task", task, TASKS)
        column = table.column(name)
        if column.missing.all():
            raise TableError(f'The target "{name}" of {table.source} must have values; got none. Check its name.')
        if task == "auto":
            task = "classification" if classes is not None or _has_classes(column) else "regression"
        if task == "regression":
            return cls._of_numbers(table, column, classes)
        return cls._of_classes(table, column, classes)

    @classmethod
    def _of_numbers(cls, table: Table, column: Column, classes: Sequence[str] | None) -> Target:
        if classes is not None:
            raise ArgumentError("`classes` has no meaning in a regression; leave it out.")
        if column.numbers is None:
            assert column.texts is not None
            rows = column.almost_numbers()
            row = int(rows[0]) if len(rows) else next(i for i, text in enumerate(column.texts) if text is not None)
            raise TableError(
                f'The target "{column.name}" of {table.source} must hold numbers for a regression; got '
                f'"{column.texts[row]:.40}" in {table.place(row)}. Correct it, or use task="classification".'
            )
        values = column.numbers[np.isfinite(column.numbers)]
        if len(np.unique(values)) < 2:
            raise TableError(
                f'The target "{column.name}" of {table.source} must take different values; got one only '
                f"({values[:1].tolist()}). There is nothing to learn: check the column."
            )
        return cls(column.name, "regression")

    @classmethod
    def _of_classes(cls, table: Table, column: Column, classes: Sequence[str] | None) -> Target:
        _refuse_real_numbers(table, column)
        found = sorted({label for label in column.labels() if label is not None}, key=_by_number)
        if classes is None:
            if len(found) < 2:
                raise TableError(
                    f'The target "{column.name}" of {table.source} must have at least two classes; got one only '
                    f'("{found[0]:.40}"). There is nothing to learn: check the column.'
                )
            _refuse_too_many(table, column, found)
            return cls(column.name, "classification", tuple(found))
        names = tuple(str(name) for name in classes)
        if len(names) < 2 or len(set(names)) < len(names):
            raise ArgumentError(f"`classes` must be two or more different names; got {list(names)}. Leave it out.")
        target = cls(column.name, "classification", names)
        for name in names:
            if name not in found:
                raise TableError(
                    f'Every class must have rows to learn from; "{name}" has none in column "{column.name}" of '
                    f"{table.source}. Leave it out of `classes`."
                )
        return target

    def scaled_by(self, y: np.ndarray) -> Target:
        """The target with mean and deviation of the training values `y` (K,), for a regression."""
        if self.task == "classification":
            return self
        deviation = float(y.std())
        return replace(self, mean=float(y.mean()), deviation=deviation if deviation > 0 else 1.0)

    def values(self, table: Table) -> tuple[np.ndarray, Problems, Problems]:
        """Numbers of classes (N,) int64 (-1 where there is none), or values (N,) float64 in their own unit.

        Returns:
            The values, entries without one, and labels outside the classes.
        """
        column = table.column(self.name)
        missing, outside = Problems(table), Problems(table)
        if self.task == "regression":
            if column.numbers is None:
                Target._of_numbers(table, column, None)  # raises, naming the entry
            assert column.numbers is not None
            missing.add(np.flatnonzero(np.isnan(column.numbers)), self.name, "no value")
            outside.add(np.flatnonzero(np.isinf(column.numbers)), self.name, "an infinite value")
            return column.numbers, missing, outside
        index = {name: number for number, name in enumerate(self.classes)}
        labels = column.labels()
        y = np.array([-1 if label is None else index.get(label, -2) for label in labels], dtype=np.int64)
        missing.add(np.flatnonzero(y == -1), self.name, "no value")
        strange = np.flatnonzero(y == -2)
        outside.add(strange, self.name, [f'"{labels[row]:.40}"' for row in strange])
        return np.where(y < 0, -1, y), missing, outside

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        shared: dict[str, Any] = {"name": self.name, "task": self.task}
        if self.task == "classification":
            return shared | {"classes": list(self.classes)}
        return shared | {"mean": self.mean, "deviation": self.deviation}

    @classmethod
    def from_json(cls, data: Any) -> Target:
        """The target of what `to_json` gave, checked.

        Raises:
            TableError: it is not what it should be.
        """
        try:
            name, task = data["name"], data["task"]
            if task == "classification":
                target = cls(name, task, tuple(data["classes"]))
                fine = 2 <= len(target.classes) == len(set(target.classes)) <= _MAX_CLASSES
                fine = fine and all(isinstance(c, str) for c in target.classes)
            else:
                target = cls(name, task, (), float(data["mean"]), float(data["deviation"]))
                fine = task == "regression" and math.isfinite(target.mean) and 0 < target.deviation < math.inf
        except (TypeError, KeyError, ValueError, IndexError) as error:
            raise TableError(
                f"A target must be classes or a number; got {data!r:.200}. Save the model again."
            ) from error
        if not (fine and isinstance(name, str) and name):
            raise TableError(f"A target must be classes or a number; got {data!r:.200}. Save the model again.")
        return target


def _has_classes(column: Column) -> bool:
    """Whether a target looks like classes."""
    if column.numbers is None:
        return len(column.almost_numbers()) == 0
    values = column.numbers[~np.isnan(column.numbers)]
    return bool(np.all(values == np.round(values))) and len(np.unique(values)) <= MAX_GUESSED_CLASSES


def _refuse_real_numbers(table: Table, column: Column) -> None:
    if column.numbers is None:
        return
    values = column.numbers
    broken = np.flatnonzero(~np.isnan(values) & (np.isinf(values) | (values != np.round(values))))
    if len(broken):
        raise TableError(
            f'The target "{column.name}" of {table.source} must hold classes for a classification; got the real number '
            f'{values[broken[0]]:g} in {table.place(int(broken[0]))}. Use task="regression".'
        )


def _refuse_too_many(table: Table, column: Column, found: list[str]) -> None:
    n_rows = int((~column.missing).sum())
    if len(found) > min(_MAX_CLASSES, max(2, n_rows / 2)):
        raise TableError(
            f'The target "{column.name}" of {table.source} must have at least two rows a class and at most '
            f"{_MAX_CLASSES} classes; got {len(found)} classes in {n_rows} rows. "
            'Check that it is the right column, or use task="regression" for numbers.'
        )


def _by_number(label: str) -> tuple[int, float, str]:
    """Numbers first, by value, then texts."""
    try:
        return (0, float(label), label)
    except ValueError:
        return (1, 0.0, label)
