"""A file of JSON objects, one a line, that a crash or a full disk cannot spoil.

A line is written by one write and one fsync; a line torn by a crash is the last one and has no
newline, so it is told apart from a finished one and dropped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from qnn._files import write_atomic
from qnn.errors import RecordError, StorageError


def to_line(data: dict[str, Any]) -> str:
    """One JSON object as a line; NaN and infinity are refused."""
    return json.dumps(data, allow_nan=False, ensure_ascii=True, separators=(", ", ": ")) + "\n"


class JsonLines:
    """A file of JSON objects, one a line, that survives a crash at any moment.

    Args:
        path: the file; it need not exist.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def read(self) -> list[dict[str, Any]]:
        """All complete lines; a last line without a newline was torn by a crash and is left out.

        Raises:
            RecordError: a complete line is not JSON.
        """
        if not self.path.exists():
            return []
        rows = []
        for number, line in enumerate(self._complete().splitlines(), start=1):
            try:
                rows.append(json.loads(line))
            except ValueError as error:
                raise RecordError(
                    f'line {number} of "{self.path}" must be JSON; {error}. Move the file away and run the study again.'
                ) from error
        return rows

    def repair(self) -> bool:
        """Cut off a torn last line; True when there was one.

        Raises:
            StorageError: the file cannot be changed.
        """
        if not self.path.exists():
            return False
        complete = self._complete()
        torn = self.path.stat().st_size != len(complete)
        if torn:
            try:
                os.truncate(self.path, len(complete))
            except OSError as error:
                raise _unwritable(self.path, error) from error
        return torn

    def append(self, row: dict[str, Any]) -> None:
        """Add one line, on the disk when this returns.

        Raises:
            StorageError: it could not be written; the file is as it was before.
        """
        data = to_line(row).encode()
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o644)
        except OSError as error:
            raise _unwritable(self.path, error) from error
        size = os.fstat(descriptor).st_size
        try:
            written = os.write(descriptor, data)
            if written < len(data):  # a nearly full disk takes a part; writing the rest says why
                os.write(descriptor, data[written:])
            os.fsync(descriptor)
        except OSError as error:
            os.ftruncate(descriptor, size)
            raise _unwritable(self.path, error) from error
        finally:
            os.close(descriptor)

    def rewrite(self, rows: Iterable[dict[str, Any]]) -> None:
        """Replace the whole content at once; nothing is touched when it is the same.

        Raises:
            StorageError: it could not be written; the file is as it was before.
        """
        content = "".join(map(to_line, rows)).encode()
        if not self.path.exists() or self.path.read_bytes() != content:
            write_atomic(self.path, content)

    def _complete(self) -> bytes:
        content = self.path.read_bytes()
        return content[: content.rfind(b"\n") + 1]


def _unwritable(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f'`out` must be writable; appending to "{path}" failed: {error.strerror or error}. '
        "Free some space and run the same command again; what was there before is untouched."
    )
