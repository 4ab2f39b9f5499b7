"""What a piece of work used: circuits, shots and jobs, counted by the backends.

Backends call `record`; the training loop and its callbacks read what was used inside a
`measure()` block. Blocks nest, and each sees all that happens within it, on any thread
that inherited its context.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass


@dataclass
class Usage:
    """Counts of executed circuits, shots (0 when exact) and jobs: calls to a simulator, or what a provider counts."""

    circuits: int = 0
    shots: int = 0
    jobs: int = 0

    def add(self, circuits: int = 0, shots: int = 0, jobs: int = 0) -> None:
        """Add to the counts in place."""
        self.circuits += circuits
        self.shots += shots
        self.jobs += jobs

    def as_dict(self) -> dict[str, int]:
        """The counts as a plain dictionary."""
        return asdict(self)


_open: ContextVar[tuple[Usage, ...]] = ContextVar("qnn_open_meters", default=())


def record(*, circuits: int = 0, shots: int = 0, jobs: int = 0) -> None:
    """Count work done by a backend in every open `measure()` block."""
    for usage in _open.get():
        usage.add(circuits, shots, jobs)


@contextmanager
def measure() -> Iterator[Usage]:
    """Count what backends execute inside the block.

    Example:
        >>> with measure() as usage:
        ...     record(circuits=3, shots=30, jobs=1)
        >>> usage
        Usage(circuits=3, shots=30, jobs=1)
    """
    usage = Usage()
    token = _open.set((*_open.get(), usage))
    try:
        yield usage
    finally:
        _open.reset(token)
