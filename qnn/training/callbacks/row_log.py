"""What the logs that are lines of text have in common: no line twice and none missing, whatever happens."""

from __future__ import annotations

import contextlib
import math
import os
from pathlib import Path
from typing import Any, BinaryIO

from qnn.errors import ArgumentError, DtypeError, StorageError, unknown_name
from qnn.training.callbacks.base import Callback, FitState


class RowLog(Callback):
    """A text file with one row per epoch or per step.

    A row is one line, on disk (flushed) before training goes on. A new run begins the file anew, at its first epoch;
    a resumed run cuts it back to the rows that the checkpoint knew, with whatever a crash left half-written.
    Only the main process writes.

    Args:
        path: the file; folders above it are made.
        every: "epoch" (rows are `state.record`) or "step" (rows are `step`, `epoch`, `loss` and `state.step_record`).

    Raises:
        ArgumentError: when training starts, `path` is something else than an earlier log, which would be overwritten.
        StorageError: the file cannot be written, or has lost rows that the checkpoint knew.
    """

    _header_lines = 0

    def __init__(self, path: str | Path, *, every: str = "epoch") -> None:
        if every not in ("epoch", "step"):
            raise unknown_name("rhythm of a log", every, ("epoch", "step"))
        self.path, self.every = Path(path), every
        self._file: BinaryIO | None = None
        self._rows, self._begun = 0, False

    def on_fit_start(self, state: FitState) -> None:
        """Make sure that the file can be written; nothing in it changes yet."""
        self._close()
        self._rows, self._begun = 0, False
        if state.is_main:
            self._open()
            self._refuse_foreign()

    def on_epoch_start(self, state: FitState) -> None:
        """Begin the file anew, unless the run goes on from a checkpoint."""
        self._begin()

    def on_step_end(self, state: FitState) -> None:
        """Write a row if there is one per step."""
        if self.every == "step":
            self._add({"step": state.step, "epoch": state.epoch, "loss": state.loss, **state.step_record})

    def on_epoch_end(self, state: FitState) -> None:
        """Write a row if there is one per epoch."""
        if self.every == "epoch":
            self._add(state.record)

    def on_fit_end(self, state: FitState) -> None:
        """Close the file."""
        self._close()

    def state_dict(self) -> dict[str, Any]:
        """How many rows there are; by then they are on the disk itself."""
        if self._file is not None:
            with self._storage():
                os.fsync(self._file.fileno())
        return {"rows": self._rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Cut the file back to the rows that the checkpoint knew."""
        self._rows = state["rows"]
        self._begin()

    # what a kind of file says

    def _line(self, row: dict[str, Any]) -> str:
        """The row as a line of text, without its end."""
        raise NotImplementedError

    def _is_log(self, first_line: str) -> bool:
        """Whether a file that starts with this line is a log of this kind."""
        raise NotImplementedError

    # the file

    def _add(self, row: dict[str, Any]) -> None:
        if self._file is None:
            return
        self._begin()
        line = self._line({key: _plain(key, value) for key, value in row.items()})
        with self._storage():
            self._file.write(line.encode() + b"\n")
            self._file.flush()
        self._rows += 1

    def _begin(self) -> None:
        """Cut the file to the rows known; once a run."""
        if self._file is None or self._begun:
            return
        self._begun = True
        n_lines = self._rows + self._header_lines if self._rows else 0
        with self._storage(), open(self.path, "rb") as file:
            n_found = n_bytes = 0
            for line in file:
                if n_found == n_lines or not line.endswith(b"\n"):
                    break
                n_found, n_bytes = n_found + 1, n_bytes + len(line)
        if n_found < n_lines:
            raise StorageError(
                f"`path` must hold the {self._rows} rows that the checkpoint knows; got "
                f'{max(0, n_found - self._header_lines)} in "{self.path}". Put the file back as it was, '
                "or leave this log out of `callbacks`."
            )
        with self._storage():
            self._file.truncate(n_bytes)

    def _open(self) -> None:
        with self._storage():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "ab")  # noqa: SIM115 (open for as long as the run)

    def _close(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError), self._file:  # every row was flushed, or has raised
                os.fsync(self._file.fileno())
            self._file = None

    def _refuse_foreign(self) -> None:
        with self._storage(), open(self.path, "rb") as file:
            first = file.readline(100_000)
        if first.endswith(b"\n") and not self._is_log(first.decode(errors="replace").rstrip("\r\n")):
            self._close()
            raise ArgumentError(
                f'`path` must be new or an earlier log, which a new run overwrites; got "{self.path}", which starts '
                f"with {first[:40].decode(errors='replace')!r}. Choose another path."
            )

    @contextlib.contextmanager
    def _storage(self) -> Any:
        try:
            yield
        except OSError as error:
            raise StorageError(
                f'`path` must be a file that can be written; "{self.path}" cannot: {error.strerror or error}. '
                "Free some space or choose another path."
            ) from error


def _plain(key: str, value: Any) -> Any:
    """A value that JSON takes: tensors and arrays become numbers and lists, NaN and infinity None."""
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, dict):
        return {str(name): _plain(key, entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(key, entry) for entry in value]
    if hasattr(value, "tolist"):  # tensors, arrays and NumPy's scalars
        return _plain(key, value.tolist())
    raise DtypeError(
        f'An entry of a record must be numbers, text, lists or dictionaries; got {type(value).__name__} for "{key}". '
        "Put a plain value there."
    )
