"""Calls of a PennyLane plugin as jobs of the journal, although a plugin tells nothing of the jobs that it sends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import numpy as np

from qnn._forking import ForkLock
from qnn.errors import JobNotFoundError
from qnn.jobs import RemoteState, Service

_KEPT_BYTES = 1 << 24  # of results that were asked for
_OVERHEAD_BYTES = 1 << 10  # of each of them


class PluginService(Service):
    """Calls of one device, each of which sends jobs to a provider by itself and waits for them.

    A call that came to its end is in the journal with its result, and is not made again. A plugin gives no ids by which
    another process could find jobs: a call that was broken off stays prepared, and is not repeated unless whoever pays
    for it says so, by `qnn jobs cancel --forget`. Results stay here after they were asked for, the latest ones, since
    the journal may fail to keep them.

    Args:
        name: of the backend.
    """

    poll_interval_s = 0.01
    lookup_s = 0.0

    def __init__(self, name: str) -> None:
        self.name = name
        self._results: dict[str, list[np.ndarray]] = {}
        self._given: dict[str, int] = {}  # bytes of those that were asked for, the latest last
        self._lock = ForkLock()

    def submit(self, payload: Callable[[], list[np.ndarray]], tag: str) -> str:
        """Make the call, and wait for its end."""
        remote_id = f"call-{tag}"
        self._results[remote_id] = payload()
        return remote_id

    def find(self, tag: str) -> str | None:
        """The id of a call that came to its end in this process, and whose result is still here.

        Raises:
            JobNotFoundError: of any other nobody knows.
        """
        remote_id = f"call-{tag}"
        if remote_id not in self._results:
            self._unknown()
        return remote_id

    def state(self, remote_id: str) -> RemoteState:
        """Done.

        Raises:
            JobNotFoundError: another process made the call.
        """
        if remote_id not in self._results:
            self._unknown()
        return "done"

    def result(self, remote_id: str, form: Mapping[str, Any]) -> list[np.ndarray]:
        """The arrays of a call."""
        with self._lock:
            if remote_id not in self._results:
                self._unknown()
            found = [array.copy() for array in self._results[remote_id]]
            self._given.pop(remote_id, None)
            self._forget(_KEPT_BYTES)
            self._given[remote_id] = _OVERHEAD_BYTES + sum(array.nbytes for array in found)
            return found

    def _forget(self, most: int) -> None:
        """Let go of the oldest results that were asked for, down to so many bytes."""
        held = sum(self._given.values())
        while held > most:
            oldest = next(iter(self._given))
            held -= self._given.pop(oldest)
            del self._results[oldest]

    def cancel(self, remote_id: str) -> None:
        """Nothing is left to cancel, or nobody knows what."""

    def __deepcopy__(self, memo: dict[int, Any]) -> PluginService:
        """Itself: results of this process."""
        return self

    def __reduce__(self) -> tuple[type[PluginService], tuple[str]]:
        """Without results, which are for this process."""
        return PluginService, (self.name,)

    def _unknown(self) -> NoReturn:
        raise JobNotFoundError(
            f"A call of {self.name} was broken off before its result was kept, and the plugin cannot tell whether its "
            "jobs reached the provider. Look at the provider's own list of jobs; then let the run make the call again "
            "by `qnn jobs cancel ID --forget` (`qnn jobs list --state prepared --state submitted` has the ID)."
        )
