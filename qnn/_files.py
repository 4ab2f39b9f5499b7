"""Writing files so that a crash or a full disk leaves the old content or the new, never half."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from qnn.errors import StorageError


def write_atomic(path: str | Path, content: str | bytes) -> Path:
    """Write `content` to `path` by way of a temporary file in the same folder.

    Raises:
        StorageError: the file could not be written; `path` is as it was before.
    """
    target = Path(path)
    _written(target, content, _replaced)
    return target


def create_atomic(path: str | Path, content: str | bytes) -> bool:
    """Write as `write_atomic`, if nothing is there; whether it did. Of several processes one does.

    Raises:
        StorageError: the file could not be written.
    """
    return _written(Path(path), content, _linked)


def _written(target: Path, content: str | bytes, put: Callable[[str, Path], bool]) -> bool:
    """What `put` says when it has put a temporary file with the content in its place."""
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
        done = put(temporary, target)
    except BaseException as error:
        if temporary is not None:
            _remove(temporary)
        if not isinstance(error, OSError):
            raise
        raise StorageError(
            f'`path` must be writable; writing "{target}" failed: {error.strerror or error}. '
            "Free some space or choose another folder; what was there before is untouched."
        ) from error
    _sync(target.parent)
    return done


def _replaced(temporary: str, target: Path) -> bool:
    os.replace(temporary, target)
    return True


def _linked(temporary: str, target: Path) -> bool:
    """Give the file its name, unless that is taken."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        return False
    except OSError:  # a file system without links
        return _renamed(temporary, target)
    finally:
        _remove(temporary)
    return True


def _renamed(temporary: str, target: Path) -> bool:
    """The same among processes that do the same, by a lock on the folder."""
    import fcntl

    descriptor = os.open(target.parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return not target.exists() and _replaced(temporary, target)
    finally:
        os.close(descriptor)


def _remove(temporary: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(temporary)


def _sync(folder: Path) -> None:
    """Have the name on the disk too, where the file system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


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
