"""Places to read from and to write to, looked at before anything is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qnn._files import check_writable
from qnn.errors import ArgumentError, DtypeError
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
