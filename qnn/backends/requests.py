"""Jobs as a journal knows them: by the digests of what is executed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any

import numpy as np
import torch

from qnn import _seeding
from qnn._fingerprint import fingerprint
from qnn._forking import ForkLock
from qnn._run import current_run
from qnn.backends.base import Executable
from qnn.jobs import PATIENCE, Policy, Request, Service, carry_out


def digest(*arrays: np.ndarray | None) -> str:
    """A digest of numbers, their shapes and dtypes."""
    found = blake2b(digest_size=16)
    for array in arrays:
        if array is None:
            found.update(b"none;")
            continue
        plain = np.ascontiguousarray(array)
        found.update(f"{plain.dtype.str}{plain.shape};".encode())
        found.update(plain.tobytes())
    return found.hexdigest()


_unkeyed: Counter[str] = Counter()  # sampled calls without keys so far, by run
_counting = ForkLock()


def call_of(keys: torch.Tensor | None, *, sampled: bool = False) -> tuple[int, int, int]:
    """Root, step and call within the step, from the sampling keys.

    Without keys calls that sample are counted, so that each has shots of its own; others are the same call within a
    step.
    """
    if keys is not None and len(keys):
        root, step, call = keys[0, :3].tolist()
        return int(root), int(step), int(call)
    scope = _seeding.current_scope()
    step = -1 if scope is None else scope.step
    if not sampled:
        return 0, step, 0  # the same values, whenever they are asked for
    with _counting:
        _unkeyed[current_run().id] += 1
        return 0, step, _unkeyed[current_run().id]


@contextmanager
def counted_if_it_ends(keys: torch.Tensor | None, *, sampled: bool) -> Iterator[tuple[int, int, int]]:
    """`call_of`; an error in the block takes the count back, unless others were counted meanwhile.

    So the same call, made again, is the same call to a journal, which has its jobs.
    """
    run = current_run().id
    call = call_of(keys, sampled=sampled)
    try:
        yield call
    except BaseException:
        with _counting:
            if sampled and (keys is None or not len(keys)) and _unkeyed[run] == call[2]:
                _unkeyed[run] -= 1
        raise


def run_jobs(
    executable: Executable,
    service: Service,
    policy: Policy,
    angles: np.ndarray,
    keys: torch.Tensor | None,
    *,
    shots: int | None,
    rows_per_job: int,
    payload: Callable[[slice], Any],
    form: Callable[[slice], Mapping[str, Any]],
    options: Mapping[str, Any] | None = None,
) -> list[list[np.ndarray]]:
    """Execute rows (N, S + R) in as few jobs as `rows_per_job` allows, and count them.

    Args:
        executable: what runs; its `circuits_per_row` counts circuits, its `seconds_for` estimates.
        service: the provider.
        policy: patience, and the journal.
        angles: dense angles of all rows.
        keys: sampling keys of all rows, or None.
        shots: per circuit; None is exact.
        rows_per_job: most rows in a job.
        payload: what `Service.submit` takes for some of the rows; called only when a job is submitted.
        form: plain data by which `Service.result` reads the result for these rows.
        options: what changes a result beside the backend's specification.

    Returns:
        The arrays of each job, in the order of the rows.

    Raises:
        BudgetError: a budget has no room for the call; nothing was submitted.
        JournalError, BackendError: see `qnn.jobs.carry_out`.
    """
    backend = executable.backend
    specification = backend.specification()
    named = specification or {"name": backend.name}
    place = {key: value for key, value in named.items() if key not in PATIENCE}
    settings = {"backend": place, "shots": shots, **(options or {})}
    numbers = None if keys is None else keys.cpu().numpy()
    parts = [slice(start, min(start + rows_per_job, len(angles))) for start in range(0, len(angles), rows_per_job)]
    with counted_if_it_ends(keys, sampled=shots is not None) as call:
        requests = [
            _request(executable, shots, part, number, call, angles, numbers, settings, payload, form)
            for number, part in enumerate(parts)
        ]
        return carry_out(service, requests, policy, specification)


def _request(
    executable: Executable,
    shots: int | None,
    part: slice,
    number: int,
    call: tuple[int, int, int],
    angles: np.ndarray,
    keys: np.ndarray | None,
    settings: Mapping[str, Any],
    payload: Callable[[slice], Any],
    form: Callable[[slice], Mapping[str, Any]],
) -> Request:
    n_circuits = (part.stop - part.start) * executable.circuits_per_row(shots)
    return Request(
        circuit=executable.circuit.fingerprint,
        angles=digest(angles[part], None if keys is None else keys[part]),
        options=fingerprint(settings),
        call=call,
        part=number,
        n_circuits=n_circuits,
        shots=n_circuits * (shots or 0),
        seconds=executable.seconds_for(part.stop - part.start, shots),
        form=form(part),
        payload=lambda: payload(part),
    )


def joined(parts: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
    """Arrays of all rows from those of each job."""
    return [np.concatenate(blocks) for blocks in zip(*parts, strict=True)]
