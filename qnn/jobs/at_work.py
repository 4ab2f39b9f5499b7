"""Who works on a row within this process: one thread at most, and nobody any more after an error."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from qnn._forking import ForkLock
from qnn.errors import JournalError
from qnn.jobs.journal import Journal
from qnn.jobs.owner import this_process
from qnn.jobs.record import JobRecord

_NOBODY = ""
_rows: set[tuple[str, int]] = set()
_lock = ForkLock()

os.register_at_fork(after_in_child=_rows.clear)  # a forked process has none of its parent's threads


@contextmanager
def at_work(job: JobRecord) -> Iterator[bool]:
    """While this thread is at work on a row; False where another thread of this process is."""
    row = job.id, job.attempt
    with _lock:
        ours = row not in _rows
        if ours:
            _rows.add(row)
    try:
        yield ours
    finally:
        if ours:
            with _lock:
                _rows.discard(row)


def leave(journal: Journal, job: JobRecord) -> None:
    """Let others take over a prepared job of this process, although it lives on; they look it up first."""
    with suppress(JournalError):
        latest = journal.latest(job.id)
        if latest is not None and latest.state == "prepared" and latest.owner == this_process():
            journal.take_over(latest, _NOBODY)
