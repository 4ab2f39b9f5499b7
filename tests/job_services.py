"""A provider within the test's own process, whose every answer a test decides; the fake cloud is the one over HTTP."""

import threading

import numpy as np

from qnn.errors import JobNotFoundError
from qnn.jobs import Request, Service


class Provider(Service):
    """Runs a job by squaring its payload.

    `faults` maps a method's name to what its next calls do: None works, an exception is raised (after the work where
    it is `arriving`), "late" finds nothing, another text is the state of the job.
    """

    name = "provider"
    poll_interval_s = 0.01
    lookup_s = 0.1

    def __init__(self, **faults):
        self.faults = {name: list(todo) for name, todo in faults.items()}
        self.jobs, self.calls, self.states = {}, [], {}
        self._lock = threading.Lock()

    def _fault(self, method, error=None):
        with self._lock:
            self.calls.append(method)
            todo = self.faults.get(method)
            return todo.pop(0) if todo else None

    def submit(self, payload, tag):
        fault = self._fault("submit")
        if isinstance(fault, BaseException) and not getattr(fault, "arrives", False):
            raise fault
        with self._lock:
            remote_id = f"job-{len(self.jobs) + 1}"
            self.jobs[remote_id] = (np.asarray(payload, dtype=float), tag)
        if fault is not None:
            raise fault
        return remote_id

    def find(self, tag):
        fault = self._fault("find")
        if isinstance(fault, BaseException):
            raise fault
        if fault == "late":
            return None
        found = [remote_id for remote_id, (_, marked) in self.jobs.items() if marked == tag]
        return min(found, key=lambda remote_id: self.states.get(remote_id) in ("failed", "cancelled"), default=None)

    def state(self, remote_id):
        fault = self._fault("state")
        if isinstance(fault, BaseException):
            raise fault
        if remote_id not in self.jobs:
            raise JobNotFoundError(f"no job {remote_id}")
        if fault in ("failed", "cancelled"):
            self.states[remote_id] = fault
        return fault or self.states.get(remote_id, "done")

    def result(self, remote_id, form):
        fault = self._fault("result")
        if isinstance(fault, BaseException):
            raise fault
        return [self.jobs[remote_id][0] ** 2]

    def cancel(self, remote_id):
        self._fault("cancel")
        if self.state(remote_id) in ("queued", "running"):
            self.states[remote_id] = "cancelled"

    @property
    def tags(self):
        return [tag for _, tag in self.jobs.values()]


def arriving(error):
    """The error after the request did arrive: a lost answer."""
    error.arrives = True
    return error


def request(values, part=0, call=(0, 0, 0), shots=10, **changes):
    """A job that squares `values`."""
    values = np.atleast_1d(np.asarray(values, dtype=float))
    fields = {
        "circuit": "c", "angles": values.tobytes().hex(), "options": "o", "call": call, "part": part,
        "n_circuits": len(values), "shots": shots * len(values), "payload": lambda: values,
    }  # fmt: skip
    return Request(**(fields | changes))
