"""One job from request to result: claimed in the journal, submitted once, waited for, kept."""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic
from typing import Any

import numpy as np

from qnn._run import Run
from qnn.errors import (
    ArgumentError,
    AuthenticationError,
    BackendUnavailableError,
    CapabilityError,
    CircuitRefusedError,
    JobFailedError,
    QuotaError,
    RateLimitError,
)
from qnn.jobs import changes
from qnn.jobs.at_work import at_work, leave
from qnn.jobs.journal import Journal
from qnn.jobs.owner import is_alive, this_process
from qnn.jobs.policy import Policy
from qnn.jobs.record import JobRecord
from qnn.jobs.retrying import TRANSIENT
from qnn.jobs.service import Request, Service
from qnn.jobs.watching import Watcher

_REFUSALS = (ArgumentError, AuthenticationError, CapabilityError, CircuitRefusedError, QuotaError)
_PATIENCE_S = 0.5  # between two looks at a row that another process works on


class Tracker:
    """One job of a call; used once, by one thread.

    Args:
        service: where it runs.
        request: what is to be computed.
        journal: where it is kept.
        policy: patience.
        run: the run.
        specification: of the backend, for the journal.
        watcher: what waits.
    """

    def __init__(
        self,
        service: Service,
        request: Request,
        journal: Journal,
        policy: Policy,
        run: Run,
        specification: Mapping[str, Any] | None,
        watcher: Watcher,
    ) -> None:
        self._service, self._request, self._journal = service, request, journal
        self._policy, self._run, self._specification = policy, run, specification
        self._watcher = watcher
        self._owner = this_process()
        self._job: JobRecord | None = None
        self.remote_id: str | None = None
        self.in_doubt = False  # whether it may have been submitted, and its id is not known
        self._may_have_arrived, self._sent_at = False, 0.0  # by a clock that does not jump

    def result(self) -> list[np.ndarray]:
        """The arrays, from the journal or from the provider.

        Raises:
            JobFailedError: it ended without a result.
            JobTimeoutError: the deadline has passed; the job goes on.
            JournalError, BackendError: as `carry_out`.
        """
        changes.ask(self._journal, self._run, self._service.name, self._request)
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
        """The row of this job with a remote id: this thread submits it, or waits for whoever does.

        Raises:
            JobFailedError: whoever submitted it meanwhile was refused; it is not tried again by itself.
        """
        waited: JobRecord | None = None
        while True:
            if waited is not None:
                self._check_not_refused(waited)
            job, new = self._journal.claim(
                self._request, self._run.id, self._service.name, self._specification, self._owner
            )
            if new:
                changes.check(self._journal, self._run, job, self._request)
            if job.state != "prepared":
                self._job = job
                return job
            with at_work(job) as ours:
                mine = None if not ours else self._unchanged(job) if new else self._taken(job)
                found = None if mine is None else self._submitted(mine, new)
            if found is not None:
                return found
            waited = job
            self._watcher.pause(_PATIENCE_S, "submitted by another process")

    def _check_not_refused(self, waited: JobRecord) -> None:
        latest = self._journal.latest(waited.id)
        if latest is not None and latest.attempt == waited.attempt and latest.state in ("failed", "cancelled"):
            raise JobFailedError(
                f"A job on {self._service.name}, which another process submitted, was {latest.state}: "
                f"{latest.error or 'no reason given'} The same run submits it anew when it is started again."
            )

    def _unchanged(self, job: JobRecord) -> JobRecord | None:
        """The row, unless another thread of this process has been at work on it since it was made."""
        return job if self._journal.latest(job.id) == job else None

    def _taken(self, job: JobRecord) -> JobRecord | None:
        """The row as it is now, if nobody else is at work on it and it is this process's from now on."""
        if job.owner != self._owner and is_alive(job.owner, job.spoke_at):
            return None
        return self._journal.take_over(job, self._owner)

    def _submitted(self, job: JobRecord, new: bool) -> JobRecord | None:
        """The row with the provider's id: found by its tag if it may have arrived before, else submitted.

        None where the job has become that of another process.
        """
        self._job = job
        self._may_have_arrived = self.in_doubt = not new
        self._sent_at = monotonic()  # at the latest: whoever had the job before sends nothing after it was taken over
        try:
            self.remote_id = self._watcher.patiently(lambda: self._attempted(job))
        except _REFUSALS as error:  # after any other, whether it arrived is found out next time
            if self._may_have_arrived:
                leave(self._journal, job)
            else:
                self._journal.failed(job, str(error))
            raise
        except BaseException:
            leave(self._journal, job)
            raise
        if self.remote_id is None:
            return None
        self._journal.submitted(job, self.remote_id)
        latest = self._journal.latest(job.id)
        self._job = latest if latest is not None else job
        return self._job

    def _attempted(self, job: JobRecord) -> str | None:
        """The provider's id after one attempt; None where the job has become that of another process."""
        if self._may_have_arrived:
            if not self._journal.speak(job, self._owner):
                return None
            found = self._looked_up(job)
            if found is not None:
                return found
        payload = self._request.payload()
        if not self._journal.speak(job, self._owner):
            return None
        self._watcher.check_going_on()
        self._may_have_arrived, self.in_doubt = False, True
        try:
            return self._service.submit(payload, job.tag)
        except BackendUnavailableError:
            self._may_have_arrived, self._sent_at = True, monotonic()  # it may arrive as late as this
            raise
        except (*_REFUSALS, RateLimitError):
            self.in_doubt = False
            raise

    def _looked_up(self, job: JobRecord) -> str | None:
        try:
            return self._watcher.looked_up(job.tag, self._sent_at + self._service.lookup_s - monotonic())
        except TRANSIENT:
            self._sent_at = monotonic()  # while nobody can be asked, what was sent may be on its way, too
            raise

    def cancel_if_queued(self) -> bool:
        """Cancel the job where the provider has not begun it; whether it was."""
        if self._job is None or self.remote_id is None:
            return False
        latest = self._journal.latest(self._job.id)
        if latest is None or latest.state != "submitted" or self._service.state(self.remote_id) != "queued":
            return False
        self._service.cancel(self.remote_id)
        if self._service.state(self.remote_id) != "cancelled":
            return False
        self._journal.cancelled(latest)
        return True
