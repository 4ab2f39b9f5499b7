"""Which run the work at hand belongs to: the training, or the script, whose jobs a journal finds again.

The training loop opens a scope with the id that its checkpoint keeps; whoever wants a script to find its jobs again
opens one by name. Elsewhere the process itself is the run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import uuid4

from qnn.errors import ArgumentError

_LONGEST = 200  # characters of an id


@dataclass
class Run:
    """A run's id; the loop puts in that of its checkpoint when it resumes."""

    id: str


_current: ContextVar[Run | None] = ContextVar("qnn_run", default=None)
_process = Run(uuid4().hex)


def _start_anew() -> None:
    """A forked process is a run of its own."""
    _process.id = uuid4().hex


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
