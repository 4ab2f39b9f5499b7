"""Writing files so that a crash or a full disk leaves the old content or the new, never half."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from qnn.errors import StorageError


def write_atomic(path: str | Path, content: str | bytes) -> Path:
    """Write `content` to `path` by way of a temporary file in the same folder.

    Raises:
        StorageError: the file could not be written; `path` is as it was before.
    """
    target = Path(path)
    data = content.encode() if isinstance(content, str) else content
    temporary = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    except BaseException as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        if not isinstance(error, OSError):
            raise
        raise StorageError(
            f'`path` must be writable; writing "{target}" failed: {error.strerror or error}. '
            "Free some space or choose another folder; what was there before is untouched."
        ) from error
    return target


def check_writable(path: str | Path, argument: str) -> None:
    """Refuse a place that cannot be written to, before what is to be written is made; folders on the way may be new.

    Raises:
        StorageError: there is no folder to write to, or no file can be made in it.
    """
    folder = Path(path).absolute().parent
    try:
        while not os.path.lexists(folder) and folder != folder.parent:
            folder = folder.parent
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StorageError(
            f'`{argument}` must be where a file can be written; got "{path}": {error.strerror or error} ("{folder}"). '
            "Choose another folder."
        ) from error
