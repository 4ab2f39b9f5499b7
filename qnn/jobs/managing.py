"""Looking after single jobs of a journal, apart from the run that submitted them."""

from __future__ import annotations

from contextlib import suppress
from threading import Event
from time import monotonic

from qnn.errors import ArgumentError, JobFailedError, JobNotFoundError
from qnn.jobs.at_work import at_work, leave
from qnn.jobs.journal import Journal
from qnn.jobs.owner import is_alive, this_process
from qnn.jobs.policy import Policy
from qnn.jobs.record import JobRecord
from qnn.jobs.service import Service
from qnn.jobs.watching import Watcher


def await_job(journal: Journal, job: JobRecord, service: Service, timeout_s: float | None = None) -> JobRecord:
    """Wait until a job has ended, and keep its result; the row as it is then.

    A job whose answer was lost is looked up by its tag; one that is not found stays prepared.

    Raises:
        JobTimeoutError: it has not ended in time.
        BackendError: the provider cannot be asked.
    """
    watcher = Watcher(service, journal, Policy(timeout_s=timeout_s), Event())
    if job.state == "prepared" and not is_alive(job.owner, job.spoke_at):
        found = watcher.patiently(lambda: service.find(job.tag))
        if found is not None:
            journal.submitted(job, found)
    while (latest := journal.latest(job.id) or job).state == "prepared" and is_alive(latest.owner, latest.spoke_at):
        watcher.pause(service.poll_interval_s, "submitted by another process")
    if latest.state == "submitted":
        with suppress(JobFailedError):  # which the row says
            watcher.fetched(latest)
    return journal.latest(job.id) or job


def give_up(journal: Journal, job: JobRecord, service: Service | None) -> JobRecord:
    """Cancel a job that has not ended, at the provider where it is known there; the row as it is then.

    One that the provider does not know is forgotten here. A job that a process is submitting is that process's; one
    that the provider goes on with, although it was asked to cancel it, stays submitted.

    Args:
        journal: where it stands.
        job: any row; one that has ended stays as it is.
        service: of its backend; None forgets it here only.

    Raises:
        ArgumentError: a process that lives is submitting it.
        BackendError: the provider cannot be asked; the row stays as it is.
    """
    job = journal.latest(job.id) or job
    if job.state == "prepared":
        job = _found(journal, job, service)
    if job.state != "submitted":
        return job
    if service is None:
        journal.cancelled(job)
        return journal.latest(job.id) or job
    watcher = Watcher(service, journal, Policy(), Event())
    state = _cancelled(watcher, service, job.remote_id or "")
    if state == "done":  # it came first
        watcher.fetched(job)
    elif state == "cancelled":
        journal.cancelled(job)
    return journal.latest(job.id) or job


def _found(journal: Journal, job: JobRecord, service: Service | None) -> JobRecord:
    """The row of a prepared job: with the provider's id, or cancelled where it was never submitted."""
    with at_work(job) as ours:
        free = ours and not is_alive(job.owner, job.spoke_at)
        taken = journal.take_over(job, this_process()) if free else None  # a run that starts meanwhile waits
        if taken is None:
            raise ArgumentError(
                f"`ID` must be a job that no process is submitting; {job.id} is that of {job.owner}. End that process "
                "first."
            )
        try:
            found = None
            if service is not None:
                watcher = Watcher(service, journal, Policy(), Event())
                found = watcher.patiently(lambda: watcher.looked_up(job.tag, service.lookup_s))
        except BaseException:
            leave(journal, taken)
            raise
        if found is None:
            journal.cancelled(taken)
        else:
            journal.submitted(taken, found)
    return journal.latest(job.id) or taken


def _cancelled(watcher: Watcher, service: Service, remote_id: str) -> str:
    """What a job is after the provider was asked to cancel it; "cancelled" where nothing is left of it there."""
    until = monotonic() + service.lookup_s
    while True:
        is_last = monotonic() >= until  # a provider may know an id later than it gave it
        try:
            watcher.patiently(lambda: service.cancel(remote_id))
            return watcher.patiently(lambda: service.state(remote_id))
        except JobNotFoundError:
            if is_last:
                return "cancelled"
        watcher.pause(max(0.05, service.lookup_s / 10), "found")
