"""The journal of jobs: one SQLite file that several processes share.

A row is written before a job is submitted, when the provider has named it, and with its result; each is on the disk
before the next thing happens. SQLite's rollback journal is used and not its write-ahead log, which does not work on
network drives.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from platformdirs import user_data_path

from qnn._forking import Gate
from qnn.errors import ArgumentError, JournalError
from qnn.jobs import arrays
from qnn.jobs.record import STATES, JobRecord, prepared
from qnn.jobs.service import Request

VERSION = 1
_MARK = 0x716E6E4A  # "qnnJ", in the header of the file
_BUSY_S = 60.0
_GATE = Gate(_BUSY_S)  # a child would take its parent's locks for those of another connection, for good
_COLUMNS = tuple(field.name for field in fields(JobRecord))
_MARKS = "SELECT application_id, user_version FROM pragma_application_id, pragma_user_version"  # at one moment
_FILTERS = ("id", "run", "state", "backend", "circuit")
_SCHEMA = f"""
CREATE TABLE jobs (
  id TEXT NOT NULL, attempt INTEGER NOT NULL, tag TEXT NOT NULL UNIQUE, run TEXT NOT NULL,
  root INTEGER NOT NULL, step INTEGER NOT NULL, call INTEGER NOT NULL, part INTEGER NOT NULL,
  backend TEXT NOT NULL, specification TEXT, circuit TEXT NOT NULL, angles TEXT NOT NULL, options TEXT NOT NULL,
  n_circuits INTEGER NOT NULL, shots INTEGER NOT NULL, seconds REAL, form TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN {STATES}), remote_id TEXT, error TEXT,
  prepared_at REAL, submitted_at REAL, finished_at REAL, seconds_used REAL, owner TEXT, spoke_at REAL, result BLOB,
  PRIMARY KEY (id, attempt)
);
CREATE INDEX jobs_by_run ON jobs (run);
CREATE INDEX jobs_by_work ON jobs (circuit, angles, options) WHERE shots = 0 AND state = 'done';
"""


def default_path() -> Path:
    """Where the journal is unless a path is given: $QNN_JOURNAL, or ``jobs.sqlite3`` in the user's data folder."""
    given = os.environ.get("QNN_JOURNAL")
    return Path(given).expanduser() if given else user_data_path("qnn", appauthor=False) / "jobs.sqlite3"


class Journal:
    """Jobs in a file; made when it is first written to.

    Any number of threads and processes may use one file. Reading waits for a writer, at most a minute.

    Args:
        path: None is `default_path()`.

    Raises:
        JournalError: from every method: the file cannot be read or written, is damaged, or is no journal.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = default_path() if path is None else Path(path).expanduser()

    def claim(
        self, request: Request, run: str, backend: str, specification: Mapping[str, Any] | None, owner: str
    ) -> tuple[JobRecord, bool]:
        """The row of a request, made if there is none that is of use, and whether it is new.

        A job that failed or was cancelled gets a new row with the next attempt.
        """
        row = prepared(request, run, backend, specification, 1, owner)
        with self._writing() as connection:
            latest = _latest(connection, row.id)
            if latest is not None and latest.state not in ("failed", "cancelled"):
                return latest, False
            if latest is not None:
                row = prepared(request, run, backend, specification, latest.attempt + 1, owner)
            now = time.time()
            values = {**row.as_dict(), "prepared_at": now, "spoke_at": now}
            names = ", ".join(_COLUMNS)
            marks = ", ".join(f":{name}" for name in _COLUMNS)
            connection.execute(f"INSERT INTO jobs ({names}) VALUES ({marks})", values)
            found = _latest(connection, row.id)
            assert found is not None
            return found, True

    def take_over(self, job: JobRecord, owner: str) -> JobRecord | None:
        """The row of a prepared job that `owner` submits from now on; None where another one was quicker."""
        with self._writing() as connection:
            done = connection.execute(
                "UPDATE jobs SET owner = ?, spoke_at = ? WHERE id = ? AND attempt = ? AND state = 'prepared' "
                "AND owner IS ? AND spoke_at IS ?",
                (owner, time.time(), job.id, job.attempt, job.owner, job.spoke_at),
            )
            return _latest(connection, job.id) if done.rowcount == 1 else None

    def speak(self, job: JobRecord, owner: str) -> bool:
        """Note that `owner` is at work on a prepared job; False where it is not its job any more."""
        with self._writing() as connection:
            done = connection.execute(
                "UPDATE jobs SET spoke_at = ? WHERE id = ? AND attempt = ? AND state = 'prepared' AND owner IS ?",
                (time.time(), job.id, job.attempt, owner),
            )
            return done.rowcount == 1

    def submitted(self, job: JobRecord, remote_id: str) -> None:
        """Note the provider's id.

        Raises:
            JournalError: another process has ended the row meanwhile; the id is noted all the same.
        """
        if self._set(job, "prepared", state="submitted", remote_id=remote_id, submitted_at=time.time()):
            return
        latest = self.latest(job.id)
        if latest is not None and latest.attempt == job.attempt and latest.remote_id == remote_id:
            return
        with self._writing() as connection:
            query = "UPDATE jobs SET remote_id = ? WHERE id = ? AND attempt = ? AND remote_id IS NULL"
            connection.execute(query, (remote_id, job.id, job.attempt))
        error = JournalError(
            f"Job {job.id} must be left to the process that submits it; it was submitted as {remote_id} while another "
            f"process changed its row. Cancel {remote_id} at the provider if it is not wanted."
        )
        error.job_ids = (remote_id,)
        raise error

    def finished(self, job: JobRecord, result: Sequence[np.ndarray], seconds_used: float | None = None) -> None:
        """Keep the result."""
        data = arrays.to_bytes(result)
        self._set(job, "submitted", state="done", finished_at=time.time(), seconds_used=seconds_used, result=data)

    def failed(self, job: JobRecord, error: str) -> None:
        """Note that it ended without a result, or was never accepted."""
        self._set(job, job.state, state="failed", finished_at=time.time(), error=error)

    def cancelled(self, job: JobRecord) -> None:
        """Note that it was cancelled."""
        self._set(job, job.state, state="cancelled", finished_at=time.time())

    def damaged(self, job: JobRecord) -> None:
        """Go back to waiting for a job whose stored result is not what was written."""
        self._set(job, "done", state="submitted", result=None, finished_at=None)

    def result(self, job: JobRecord) -> list[np.ndarray] | None:
        """The arrays of a job that is done; None where they were pruned or a bit of them has changed."""
        with self._reading() as connection:
            query = "SELECT result FROM jobs WHERE id = ? AND attempt = ?"
            row = connection.execute(query, (job.id, job.attempt)).fetchone()
        return None if row is None or row[0] is None else arrays.from_bytes(row[0])

    def latest(self, job: str) -> JobRecord | None:
        """The last attempt at the job of that id."""
        with self._reading() as connection:
            return _latest(connection, job)

    def exact(self, request: Request, backend: str) -> JobRecord | None:
        """A job of any run that computed the same without shots."""
        with self._reading() as connection:
            row = connection.execute(
                f"SELECT {', '.join(_COLUMNS)} FROM jobs WHERE shots = 0 AND state = 'done' AND result IS NOT NULL AND "
                "circuit = ? AND angles = ? AND options = ? AND backend = ? ORDER BY finished_at LIMIT 1",
                (request.circuit, request.angles, request.options, backend),
            ).fetchone()
        return None if row is None else JobRecord(*row)

    def owners(self, run: str) -> list[tuple[str | None, float | None]]:
        """The processes that submitted jobs of a run, and when each of them last wrote to the journal."""
        with self._reading() as connection:
            query = "SELECT owner, MAX(spoke_at) FROM jobs WHERE run = ? GROUP BY owner"
            return connection.execute(query, (run,)).fetchall()

    def at(self, job: JobRecord) -> list[JobRecord]:
        """Other jobs of the same run, call, part and backend, the last attempt at each, oldest first."""
        with self._reading() as connection:
            query = (
                f"SELECT {', '.join(_COLUMNS)} FROM jobs WHERE run = ? AND root = ? AND step = ? AND call = ? AND "
                "part = ? AND backend = ? AND id != ? ORDER BY prepared_at, attempt"
            )
            place = (job.run, job.root, job.step, job.call, job.part, job.backend, job.id)
            rows = [JobRecord(*row) for row in connection.execute(query, place)]
        return list({row.id: row for row in rows}.values())

    def jobs(self, **filters: str | Sequence[str] | None) -> list[JobRecord]:
        """All jobs, oldest first, that match.

        Args:
            **filters: `id`, `run` or `backend` (how they begin), `state` or `circuit`; a value or a sequence of them.

        Raises:
            ArgumentError: no such filter.
        """
        conditions, values = [], []
        for name, wanted in filters.items():
            if name not in _FILTERS:
                raise ArgumentError(f"`{name}` must be one of {', '.join(_FILTERS)} to filter jobs. Use `state`.")
            if wanted is None:
                continue
            choices = [wanted] if isinstance(wanted, str) else list(wanted)
            begins = name in ("id", "run", "backend")
            each = f"substr({name}, 1, length(?)) = ?" if begins else f"{name} = ?"
            conditions.append(f"({' OR '.join([each] * len(choices)) or 'FALSE'})")
            values += [v for choice in choices for v in ([choice, choice] if begins else [choice])]
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        with self._reading() as connection:
            query = f"SELECT {', '.join(_COLUMNS)} FROM jobs {where} ORDER BY prepared_at, id, attempt"
            return [JobRecord(*row) for row in connection.execute(query, values)]

    def prune(self, jobs: Sequence[JobRecord], *, results_only: bool = False) -> int:
        """Forget jobs that have ended, or their results only; how many there were.

        Jobs that may still run are kept: without their rows they would be paid for a second time.
        """
        ended = [job for job in jobs if job.state in ("done", "failed", "cancelled")]
        change = "UPDATE jobs SET result = NULL" if results_only else "DELETE FROM jobs"
        with self._writing() as connection:
            for job in ended:
                query = f"{change} WHERE id = ? AND attempt = ? AND state = ?"
                connection.execute(query, (job.id, job.attempt, job.state))
        with suppress(JournalError), self._opened() as connection:  # which wants space of its own
            connection.execute("VACUUM")
        return len(ended)

    def _set(self, job: JobRecord, present: str, **values: Any) -> bool:
        """Change columns of a row whose state is the present one, and say whether; what others did meanwhile stays."""
        assignments = ", ".join(f"{name} = ?" for name in values)
        with self._writing() as connection:
            done = connection.execute(
                f"UPDATE jobs SET {assignments} WHERE id = ? AND attempt = ? AND state = ?",
                (*values.values(), job.id, job.attempt, present),
            )
            return done.rowcount == 1

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._opened(create=True) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                if connection.in_transaction:  # SQLite ends it by itself where the disk is full
                    connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._opened() as connection:
            yield connection

    @contextmanager
    def _opened(self, create: bool = False) -> Iterator[sqlite3.Connection]:
        """A connection of our own, which threads and forked processes do not share."""
        try:
            if create:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            there = self.path.exists()
            uri = ":memory:" if not there and not create else str(self.path)
            with _GATE.inside(), closing(sqlite3.connect(uri, timeout=_BUSY_S, isolation_level=None)) as connection:
                connection.execute("PRAGMA synchronous = EXTRA")  # FULL leaves it to the system when a commit is final
                self._check(connection, self.path)
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise self._unusable(error) from error

    def _check(self, connection: sqlite3.Connection, path: Path) -> None:
        """Make the tables of a new file; refuse one that is something else."""
        for _ in range(2):  # another process may have made the tables between two looks
            mark, version = connection.execute(_MARKS).fetchone()
            if (mark, version) == (_MARK, VERSION):
                return
            if mark == 0 and version == 0 and not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
                connection.execute("BEGIN IMMEDIATE")  # another process may be at it
                if not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
                    for statement in _SCHEMA.split(";"):
                        connection.execute(statement)
                    connection.execute(f"PRAGMA application_id = {_MARK}")
                    connection.execute(f"PRAGMA user_version = {VERSION}")
                connection.execute("COMMIT")
                return
        kind = f"a journal of version {version}" if mark == _MARK else "another database"
        raise JournalError(
            f'`journal` must be a file of jobs of version {VERSION}; "{path}" is {kind}. Give another path.'
        )

    def _unusable(self, error: Exception) -> JournalError:
        if self.path.is_dir():
            return JournalError(
                f'`journal` must be a file; got the folder "{self.path}". Name a file in it: '
                f'"{self.path / default_path().name}".'
            )
        text = str(error)
        damaged = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
        advice = "Free some space, or make the file and its folder writable, and start again: the same run goes on."
        if damaged or "malformed" in text or "not a database" in text:
            advice = (
                'Bring back a copy of the file, or rescue what can be read with "sqlite3 FILE .recover". '
                "Starting with an empty journal pays again for jobs of this run; at the provider they carry tags that "
                'begin with "qnn-".'
            )
        elif "locked" in text:
            advice = "Another process has held it for a minute; end that process, or try again later."
        return JournalError(f'`journal` must be readable and writable; "{self.path}" is not: {text}. {advice}')


def _latest(connection: sqlite3.Connection, job: str) -> JobRecord | None:
    query = f"SELECT {', '.join(_COLUMNS)} FROM jobs WHERE id = ? ORDER BY attempt DESC LIMIT 1"
    row = connection.execute(query, (job,)).fetchone()
    return None if row is None else JobRecord(*row)
