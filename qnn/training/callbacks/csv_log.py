"""A log that spreadsheets and pandas read."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from qnn._files import write_atomic
from qnn.training.callbacks.base import FitState
from qnn.training.callbacks.row_log import RowLog


class CSVLog(RowLog):
    """Writes a CSV file, a line per epoch or per step below one of column names; see `RowLog` for crashes and resumes.

    Numbers are written so that reading them gives the same bits; None, NaN and infinity are empty cells, lists and
    dictionaries JSON. An entry that first appears later becomes a column, empty in the rows before.
    Callbacks that add entries come before this one.

    Args:
        path: the file, such as "runs/a/epochs.csv".
        every: "epoch": rows are `state.record`, with what callbacks added. "step": rows are `step` (from 0), `epoch`,
            `loss` and the entries of `state.step_record` (`GradientNorms`, `UsageLog`).

    Example:
        >>> CSVLog("runs/a/epochs.csv").every
        'epoch'
    """

    _header_lines = 1

    def __init__(self, path: str | Path, *, every: str = "epoch") -> None:
        super().__init__(path, every=every)
        self._columns: list[str] = []

    def on_fit_start(self, state: FitState) -> None:
        """Make sure that the file can be written; nothing in it changes yet."""
        super().on_fit_start(state)
        self._columns = []

    def _begin(self) -> None:
        super()._begin()
        if self._rows and not self._columns:
            with self._storage():
                self._columns = _cells(self.path.read_text().partition("\n")[0])

    def _add(self, row: dict[str, Any]) -> None:
        if self._file is not None:
            self._begin()
            self._widen([key for key in row if key not in self._columns])
        super()._add(row)

    def _line(self, row: dict[str, Any]) -> str:
        return _joined([row.get(column) for column in self._columns])

    def _is_log(self, first_line: str) -> bool:
        return "epoch" in _cells(first_line)

    def _widen(self, new: list[str]) -> None:
        """Write the line of column names; rows that are there get empty cells in new columns."""
        if not new:
            return
        with self._storage():
            rows = self.path.read_text().splitlines()[1:]
        self._columns = [*self._columns, *new]
        self._close()
        lines = [_joined(self._columns), *(row + "," * len(new) for row in rows)]
        write_atomic(self.path, "".join(f"{line}\n" for line in lines))
        self._open()


def _joined(values: list[Any]) -> str:
    """Cells as one line without its end."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow([_cell(value) for value in values])
    return text.getvalue()


def _cell(value: Any) -> Any:
    """What a cell shows; text that would break the line is written as JSON."""
    is_text = isinstance(value, str)
    if isinstance(value, dict | list) or (is_text and len(value.splitlines()) > 1):
        return json.dumps(value, allow_nan=False)
    return value


def _cells(line: str) -> list[str]:
    return next(csv.reader([line]), [])
