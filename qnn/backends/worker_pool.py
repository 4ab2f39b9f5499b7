"""Worker processes that compute rows: kept between calls, replaced when they die.

loky is used, by way of joblib, because its workers do not import the caller's script. What goes to a worker and comes
back are NumPy arrays, beside the pickle of the package's own circuit and backend.
"""

from __future__ import annotations

import os
import pickle
import threading
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from multiprocessing import util
from typing import Any, NamedTuple

import numpy as np
import torch
from joblib.externals.loky.process_executor import ProcessPoolExecutor, ShutdownExecutorError

from qnn import _meter, _worker_process
from qnn.backends.base import Angles, Executable
from qnn.errors import BackendError, QnnWarning

ATTEMPTS = 3  # at a batch whose workers die
_KEPT = 16  # compiled circuits in a worker

_pools: dict[tuple[int, int], ProcessPoolExecutor] = {}
_starting = threading.Lock()


def _start_anew() -> None:
    """A forked process makes workers of its own, and waits for no thread that it does not have."""
    global _starting
    _starting = threading.Lock()


os.register_at_fork(after_in_child=_start_anew)


def compute(processes: int, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> list[Any]:
    """The results of `function` for each tuple of arguments, computed in worker processes.

    A call whose worker dies is made again by new workers, `ATTEMPTS` times in all; a call that returned is not.

    Raises:
        BackendError: workers died each time.
    """
    results: dict[int, Any] = {}
    died: BaseException | None = None
    for _ in range(ATTEMPTS):
        pool = _pool(processes)
        futures: dict[int, Future] = {}
        try:
            for number, arguments in enumerate(calls):
                if number not in results:
                    futures[number] = pool.submit(function, *arguments)
            for number, future in futures.items():
                results[number] = future.result()
        except (BrokenProcessPool, ShutdownExecutorError, CancelledError) as error:
            died = error
            results |= {n: f.result() for n, f in futures.items() if _succeeded(f)}
            _discard(pool)
        finally:
            for future in futures.values():
                future.cancel()
        if len(results) == len(calls):
            return [results[number] for number in range(len(calls))]
    raise BackendError(
        f"`workers` must stay alive while they compute; got {processes} of which some were ended from outside "
        f"{ATTEMPTS} times in a row, as happens where memory runs out. Use fewer workers or smaller batches."
    ) from died


def _succeeded(future: Future) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


def _pool(processes: int) -> ProcessPoolExecutor:
    """The workers of this process; a forked child makes its own."""
    with _starting:
        key = os.getpid(), processes
        if key not in _pools:
            _pools[key] = ProcessPoolExecutor(
                max_workers=processes,
                initializer=_worker_process.prepare,
                initargs=(os.getpid(),),
                env=_worker_process.ONE_THREAD,
            )
            # A process that multiprocessing started waits for its children before it ends.
            util.Finalize(None, _discard, (_pools[key],), exitpriority=100)
        return _pools[key]


def _discard(pool: ProcessPoolExecutor) -> None:
    """End workers, of which some may have died; another thread may have done so already."""
    with _starting:
        for key in [key for key, known in _pools.items() if known is pool]:
            del _pools[key]
    pool.shutdown(wait=False, kill_workers=True)


class RowResults(NamedTuple):
    """Estimates in a form that travels: values, variance and counts of each piece, and what was used."""

    pieces: list[tuple[np.ndarray, np.ndarray | None, tuple[np.ndarray, ...] | None]]
    usage: dict[str, int]


def run_rows(
    recipe: bytes,
    shared: np.ndarray,
    rows: np.ndarray,
    sizes: Sequence[int],
    shots: int | None,
    keys: np.ndarray | None,
) -> RowResults:
    """In a worker: run the circuit of `recipe`, one call of the backend for each piece of so many rows.

    Args:
        recipe: pickled backend (or its specification), circuit, and how that is folded or None.
        shared: shape (S,).
        rows: shape (N, R).
        sizes: rows of each piece, which sum to N.
        shots: None is exact.
        keys: shape (N, 5), or None.
    """
    executable = _executable(recipe)
    pieces = []
    with _meter.measure() as usage:
        for part in _slices(sizes):
            part_keys = None if keys is None else torch.from_numpy(keys[part])
            found = executable.run(_angles(shared, rows[part]), shots=shots, keys=part_keys)
            variance = None if found.variance is None else found.variance.numpy()
            counts = None if found.counts is None else tuple(c.numpy() for c in found.counts)
            pieces.append((found.values.numpy(), variance, counts))
    return RowResults(pieces, usage.as_dict())


def pull_back_rows(
    recipe: bytes,
    shared: np.ndarray,
    rows: np.ndarray,
    sizes: Sequence[int],
    cotangent: np.ndarray,
    need_shared: bool,
    need_rows: bool,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """In a worker: gradients of the two blocks, for each piece of rows."""
    executable = _executable(recipe)
    pieces = []
    for part in _slices(sizes):
        by = pull_back(
            executable, _angles(shared, rows[part]), torch.from_numpy(cotangent[part]), need_shared, need_rows
        )
        pieces.append((by.shared.numpy(), by.rows.numpy()))
    return pieces


def pull_back(
    executable: Executable, angles: Angles, cotangent: torch.Tensor, need_shared: bool, need_rows: bool
) -> Angles:
    """Gradients in the blocks of `angles`, with the forward pass made again."""
    _, residuals = executable.linearize(angles, need_shared=need_shared, need_rows=need_rows)
    return executable.pullback(angles, residuals, cotangent, need_shared=need_shared, need_rows=need_rows)


@lru_cache(maxsize=_KEPT)
def _executable(recipe: bytes) -> Executable:
    from qnn.backends.registry import from_specification

    backend, circuit, folding = pickle.loads(recipe)
    if isinstance(backend, dict):
        backend = from_specification(backend)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", QnnWarning)  # the parent compiles the circuit too, and has warned
        executable = backend.compile(circuit)
        return executable if folding is None else executable.folded(folding)


def _angles(shared: np.ndarray, rows: np.ndarray) -> Angles:
    return Angles(torch.from_numpy(shared), torch.from_numpy(rows))


def _slices(sizes: Sequence[int]) -> list[slice]:
    """Consecutive parts of those sizes."""
    ends = np.cumsum(sizes).tolist()
    return [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]
