"""The jobs of the service: accepted, found, looked at, ended."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from threading import Condition
from typing import Any
from uuid import uuid4

from qnn.fakecloud.store import Store

SECONDS_PER_JOB, SECONDS_PER_EXECUTION = 0.01, 1e-4  # the price, as documented
_BEFORE = {"running": "queued", "done": "running", "failed": "running", "cancelled": "running"}
_ENDED = ("done", "failed", "cancelled")


@dataclass
class Job:
    """One job.

    Attributes:
        id: of the service.
        tag: of the client, who may have sent several jobs of one tag.
        payload: as received.
        executions: circuits times shots.
        created: time of the submission.
        state: "queued", "running", "done", "failed" or "cancelled".
        ended: time at which it ended.
        why: what is said about a failure.
        doomed: the fault that it will meet.
        result: packed arrays.
    """

    id: str
    tag: str
    payload: dict[str, Any]
    executions: int
    created: float
    state: str = "queued"
    ended: float | None = None
    why: str = ""
    doomed: str | None = None
    result: list[dict[str, Any]] | None = field(default=None, repr=False)

    @property
    def seconds(self) -> float:
        """Billed seconds; nothing for a job that did not run to its end."""
        return price(self.executions) if self.state == "done" else 0.0

    def as_json(self, state: str | None = None) -> dict[str, Any]:
        """What a look at the job shows."""
        return {
            "id": self.id, "tag": self.tag, "state": state or self.state, "created": self.created,
            "ended": self.ended, "why": self.why, "seconds": self.seconds,
        }  # fmt: skip


class Jobs:
    """All jobs, in the order of submission; `changed` is notified of every change.

    Args:
        store: a file, from which the jobs of an earlier service are taken; those that had not ended are queued again.
    """

    def __init__(self, store: Store) -> None:
        self.changed = Condition()
        self._store = store
        self._jobs: dict[str, Job] = {}
        for event in store.events():
            if "submitted" in event:
                job = Job(**event["submitted"])
                self._jobs[job.id] = job
            else:
                job = self._jobs[event["id"]]
                job.state, job.ended = event["state"], event["ended"]
                job.why, job.result = event["why"], event["result"]

    def submit(self, payload: dict[str, Any], tag: str, executions: int, doomed: str | None) -> Job:
        """Accept a job, whatever its tag: like real services, this one does not know what was meant to be the same."""
        job = Job(uuid4().hex, tag, payload, executions, time.time(), doomed=doomed)
        kept = ("id", "tag", "payload", "executions", "created", "doomed")
        with self.changed:
            self._store.append({"submitted": {name: getattr(job, name) for name in kept}})
            self._jobs[job.id] = job
            self.changed.notify_all()
        return job

    def get(self, job_id: str) -> Job | None:
        """The job of that id."""
        with self.changed:
            return self._jobs.get(job_id)

    def listed(self, before: float, tag: str | None = None) -> list[Job]:
        """Jobs that were submitted before a time, oldest first; of all tags, or of one."""
        with self.changed:
            return [j for j in self._jobs.values() if j.created <= before and tag in (None, j.tag)]

    def other(self, job: Job) -> Job | None:
        """Another job that is done, if there is one: the last."""
        with self.changed:
            done = [j for j in self._jobs.values() if j.state == "done" and j.id != job.id]
        return done[-1] if done else None

    def queued(self) -> list[Job]:
        """Jobs that wait, oldest first."""
        with self.changed:
            return [job for job in self._jobs.values() if job.state == "queued"]

    def n_pending(self) -> int:
        """Jobs that have not ended."""
        with self.changed:
            return sum(job.state not in _ENDED for job in self._jobs.values())

    def seconds_with(self, executions: int) -> float:
        """Billed seconds of all jobs, and of one more, where those that have not ended count as if they had."""
        with self.changed:
            billed = (j.executions for j in self._jobs.values() if j.state not in ("failed", "cancelled"))
            return sum(map(price, billed)) + price(executions)

    def per_tag(self) -> dict[str, int]:
        """How many jobs each tag has."""
        with self.changed:
            return dict(Counter(job.tag for job in self._jobs.values()))

    def begin(self, job: Job) -> bool:
        """Mark a queued job as running; whether it still was queued."""
        with self.changed:
            if job.state != "queued":
                return False
            job.state = "running"
            self.changed.notify_all()
            return True

    def end(self, job: Job, state: str, why: str = "", result: list[dict[str, Any]] | None = None) -> None:
        """Mark a job as ended; one that has ended stays as it is."""
        with self.changed:
            if job.state in _ENDED:
                return
            ended = time.time()
            self._store.append({"id": job.id, "state": state, "ended": ended, "why": why, "result": result})
            job.ended, job.why, job.result, job.state = ended, why, result, state
            self.changed.notify_all()


def price(executions: int) -> float:
    """Seconds that a job of so many executions is billed."""
    return SECONDS_PER_JOB + SECONDS_PER_EXECUTION * executions


def state_before(job: Job) -> str:
    """The state that a job was seen in before its present one."""
    return _BEFORE.get(job.state, job.state)
