"""Noticing that a run which was started again does something else, so that what it has paid for is of no use.

A job of an earlier process that stands at the same place of the run (root, step, call and part), with another circuit,
other angles or other options, is what this process would have found if nothing had changed. Exact calls of a step
share one place: only a job that is new where earlier ones have not been asked for tells of a change. Jobs of
evaluations say nothing, since a script may evaluate differently each time it is started.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from threading import Lock

from qnn._run import Run
from qnn.errors import ChangedRunWarning
from qnn.jobs.journal import Journal
from qnn.jobs.owner import is_alive, this_process
from qnn.jobs.record import JobRecord, job_id
from qnn.jobs.service import Request

_OUTSIDE = -1  # the step of calls made outside any training loop
_DIGESTS = ("circuit", "angles", "options")
# By journal and run: what this process has asked for, or None where no process was at work on the run before.
_asked: dict[tuple[Path, str], set[str] | None] = {}
_warned: set[str] = set()
_lock = Lock()


def _start_anew() -> None:
    """A forked process has asked for nothing."""
    global _lock
    _lock = Lock()
    _asked.clear()
    _warned.clear()


os.register_at_fork(after_in_child=_start_anew)


def ask(journal: Journal, run: Run, backend: str, request: Request) -> None:
    """Note that this process asks for a job, before it is claimed."""
    if not _tells(run, request):
        return
    place = journal.path, run.id
    if place not in _asked:
        before = any(_is_over(owner, spoke_at) for owner, spoke_at in journal.owners(run.id))
        with _lock:
            _asked.setdefault(place, set() if before else None)
    with _lock:
        asked = _asked[place]
        if asked is not None:
            asked.add(job_id(run.id, backend, request))


def check(journal: Journal, run: Run, job: JobRecord, request: Request) -> None:
    """Warn, once for each run, if a job that is about to be submitted stands where an earlier one was another.

    Args:
        journal: where both stand.
        run: the run.
        job: the new row.
        request: what it is.
    """
    if not _tells(run, request) or run.id in _warned:
        return
    with _lock:
        asked = _asked.get((journal.path, run.id))
        if asked is None:
            return
        known = set(asked)
    unused = [
        other
        for other in journal.at(job)
        if other.id not in known
        and other.state in ("prepared", "submitted", "done")
        and _is_over(other.owner, other.spoke_at)
    ]
    if not unused:
        return
    with _lock:
        first = run.id not in _warned
        _warned.add(run.id)
    if not first:
        return
    try:
        warnings.warn(_told(run.id, job, unused), ChangedRunWarning, stacklevel=2)
    except ChangedRunWarning as error:  # to be raised, so that nothing is submitted, and again next time
        with _lock:
            _warned.discard(run.id)
        journal.failed(job, str(error))
        raise


def _tells(run: Run, request: Request) -> bool:
    """Whether the same job would have to stand at the same place after a restart."""
    step = request.call[1]
    if step == _OUTSIDE:
        return request.shots > 0  # exact calls outside a training are all at one place
    return step >= 0 and run.repeats


def _is_over(owner: str | None, spoke_at: float | None) -> bool:
    """Whether the owner of a row is an earlier process."""
    return owner != this_process() and not is_alive(owner, spoke_at)


def _told(run: str, job: JobRecord, unused: list[JobRecord]) -> str:
    differences = [[name for name in _DIGESTS if getattr(other, name) != getattr(job, name)] for other in unused]
    closest = min(range(len(unused)), key=lambda number: len(differences[number]))
    what, other = differences[closest], unused[closest]
    where = "outside a training" if job.step == _OUTSIDE else f"at step {job.step}"
    return (
        f'Run "{run}" has jobs of an earlier start on {job.backend} that do not fit what it does now and are not used: '
        f"{where}, call {job.call}, the {' and '.join(what)} of job {other.remote_id or other.id} are others. What it "
        "needs is submitted, and paid for, anew. Stop it and bring back the code, data and options of before, or let "
        "it be another run."
    )
