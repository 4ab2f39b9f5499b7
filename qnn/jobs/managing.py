"""Looking after single jobs of a journal, apart from the run that submitted them."""

from __future__ import annotations

from contextlib import suppress
from threading import Event

from qnn.errors import JobFailedError
from qnn.jobs.journal import Journal
from qnn.jobs.owner import is_alive
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
    if job.state == "prepared" and not is_alive(job.owner, job.prepared_at):
        found = watcher.patiently(lambda: service.find(job.tag))
        if found is not None:
            journal.submitted(job, found)
    while (latest := journal.latest(job.id) or job).state == "prepared" and is_alive(latest.owner, latest.prepared_at):
        watcher.pause(service.poll_interval_s, "submitted by another process")
    if latest.state == "submitted":
        with suppress(JobFailedError):  # which the row says
            watcher.fetched(latest)
    return journal.latest(job.id) or job


def give_up(journal: Journal, job: JobRecord, service: Service | None) -> JobRecord:
    """Cancel a job that has not ended, at the provider where it is known there; the row as it is then.

    Args:
        journal: where it stands.
        job: any row; one that has ended stays as it is.
        service: of its backend; None forgets it here only.

    Raises:
        BackendError: the provider cannot be asked; the row stays as it is.
    """
    if job.state in ("prepared", "submitted"):
        remote_id = job.remote_id or (service.find(job.tag) if service is not None else None)
        if service is not None and remote_id is not None:
            service.cancel(remote_id)
            if service.state(remote_id) == "done":  # it came first
                if job.remote_id is None:
                    journal.submitted(job, remote_id)
                    job = journal.latest(job.id) or job
                journal.finished(job, service.result(remote_id, job.form_data), service.seconds_used(remote_id))
                return journal.latest(job.id) or job
        journal.cancelled(job)
    return journal.latest(job.id) or job
