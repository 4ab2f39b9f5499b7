"""Who is submitting a job, and whether that process still lives."""

from __future__ import annotations

import os
import socket
import time
from functools import lru_cache
from pathlib import Path

#: A process on another machine, or in another container, that has not spoken for so long is taken for dead.
LEASE_S = 600.0


def this_process() -> str:
    """Machine, number and start of this process."""
    return _described(os.getpid())


@lru_cache(maxsize=4)
def _described(pid: int) -> str:
    return f"{_place()}/{pid}/{_started(pid)}"


os.register_at_fork(after_in_child=_described.cache_clear)  # a number may come again


def _place() -> str:
    """What a number of a process means something within: the machine, and its space of numbers where there are several.

    Containers may share a name and a journal, and not see each other's processes.
    """
    try:
        return f"{socket.gethostname()}:{Path('/proc/self/ns/pid').readlink().name}"
    except OSError:
        return socket.gethostname()


def is_alive(owner: str | None, spoke_at: float | None) -> bool:
    """Whether the process named `owner` may still be at work.

    Args:
        owner: as `this_process` gave it.
        spoke_at: when it last wrote to the journal, seconds since 1970; all there is to know of another machine.
    """
    try:
        host, pid, started = (owner or "").rsplit("/", 2)
        number = int(pid)
    except ValueError:
        return False
    if host != _place():
        return spoke_at is not None and time.time() - spoke_at < LEASE_S
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return started == _started(number)


def _started(pid: int) -> str:
    """When the process began, in ticks since the machine did; nothing where the system does not say, or it is dead."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]
