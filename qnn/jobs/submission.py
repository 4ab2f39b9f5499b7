"""Carrying out the jobs of one call: each is submitted once, whatever happens between here and the provider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from threading import Event
from typing import Any, cast

import numpy as np

from qnn import _meter
from qnn._run import current_run
from qnn.errors import BackendError, JobTimeoutError, JournalError, QnnError
from qnn.jobs.journal import Journal
from qnn.jobs.policy import Policy
from qnn.jobs.retrying import TRANSIENT
from qnn.jobs.service import Request, Service
from qnn.jobs.tracking import Tracker
from qnn.jobs.watching import Stopped, Watcher

_MOST_THREADS = 32
_NAMED = 3  # ids in a message
_CONSEQUENCES = (JobTimeoutError, Stopped)  # of another error, it may be


def carry_out(
    service: Service,
    requests: Sequence[Request],
    policy: Policy,
    specification: Mapping[str, Any] | None = None,
) -> list[list[np.ndarray]]:
    """The arrays of every request, in order.

    A request that the journal knows from this run is not submitted again: its result is taken, or its job is waited
    for. Requests that fail for now are repeated with growing pauses; where an answer was lost, the job is looked up by
    its tag first. When a job fails for good, no more are submitted, and those still queued are cancelled.
    Every job counts in the meter, and for open budgets, those that the journal answers too.

    Args:
        service: where the jobs run.
        requests: the jobs of one call.
        policy: patience, and the journal.
        specification: plain data from which the backend can be made again, for `qnn jobs wait`.

    Raises:
        BudgetError: a budget has no room for all of them; nothing was submitted.
        JournalError: the journal cannot be read or written; jobs that were submitted are in its `job_ids`.
        JobTimeoutError: jobs did not end in time; they go on, and the same run finds them again.
        BackendError: the provider refused or failed; subclasses say how. Its `job_ids` are the jobs under way.
    """
    call = _Call(service, requests, policy, specification)
    _meter.reserve(**_used(requests))
    try:
        return call.results()
    except BaseException:
        begun = {id(request) for request in call.begun}
        _meter.give_back(**_used([request for request in requests if id(request) not in begun]))
        raise
    finally:
        for request in call.begun:
            _meter.record(circuits=request.n_circuits, shots=request.shots, jobs=1)


def _used(requests: Sequence[Request]) -> dict[str, Any]:
    """What requests use; seconds are None where one of them has no estimate."""
    seconds = [request.seconds for request in requests]
    return {
        "circuits": sum(request.n_circuits for request in requests),
        "shots": sum(request.shots for request in requests),
        "jobs": len(requests),
        "seconds": None if None in seconds else sum(s or 0.0 for s in seconds),
    }


class _Call:
    """The requests of one call, carried out by a few threads; used once."""

    def __init__(
        self,
        service: Service,
        requests: Sequence[Request],
        policy: Policy,
        specification: Mapping[str, Any] | None,
    ) -> None:
        self._service, self._requests = service, requests
        self._stop = Event()
        journal = Journal(policy.journal)
        watcher = Watcher(service, journal, policy, self._stop)
        run = current_run()
        self._run = run.id
        self._trackers = [
            Tracker(service, request, journal, policy, run, specification, watcher) for request in requests
        ]

    @property
    def begun(self) -> list[Request]:
        """What was submitted, now or before, or may have been."""
        pairs = zip(self._requests, self._trackers, strict=True)
        return [request for request, tracker in pairs if tracker.remote_id or tracker.in_doubt]

    @property
    def job_ids(self) -> tuple[str, ...]:
        """The provider's ids, in the order of the requests."""
        return tuple(tracker.remote_id for tracker in self._trackers if tracker.remote_id)

    def results(self) -> list[list[np.ndarray]]:
        """See `carry_out`."""
        try:
            return self._collected()
        except JobTimeoutError as error:
            self._name(error, "They go on and are paid for; the same run finds them again.")
            raise
        except JournalError as error:
            self._name(error, "The same run finds them again by their tags.")
            raise
        except TRANSIENT as error:
            self._name(error, "They go on; the same run finds them again.")
            raise
        except QnnError as error:
            cancelled = self._cancel_queued()
            self._name(error, f"{cancelled} of them, still queued, were cancelled." if cancelled else "")
            raise
        except BaseException as error:  # an interrupt, above all
            if self.job_ids:
                error.add_note(f"Under way at {self._service.name}: {', '.join(self.job_ids)}. {self._found_again}")
            raise

    @property
    def _found_again(self) -> str:
        return f'Run "{self._run}" finds them again; `qnn jobs list --run {self._run}` shows them.'

    def _collected(self) -> list[list[np.ndarray]]:
        if len(self._trackers) == 1:
            return [self._trackers[0].result()]
        most = self._service.max_parallel or _MOST_THREADS
        pool = ThreadPoolExecutor(max(1, min(most, len(self._trackers))), thread_name_prefix="qnn-jobs")
        try:
            futures = [pool.submit(self._one, tracker) for tracker in self._trackers]
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            self._stop.set()
            pool.shutdown(cancel_futures=True)  # requests under way come to their end, so that no id is lost
        errors = [error for future in futures if future in done and (error := future.exception()) is not None]
        if errors:
            raise min(
                errors, key=lambda error: _CONSEQUENCES.index(type(error)) if type(error) in _CONSEQUENCES else -1
            )
        return [cast(list[np.ndarray], future.result()) for future in futures]

    def _one(self, tracker: Tracker) -> list[np.ndarray] | None:
        """The result of one job, which has its thread until it ends."""
        if self._stop.is_set():
            return None
        try:
            return tracker.result()
        except BaseException:
            self._stop.set()  # here, before this thread takes up the next job
            raise

    def _cancel_queued(self) -> int:
        """How many jobs were cancelled before they began."""
        cancelled = 0
        for tracker in self._trackers:
            with suppress(QnnError):  # what went wrong before is what the caller is told
                cancelled += tracker.cancel_if_queued()
        return cancelled

    def _name(self, error: QnnError, further: str) -> None:
        """Put the jobs under way into an error: a few ids in its message, all of them as `job_ids`."""
        if not isinstance(error, BackendError | JournalError):
            return
        ids = self.job_ids
        error.job_ids = ids
        if ids:
            some = ", ".join(ids[:_NAMED]) + (", … (all in the error's `job_ids`)" if len(ids) > _NAMED else "")
            error.args = (f"{error} Submitted: {len(ids)} of {len(self._requests)} jobs: {some}. {further}".rstrip(),)
        elif any(tracker.in_doubt for tracker in self._trackers):
            error.args = (f"{error} Whether a job was submitted is not known.",)
        else:
            error.args = (f"{error} No job was submitted.",)
