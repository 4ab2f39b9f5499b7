"""Running jobs: a queue with workers, and the embedded simulator."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from functools import lru_cache
from random import Random
from threading import Lock, Thread
from typing import Any

from qnn.errors import QnnError
from qnn.fakecloud.jobs import Job, Jobs
from qnn.fakecloud.settings import Settings

_simulating = Lock()


class Queue:
    """Takes queued jobs while there are workers, in the order that is set.

    Args:
        jobs: all jobs.
        settings: gives the present settings.
    """

    def __init__(self, jobs: Jobs, settings: Callable[[], Settings]) -> None:
        self._jobs = jobs
        self._settings = settings
        self._random, self._seed = Random(0), -1
        self._n_running = 0

    def start(self) -> None:
        """Begin; ends with the process."""
        Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        while True:
            with self._jobs.changed:
                job = self._next()
                if job is None:
                    self._jobs.changed.wait(0.5)
                    continue
                self._jobs.begin(job)
                self._n_running += 1
            Thread(target=self._run, args=(job,), daemon=True).start()

    def _next(self) -> Job | None:
        settings, waiting = self._settings(), self._jobs.queued()
        if not waiting or self._n_running >= settings.workers:
            return None
        if settings.order == "random":
            if settings.seed != self._seed:
                self._random, self._seed = Random(f"{settings.seed}/order"), settings.seed
            return self._random.choice(waiting)
        return waiting[0 if settings.order == "first" else -1]

    def _run(self, job: Job) -> None:
        until = time.monotonic() + self._settings().seconds_per_job
        state, why, result = _outcome(job)
        with self._jobs.changed:  # until it is time, or the job is cancelled
            self._jobs.changed.wait_for(lambda: job.state != "running", max(0.0, until - time.monotonic()))
            self._n_running -= 1
            self._jobs.end(job, state, why, result)
            self._jobs.changed.notify_all()


def _outcome(job: Job) -> tuple[str, str, list[dict[str, Any]] | None]:
    """State, reason and result of a job."""
    if job.doomed == "job_fails":
        return "failed", "the machine was recalibrated while the job ran", None
    if job.doomed == "job_cancelled":
        return "cancelled", "cancelled by the operator", None
    try:
        with _simulating:
            return "done", "", simulate(job.payload)
    except (QnnError, LookupError, ValueError, TypeError) as error:
        return "failed", f"the payload cannot be run: {error}", None


def simulate(payload: dict[str, Any]) -> list[dict[str, Any]]:
    """Packed arrays of a payload: exact values (N, M), or for each measurement setting counts (N, 2^k).

    What the embedded simulator gives for the same angles, shots and keys; without keys shots are drawn afresh.
    """
    import torch  # here and below, so that the service answers before the simulator is loaded

    from qnn import _seeding
    from qnn.backends.base import Angles
    from qnn.backends.fakecloud.wire import packed, unpacked

    shots = payload["shots"]
    angles = Angles(*(torch.from_numpy(unpacked(payload[name])) for name in ("shared", "rows")))
    keys = None
    if shots is not None and payload["keys"] is None:
        keys = _seeding.row_keys(secrets.randbits(62), angles.n_rows, 0)
    elif shots is not None:
        keys = torch.from_numpy(unpacked(payload["keys"]))
    found = _executable(_text(payload["circuit"])).run(angles, shots=shots, keys=keys)
    return [packed(block.numpy()) for block in (found.counts or (found.values,))]


def _text(circuit: dict[str, Any]) -> str:
    from qnn._fingerprint import canonical_json

    return canonical_json(circuit)


@lru_cache(maxsize=64)
def _executable(circuit: str) -> Any:
    import json

    from qnn.backends.statevector import Statevector
    from qnn.circuits.circuit import Circuit

    return Statevector().compile(Circuit.from_json(json.loads(circuit)))
