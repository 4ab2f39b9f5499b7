"""What may go wrong, where, and when: by probability or by a script, each fault from a random stream of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random
from threading import Lock
from typing import Any

from qnn.errors import ArgumentError, unknown_name

#: Name to what happens. The first word says to which request: submissions, look-ups by tag, looks at a job, results,
#: cancellations; "job" is drawn when a job is accepted.
FAULTS = {
    "submit_lost": "the connection is closed before the submission is read: no job",
    "submit_429": "a submission is refused with 429",
    "submit_500": "a submission is refused with 500",
    "submit_503": "a submission is refused with 503",
    "submit_answer_lost": "the job is accepted, and the connection closed without an answer",
    "submit_twice": "the submission arrives twice: two jobs of one tag",
    "find_503": "a look-up by tag is refused with 503",
    "poll_503": "a look at a job is refused with 503",
    "poll_lost": "the connection is closed instead of an answer to a look at a job",
    "poll_backwards": "a look at a job sees the state before the present one",
    "result_503": "a result is refused with 503",
    "result_lost": "the connection is closed instead of a result",
    "result_cut": "the connection is closed in the middle of a result",
    "result_swapped": "the result of another job is delivered, under its own id",
    "cancel_503": "a cancellation is refused with 503",
    "job_fails": "the job fails",
    "job_cancelled": "the provider cancels the job",
}

When = float | tuple[bool, ...]


def checked(name: str, when: Any) -> When:
    """A probability, or a script: whether it happens to the first request of its kind, the second, and so on.

    Raises:
        UnknownNameError: no such fault.
        ArgumentError: neither a probability nor a script.
    """
    if name not in FAULTS:
        raise unknown_name("fault", name, FAULTS)
    if isinstance(when, int | float) and 0 <= when <= 1:
        return float(when)
    if isinstance(when, Iterable) and not isinstance(when, str | bytes | Mapping):
        steps = list(when)
        if all(step in (0, 1) for step in steps):
            return tuple(bool(step) for step in steps)
    raise ArgumentError(f"`{name}` must be a probability, or a list of 0 and 1; got {when!r}. Use 0.5, or [1, 0].")


class Faults:
    """Which faults happen; the n-th draw of a fault depends on seed, fault and n only.

    Args:
        seed: of all streams.
    """

    def __init__(self, seed: int) -> None:
        self._lock = Lock()
        self._seed = seed
        self._when: dict[str, When] = {}
        self._streams: dict[str, Any] = {}

    def set(self, faults: Mapping[str, Any] | None, seed: int) -> None:
        """Change faults; each that is named starts anew, all do with another seed, and None ends all of them."""
        found = {name: checked(name, when) for name, when in (faults or {}).items()}
        with self._lock:
            self._when = {} if faults is None else self._when | found
            anew = self._when if seed != self._seed else found
            self._seed = seed
            for name in anew:
                when = self._when[name]
                self._streams[name] = iter(when) if isinstance(when, tuple) else Random(f"{seed}/{name}")

    def happens(self, *names: str) -> str | None:
        """The first in the table of the faults that happen now, or None; all are drawn, so that none moves another."""
        with self._lock:
            found = [name for name in FAULTS if name in names and self._drawn(name)]
        return found[0] if found else None

    def _drawn(self, name: str) -> bool:
        when = self._when.get(name, 0.0)
        if isinstance(when, tuple):
            return next(self._streams[name], False)
        return when > 0 and self._streams[name].random() < when

    def as_json(self) -> dict[str, Any]:
        """What is set, as plain data."""
        with self._lock:
            return {name: list(map(int, w)) if isinstance(w, tuple) else w for name, w in self._when.items()}
