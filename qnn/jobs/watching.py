"""Waiting for a job at a provider, patiently and not beyond a deadline."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from threading import Event
from time import monotonic
from typing import TypeVar

import numpy as np

from qnn.errors import JobFailedError, JobNotFoundError, JobTimeoutError, QnnError
from qnn.jobs.journal import Journal, default_path
from qnn.jobs.policy import Policy
from qnn.jobs.record import JobRecord
from qnn.jobs.retrying import TRANSIENT, patiently
from qnn.jobs.service import Service

T = TypeVar("T")
_FIRST_LOOK_S = 0.05


class Stopped(QnnError):
    """Another job of the same call failed, so that this one is not waited for."""


class Watcher:
    """What one call needs to wait for jobs.

    Args:
        service: where they run.
        journal: where they are kept.
        policy: patience; its `timeout_s` counts from now.
        stop: set when the call ends early.
    """

    def __init__(self, service: Service, journal: Journal, policy: Policy, stop: Event) -> None:
        self._service, self._journal, self._policy, self._stop = service, journal, policy, stop
        self._deadline = None if policy.timeout_s is None else monotonic() + policy.timeout_s

    def fetched(self, job: JobRecord) -> list[np.ndarray]:
        """The result from the provider, kept before it is returned."""
        assert job.remote_id is not None
        remote_id, began = job.remote_id, monotonic()
        interval = min(_FIRST_LOOK_S, self._service.poll_interval_s)
        while True:
            state = self.patiently(lambda: self._state(job, remote_id, began))
            if state == "done":
                break
            if state in ("failed", "cancelled"):
                self._refuse(job, remote_id, state)
            self.pause(interval, "done")
            interval = min(2 * interval, self._service.poll_interval_s)
        try:
            result = self.patiently(lambda: self._service.result(remote_id, job.form_data))
        except JobFailedError as error:
            self._journal.failed(job, str(error))
            raise
        used = None
        with suppress(QnnError):  # worth knowing, and no reason to lose a result
            used = self._service.seconds_used(remote_id)
        self._journal.finished(job, result, used)
        return result

    def _state(self, job: JobRecord, remote_id: str, began: float) -> str:
        waited = monotonic() - began  # when this look began
        try:
            return self._service.state(remote_id)
        except JobNotFoundError as error:
            if waited < self._service.lookup_s:
                return "queued"  # the provider lists it later than it accepted it
            where = f" --journal {self._journal.path}" if self._journal.path != default_path() else ""
            error.args = (f"{error} `qnn jobs cancel {job.id}{where}` gives it up; the same run then submits it anew.",)
            raise

    def _refuse(self, job: JobRecord, remote_id: str, state: str) -> None:
        """Note how a job ended, and raise."""
        why = self.patiently(lambda: self._service.why(remote_id))
        if state == "cancelled":
            self._journal.cancelled(job)
        else:
            self._journal.failed(job, why or "no reason given")
        reason = f": {why.rstrip('.')}" if why else ""
        raise JobFailedError(
            f"Job {remote_id} on {self._service.name} was {state}{reason}. "
            "Look at it at the provider; the same run submits it anew when it is started again."
        )

    def looked_up(self, tag: str, left_s: float) -> str | None:
        """The job that was sent with `tag`, looked for during `left_s` seconds, in which it may come to be listed."""
        until = monotonic() + left_s
        while True:
            left = until - monotonic()  # before the look, which may take long and shows how things stood when it began
            found = self._service.find(tag)
            if found is not None or left <= 0:
                return found
            self.pause(min(left, max(0.05, self._service.lookup_s / 10)), "looked up")

    def patiently(self, call: Callable[[], T]) -> T:
        """The result of `call`, made again while it fails for now, and not beyond the deadline."""
        left = math.inf if self._deadline is None else max(0.0, self._deadline - monotonic())
        try:
            return patiently(call, min(self._policy.retry_s, left), self._stop)
        except TRANSIENT as error:
            if left >= self._policy.retry_s:
                raise
            raise JobTimeoutError(
                f"`timeout_s` must be long enough for {self._service.name} to answer; got "
                f"{self._policy.timeout_s:g} s, after which it said: {error}"
            ) from error

    def check_going_on(self) -> None:
        """Refuse to begin anything more once the call has ended.

        Raises:
            Stopped: it has.
        """
        if self._stop.is_set():
            raise Stopped(f"A job on {self._service.name} was not submitted, since another one of its call failed.")

    def pause(self, seconds: float, until: str) -> None:
        """Wait a little.

        Raises:
            JobTimeoutError: the deadline has passed.
            Stopped: the call has ended.
        """
        left = None if self._deadline is None else self._deadline - monotonic()
        if left is not None and left <= 0:
            raise JobTimeoutError(
                f"`timeout_s` must be long enough for a job on {self._service.name} to be {until}; got "
                f"{self._policy.timeout_s:g} s. Give more, or start the same run again later."
            )
        if self._stop.wait(seconds if left is None else min(seconds, left)):
            raise Stopped(f"A job on {self._service.name} was not waited for, since another one of its call failed.")
