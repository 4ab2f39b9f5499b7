"""What is wrong in a table, by row and column."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qnn.tasks.tables.table import Table

_SHOWN = 5


class Problems:
    """Entries that cannot be used, collected over columns and told in the order of rows.

    Example:
        >>> from qnn.tasks.tables.table import as_table
        >>> problems = Problems(as_table({"size": [1.0, float("nan"), 2.0]}))
        >>> problems.add([1], "size", "no value")
        >>> problems.count, problems.describe()
        (1, 'row 2, column "size": no value')
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._found: list[tuple[int, int, str, str]] = []  # row, order of column, column, what

    def add(self, rows: Sequence[int] | np.ndarray, column: str, what: str | Sequence[str]) -> None:
        """Note what is wrong in one column: the same in all rows, or one text each."""
        texts = [what] * len(rows) if isinstance(what, str) else what
        order = len(self._found)
        self._found += [(int(row), order, column, text) for row, text in zip(rows, texts, strict=True)]

    @property
    def count(self) -> int:
        """Number of entries."""
        return len(self._found)

    @property
    def rows(self) -> np.ndarray:
        """Rows concerned, from 0, each once, in order; (K,) int64."""
        return np.unique(np.array([row for row, *_ in self._found], dtype=np.int64))

    def lines(self, limit: int = _SHOWN) -> list[str]:
        """The first entries, and how many more there are."""
        shown = [
            f'{self._table.place(row)}, column "{column}": {text}'
            for row, _, column, text in sorted(self._found)[:limit]
        ]
        return shown + ([f"and {self.count - limit} more"] if self.count > limit else [])

    def describe(self, limit: int = _SHOWN) -> str:
        """The first entries in one line."""
        return "; ".join(self.lines(limit))
