"""One job from request to result: claimed in the journal, submitted once, waited for, kept."""

from __future__ import annotations

import time
from collections.abc import Mapping
from threading import Lock
from typing import Any

import numpy as np

from qnn.errors import (
    ArgumentError,
    AuthenticationError,
    BackendUnavailableError,
    CapabilityError,
    CircuitRefusedError,
    QuotaError,
)
from qnn.jobs.journal import Journal
from qnn.jobs.owner import is_alive, this_process
from qnn.jobs.policy import Policy
from qnn.jobs.record import JobRecord
from qnn.jobs.service import Request, Service
from qnn.jobs.watching import Watcher

_REFUSALS = (ArgumentError, AuthenticationError, CapabilityError, CircuitRefusedError, QuotaError)
_PATIENCE_S = 0.5  # between two looks at a row that another process works on
_at_work: set[tuple[str, int]] = set()  # rows that threads of this process are submitting
_at_work_lock = Lock()


class Tracker:
    """One job of a call; used once, by one thread.

    Args:
        service: where it runs.
        request: what is to be computed.
        journal: where it is kept.
        policy: patience.
        run: id of the run.
        specification: of the backend, for the journal.
        watcher: what waits.
    """

    def __init__(
        self,
        service: Service,
        request: Request,
        journal: Journal,
        policy: Policy,
        run: str,
        specification: Mapping[str, Any] | None,
        watcher: Watcher,
    ) -> None:
        self._service, self._request, self._journal = service, request, journal
        self._policy, self._run, self._specification = policy, run, specification
        self._watcher = watcher
        self._owner = this_process()
        self._job: JobRecord | None = None
        self.remote_id: str | None = None

    def result(self) -> list[np.ndarray]:
        """The arrays, from the journal or from the provider.

        Raises:
            JobFailedError: it ended without a result.
            JobTimeoutError: the deadline has passed; the job goes on.
            JournalError, BackendError: as `carry_out`.
        """
        job = self._of_another_run() or self._claimed()
        self.remote_id = job.remote_id
        if job.state == "done":
            found = self._journal.result(job)
            if found is not None:
                return found
            self._journal.damaged(job)
        return self._watcher.fetched(job)

    def _of_another_run(self) -> JobRecord | None:
        if not self._policy.reuse_exact or self._request.shots:
            return None
        return self._journal.exact(self._request, self._service.name)

    def _claimed(self) -> JobRecord:
        """The row of this job with a remote id: this thread submits it, or waits for whoever does."""
        while True:
            job, new = self._journal.claim(
                self._request, self._run, self._service.name, self._specification, self._owner
            )
            if job.state != "prepared":
                self._job = job
                return job
            if new or self._may_take(job):
                mark = job.id, job.attempt
                with _at_work_lock:
                    ours = mark not in _at_work
                    _at_work.add(mark)
                if ours:
                    try:
                        return self._submitted(job, new)
                    finally:
                        with _at_work_lock:
                            _at_work.discard(mark)
            self._watcher.pause(_PATIENCE_S, "submitted by another process")

    def _may_take(self, job: JobRecord) -> bool:
        """Whether nobody else is at work on a prepared row; it is then this process's."""
        own = job.owner == self._owner
        if not own and is_alive(job.owner, job.prepared_at):
            return False
        return self._journal.take_over(job, self._owner)

    def _submitted(self, job: JobRecord, new: bool) -> JobRecord:
        """The row with the provider's id: found by its tag if it may have arrived before, else submitted."""
        self._job = job
        may_have_arrived = not new
        sent_at = job.prepared_at or 0.0

        def attempt() -> str:
            nonlocal may_have_arrived, sent_at
            if may_have_arrived:
                found = self._watcher.looked_up(job.tag, sent_at)
                if found is not None:
                    return found
            may_have_arrived = False
            payload = self._request.payload()
            self._journal.renew(job)
            sent_at = time.time()
            try:
                return self._service.submit(payload, job.tag)
            except BackendUnavailableError:
                may_have_arrived = True
                raise

        try:
            self.remote_id = self._watcher.patiently(attempt)
        except _REFUSALS as error:  # after any other, whether it arrived is found out next time
            if not may_have_arrived:
                self._journal.failed(job, str(error))
            raise
        self._journal.submitted(job, self.remote_id)
        latest = self._journal.latest(job.id)
        self._job = latest if latest is not None else job
        return self._job

    def cancel_if_queued(self) -> bool:
        """Cancel the job where the provider has not begun it; whether it was."""
        if self._job is None or self.remote_id is None or self._service.state(self.remote_id) != "queued":
            return False
        self._service.cancel(self.remote_id)
        if self._service.state(self.remote_id) != "cancelled":
            return False
        latest = self._journal.latest(self._job.id)
        if latest is not None and latest.state == "submitted":
            self._journal.cancelled(latest)
        return True
