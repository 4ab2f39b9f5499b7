"""What a process that computes for another one is: single-threaded, deaf to Ctrl-C, gone when its parent is gone."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time

#: Environment of a worker, read by torch and numerical libraries when they are loaded.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


def prepare(parent: int) -> None:
    """Leave Ctrl-C to the parent, and end when the parent has ended. One thread comes by `ONE_THREAD`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def within_one() -> bool:
    """Whether this process is a worker itself: one of joblib's or loky's, of a DataLoader, or of a process pool."""
    process = multiprocessing.current_process()
    return bool(process.daemon) or process.name.startswith("Loky")


def n_processors() -> int:
    """The processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
