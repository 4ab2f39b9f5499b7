"""Reading a table from a file: the suffix says how. Adding a kind of file is a row of `READERS`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from qnn.errors import TableError
from qnn.tasks.tables.arrays import read_numpy
from qnn.tasks.tables.column import Column
from qnn.tasks.tables.csv_file import read_csv
from qnn.tasks.tables.table import Table, array_column, as_table, check_names, make_table


def read_table(data: Any) -> Table:
    """A table from a file (.csv, .tsv, .txt, .parquet, .npy, .npz), a DataFrame or a dictionary of columns.

    Args:
        data: the file's name, or the columns themselves.

    Raises:
        TableError: there is no such file, or it cannot be read; the message says where.
    """
    if not isinstance(data, str | Path):
        return as_table(data)
    path = Path(data)
    if path.suffix.lower() not in READERS:
        raise TableError(
            f'`data` must be a file ending in {", ".join(READERS)}; got "{data}". Convert it, for example to CSV.'
        )
    try:
        return READERS[path.suffix.lower()](path)
    except OSError as error:
        raise TableError(
            f'`data` must be a file that can be read; got "{path}": {error.strerror or error}. Check the name.'
        ) from error


def _read_parquet(path: Path) -> Table:
    """A table from a Parquet file; pandas' own index columns are left out."""
    try:
        with path.open("rb") as file:
            table = pq.read_table(file)
    except pa.ArrowException as error:
        raise TableError(
            f"{path.name} must be a Parquet file; got something else or a part of one ({error}). Write it again."
        ) from error
    names = [name for name in table.column_names if not name.startswith("__index_level_")]
    check_names(path.name, names)
    return make_table(path.name, (_arrow_column(name, table.column(name)) for name in names))


def _arrow_column(name: str, values: pa.ChunkedArray) -> Column:
    """Arrow's numbers as float64, its texts, booleans and categories as texts; nulls are missing."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
        values = values.cast(kind)
    if pa.types.is_decimal(kind):
        values = values.cast(pa.float64())
    elif not (_is_number(kind) or _is_text(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind)):
        return Column(name, None, np.full(len(values), None), f"the type {kind}")
    if _is_number(kind) and values.null_count == 0:
        return array_column(name, values.to_numpy())
    return array_column(name, np.array(values.to_pylist(), dtype=object))


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


READERS: dict[str, Callable[[Path], Table]] = {
    ".csv": read_csv,
    ".tsv": read_csv,
    ".txt": read_csv,
    ".parquet": _read_parquet,
    ".npy": read_numpy,
    ".npz": read_numpy,
}
