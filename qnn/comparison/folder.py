"""The run folder: which study it belongs to, who writes in it, and what it holds.

A folder belongs to one study, whose definition is in study.json, and is written by one process
at a time. Whatever else is in a folder is not ours to mix with.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from qnn._files import create_atomic, write_atomic
from qnn.comparison.lines import JsonLines
from qnn.comparison.records import Record
from qnn.comparison.study import Study
from qnn.errors import StorageError, StudyError

STUDY = "study.json"
RECORDS = "records.jsonl"
TRIALS = "trials.jsonl"
_LOCK = ".lock"
_RUN = ".run"


class RunFolder:
    """A folder that holds, or is about to hold, one study.

    Args:
        path: need not exist yet.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.records = JsonLines(self.path / RECORDS)
        self.trials = JsonLines(self.path / TRIALS)

    @property
    def run_id(self) -> str:
        """The run that jobs at providers belong to: drawn when the folder was made, and of no other folder."""
        path = self.path / _RUN
        if not path.exists():
            create_atomic(path, uuid4().hex)  # of two processes that look at once, one
        return path.read_text()

    @contextmanager
    def open(self, study: Study) -> Iterator[RunFolder]:
        """Claim the folder for `study` and for this process; what a crash tore is repaired.

        Raises:
            StudyError: it holds another study or other things, or another process is writing in it.
            StorageError: it cannot be written.
        """
        self._check_contents(study)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f'`out` must be a folder that can be made; "{self.path}" cannot: {error.strerror or error}. '
                "Choose another folder."
            ) from error
        with _exclusive(self.path / _LOCK):
            if not (self.path / STUDY).exists():
                write_atomic(self.path / STUDY, json.dumps(study.as_dict(), indent=2) + "\n")
            self.records.repair()
            self.trials.repair()
            yield self

    def read_study(self) -> Study:
        """The study that the folder holds.

        Raises:
            StudyError: there is none, or it cannot be read.
        """
        try:
            return Study.from_dict(json.loads((self.path / STUDY).read_text()))
        except FileNotFoundError as error:
            raise StudyError(
                f'`out` must be a run folder; got "{self.path}", which has no {STUDY}. Make one with qnn compare.'
            ) from error
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StudyError(
                f'`out` must hold a {STUDY} of this version of qnn; got "{self.path / STUDY}", which cannot be read '
                f"({error!r}). Choose another folder."
            ) from error

    def finished(self, study: Study, records: list[Record]) -> list[Record]:
        """`records` in canonical order, if they are all there.

        Raises:
            StudyError: some are missing.
        """
        found = {record.cell: record for record in records}
        cells = study.cells()
        missing = [cell.label for cell in cells if cell.id not in found]
        if missing:
            raise StudyError(
                f'`out` must hold a finished study; in "{self.path}" {len(missing)} of {len(cells)} cells are missing '
                f"(first: {missing[0]}). Go on with: {study.command} --out {self.path}"
            )
        return [found[cell.id] for cell in cells]

    def _check_contents(self, study: Study) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise StudyError(f'`out` must be a folder; got the file "{self.path}". Choose another name.')
        if not self.path.exists():
            return
        if (self.path / STUDY).exists():
            self._check_same(study)
            return
        others = sorted(entry.name for entry in self.path.iterdir() if not _ours(entry.name))
        if others:
            shown = ", ".join(others[:5]) + (", …" if len(others) > 5 else "")
            raise StudyError(
                f'`out` must be a new or empty folder, or one that holds this study; "{self.path}" holds other things '
                f"({shown}). Choose another folder."
            )

    def _check_same(self, study: Study) -> None:
        held = self.read_study()
        if held.id == study.id:
            return
        changes = list(differences(held.definition(), study.definition()))
        shown = "; ".join(changes[:4]) + ("; …" if len(changes) > 4 else "")
        raise StudyError(
            f'`out` must be a folder for this study; "{self.path}" holds another one: {shown}. '
            f"Choose another folder, or go on with the one that is there: {held.command} --out {self.path}"
        )


def differences(held: Any, asked: Any, path: str = "") -> Iterator[str]:
    """What differs between two pieces of plain data, one sentence a place."""
    if isinstance(held, dict) and isinstance(asked, dict):
        for key in sorted({*held, *asked}):
            yield from differences(held.get(key), asked.get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(held, list | tuple) and isinstance(asked, list | tuple):
        names = _names(held), _names(asked)
        if names[0] != names[1]:
            yield f"`{path}` is {_show(names[0])} there and {_show(names[1])} here"
        else:
            for name, old, new in zip(names[0], held, asked, strict=True):
                yield from differences(old, new, f"{path}[{name}]" if isinstance(old, dict) else path)
    elif held != asked:
        yield f"`{path}` is {_show(held)} there and {_show(asked)} here"


def _names(items: Any) -> list[Any]:
    return [item.get("name") if isinstance(item, dict) else item for item in items]


def _show(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _ours(name: str) -> bool:
    """True for what a process killed while it made study.json leaves behind."""
    return name in (_LOCK, _RUN) or name.startswith((f".{STUDY}.", f".{_RUN}."))


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Hold a lock that the operating system takes back from a process that dies."""
    try:
        import fcntl
    except ImportError:  # Windows has no flock: there, do not run two processes in one folder
        yield
        return
    try:
        file = path.open("a")
    except OSError as error:
        raise StorageError(
            f'`out` must be writable; "{path.parent}" is not: {error.strerror or error}. Choose another folder.'
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StudyError(
                f'`out` must not be in use; another process is running a study in "{path.parent}". '
                "Wait until it has ended."
            ) from error
        yield
