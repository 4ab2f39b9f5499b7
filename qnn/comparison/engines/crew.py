"""A crew of workers on an engine: texts go in one at a time, answers come back as each is there.

Local processes (loky), Spark and Dask are joblib's backends, driven by what `joblib.Parallel` drives them by:
`Parallel` itself takes all its work beforehand, and on Spark gives its results only when all are there, whereas a
study's next cells follow from the trials that have ended, and each result is written down at once. Loky's processes
do not import the caller's script: a notebook, or a script without a ``__main__`` guard, can start a study.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Future
from contextlib import contextmanager
from typing import Any, Protocol

from joblib import Parallel, parallel_config
from joblib.parallel import BatchedCalls, ParallelBackendBase

from qnn._worker_process import n_processors, prepare
from qnn.comparison.engines.engine import Engine
from qnn.comparison.engines.messages import serve
from qnn.errors import ArgumentError, EngineError


class Crew(Protocol):
    """Workers that answer requests."""

    slots: int
    """Requests that are worked on at the same time."""

    def submit(self, text: str) -> Future[str]:
        """The answer to come. An exception in it is never the cell's: the worker was lost."""


@contextmanager
def hire(engine: Engine, jobs: int | None, needed: int) -> Iterator[Crew]:
    """A crew; afterwards no worker of it is left, whether all went well or not.

    Args:
        engine: where.
        jobs: how many workers; None is one for each CPU that the engine has.
        needed: never more than these.

    Raises:
        EngineError: the engine cannot be started or reached.
    """
    match engine.kind:
        case "ray":
            from qnn.comparison.engines.ray_crew import ray_crew

            opened = ray_crew(engine, jobs, needed)
        case "spark":
            opened = _spark_crew(engine, jobs, needed)
        case "dask":
            address = {} if engine.address is None else {"scheduler_host": engine.address}
            opened = _joblib_crew(engine, "dask", jobs, needed, address)
        case _:
            options = {"inner_max_num_threads": 1, "initializer": prepare, "initargs": (os.getpid(),)}
            opened = _joblib_crew(engine, "loky", jobs or n_processors(), needed, options)
    with opened as crew:
        yield crew


@contextmanager
def _spark_crew(engine: Engine, jobs: int | None, needed: int) -> Iterator[Crew]:
    from qnn.comparison.engines.spark_session import register, session

    register()
    with session(engine), _joblib_crew(engine, "spark", jobs, needed, {}) as crew:
        yield crew


@contextmanager
def _joblib_crew(engine: Engine, name: str, jobs: int | None, needed: int, options: dict[str, Any]) -> Iterator[Crew]:
    try:
        with _quiet(), parallel_config(name, **options) as config:
            backend = config["backend"]
        slots = min(jobs or backend.effective_n_jobs(-1), needed)
    except Exception as error:
        raise unreachable(engine, error) from error
    if backend.effective_n_jobs(2) == 1 and name == "loky":  # in a process that may not have children
        yield _NoCrew()
        return
    with Parallel(n_jobs=max(2, slots) if name == "loky" else slots, backend=backend):  # one would not be a process
        backend.start_call()
        try:
            yield _JoblibCrew(backend, slots)
        finally:
            backend.abort_everything(ensure_ready=False)
            backend.stop_call()


class _JoblibCrew:
    """A joblib backend as a crew."""

    def __init__(self, backend: Any, slots: int) -> None:
        self.slots, self._backend = slots, backend
        older = type(backend).submit is ParallelBackendBase.submit  # written before joblib 1.5
        self._start = backend.apply_async if older else backend.submit

    def submit(self, text: str) -> Future[str]:
        call = BatchedCalls([(serve, (text,), {})], self._backend.get_nested_backend())
        future: Future[str] = Future()
        if self._backend.supports_retrieve_callback:  # there is a future, and it says it all
            job = self._start_anew_if_broken(call)
            job.add_done_callback(lambda job: _settle(future, job.exception() or job.result()))
        else:  # Spark's: the callback gets what came, or the exception
            with _quiet():
                self._start(call, callback=lambda outcome: _settle(future, outcome))
        return future

    def _start_anew_if_broken(self, call: BatchedCalls) -> Any:
        """A worker that dies ends the whole pool of loky: the next request makes a new one."""
        try:
            return self._start(call, callback=_ignore)
        except BrokenExecutor:
            self._backend.abort_everything(ensure_ready=True)
            return self._start(call, callback=_ignore)


class _NoCrew:
    """A crew of none: the process itself, where it may not have others."""

    slots = 1

    def submit(self, text: str) -> Future[str]:
        future: Future[str] = Future()
        future.set_result(serve(text))
        return future


@contextmanager
def _quiet() -> Iterator[None]:
    """Without joblibspark's warnings, about stages and tags that nobody asked for."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Spark (local mode|version|session)", UserWarning)
        yield


def unreachable(engine: Engine, error: Exception) -> EngineError:
    """The error of an engine that did not start."""
    return EngineError(
        f'`engine` must be in reach; "{engine}" is not: {type(error).__name__}: {error}. '
        "Start the cluster, or leave `engine` out for processes on this machine."
    )


def already_connected(engine: Engine) -> ArgumentError:
    """The error of an address that would be ignored."""
    return ArgumentError(
        f'`engine` must not name an address when this process is connected already; got "{engine}". '
        f'Give engine="{engine.kind}" to use the cluster that is connected.'
    )


def _settle(future: Future[str], outcome: Any) -> None:
    """A list of one answer; anything else is what became of a lost worker."""
    if isinstance(outcome, list):
        future.set_result(outcome[0])
    else:
        error = getattr(outcome, "exc", outcome)  # joblib's own wrapping of an exception
        future.set_exception(error if isinstance(error, BaseException) else EngineError(f"got {outcome!r}"))


def _ignore(*_: object) -> None:
    """For backends whose own future says it all."""
