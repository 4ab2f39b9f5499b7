"""What the service answers to each request; HTTP is in `server`."""

from __future__ import annotations

import time
from collections import deque
from threading import Lock
from typing import Any

from qnn.errors import QnnError
from qnn.fakecloud.faults import Faults
from qnn.fakecloud.jobs import Job, Jobs, state_before
from qnn.fakecloud.settings import Settings
from qnn.fakecloud.store import Store
from qnn.fakecloud.work import Queue

_PAYLOAD = {"circuit", "shared", "rows", "shots", "keys", "tag", "circuits_per_row"}
_KEPT_LINES = 100_000  # of the log


class Refused(Exception):
    """The answer is an error.

    Args:
        status: of HTTP.
        message: for the client.
        fault: the fault behind it, if one is.
    """

    def __init__(self, status: int, message: str, fault: str | None = None) -> None:
        super().__init__(message)
        self.status, self.fault = status, fault


class Closed(Exception):
    """The connection is closed instead of an answer.

    Args:
        fault: the fault behind it.
        answer: of which half is sent before.
    """

    def __init__(self, fault: str, answer: dict[str, Any] | None = None) -> None:
        super().__init__(fault)
        self.fault, self.answer = fault, answer


class Cloud:
    """The service behind HTTP.

    Args:
        settings: to begin with; `configure` changes them.
        faults: to begin with.
        store: see `Store`.
    """

    def __init__(self, settings: Settings, faults: dict[str, Any], store: Store) -> None:
        self._lock = Lock()
        self._faults = Faults(settings.seed)
        self._faults.set(faults, settings.seed)
        self._down_until = time.monotonic() + settings.down_s
        self._submitted: deque[float] = deque()
        self.settings = settings
        self.jobs = Jobs(store)
        self.log: deque[dict[str, Any]] = deque(maxlen=_KEPT_LINES)
        Queue(self.jobs, lambda: self.settings).start()

    # for tests ------------------------------------------------------------------------------------------------

    def configure(self, changes: dict[str, Any]) -> dict[str, Any]:
        """Change settings and faults; `{"faults": null}` ends all faults."""
        changes = dict(changes)
        try:
            with self._lock:
                has_faults, faults = "faults" in changes, changes.pop("faults", {})
                settings = self.settings.changed(changes)
                if has_faults or settings.seed != self.settings.seed:
                    self._faults.set(faults, settings.seed)
                if "down_s" in changes:
                    self._down_until = time.monotonic() + settings.down_s
                self.settings = settings
        except (QnnError, AttributeError) as error:
            raise Refused(400, str(error)) from error
        with self.jobs.changed:
            self.jobs.changed.notify_all()
        return self.settings.as_json() | {"faults": self._faults.as_json()}

    # for clients ----------------------------------------------------------------------------------------------

    def check_up(self) -> None:
        """Refuse while the service is down."""
        if time.monotonic() < self._down_until:
            if self.settings.outage == "closed":
                raise Closed("down")
            raise Refused(503, "the service is down for maintenance", "down")

    def device(self) -> dict[str, Any]:
        """Limits, and whether sampling keys are honoured."""
        names = ("max_wires", "max_executions", "max_pending", "max_submissions_per_s", "quota_s")
        limits = {name: getattr(self.settings, name) for name in names}
        return limits | {"keyed": not self.settings.own_randomness}

    def submit(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Accept a job, or refuse it."""
        refusals = {"submit_429": 429, "submit_500": 500, "submit_503": 503}
        fault = self._faults.happens("submit_lost", *refusals, "submit_answer_lost", "submit_twice")
        if fault == "submit_lost":
            raise Closed(fault)
        if fault in refusals:
            raise Refused(refusals[fault], "not now", fault)
        executions = self._executions(payload)
        self._check_limits(executions)
        tag = str(payload.pop("tag"))
        job = self._accepted(payload, tag, executions)
        if fault == "submit_twice":
            self._accepted(payload, tag, executions)
        if fault == "submit_answer_lost":
            raise Closed(fault)
        return {"id": job.id}

    def _accepted(self, payload: dict[str, Any], tag: str, executions: int) -> Job:
        return self.jobs.submit(payload, tag, executions, self._faults.happens("job_fails", "job_cancelled"))

    def _executions(self, payload: dict[str, Any]) -> int:
        """Circuits times shots of a payload; what else is wrong in it shows when the job runs."""
        settings = self.settings
        if set(payload) != _PAYLOAD:
            raise Refused(400, f"a job must have the fields {', '.join(sorted(_PAYLOAD))}; got {', '.join(payload)}")
        try:
            n_wires, n_rows = int(payload["circuit"]["n_wires"]), int(payload["rows"]["shape"][0])
            executions = n_rows * int(payload["circuits_per_row"]) * (int(payload["shots"] or 1))
        except (LookupError, TypeError, ValueError) as error:
            raise Refused(400, f"the payload cannot be read: {error!r}") from error
        if executions < 0:
            raise Refused(400, f"`shots` must be a positive integer, or null; got {payload['shots']}")
        if not isinstance(payload["tag"], str):
            raise Refused(400, f"`tag` must be a text; got {payload['tag']!r}")
        if n_wires > settings.max_wires:
            raise Refused(400, f"the circuit has {n_wires} wires, and the machine {settings.max_wires}")
        if executions > settings.max_executions:
            raise Refused(400, f"the job has {executions} executions, of {settings.max_executions} at most")
        if settings.own_randomness and payload["keys"] is not None:
            told = "sampling keys cannot be honoured: use its URL with /unkeyed behind it, or keyed=False"
            raise Refused(400, f"this machine draws by itself, {told}")
        return executions

    def _check_limits(self, executions: int) -> None:
        """Refuse what is too much at present."""
        settings, now = self.settings, time.monotonic()
        if settings.max_pending is not None and self.jobs.n_pending() >= settings.max_pending:
            raise Refused(429, f"code 3458: {settings.max_pending} jobs are pending, as many as may be", "max_pending")
        if settings.quota_s is not None and self.jobs.seconds_with(executions) > settings.quota_s:
            raise Refused(402, f"the quota of {settings.quota_s:g} seconds is used up", "quota_s")
        if settings.max_submissions_per_s is not None:
            with self._lock:
                while self._submitted and self._submitted[0] < now - 1.0:
                    self._submitted.popleft()
                if len(self._submitted) >= settings.max_submissions_per_s:
                    raise Refused(429, "too many submissions", "max_submissions_per_s")
                self._submitted.append(now)

    def listing(self, tag: str | None) -> dict[str, Any]:
        """Jobs of one tag or of all, without those that were submitted too lately to be seen."""
        if tag is not None and (fault := self._faults.happens("find_503")):
            raise Refused(503, "not now", fault)
        seen = self.jobs.listed(time.time() - self.settings.tag_lag_s, tag)
        return {"jobs": [job.as_json() for job in seen]}

    def look(self, job_id: str) -> dict[str, Any]:
        """The job as it stands."""
        fault = self._faults.happens("poll_503", "poll_lost", "poll_backwards")
        if fault == "poll_503":
            raise Refused(503, "not now", fault)
        if fault == "poll_lost":
            raise Closed(fault)
        job = self._job(job_id)
        return job.as_json(state_before(job) if fault else None)

    def result(self, job_id: str) -> dict[str, Any]:
        """The arrays of a job that is done."""
        fault = self._faults.happens("result_503", "result_lost", "result_cut", "result_swapped")
        if fault == "result_503":
            raise Refused(503, "not now", fault)
        if fault == "result_lost":
            raise Closed(fault)
        job = self._job(job_id)
        if job.state in ("failed", "cancelled"):
            raise Refused(410, f"the job was {job.state}: {job.why}" if job.why else f"the job was {job.state}")
        if job.result is None or time.time() < (job.ended or 0.0) + self.settings.result_lag_s:
            raise Refused(503, "the result is not there yet", "result_lag_s" if job.result else None)
        if fault == "result_swapped" and (other := self.jobs.other(job)) is not None:
            job = other
        answer = {"id": job.id, "arrays": job.result}
        if fault == "result_cut":
            raise Closed(fault, answer)
        return answer

    def cancel(self, job_id: str) -> dict[str, Any]:
        """End a job that has not ended."""
        if fault := self._faults.happens("cancel_503"):
            raise Refused(503, "not now", fault)
        job = self._job(job_id)
        self.jobs.end(job, "cancelled", "by the user")
        return job.as_json()

    def payload(self, job_id: str) -> dict[str, Any]:
        """What was received, for tests."""
        job = self.jobs.get(job_id)
        return {} if job is None else job.payload

    def _job(self, job_id: str) -> Job:
        job = self.jobs.get(job_id)
        if job is None or time.time() < job.created + self.settings.id_lag_s:
            raise Refused(404, f"no job {job_id}", "id_lag_s" if job else None)
        return job
