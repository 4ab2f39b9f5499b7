"""From columns to features: numbers scaled, categories one-hot; learnt from training rows and kept as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qnn.errors import ArgumentError, TableError, unknown_name
from qnn.tasks.tables.encoders import Category, Encoder, Number, encoder_from_json, learn_category, learn_number
from qnn.tasks.tables.problems import Problems
from qnn.tasks.tables.table import Table

SCALINGS = ("standard", "angle", "none")
MISSING = ("error", "drop", "fill")


@dataclass(frozen=True)
class Prepared:
    """Features of a table's rows, and what could not be turned into them.

    Attributes:
        x: (N, D) float64; 0 in the features of entries that are in `missing` or `unseen`.
        missing: entries without a value (or an infinite one, or a text where numbers are needed).
        unseen: entries whose category no training row had.
    """

    x: np.ndarray
    missing: Problems
    unseen: Problems


@dataclass(frozen=True)
class Preparation:
    """How the columns of a table become features, in order of the columns.

    Example:
        >>> from qnn.tasks.tables import read_table
        >>> table = read_table({"size": [1.0, 3.0], "colour": ["red", "blue"]})
        >>> preparation = Preparation.learn(table, ["size", "colour"], np.arange(2))
        >>> preparation.feature_names
        ['size', 'colour=blue', 'colour=red']
        >>> preparation(table).x.tolist()
        [[-1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]
    """

    encoders: tuple[Encoder, ...]

    @classmethod
    def learn(
        cls,
        table: Table,
        features: Sequence[str],
        rows: np.ndarray,
        *,
        categorical: Sequence[str] = (),
        scaling: str = "standard",
        missing: str = "error",
        max_categories: int = 50,
        groups: int | None = None,
    ) -> Preparation:
        """Learn from the given rows.

        Args:
            table: the columns.
            features: names of the columns to use.
            rows: (K,) row numbers to learn from: the training part.
            categorical: columns whose numbers are names, such as postcodes.
            scaling: of numbers: "standard" (mean 0, deviation 1), "angle" (smallest to largest becomes 0 to π, and
                what lies outside is clipped), or "none".
            missing: "fill" puts the median, or the most frequent category, where there is no value.
            max_categories: columns of texts with more are refused.
            groups: all numbers share one mean and deviation (or range) in this many groups of equally many columns,
                such as the channels of an image; None scales each column for itself.

        Raises:
            ArgumentError, UnknownNameError: an option that cannot be used, or no such column.
            TableError: a column that cannot be a feature; the message names it.
        """
        for name, value, known in (("scaling", scaling, SCALINGS), ("missing", missing, MISSING)):
            if value not in known:
                raise unknown_name(f"`{name}`", value, known)
        if not features:
            raise ArgumentError("`features` must name at least one column; got none. Leave it out to use all.")
        stray = [name for name in categorical if name not in features]
        if stray:
            raise ArgumentError(f'`categorical` must name features; got "{stray[0]}". Add it to `features`.')
        encoders: list[Encoder] = []
        for name in features:
            column = table.column(name)
            if column.is_number and name not in categorical:
                encoders.append(learn_number(column, rows, scaling, fill=missing == "fill"))
            else:
                limit = None if name in categorical else max_categories
                encoders.append(learn_category(table, column, rows, limit, fill=missing == "fill"))
        if groups is not None:
            encoders = _in_groups(encoders, np.stack([table.column(n).numbers[rows] for n in features]), groups)  # type: ignore[index]
        return cls(tuple(encoders))

    @property
    def columns(self) -> list[str]:
        """Names of the columns that are read."""
        return [encoder.name for encoder in self.encoders]

    @property
    def feature_names(self) -> list[str]:
        """D names: a column's own for a number, "column=category" for categories."""
        return [name for encoder in self.encoders for name in encoder.feature_names]

    def __call__(self, table: Table) -> Prepared:
        """The features of all rows of a table that has the columns, among others, in any order.

        Raises:
            TableError: columns are lacking, or hold texts where numbers are needed and no number at all.
        """
        lacking = [name for name in self.columns if name not in table.columns]
        if lacking:
            shown = ", ".join(f'"{name}"' for name in lacking[:5])
            more = f" and {len(lacking) - 5} more" if len(lacking) > 5 else ""
            raise TableError(
                f"{table.source} must have the columns that the model was trained on; it lacks {shown}{more}. "
                "Columns go by name, in any order."
            )
        missing, unseen = Problems(table), Problems(table)
        x = np.zeros((table.n_rows, len(self.feature_names)))
        start = 0
        for encoder in self.encoders:
            stop = start + len(encoder.feature_names)
            encoder.encode(table.column(encoder.name), x[:, start:stop], missing, unseen)
            start = stop
        return Prepared(x, missing, unseen)

    def to_json(self) -> list[dict[str, Any]]:
        """Plain data, one entry a column."""
        return [encoder.to_json() for encoder in self.encoders]

    @classmethod
    def from_json(cls, data: Any) -> Preparation:
        """The preparation of what `to_json` gave, checked.

        Raises:
            TableError: an entry is not what it should be; the message names it.
        """
        if not isinstance(data, list) or not data:
            raise TableError(f"A preparation must be a list of columns; got {data!r:.60}. Save the model again.")
        encoders = tuple(encoder_from_json(entry, f"column {number}") for number, entry in enumerate(data, 1))
        names = [encoder.name for encoder in encoders]
        if len(set(names)) < len(names):
            raise TableError("A preparation must name each column once; got one twice. Save the model again.")
        return cls(encoders)


def _in_groups(encoders: list[Encoder], values: np.ndarray, groups: int) -> list[Encoder]:
    """Numbers with the mean and deviation of their group; `values` (D, K) are those learnt from."""
    size = len(encoders) // groups
    shared: list[Encoder] = []
    for group in range(groups):
        block = values[group * size : (group + 1) * size]
        for encoder in encoders[group * size : (group + 1) * size]:
            assert isinstance(encoder, Number)
            shared.append(encoder.rescaled(block))
    return shared


__all__ = ["MISSING", "SCALINGS", "Category", "Number", "Preparation", "Prepared"]
