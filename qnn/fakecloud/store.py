"""Jobs in a file of JSON lines, so that they outlive the service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any

from qnn.errors import StorageError


class Store:
    """What happened to jobs, a line each; what is appended is with the operating system before `append` returns.

    Args:
        path: the file, made if need be; None keeps nothing.
    """

    def __init__(self, path: str | Path | None) -> None:
        self._lock = Lock()
        self._file = None
        self._events: list[dict[str, Any]] = []
        if path is None:
            return
        try:
            whole = self._read(Path(path))
            self._file = open(path, "r+b" if Path(path).exists() else "wb")  # noqa: SIM115
            self._file.truncate(whole)  # half a line, of a service that was killed
            self._file.seek(whole)
        except OSError as error:
            raise StorageError(
                f'`store` must be a file that can be written to; "{path}" cannot: {error.strerror or error}. '
                "Choose another one."
            ) from error
        except ValueError as error:
            raise StorageError(
                f'`store` must be a file of jobs; "{path}" is another or a damaged one: {error}. Choose a new one.'
            ) from error

    def _read(self, path: Path) -> int:
        """Read whole lines; returns their bytes."""
        whole = 0
        if path.exists():
            for line in path.read_bytes().splitlines(keepends=True):
                if line.endswith(b"\n"):
                    self._events.append(json.loads(line))
                    whole += len(line)
        return whole

    def events(self) -> Iterator[dict[str, Any]]:
        """What was in the file, once."""
        while self._events:
            yield self._events.pop(0)

    def append(self, event: dict[str, Any]) -> None:
        """Write one line."""
        if self._file is None:
            return
        with self._lock:
            self._file.write(json.dumps(event).encode() + b"\n")
            self._file.flush()
