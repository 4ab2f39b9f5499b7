"""One job as the journal knows it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from qnn._fingerprint import canonical_json, fingerprint
from qnn.jobs.service import Request

#: "prepared" may or may not have reached the provider; "submitted" has an id there.
JobState = Literal["prepared", "submitted", "done", "failed", "cancelled"]
STATES: tuple[JobState, ...] = ("prepared", "submitted", "done", "failed", "cancelled")


@dataclass(frozen=True)
class JobRecord:
    """A row of the journal, without its result.

    Attributes:
        id: content id of run, call, part, backend and digests: the same job has the same id after a crash.
        attempt: from 1; a job that failed or was cancelled is submitted again as the next attempt.
        tag: what marks it at the provider.
        run: id of the run.
        root, step, call, part: the call within the run, and the job within the call.
        backend: name of the backend.
        specification: JSON of plain options from which the backend can be made again, or None.
        circuit, angles, options: digests.
        n_circuits, shots: what it executes.
        seconds: estimated seconds on the machine, or None.
        form: JSON by which its result is read.
        state: how far it is.
        remote_id: the provider's id, or None.
        error: why it failed, or None.
        prepared_at, submitted_at, finished_at: seconds since 1970, or None.
        seconds_used: seconds on the machine as the provider counts them, or None.
        owner: the process that is submitting it.
        spoke_at: when that process last wrote to the row.
    """

    id: str
    attempt: int
    tag: str
    run: str
    root: int
    step: int
    call: int
    part: int
    backend: str
    specification: str | None
    circuit: str
    angles: str
    options: str
    n_circuits: int
    shots: int
    seconds: float | None
    form: str
    state: JobState
    remote_id: str | None = None
    error: str | None = None
    prepared_at: float | None = None
    submitted_at: float | None = None
    finished_at: float | None = None
    seconds_used: float | None = None
    owner: str | None = None
    spoke_at: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """All columns by name."""
        return asdict(self)

    @property
    def form_data(self) -> dict[str, Any]:
        """`form` as plain data."""
        return json.loads(self.form)


def job_id(run: str, backend: str, request: Request) -> str:
    """The content id of a request within a run, 24 hexadecimal digits."""
    what = [run, backend, list(request.call), request.part, request.circuit, request.angles, request.options]
    return fingerprint(what, length=24)


def prepared(
    request: Request, run: str, backend: str, specification: Mapping[str, Any] | None, attempt: int, owner: str
) -> JobRecord:
    """The row of a job that is about to be submitted."""
    name = job_id(run, backend, request)
    root, step, call = request.call
    return JobRecord(
        id=name,
        attempt=attempt,
        tag=f"qnn-{name}-{attempt}",
        run=run,
        root=root,
        step=step,
        call=call,
        part=request.part,
        backend=backend,
        specification=None if specification is None else canonical_json(specification),
        circuit=request.circuit,
        angles=request.angles,
        options=request.options,
        n_circuits=request.n_circuits,
        shots=request.shots,
        seconds=request.seconds,
        form=canonical_json(dict(request.form)),
        state="prepared",
        owner=owner,
    )
