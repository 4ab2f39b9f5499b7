"""Which run the work at hand belongs to: the training, or the script, whose jobs a journal finds again.

The training loop opens a scope with the id that its checkpoint keeps; whoever wants a script to find its jobs again
opens one by name. Elsewhere the process itself is the run.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4
from weakref import WeakKeyDictionary

from qnn._forking import ForkLock
from qnn.errors import ArgumentError

_LONGEST = 200  # characters of an id


class Once:
    """What a run does once, such as a calibration, and counts once, although a process that goes on does it again.

    Args:
        counted: how often the run's usage holds each, by name; what a checkpoint kept.

    Attributes:
        counted: the same, up to now.
        kept: what was found out in this process, by whom, who is held weakly; by this object itself, for all.
    """

    def __init__(self, counted: Mapping[str, int] | None = None) -> None:
        self.counted = Counter(counted or {})
        self.kept: WeakKeyDictionary[Any, dict[Any, Any]] = WeakKeyDictionary()
        self._made: Counter[str] = Counter()
        self._lock = ForkLock()
        self._alone: dict[str, ForkLock] = {}

    def alone(self, name: str) -> ForkLock:
        """What a thread holds while it looks for it and, if it is not there, makes it."""
        with self._lock:
            return self._alone.setdefault(name, ForkLock())

    @contextmanager
    def making(self, name: str) -> Iterator[bool]:
        """Declare that it is done inside the block; whether the usage does not hold it yet."""
        with self._lock:
            self._made[name] += 1
            number = self._made[name]
            new = number > self.counted[name]
        try:
            yield new
        except BaseException:
            with self._lock:
                self._made[name] -= 1
            raise
        with self._lock:
            self.counted[name] = max(number, self.counted[name])


@dataclass
class Run:
    """A run; the loop puts in what its checkpoint kept when it resumes.

    Attributes:
        id: what its jobs are found by.
        leads: whether this process counts what all processes of the run do once.
        once: what that is.
        repeats: whether it is of a training that makes the same jobs at the same steps when it goes on: not where
            several processes share a step, or several trainings may share the run.
    """

    id: str
    leads: bool = True
    once: Once = field(default_factory=Once, compare=False, repr=False)
    repeats: bool = False


_current: ContextVar[Run | None] = ContextVar("qnn_run", default=None)
_process = Run(uuid4().hex)


def _start_anew() -> None:
    """A forked process is a run of its own."""
    _process.id, _process.once = uuid4().hex, Once()


os.register_at_fork(after_in_child=_start_anew)


def current_run() -> Run:
    """The innermost open run, or that of this process."""
    return _current.get() or _process


def open_run() -> Run | None:
    """The innermost open run, or None where the process itself is the run."""
    return _current.get()


@contextmanager
def run_scope(run: str | Run | None = None) -> Iterator[Run]:
    """Declare that jobs inside the block belong to a run.

    Started again under the same name, a script gets the results of the jobs that it has paid for, and waits for those
    under way, instead of submitting them again.

    Args:
        run: the run or its id, 1 to 200 printable characters; None draws a new id.

    Raises:
        ArgumentError: no such text.
    """
    if run is None:
        run = uuid4().hex
    if not isinstance(run, Run):
        if not (isinstance(run, str) and 0 < len(run) <= _LONGEST and run.isprintable() and run.strip() == run):
            raise ArgumentError(
                f"`run` must be 1 to {_LONGEST} printable characters without blanks around them; got {run!r}. "
                'Use a name such as "digits-1".'
            )
        run = Run(run)
    token = _current.set(run)
    try:
        yield run
    finally:
        _current.reset(token)
