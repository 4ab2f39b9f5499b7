"""A bundle as a folder or a zip: entries of a closed list of names, read with limits, written whole or not at all."""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import re
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from qnn._files import write_atomic
from qnn.errors import ArgumentError, BundleError, DtypeError, StorageError
from qnn.models.bundle.fields import MAX_JSON_BYTES, refusal
from qnn.models.bundle.tensors import foreign

MANIFEST = "bundle.json"
NAMES = re.compile(r"bundle\.json|weights\.safetensors|circuit_[0-9]{1,6}\.qasm|angle_map_[0-9]{1,6}\.json")
_MAX_RATIO = 200  # of an entry's size to what it takes in the zip
_ALWAYS = 2**20  # bytes that an entry may have whatever the ratio
_MAX_ENTRIES = 100_000
_EPOCH = (1980, 1, 1, 0, 0, 0)  # equal bundles are equal bytes
_AT_FDCWD, _EXCHANGE = -100, 2  # of Linux: linux/fs.h


class Source:
    """Files by name, as they are asked for.

    Attributes:
        sizes: bytes of each file; only names of the closed list.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.sizes = {name: len(content) for name, content in files.items()}
        self._files = files

    def read(self, name: str) -> bytes:
        """The content of a file that is in `sizes`."""
        return self._files[name]


class _Folder(Source):
    """A folder; files in it that belong to no bundle are left alone, links are refused."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self.sizes = {}
        for name in os.listdir(path):
            if NAMES.fullmatch(name):
                found = os.lstat(path / name)
                if not stat.S_ISREG(found.st_mode):
                    kind = "a link" if stat.S_ISLNK(found.st_mode) else "something else"
                    raise refusal(name, "be a file of the bundle itself", kind)
                self.sizes[name] = found.st_size
        _check_total(self.sizes, max_bytes)

    def read(self, name: str) -> bytes:
        with _explained(self._path):
            descriptor = os.open(self._path / name, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
            with os.fdopen(descriptor, "rb") as file:
                return file.read(self.sizes[name] + 1)


class _Zip(Source):
    """A zip without folders in it."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, max_bytes: int) -> None:
        self._path, self._archive = path, archive
        entries = archive.infolist()
        if len(entries) > _MAX_ENTRIES:
            raise refusal("path", f"have at most {_MAX_ENTRIES:,} entries", f"{len(entries):,}")
        self.sizes = {}
        for entry in entries:
            _check_entry(entry, self.sizes)
            self.sizes[entry.filename] = entry.file_size
        _check_total(self.sizes, max_bytes)

    def read(self, name: str) -> bytes:
        with _explained(self._path), self._archive.open(name) as file:
            return file.read(self.sizes[name] + 1)


@contextlib.contextmanager
def opened(path: Path, max_bytes: int) -> Iterator[Source]:
    """The files of the bundle at `path`.

    Raises:
        BundleError: no bundle there, or one that holds what no bundle holds.
    """
    with contextlib.ExitStack() as stack:
        with _explained(path):
            if path.is_dir():
                source: Source = _Folder(path, max_bytes)
            else:
                _check_file(path)
                source = _Zip(path, stack.enter_context(zipfile.ZipFile(path)), max_bytes)
        yield source


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """What the system and `zipfile` raise while reading, as our error."""
    try:
        yield
    except BundleError:
        raise
    except OSError as error:
        reason = error.strerror or error
        raise BundleError(f'`path` must be readable; reading "{path}" failed: {reason}. Check the path.') from error
    except _ZIP_ERRORS as error:
        raise refusal("path", "be a whole zip", f'"{path.name}", which is damaged ({error})') from error


# What `zipfile` raises for damaged archives, by reading its source: encrypted entries are a RuntimeError, unknown
# methods a NotImplementedError (a RuntimeError, too), and sizes or names that make no sense the others.
_ZIP_ERRORS = (
    zipfile.BadZipFile, zipfile.LargeZipFile, RuntimeError, ValueError, EOFError, LookupError, OverflowError,
    struct.error, zlib.error,
)  # fmt: skip


def _check_file(path: Path) -> None:
    """Refuse what is no zip, by its first bytes; devices and pipes are not opened."""
    if not path.exists():
        raise BundleError(f'`path` must be a bundle; got "{path}", which does not exist. Check the path.')
    if not path.is_file():
        raise refusal("path", "be a folder or a zip", f'"{path.name}", which is neither', "Check the path.")
    with open(path, "rb") as file:
        start = file.read(16)
    if start[:4] not in (b"PK\x03\x04", b"PK\x05\x06"):
        kind = foreign(start) or "safetensors alone"
        advice = "Nothing of it was executed. Save the model with qnn.save."
        raise refusal("path", "be a bundle, a folder or a zip", f'"{path.name}", which is {kind}', advice)


def _check_entry(entry: zipfile.ZipInfo, seen: Mapping[str, int]) -> None:
    name = entry.orig_filename
    if not NAMES.fullmatch(name) or name != entry.filename:
        advice = "A bundle has no folders and no files but its own."
        if name.rpartition("/")[2] == MANIFEST:
            advice = "Zip the files themselves, not the folder that they are in."
        raise refusal("path", "hold the files of a bundle only", f"the entry {name[:80]!r}", advice)
    if name in seen:
        raise refusal("path", "hold each file once", f'"{name}" again')
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
        raise refusal("path", "hold plain files", f'"{name}", which is a link or a device')
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise refusal("path", "be stored or deflated", f'method {entry.compress_type} for "{name}"')
    if entry.file_size > max(_ALWAYS, _MAX_RATIO * entry.compress_size):
        got = f'"{name}", {entry.file_size:,} bytes out of {entry.compress_size:,}: a zip bomb'
        raise refusal("path", f"be compressed at most {_MAX_RATIO} times", got)


def _check_total(sizes: Mapping[str, int], max_bytes: int) -> None:
    if sum(sizes.values()) > max_bytes:
        advice = "Give a larger `max_bytes` if you trust where it comes from."
        raise refusal("path", f"be at most {max_bytes:,} bytes", f"{sum(sizes.values()):,}", advice)
    for name, size in sizes.items():
        if name.endswith(".json") and size > MAX_JSON_BYTES:
            raise refusal(name, f"be at most {MAX_JSON_BYTES:,} bytes", f"{size:,}")


def target_of(path: str | Path, argument: str = "path") -> Path:
    """Where to write, links followed; errors call the path as `argument`.

    Raises:
        DtypeError: `path` is no path.
        ArgumentError: something is there that is not a bundle.
    """
    if not isinstance(path, str | Path):
        raise DtypeError(f"`{argument}` must be a path; got {type(path).__name__}. Use a string.")
    target = Path(os.path.realpath(path))
    if target.name.lower().endswith(".zip"):
        if target.exists() and not _is_bundle_zip(target):
            raise ArgumentError(
                f'`{argument}` must be free or a bundle; got "{path}", which is another file. Rename it.'
            )
    elif target.is_dir():
        strange = [name for name in os.listdir(target) if not NAMES.fullmatch(name)]
        empty = not os.listdir(target)
        if strange or not (empty or (target / MANIFEST).is_file()):
            got = f'"{path}", a folder that holds "{min(strange)}"' if strange else f'"{path}", another folder'
            raise ArgumentError(f"`{argument}` must be free or a bundle, which is replaced; got {got}. Choose another.")
    elif target.exists():
        raise ArgumentError(f'`{argument}` must end in ".zip" or be a folder; got "{path}", a file. Choose another.')
    return target


def _is_bundle_zip(target: Path) -> bool:
    try:
        with zipfile.ZipFile(target) as archive:
            names = archive.namelist()
    except (OSError, *_ZIP_ERRORS):
        return False
    return MANIFEST in names and all(NAMES.fullmatch(name) for name in names)


def write(target: Path, files: Mapping[str, bytes]) -> None:
    """Put a bundle where `target_of` allows it: a reader finds the old one, or the new one whole.

    Raises:
        StorageError: it could not be written; what was there is as before.
    """
    if not target.name.lower().endswith(".zip"):
        _write_folder(target, files)
        return
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            # Weights do not compress; what does is text.
            entry.compress_type = zipfile.ZIP_STORED if name.endswith(".safetensors") else zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    write_atomic(target, content.getvalue())


def _write_folder(target: Path, files: Mapping[str, bytes]) -> None:
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
        for name, data in files.items():
            write_atomic(temporary / name, data)
        os.chmod(temporary, 0o755)
        if not target.exists():
            os.rename(temporary, target)
        elif not _exchange(temporary, target):
            _replace(temporary, target)
    except _NotPutBackError:
        raise
    except OSError as error:
        raise StorageError(
            f'`path` must be writable; writing "{target}" failed: {error.strerror or error}. '
            "Free some space or choose another folder; what was there before is untouched."
        ) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)  # the old bundle, or what was not finished


class _NotPutBackError(StorageError):
    """The old bundle is whole, and elsewhere."""


def _replace(new: Path, target: Path) -> None:
    """Two renames: for a moment there is no bundle, and never half of one; after a failure the old one is back."""
    aside = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.old."))
    old = aside / "bundle"
    try:
        os.rename(target, old)
        os.rename(new, target)
    except BaseException:
        if old.exists():
            _put_back(old, target)
        raise
    finally:
        if not old.exists() or target.exists():
            shutil.rmtree(aside, ignore_errors=True)


def _put_back(old: Path, target: Path) -> None:
    try:
        os.rename(old, target)
    except OSError as error:
        raise _NotPutBackError(
            f'`path` must be writable; writing "{target}" failed, and so did putting the old bundle back. '
            f'It is whole: rename "{old}" to "{target}".'
        ) from error


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two folders in one step, where the system can (Linux); whether it did."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError, TypeError):
        return False
    return rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _EXCHANGE) == 0
