"""Noticing that a run which was started again does something else, so that what it has paid for is of no use.

A job of an earlier process that stands at the same place of the run (root, step, call and part), with another circuit,
other angles or other options, is what this process would have found if nothing had changed. Exact calls of a step
share one place: only a job that is new where earlier ones have not been asked for tells of a change. Jobs of
evaluations say nothing, since a script may evaluate differently each time it is started.

Without a seed a script draws another root each time it is started, and so finds nothing: a new job of a root that was
drawn tells of it where an earlier process had one that differs by its root. Roots that this process has asked for, too,
are those of other layers.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock, RLock
from typing import Any

from qnn._run import Run
from qnn._seeding import was_drawn
from qnn.errors import ChangedRunWarning
from qnn.jobs.journal import Journal
from qnn.jobs.owner import is_alive, this_process
from qnn.jobs.record import JobRecord, job_id
from qnn.jobs.service import Request

_OUTSIDE = -1  # the step of calls made outside any training loop
_DIGESTS = ("circuit", "angles", "options")


@dataclass
class _Asked:
    """What this process has asked for of a run that another one was at work on before."""

    ids: set[str] = field(default_factory=set)
    roots: set[int] = field(default_factory=set)
    before: dict[tuple[Any, ...], list[JobRecord]] | None = None  # sampled jobs by all but the root


# By journal and run; None where no process was at work on the run before.
_asked: dict[tuple[Path, str], _Asked | None] = {}
_warned: set[str] = set()
_lock = Lock()
_telling = RLock()  # held until it is known whether a warning is an error, which all threads then meet


def _start_anew() -> None:
    """A forked process has asked for nothing."""
    global _lock, _telling
    _lock, _telling = Lock(), RLock()
    _asked.clear()
    _warned.clear()


os.register_at_fork(after_in_child=_start_anew)


def ask(journal: Journal, run: Run, backend: str, request: Request) -> None:
    """Note that this process asks for a job, before it is claimed."""
    if not (_tells(run, request) or _samples(request)):
        return
    place = journal.path, run.id
    if place not in _asked:
        before = any(_is_over(owner, spoke_at) for owner, spoke_at in journal.owners(run.id))
        with _lock:
            _asked.setdefault(place, _Asked() if before else None)
    with _lock:
        asked = _asked[place]
        if asked is not None:
            asked.ids.add(job_id(run.id, backend, request))
            asked.roots.add(request.call[0])


def check(journal: Journal, run: Run, job: JobRecord, request: Request) -> None:
    """Warn, once for each run, if a job that is about to be submitted stands where an earlier one was another.

    Args:
        journal: where both stand.
        run: the run.
        job: the new row.
        request: what it is.
    """
    if run.id in _warned:
        return
    with _lock:
        asked = _asked.get((journal.path, run.id))
        if asked is None:
            return
        ids = set(asked.ids)
    told = None
    if _tells(run, request):
        unused = [other for other in journal.at(job) if other.id not in ids and _is_of_use(other)]
        told = _told(run.id, job, unused) if unused else None
    if told is None and _samples(request) and was_drawn(job.root):
        unused = [other for other in _of_other_roots(journal, asked, job) if _is_of_use(other)]
        told = _told_of_seed(run.id, job, unused[0]) if unused else None
    if told is None:
        return
    with _telling:
        if run.id in _warned:
            return
        try:
            warnings.warn(told, ChangedRunWarning, stacklevel=2)
        except ChangedRunWarning as error:  # to be raised, so that nothing is submitted, and again next time
            journal.failed(job, str(error))
            raise
        _warned.add(run.id)


def _of_other_roots(journal: Journal, asked: _Asked, job: JobRecord) -> list[JobRecord]:
    """Jobs that were there before and differ by the root of the sampling, and what follows from it."""
    with _telling:
        if asked.before is None:  # once, since a run may have many
            asked.before = {}
            for other in journal.jobs(run=job.run):
                asked.before.setdefault(_but_for_the_root(other), []).append(other)
    return [other for other in asked.before.get(_but_for_the_root(job), []) if other.root not in asked.roots]


def _but_for_the_root(job: JobRecord) -> tuple[Any, ...]:
    return job.run, job.step, job.call, job.part, job.backend, job.circuit, job.shots


def _is_of_use(job: JobRecord) -> bool:
    """Whether an earlier process has paid for it."""
    return job.state in ("prepared", "submitted", "done") and _is_over(job.owner, job.spoke_at)


def _samples(request: Request) -> bool:
    """Whether it draws shots, in a training or in a script, and not in an evaluation."""
    return request.shots > 0 and request.call[1] >= _OUTSIDE


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
    what, other = " and ".join(differences[closest]), unused[closest]
    return (
        f'Run "{run}" has jobs of an earlier start on {job.backend} that do not fit what it does now and are not used: '
        f"{_where(job)}, the {what} of job {other.remote_id or other.id} are others. What it needs is submitted, and "
        "paid for, anew. Stop it and bring back the code, data and options of before, or let it be another run."
    )


def _told_of_seed(run: str, job: JobRecord, other: JobRecord) -> str:
    return (
        f'Run "{run}" has jobs of an earlier start on {job.backend} that are not used: {_where(job)}, '
        f"job {other.remote_id or other.id} differs by its seed, which nobody gave, so that each start draws another. "
        "What it needs is submitted, and paid for, anew. Give `seed=`, or begin with torch.manual_seed(0)."
    )


def _where(job: JobRecord) -> str:
    return f"{'outside a training' if job.step == _OUTSIDE else f'at step {job.step}'}, call {job.call}"
