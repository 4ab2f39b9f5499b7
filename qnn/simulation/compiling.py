"""Decorators for loops that are compiled once per machine and kept on disk."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numba
from numba.core import event
from numba.core.registry import cpu_target

for _context in (cpu_target.typing_context, cpu_target.target_context):
    _context.refresh()  # what Numba would otherwise load within the first call of a layer


class _Uncollected(event.Listener):
    """Keeps Python's cyclic collector off while a kernel compiles: it would take a fifth of that time, for nothing."""

    def __init__(self) -> None:
        self.paused: list[bool] = []

    def on_start(self, event: Any) -> None:
        ours = event.data["dispatcher"].py_func.__module__.startswith(__package__)
        self.paused.append(ours and gc.isenabled())
        if self.paused[-1]:
            gc.disable()

    def on_end(self, event: Any) -> None:
        if self.paused.pop():
            gc.enable()


event.register("numba:compile", _Uncollected())


def _stamp() -> tuple[str, int]:
    """What the compiled code was made of."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest(), 0


_STAMP = _stamp()


def _compiled(function: Callable, *fastmath: str, **options: Any) -> Any:
    return numba.njit(nogil=True, fastmath=set(fastmath), error_model="numpy", **options)(function)


def entry(function: Callable) -> Any:
    """A kernel that Python calls: it is kept on disk, with all that it calls within."""
    made = _compiled(function, "contract", cache=True)
    # Numba compares the file of a function with what is on disk, not those of the functions that it calls: a change
    # there would go unseen, and a changed signature ends the process. These are Numba's private names; should they
    # change, its own comparison is left.
    with suppress(AttributeError):
        file = made._cache._cache_file
        if hasattr(file, "_source_stamp"):
            file._source_stamp = _STAMP
    return made


_WITHIN = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}  # what only compiled code calls needs no way in


def kernel(function: Callable) -> Any:
    """A compiled function for other kernels; additions keep their order."""
    return _compiled(function, "contract", **_WITHIN)


def reducing_kernel(function: Callable) -> Any:
    """A compiled function whose sums may be taken in any order, so that they run in vector units."""
    return _compiled(function, "contract", "reassoc", "nsz", **_WITHIN)


def inlined(function: Callable) -> Any:
    """A function compiled into its caller, which is cheaper to compile where there is but one."""
    return numba.njit(nogil=True, inline="always", fastmath={"contract"}, error_model="numpy")(function)
