"""What threads hold while a process forks, which the child must not wait for: it has none of its parent's threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet


class ForkLock:
    """A `threading.Lock` for `with` blocks that is free in a child, whoever holds it in the parent."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        _locks.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: Any) -> None:
        if self._lock.locked():  # not after a fork within the block
            self._lock.release()

    def start_anew(self) -> None:
        """Free it, in a child."""
        self._lock = threading.Lock()


_locks: WeakSet[ForkLock] = WeakSet()


def _start_anew() -> None:
    for lock in list(_locks):
        lock.start_anew()


os.register_at_fork(after_in_child=_start_anew)


class Gate:
    """Blocks, any number at a time, that a fork waits for, since the child would get what they hold half done.

    Blocks of the thread that forks are not waited for. Made once, at the top of a module.

    Args:
        patience_s: seconds after which the process forks all the same.
    """

    def __init__(self, patience_s: float) -> None:
        self.patience_s = patience_s
        self.start_anew()
        os.register_at_fork(before=self.close, after_in_parent=self.open, after_in_child=self.start_anew)

    def start_anew(self) -> None:
        """Open, with nobody inside: in a child."""
        self._changed = threading.Condition()
        self._inside: set[int] = set()  # threads

    def close(self) -> None:
        """Wait until no other thread is inside, and let none in."""
        self._changed.acquire()
        self._changed.wait_for(lambda: self._inside <= {threading.get_ident()}, self.patience_s)

    def open(self) -> None:
        """Let threads in again."""
        self._changed.release()

    @contextmanager
    def inside(self) -> Iterator[None]:
        """A block, which begins when no fork is under way."""
        thread = threading.get_ident()
        if thread in self._inside:  # a fork waits for this thread already, and not the other way round
            yield
            return
        try:
            with self._changed:
                self._inside.add(thread)
            yield
        finally:
            with self._changed:
                self._inside.discard(thread)
                self._changed.notify_all()
