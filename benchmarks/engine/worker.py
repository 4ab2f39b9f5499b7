"""A contestant's process: `python -m engine.worker NAME THREADS`, driven by lines of JSON on standard input.

{"do": "open", "point": [n, L, N], "arrays": path or null}  builds the step and runs it once; arrays go to an .npz file
{"do": "time", "seconds": s}                                repeats the step for about s seconds (once at least)
Replies are lines of JSON: {"ok": true, ...} or {"ok": false, "error": text, "missing": bool}.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import time
import warnings

import numpy as np


def _restrict(threads: int) -> None:
    """Run on as many cores as there are threads, whatever pools the libraries start."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def _limit_memory() -> None:
    """A contestant that needs more than 70 % of the machine's memory fails by itself, and alone."""
    if hasattr(os, "sysconf"):
        limit = int(0.7 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


class Worker:
    """Holds one step at a time."""

    def __init__(self, name: str, threads: int) -> None:
        from engine.contestants import CONTESTANTS

        self._contestant, self._threads = CONTESTANTS[name], threads
        self._step = None

    def open(self, point: list[int], arrays: str | None) -> dict:
        from engine.workload import Point, data_of

        self._step = None
        gc.collect()
        size = Point(*point)
        start = time.perf_counter()
        self._step, read = self._contestant.build(size, data_of(size), self._threads)
        made = self._step()
        first = time.perf_counter() - start
        if arrays:
            values, inputs, weights = read(made)
            np.savez(arrays, values=values, inputs=inputs, weights=weights)
        del made
        start = time.perf_counter()
        self._step()
        second = time.perf_counter() - start
        self._warm(0.3)
        return {"first_s": first, "second_s": second, "versions": self._contestant.versions()}

    def _warm(self, seconds: float) -> None:
        """Repeat the step: interpreters, allocators and clocks settle over some tens of calls."""
        end = time.perf_counter() + seconds
        self._step()
        while time.perf_counter() < end:
            self._step()

    def time(self, seconds: float) -> dict:
        step, times = self._step, []
        self._warm(seconds / 5)  # the other contestants had the caches in between
        end = time.perf_counter() + seconds
        while not times or (time.perf_counter() < end and len(times) < 2000):
            start = time.perf_counter()
            step()
            times.append(time.perf_counter() - start)
        return {"times_s": times, "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def main() -> None:
    name, threads = sys.argv[1], int(sys.argv[2])
    _restrict(threads)
    _limit_memory()
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print goes to standard error
    warnings.simplefilter("ignore")
    worker = Worker(name, threads)
    for line in sys.stdin:
        command = json.loads(line)
        try:
            reply = {"ok": True} | getattr(worker, command.pop("do"))(**command)
        except Exception as error:  # the race goes on without this contestant
            missing = isinstance(error, ImportError) or type(error).__name__ in ("NoCompilerError", "DeviceError")
            reply = {"ok": False, "error": f"{type(error).__name__}: {error}"[:500], "missing": missing}
        replies.write(json.dumps(reply) + "\n")


if __name__ == "__main__":
    main()
