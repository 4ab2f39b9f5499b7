"""A table: named columns of equal length, wherever they came from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from qnn.errors import TableError, unknown_name
from qnn.tasks.tables.column import EXACT, Column, number_text


@dataclass(frozen=True, eq=False)
class Table:
    """Named columns.

    Attributes:
        source: what messages call it: a file's name.
        columns: by name, in the order of the file.
        n_rows: rows of every column.
        lines: (N,) line of a text file at which each row starts, from 1; None for other sources.
        numbers: (N,) row numbers that messages use, from 1; None counts the rows.

    Example:
        >>> table = as_table({"size": [1.5, 2.0], "colour": ["red", None]})
        >>> table.names, table.n_rows, table.column("size").numbers
        (['size', 'colour'], 2, array([1.5, 2. ]))
    """

    source: str
    columns: dict[str, Column]
    n_rows: int
    lines: np.ndarray | None = None
    numbers: np.ndarray | None = None

    @property
    def names(self) -> list[str]:
        """Names of the columns."""
        return list(self.columns)

    def column(self, name: str) -> Column:
        """The column of that name.

        Raises:
            UnknownNameError: there is none.
            TableError: it holds neither numbers nor texts.
        """
        if name not in self.columns:
            if len(self.columns) > 50:
                raise TableError(f'{self.source} has no column "{name}" among its {len(self.columns)}. Check the name.')
            raise unknown_name(f"column of {self.source}", name, self.columns)
        column = self.columns[name]
        if column.unusable is not None:
            raise TableError(
                f'Column "{name}" of {self.source} must hold numbers or texts; got {column.unusable}. '
                "Convert it, or leave it out with `features`."
            )
        return column

    def place(self, row: int) -> str:
        """How to call a row, counted from 0, in messages: "row 3 (line 4)", both counted from 1."""
        number = row + 1 if self.numbers is None else self.numbers[row]
        return f"row {number}" + ("" if self.lines is None else f" (line {self.lines[row]})")

    def select(self, rows: np.ndarray) -> Table:
        """The given rows (K,), called as they are called here."""
        numbers = np.arange(1, self.n_rows + 1) if self.numbers is None else self.numbers
        lines = None if self.lines is None else self.lines[rows]
        columns = {name: column.select(rows) for name, column in self.columns.items()}
        return Table(self.source, columns, len(rows), lines, numbers[rows])


def make_table(source: str, columns: Iterable[Column], lines: np.ndarray | None = None) -> Table:
    """A table of columns, checked: names that are given and differ, columns of equal length, at least one row."""
    listed = list(columns)
    check_names(source, [column.name for column in listed])
    lengths = {column.name: _length(column) for column in listed}
    n_rows = next(iter(lengths.values()), 0)
    odd = next((name for name, length in lengths.items() if length not in (n_rows, -1)), None)
    if odd is not None:
        raise TableError(
            f'Columns of {source} must have equally many rows; got {n_rows} in "{listed[0].name}" and {lengths[odd]} '
            f'in "{odd}". Leave out what is no column.'
        )
    if n_rows == 0:
        raise TableError(f"{source} must hold at least one row of data; got none. Check that it is the right file.")
    return Table(source, {column.name: column for column in listed}, n_rows, lines)


def check_names(source: str, names: list[str]) -> None:
    """Raise for columns without a name, or with the name of another."""
    empty = [number for number, name in enumerate(names, 1) if not name]
    if empty:
        raise TableError(
            f"Every column of {source} must have a name; got none for column {empty[0]} of {len(names)}. Name it, or "
            "leave it out: pandas writes its index so, unless told index=False."
        )
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    twice = [f'"{name}" ({count} times)' for name, count in counts.items() if count > 1]
    if twice:
        shown = ", ".join(twice[:5]) + (f" and {len(twice) - 5} more" if len(twice) > 5 else "")
        raise TableError(f"Columns of {source} must have different names; got {shown}. Rename all but one.")


def as_table(data: Any, source: str = "data") -> Table:
    """A table of a mapping from names to values, such as a dictionary or a pandas DataFrame.

    Raises:
        TableError: it is none.
    """
    if isinstance(data, Table):
        return data
    if not (hasattr(data, "keys") and hasattr(data, "__getitem__")):
        raise TableError(
            f"`{source}` must be a file's name, a Table, a DataFrame or a dictionary of columns; got "
            f"{type(data).__name__}. Name the columns, for example with dict(zip(names, x.T))."
        )
    names = list(data.keys())
    check_names(source, [str(name) for name in names])
    return make_table(source, (array_column(str(name), np.asarray(data[name])) for name in names))


def array_column(name: str, values: np.ndarray) -> Column:
    """A column of an array (N,): numbers as float64, booleans and texts as texts, None and NaN missing."""
    if values.ndim != 1:
        return Column(name, None, np.full(len(values) if values.ndim else 0, None), f"shape {values.shape}")
    if values.dtype.kind in "iu" and len(values) and np.abs(values.astype(np.float64)).max() >= EXACT:
        values = values.astype(str)  # float64 would make one of several
    if values.dtype.kind in "iuf":
        return Column(name, values.astype(np.float64), None)
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "replace")
    if values.dtype.kind in "bU":
        return Column(name, None, _texts(values.tolist()))
    if values.dtype.kind == "O":
        return _object_column(name, values.tolist())
    return Column(name, None, np.full(len(values), None), f"dtype {values.dtype}")


def _object_column(name: str, values: list[Any]) -> Column:
    """Python objects: numbers if all that are there are numbers, texts if they are texts and numbers."""
    present = [value for value in values if not _absent(value)]
    numeric = [isinstance(value, int | float | np.number) and not isinstance(value, bool) for value in present]
    if all(numeric) and not any(isinstance(v, int) and abs(v) >= EXACT for v in present):
        return Column(name, np.array([np.nan if _absent(v) else float(v) for v in values]), None)
    other = next((v for v in present if not isinstance(v, str | bool | np.bool_ | int | float | np.number)), None)
    if other is not None:
        return Column(name, None, np.full(len(values), None), f"objects such as {other!r:.60}")
    return Column(name, None, _texts([None if _absent(v) else v for v in values]))


def _texts(values: list[Any]) -> np.ndarray:
    words = [
        None if v is None else (number_text(v) if isinstance(v, float) else str(v).strip() or None) for v in values
    ]
    return np.array(words, dtype=object)


def _absent(value: Any) -> bool:
    """None, NaN, and pandas' NA and NaT: what is not equal to itself."""
    if value is None:
        return True
    try:
        return bool(value != value)
    except (TypeError, ValueError):  # pandas.NA has no truth value
        return True


def _length(column: Column) -> int:
    values = column.texts if column.numbers is None else column.numbers
    assert values is not None
    return len(values)
