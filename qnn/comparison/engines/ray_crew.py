"""Workers of a Ray cluster: a task for each request, one CPU each, started where Ray finds one free.

Not by way of joblib: its Ray backend deals requests out in turn, to busy workers too, sends further ones to a worker
that has died, and gives `Parallel` no result before all are there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from qnn._worker_process import n_processors
from qnn.comparison.engines.crew import Crew, already_connected, unreachable
from qnn.comparison.engines.engine import Engine
from qnn.comparison.engines.messages import serve


@contextmanager
def ray_crew(engine: Engine, jobs: int | None, needed: int) -> Iterator[Crew]:
    """A crew on the cluster that is connected, at the engine's address or in RAY_ADDRESS, or on one of our own."""
    import ray

    ours = not ray.is_initialized()
    if not ours and engine.address is not None:
        raise already_connected(engine)
    try:
        if ours:
            _connect(ray, engine, min(jobs or n_processors(), needed))
        slots = min(jobs or int(ray.cluster_resources().get("CPU", 1)), needed)
    except Exception as error:
        raise unreachable(engine, error) from error
    crew = _RayCrew(ray, max(1, slots))
    try:
        yield crew
    finally:
        crew.dismiss()
        if ours:
            ray.shutdown()


class _RayCrew:
    def __init__(self, ray: Any, slots: int) -> None:
        self.slots, self._ray = slots, ray
        self._task = ray.remote(serve).options(num_cpus=1, max_retries=0)  # the study counts and reports retries
        self._running: dict[Future[str], Any] = {}

    def submit(self, text: str) -> Future[str]:
        reference = self._task.remote(text)
        future: Future[str] = reference.future()
        self._running[future] = reference
        future.add_done_callback(lambda done: self._running.pop(done, None))
        return future

    def dismiss(self) -> None:
        """End what is still running, in a cluster that stays."""
        for reference in [*self._running.values()]:
            self._ray.cancel(reference, force=True)


def _connect(ray: Any, engine: Engine, n_cpus: int) -> None:
    """Connect to a cluster, or start one of `n_cpus` on this machine."""
    quiet = {"log_to_driver": False, "logging_level": "error"}
    if engine.address is not None:
        ray.init(engine.address, **quiet)
    elif os.environ.get("RAY_ADDRESS"):
        ray.init(**quiet)
    else:
        ray.init(address="local", num_cpus=n_cpus, include_dashboard=False, **quiet)
