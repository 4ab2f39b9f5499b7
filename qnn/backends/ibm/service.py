"""Jobs at IBM Quantum, for the journal."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from qnn._forking import ForkLock
from qnn.backends.ibm.client import send_once
from qnn.backends.ibm.errors import failures, keep_out_of_messages, without_secrets
from qnn.backends.ibm.options import OPEN_PLANS, plan_of
from qnn.backends.ibm.results import arrays_of
from qnn.errors import BackendUnavailableError, DuplicateJobWarning, QnnError, RateLimitError
from qnn.jobs import RemoteState, Service

if TYPE_CHECKING:
    from qnn.backends.ibm import IBM

_STATES: dict[str, RemoteState] = {
    "INITIALIZING": "queued",
    "QUEUED": "queued",
    "RUNNING": "running",
    "DONE": "done",
    "ERROR": "failed",
    "CANCELLED": "cancelled",
}
_KEPT = 256  # job objects
_PENDING_ON_OPEN_PLAN = 3  # jobs that may wait there; one more is refused with code 3458
_TOLD = 500  # last letters of a message, which may be a traceback
_SAME_TAG = 10  # most jobs that are looked at for one tag


@dataclass(frozen=True)
class IBMPayload:
    """What becomes one job.

    Attributes:
        pubs: IBM's primitive unified blocs.
        shots: per circuit.
    """

    pubs: list[Any]
    shots: int


class IBMService(Service):
    """The jobs of one instance of an account.

    Args:
        backend: an `IBM` for a machine.

    Raises:
        AuthenticationError, BackendUnavailableError, UnknownNameError: there is no way to the machine.
    """

    #: IBM takes 5 submissions a minute from a user; looking at jobs is not limited so.
    poll_interval_s = 1.0
    #: Nobody has measured how soon a new job is in IBM's list; a second job costs more than this wait.
    lookup_s = 30.0

    def __init__(self, backend: IBM) -> None:
        self.name = backend.name
        self._backend, self._device = backend, backend.device
        self._jobs: OrderedDict[str, Any] = OrderedDict()
        self._lock = ForkLock()
        keep_out_of_messages(self._device.service)
        self._sends_once = send_once(self._device)

    @property
    def _runtime(self) -> Any:
        return self._device.service

    @property
    def _instance(self) -> str | None:
        return getattr(self._device, "_instance", None)

    @cached_property
    def max_parallel(self) -> int | None:  # type: ignore[override]
        """As many as the open plan lets wait, there; any number on other plans."""
        with failures("ask for the account's plan"):
            plan = plan_of(self._runtime.instances(), self._instance or self._runtime.active_instance())
        return _PENDING_ON_OPEN_PLAN if plan in OPEN_PLANS else None

    def submit(self, payload: IBMPayload, tag: str) -> str:
        """Send one job, with the backend's tags and this one.

        Where the client may have sent it again by itself, the tag is looked up once, as by `find`.
        """
        job = self._kept(self._backend.submit(self._device, payload.pubs, payload.shots, None, tag=tag))
        if self._sends_once:
            return job.job_id()
        try:
            return self._first([*self._tagged(tag), job])
        except QnnError as error:  # the job is there, and found by its tag
            raise BackendUnavailableError(
                f"Job {job.job_id()} was submitted to IBM Quantum, and it is not known whether twice: {error}"
            ) from error

    def find(self, tag: str) -> str | None:
        """The oldest job with the tag that has not failed or been cancelled, else the oldest.

        Those that failed before it are of an attempt whose row was pruned; those after it were sent by mistake.

        Warns:
            DuplicateJobWarning: there are later ones than one that has not failed. Those that are queued have been
                cancelled.
        """
        found = self._tagged(tag)
        return self._first(found) if found else None

    def state(self, remote_id: str) -> RemoteState:
        """How far the job is."""
        with failures(f"say how job {remote_id} is", reading=True):
            return _STATES.get(self._status(remote_id), "running")

    def result(self, remote_id: str, form: Mapping[str, Any]) -> list[np.ndarray]:
        """Arrays of a job that is done, see `arrays_of`."""
        with failures(f"return the result of job {remote_id}", reading=True):
            result = self._job(remote_id).result()
        if result is None:
            raise BackendUnavailableError(
                f"IBM Quantum sent nothing as the result of job {remote_id}. Try again later; if it stays so, look at "
                "the job on IBM's page."
            )
        return arrays_of(result, form, remote_id)

    def cancel(self, remote_id: str) -> None:
        """Ask that a job be cancelled; one that has ended stays as it is."""
        with failures(f"cancel job {remote_id}"):
            try:
                self._job(remote_id).cancel()
            except Exception as error:
                if type(error).__name__ != "RuntimeInvalidStateError":  # it has ended
                    raise
        with self._lock:
            self._jobs.pop(remote_id, None)  # the object holds itself for cancelled; ask IBM

    def seconds_used(self, remote_id: str) -> float | None:
        """Seconds for which the machine was locked, as IBM bills them; None until IBM has counted them."""
        try:
            with failures(f"say what job {remote_id} used"):
                usage = self._job(remote_id).metrics().get("usage", {})
                seconds = usage.get("qpu_charge_time_seconds")
                return None if seconds is None or usage.get("status", "pending") == "pending" else float(seconds)
        except (RateLimitError, BackendUnavailableError):
            raise
        except QnnError:  # the result is there, and worth more than this figure
            return None

    def why(self, remote_id: str) -> str:
        """IBM's message about a job that failed, in one line."""
        try:
            with failures(f"say why job {remote_id} failed"):
                told = str(self._job(remote_id).error_message() or "")
        except (RateLimitError, BackendUnavailableError):
            raise
        except QnnError:  # that it failed is known
            return ""
        return without_secrets(" ".join(told.split()))[-_TOLD:]

    def _tagged(self, tag: str) -> list[Any]:
        """IBM's objects for the jobs with a tag, in every state."""
        with failures("list the jobs with our tag", reading=True):
            return self._runtime.jobs(limit=_SAME_TAG, instance=self._instance, job_tags=[tag], descending=False)

    def _first(self, jobs: Sequence[Any]) -> str:
        """The one of the jobs with a tag that counts, see `find`; later ones are dropped."""
        with failures("tell the jobs with our tag apart", reading=True):
            by_id = {job.job_id(): job for job in jobs}
            oldest = sorted(by_id.values(), key=lambda job: (str(job.creation_date), job.job_id()))
        ids = [self._kept(job).job_id() for job in oldest]
        if len(ids) == 1:
            return ids[0]
        alive = (n for n, job_id in enumerate(ids) if self.state(job_id) not in ("failed", "cancelled"))
        first = next(alive, None)
        if first is None:
            return ids[0]
        for other in ids[first + 1 :]:
            self._drop(other, ids[first])
        return ids[first]

    def _job(self, remote_id: str) -> Any:
        """IBM's object for a job, asked for once."""
        with self._lock:
            known = self._jobs.get(remote_id)
        return known if known is not None else self._kept(self._runtime.job(remote_id))

    def _kept(self, job: Any) -> Any:
        with self._lock:
            job = self._jobs.setdefault(job.job_id(), job)
            while len(self._jobs) > _KEPT:
                self._jobs.popitem(last=False)
            return job

    def _status(self, remote_id: str) -> str:
        job = self._job(remote_id)
        try:
            return job.status()
        except Exception:
            ended = getattr(job, "_status", None)  # of a failed job it asks for the message, too, which may be missing
            if ended in getattr(job, "JOB_FINAL_STATES", ()):
                return str(ended)
            with self._lock:
                self._jobs.pop(remote_id, None)
            raise

    def _drop(self, remote_id: str, first: str) -> None:
        """Cancel a second job of one submission, if it has not begun, and say so."""
        state = self.state(remote_id)
        if state == "queued":
            self.cancel(remote_id)
        what = {"queued": "was cancelled before it began", "running": "runs and is paid for"}
        warnings.warn(
            f"A submission reached IBM Quantum twice: job {first} is used; job {remote_id} "
            f"{what.get(state, 'has ended and may be paid for')}.",
            DuplicateJobWarning,
            stacklevel=3,
        )
