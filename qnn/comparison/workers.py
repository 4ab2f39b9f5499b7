"""Worker processes for cells: one thread each, deaf to Ctrl-C, gone when the parent is gone.

loky is used, by way of joblib, because its workers do not import the caller's script: a study can
be started from a notebook or from a script without a ``__main__`` guard.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from joblib.externals.loky.process_executor import ProcessPoolExecutor

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")

Submit = Callable[..., Future]


@contextmanager
def workers(jobs: int) -> Iterator[Submit]:
    """A function that runs another one in a worker process, like `Executor.submit`.

    Args:
        jobs: number of processes; 0 runs what is submitted at once, in this process.

    On any error, and on Ctrl-C, workers are ended at once: what they were at is lost, nothing else.
    """
    if jobs == 0:
        yield _run_here
        return
    executor = ProcessPoolExecutor(
        max_workers=jobs, initializer=_prepare_worker, initargs=(os.getpid(),), env=_ONE_THREAD
    )
    finished = False
    try:
        yield executor.submit
        finished = True
    finally:
        executor.shutdown(wait=True, kill_workers=not finished)


def default_jobs() -> int:
    """The CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _run_here(function: Callable[..., Any], *arguments: Any) -> Future:
    future: Future = Future()
    try:
        future.set_result(function(*arguments))
    except Exception as error:  # as an executor does: the caller meets it in future.result()
        future.set_exception(error)
    return future


def _prepare_worker(parent: int) -> None:
    """Leave Ctrl-C to the parent, use one thread, and end when the parent has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import torch

    torch.set_num_threads(1)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
