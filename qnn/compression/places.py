"""Places to read from and to write to, looked at before anything is made."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from qnn.errors import ArgumentError, DtypeError, StorageError
from qnn.models.bundle.archive import target_of


def check_places(path: Any, out: Any, onnx: Any, data: Any) -> None:
    """Refuse places of a bundle to read, a bundle to write and an ONNX file, which is checked on `data`.

    Raises:
        DtypeError, ArgumentError: no paths, or places of something else.
        StorageError: nothing can be written there.
    """
    if not isinstance(path, str | Path):
        raise DtypeError(f"`path` must be a path; got {type(path).__name__}. Use a string.")
    target = target_of(out, "out")
    if Path(path).resolve() == target:
        raise ArgumentError(f'`out` must be another place than the bundle that is read; got "{out}" for both.')
    check_writable(target, "out")
    if onnx is None:
        return
    if not isinstance(onnx, str | Path):
        raise DtypeError(f"`onnx` must be a path; got {type(onnx).__name__}. Use a string.")
    if data is None:
        raise ArgumentError(
            "`data` must be given to write an ONNX file, which is checked on rows; got None. Give some."
        )
    if Path(onnx).is_dir():
        raise ArgumentError(f'`onnx` must be a file; got the folder "{onnx}". Name a file in it.')
    if Path(onnx).resolve() in (target, Path(path).resolve()):
        raise ArgumentError(f'`onnx` must be another place than the bundles; got "{onnx}". Use "model.onnx".')
    check_writable(onnx, "onnx")


def check_writable(path: str | Path, argument: str) -> None:
    """Refuse a file that cannot be written; folders on the way to it may be new.

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
