"""Reading NumPy files: .npy and .npz, never pickles."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from qnn.errors import TableError
from qnn.tasks.tables.column import Column
from qnn.tasks.tables.table import Table, array_column, make_table


def read_numpy(path: Path) -> Table:
    """A table from one array or from several with names.

    A structured array has its field names; otherwise an array (N,) is a column of its own name, and (N, K) the
    columns name0 to name{K-1}. The array of a .npy file is called "x".
    """
    columns: list[Column] = []
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return make_table(path.name, _columns(path.name, "x", loaded))
        with loaded as archive:
            for name in archive.files:
                columns += _columns(path.name, name, archive[name])
    except TableError:
        raise
    except (ValueError, EOFError, OSError, KeyError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise _unreadable(path, error) from error
    return make_table(path.name, columns)


def _columns(source: str, name: str, array: np.ndarray) -> Iterator[Column]:
    """The columns of one array."""
    if array.dtype.names:
        for field in array.dtype.names:
            yield array_column(field, array[field])
    elif array.ndim == 1:
        yield array_column(name, array)
    elif array.ndim == 2:
        for index in range(array.shape[1]):
            yield array_column(f"{name}{index}", array[:, index])
    else:
        raise TableError(
            f'Array "{name}" of {source} must have shape (N,) or (N, K); got {array.shape}. Flatten its rows first.'
        )


def _unreadable(path: Path, error: Exception) -> TableError:
    if "allow_pickle" in str(error):
        reason = "Python objects, which only a pickle can hold"
        return TableError(f"{path.name} must hold numbers or texts; got {reason}. Save columns with numpy.savez.")
    kind = path.suffix.lstrip(".")
    return TableError(
        f"{path.name} must be a NumPy {kind} file; got something else or a part of one ({error}). Write it again."
    )
