"""One column to its features: a scaled number, or one feature a category."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qnn.errors import TableError
from qnn.tasks.tables.column import Column
from qnn.tasks.tables.problems import Problems
from qnn.tasks.tables.table import Table

_MAX_CATEGORIES = 10_000


@dataclass(frozen=True)
class Number:
    """A number x becomes (x - subtract) · multiply, for "angle" clipped to 0 to π.

    Attributes:
        name: of the column.
        scaling: "standard", "angle" or "none".
        subtract, multiply: see above.
        fill: what stands for a missing value; None where that is an error.
    """

    name: str
    scaling: str
    subtract: float
    multiply: float
    fill: float | None = None

    @property
    def feature_names(self) -> list[str]:
        """The column's name."""
        return [self.name]

    def encode(self, column: Column, x: np.ndarray, missing: Problems, unseen: Problems) -> None:
        """Write the feature of all rows into `x` (N, 1)."""
        values = column.as_numbers()
        if column.texts is not None and column.numbers is None:
            wrong = np.flatnonzero(np.isnan(values) & ~column.missing)
            missing.add(wrong, self.name, [f'"{column.texts[row]:.40}" is no number' for row in wrong])
        if self.fill is not None:
            values = np.where(column.missing, self.fill, values)
        missing.add(np.flatnonzero(np.isnan(values) & column.missing), self.name, "no value")
        missing.add(np.flatnonzero(np.isinf(values)), self.name, "an infinite value")
        scaled = (values - self.subtract) * self.multiply
        if self.scaling == "angle":
            scaled = np.clip(scaled, 0.0, math.pi)
        x[:, 0] = np.where(np.isfinite(scaled), scaled, 0.0)

    def rescaled(self, values: np.ndarray) -> Number:
        """The same with what "standard" or "angle" learns from other values, of any shape."""
        subtract, multiply = _scale(values[np.isfinite(values)], self.scaling)
        return replace(self, subtract=subtract, multiply=multiply)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        shared = {"name": self.name, "kind": "number", "scaling": self.scaling}
        return shared | {"subtract": self.subtract, "multiply": self.multiply, "fill": self.fill}


@dataclass(frozen=True)
class Category:
    """A category becomes one feature for each known category: 1 for its own, 0 for the others.

    Attributes:
        name: of the column.
        categories: known ones, sorted.
        fill: what stands for a missing value; None where that is an error.
    """

    name: str
    categories: tuple[str, ...]
    fill: str | None = None

    @property
    def feature_names(self) -> list[str]:
        """A name for each category."""
        return [f"{self.name}={category}" for category in self.categories]

    def encode(self, column: Column, x: np.ndarray, missing: Problems, unseen: Problems) -> None:
        """Write the features of all rows into `x` (N, number of categories)."""
        index = {category: position for position, category in enumerate(self.categories)}
        labels = column.labels()
        if self.fill is not None:
            labels = np.array([self.fill if label is None else label for label in labels], dtype=object)
        positions = np.fromiter((-2 if label is None else index.get(label, -1) for label in labels), int, len(labels))
        known = np.flatnonzero(positions >= 0)
        x[known, positions[known]] = 1.0
        missing.add(np.flatnonzero(positions == -2), self.name, "no value")
        strange = np.flatnonzero(positions == -1)
        unseen.add(strange, self.name, [f'unknown category "{labels[row]:.40}"' for row in strange])

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"name": self.name, "kind": "category", "categories": list(self.categories), "fill": self.fill}


Encoder = Number | Category


def learn_number(column: Column, rows: np.ndarray, scaling: str, *, fill: bool) -> Number:
    """The scaling of a column of numbers, from its finite values in the given rows."""
    assert column.numbers is not None
    values = column.numbers[rows]
    values = values[np.isfinite(values)]
    if len(values) == 0:
        raise TableError(f'Column "{column.name}" must have a value in some training row; got none. Leave it out.')
    with np.errstate(over="ignore", invalid="ignore"):
        learnt = _scale(values, scaling)
    if not np.isfinite(learnt).all() or learnt[1] == 0:  # the spread is not finite
        raise TableError(
            f'The column "{column.name}" must have numbers whose mean and spread are finite; got numbers up to '
            f"{np.abs(values).max():.3g}. Give it in other units, or leave it out."
        )
    return Number(column.name, scaling, *learnt, fill=float(np.median(values)) if fill else None)


def learn_category(table: Table, column: Column, rows: np.ndarray, limit: int | None, *, fill: bool) -> Category:
    """The categories of a column in the given rows; `limit` is None where the user has called it categorical."""
    if limit is not None:
        _refuse_almost_numbers(table, column)
    labels = [label for label in column.labels()[rows] if label is not None]
    categories, counts = np.unique(np.array(labels, dtype=str), return_counts=True)
    if len(categories) == 0:
        raise TableError(f'Column "{column.name}" must have a value in some training row; got none. Leave it out.')
    if limit is not None and len(categories) > limit:
        raise TableError(
            f'Column "{column.name}" of {table.source} must have at most {limit} categories, `max_categories`; '
            f"got {len(categories)} in {len(rows)} training rows. Leave it out or name it in `categorical`."
        )
    frequent = str(categories[int(counts.argmax())])
    return Category(column.name, tuple(map(str, categories)), frequent if fill else None)


def encoder_from_json(data: Any, where: str) -> Encoder:
    """The encoder of what `to_json` gave, checked.

    Raises:
        TableError: it is not what it should be; `where` says which.
    """
    try:
        name, kind, fill = data["name"], data["kind"], data["fill"]
        if kind == "number":
            scaling, subtract, multiply = data["scaling"], data["subtract"], data["multiply"]
            fine = scaling in ("standard", "angle", "none") and _finite(subtract) and _finite(multiply)
            fine = fine and (fill is None or _finite(fill))
            encoder: Encoder = Number(name, scaling, float(subtract), float(multiply), fill)
        else:
            categories = tuple(data["categories"])
            fine = kind == "category" and 0 < len(categories) <= _MAX_CATEGORIES
            fine = fine and all(isinstance(c, str) for c in categories) and len(set(categories)) == len(categories)
            fine = fine and (fill is None or fill in categories)
            encoder = Category(name, categories, fill)
    except (TypeError, KeyError, ValueError, IndexError) as error:
        raise _bad(where, f"{type(error).__name__}: {error}") from error
    if not (fine and isinstance(name, str) and name):
        raise _bad(where, f"{data!r:.200}")
    return encoder


def _scale(values: np.ndarray, scaling: str) -> tuple[float, float]:
    """What to subtract, then what to multiply by; a column that is constant is only shifted."""
    if scaling == "none":
        return 0.0, 1.0
    if scaling == "angle":
        low, width, whole = float(values.min()), float(np.ptp(values)), math.pi
    else:
        low, width, whole = float(values.mean()), float(values.std()), 1.0
        if width <= 1e-12 * abs(low):  # rounding of the mean, not a spread
            width = 0.0
    return low, whole / width if width > 0 else 1.0


def _refuse_almost_numbers(table: Table, column: Column) -> None:
    rows = column.almost_numbers()
    if len(rows):
        assert column.texts is not None
        problems = Problems(table)
        problems.add(rows, column.name, [f'"{column.texts[row]:.40}"' for row in rows])
        raise TableError(
            f'Column "{column.name}" of {table.source} must be all numbers, since most of it is; got {problems.count} '
            f"that are not: {problems.describe()}. Correct them (decimals have a point), leave them empty, or name "
            "the column in `categorical`."
        )


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _bad(where: str, got: str) -> TableError:
    return TableError(
        f"{where} of a preparation must be a number's scaling or a list of categories; got {got}. Save again."
    )
