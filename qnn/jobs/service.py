"""The port between the journal and a provider: what a place that takes jobs must be able to do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

#: What a provider says of a job.
RemoteState = Literal["queued", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True)
class Request:
    """One job that a call needs: what makes it the same job after a crash, what it uses, and what is sent.

    Attributes:
        circuit: digest of the circuit and its measurements.
        angles: digest of the angles and sampling keys of its rows.
        options: digest of the backend's options, and of all else that changes a result.
        call: root of the layer's sampling, step, and call within the step.
        part: number of the job among those of the call.
        n_circuits: executed circuits.
        shots: of all circuits together; 0 when exact.
        seconds: estimated seconds on the machine; None where there is no estimate.
        form: plain data by which `Service.result` turns what comes back into arrays, also in another process.
        payload: a function that makes what `Service.submit` takes; never stored, and called only to submit.
    """

    circuit: str
    angles: str
    options: str
    call: tuple[int, int, int]
    part: int
    n_circuits: int
    shots: int
    seconds: float | None = None
    form: Mapping[str, Any] = field(default_factory=dict)
    payload: Callable[[], Any] = lambda: None


class Service(ABC):
    """Jobs at one provider.

    Every method raises the errors of `qnn.errors`: `RateLimitError` and `BackendUnavailableError` where trying again
    may help, others where it does not. None of them retries by itself, and none waits for a job to end.
    """

    #: Of the backend, as in the registry.
    name: str
    #: Seconds between two looks at a job.
    poll_interval_s: float = 1.0
    #: Jobs of one call that are submitted and not ended at any time; None is any number.
    max_parallel: int | None = None
    #: Seconds that a job may take to be found by its tag, from the moment at which nobody sends it any more: the answer
    #: was lost, or the job was taken over from a process that died.
    lookup_s: float = 10.0

    @abstractmethod
    def submit(self, payload: Any, tag: str) -> str:
        """Send one job, marked with `tag`; returns the provider's id."""

    @abstractmethod
    def find(self, tag: str) -> str | None:
        """The id of the job that was sent with `tag`, or None.

        Of several, the oldest that has not failed or been cancelled; else the oldest.
        """

    @abstractmethod
    def state(self, remote_id: str) -> RemoteState:
        """How far the job is.

        Raises:
            JobNotFoundError: the provider does not know the id.
        """

    @abstractmethod
    def result(self, remote_id: str, form: Mapping[str, Any]) -> list[np.ndarray]:
        """Arrays of a job that is done.

        Args:
            remote_id: of the job.
            form: of the request; plain data.

        Raises:
            JobFailedError: it has no result, or one that does not fit `form`.
        """

    @abstractmethod
    def cancel(self, remote_id: str) -> None:
        """Ask that a job be cancelled; one that has ended stays as it is."""

    def seconds_used(self, remote_id: str) -> float | None:
        """Seconds on the machine as the provider counts them, or None where it does not say."""
        return None

    def why(self, remote_id: str) -> str:
        """What the provider says about a job that failed, or nothing."""
        return ""
