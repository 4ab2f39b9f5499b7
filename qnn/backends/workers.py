"""Any backend of this machine, the rows of each call spread over worker processes."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import Context
from functools import cached_property
from typing import Any

import numpy as np
import torch
from joblib.externals import cloudpickle

from qnn import _meter, _worker_process
from qnn._integers import whole
from qnn.backends import registry, worker_pool
from qnn.backends.base import Angles, Backend, Capabilities, Estimate, Executable
from qnn.backends.compiled import CompilingBackend
from qnn.backends.operands import check_operands, check_table
from qnn.circuits.circuit import Circuit
from qnn.circuits.folding import Folding
from qnn.errors import ArgumentError, CapabilityError

ROWS_PER_TASK = 64


class Workers(CompilingBackend):
    """Rows of one `run` or `linearize` in several processes of one thread each; everything else is the inner backend's.

    Results do not depend on the number of processes, to the last bit, where the inner backend samples by keys. The
    processes start with the first batch that is large enough, serve all layers, and end with this one. The embedded
    engine has threads of its own and needs no workers. Inside a worker process (of a DataLoader, a process pool,
    joblib) no further ones are started, and rows run there.

    What torch differentiates itself runs in this process: `gradient="backprop"`, second derivatives, export.

    Args:
        backend: name, or `Backend`, of a place on this machine.
        processes: None for one on each processor that this process may use.
        rows_per_task: fewest rows worth a process of their own: smaller batches run in this one. Where the last bits
            of a row depend on the rows beside it (`Capabilities.rowwise`) this is also how many run together,
            wherever they run.

    Raises:
        ArgumentError: an option that cannot be used.
        CapabilityError: the backend is remote, has workers already, or draws shots by a seed of its own.

    Cost:
        Each process imports the package and compiles the circuit once. By the adjoint method, the forward pass of a
        spread batch is made twice, so that no state travels.

    Example:
        >>> Workers("aer", processes=4)
        <qnn backend aer in 4 worker processes>
    """

    def __init__(
        self, backend: str | Backend = "aer", processes: int | None = None, rows_per_task: int = ROWS_PER_TASK
    ) -> None:
        super().__init__()
        self.inner = registry.resolve(backend)
        self.processes = _positive("processes", _worker_process.n_processors() if processes is None else processes)
        self.rows_per_task = _positive("rows_per_task", rows_per_task)
        self.name = self.inner.name
        self._check_inner()

    def _check_inner(self) -> None:
        why = None
        if isinstance(self.inner, Workers):
            why = "has worker processes already"
        elif hasattr(self.inner, "mitigation"):
            why = "calibrates itself in this process and takes `workers` beside `mitigation`, by name"
        elif self.inner.capabilities.remote:
            why = "runs on another machine, in one job"
        elif "seed" in getattr(self.inner, "device_options", {}):
            why = "draws shots by a seed of its own, which would give all processes the same noise"
        if why:
            raise CapabilityError(
                f"`workers` must be for a backend that this machine can run in several processes; got {self.inner!r}, "
                f"which {why}. Leave `workers` out."
            )

    @property
    def capabilities(self) -> Capabilities:
        """Those of the inner backend."""
        return self.inner.capabilities

    def specification(self) -> dict[str, Any] | None:
        """That of the inner backend, with `workers`; None where that has none."""
        inner = self.inner.specification()
        if inner is None:
            return None
        rows = {} if self.rows_per_task == ROWS_PER_TASK else {"rows_per_task": self.rows_per_task}
        return inner | {"workers": self.processes} | rows

    def __repr__(self) -> str:
        """The inner backend's, with the number of processes."""
        return f"{repr(self.inner)[:-1]} in {self.processes} worker processes>"

    def _compile(self, circuit: Circuit) -> WorkersExecutable:
        return WorkersExecutable(circuit, self, self.inner.compile(circuit))


class WorkersExecutable(Executable):
    """A circuit that this process and its workers have each compiled."""

    def __init__(self, circuit: Circuit, backend: Workers, inner: Executable, folding: Folding | None = None) -> None:
        super().__init__(circuit, backend)
        self.backend: Workers = backend
        self.inner: Any = inner
        self.noise_scale = inner.noise_scale
        self._folding = folding

    def run(self, angles: Angles, *, shots: int | None = None, keys: torch.Tensor | None = None) -> Estimate:
        """Execute every row; see `Executable.run`.

        Raises:
            BackendError: workers were ended from outside, again and again.
            BudgetError: a budget has no room for the call, or for the next piece of it where it runs in this process.
        """
        check_operands(self.circuit, angles, shots, keys)
        tasks = self._tasks(angles.n_rows)
        parts = [part for task in tasks for part in task]
        if len(parts) == 1:
            return self.inner.run(angles, shots=shots, keys=keys)
        if shots is not None:
            widest = max((len(setting.wires) for setting in self.plan.settings), default=0)
            check_table(self.circuit, angles.n_rows, widest, "Measure fewer wires, or run fewer rows at a time.")
        if len(tasks) == 1:
            part_keys = [None if keys is None else keys[part] for part in parts]
            found = [
                self.inner.run(Angles(angles.shared, angles.rows[part]), shots=shots, keys=some)
                for part, some in zip(parts, part_keys, strict=True)
            ]
            return _joined(found)
        circuits = angles.n_rows * self.circuits_per_row(shots)  # reserved here: other processes know of no budgets
        _meter.reserve(circuits=circuits, shots=circuits * (shots or 0), jobs=self.jobs_for(angles.n_rows, shots))
        key_rows = None if keys is None else keys.cpu().numpy()
        calls = [(*c, shots, None if key_rows is None else key_rows[_whole(t)]) for t, c in self._calls(tasks, angles)]
        results = worker_pool.compute(self.backend.processes, worker_pool.run_rows, calls)
        for result in results:
            _meter.record(**result.usage)
        return _joined([_estimate(piece, shots, angles) for result in results for piece in result.pieces])

    def linearize(self, angles: Angles, *, need_shared: bool, need_rows: bool) -> tuple[Estimate, torch.Tensor]:
        """Exact values; with the inner backend's residuals where it runs all rows at once, without where not."""
        if sum(map(len, self._tasks(angles.n_rows))) == 1:
            return self.inner.linearize(angles, need_shared=need_shared, need_rows=need_rows)
        if not self.backend.capabilities.vjp:
            raise CapabilityError(self._no_vjp())
        return self.run(angles), angles.rows.new_empty(0)

    def pullback(
        self, angles: Angles, residuals: torch.Tensor, cotangent: torch.Tensor, *, need_shared: bool, need_rows: bool
    ) -> Angles:
        """Gradients in the blocks of `angles`, summed over pieces of rows in their order."""
        needs = {"need_shared": need_shared, "need_rows": need_rows}
        tasks = self._tasks(angles.n_rows)
        if sum(map(len, tasks)) == 1:
            return self.inner.pullback(angles, residuals, cotangent, **needs)
        if len(tasks) == 1:  # in a context without open meters: the forward pass has been counted
            found = [
                Context().run(
                    worker_pool.pull_back,
                    self.inner,
                    Angles(angles.shared, angles.rows[part]),
                    cotangent[part],
                    **needs,
                )
                for part in tasks[0]
            ]
        else:
            by_output = cotangent.detach().cpu().numpy()
            calls = [(*c, by_output[_whole(t)], need_shared, need_rows) for t, c in self._calls(tasks, angles)]
            results = worker_pool.compute(self.backend.processes, worker_pool.pull_back_rows, calls)
            pieces = [piece for result in results for piece in result]
            found = [Angles(*(torch.from_numpy(b).to(angles.rows.device) for b in piece)) for piece in pieces]
        shared = found[0].shared.clone()
        for piece in found[1:]:
            shared += piece.shared
        return Angles(shared, torch.cat([piece.rows for piece in found]))

    def _tasks(self, n_rows: int) -> list[list[slice]]:
        """Rows of each process, as pieces that are one call of the inner backend each.

        Pieces depend on the number of processes only where rows do not depend on one another.
        """
        least = self.backend.rows_per_task
        processes = 1 if _worker_process.within_one() else self.backend.processes
        if self.backend.capabilities.rowwise:
            return [[part] for part in _shares(n_rows, max(1, min(processes, n_rows // least)))]
        pieces = _shares(n_rows, max(1, -(-n_rows // least)))
        return [pieces[share] for share in _shares(len(pieces), min(processes, len(pieces)))]

    def _calls(self, tasks: list[list[slice]], angles: Angles) -> list[tuple[list[slice], tuple[Any, ...]]]:
        """Each task with the first arguments of what a worker does."""
        shared, rows = angles.shared.detach().cpu().numpy(), angles.rows.detach().cpu().numpy()
        return [(t, (self._recipe, shared, rows[_whole(t)], [part.stop - part.start for part in t])) for t in tasks]

    @cached_property
    def _recipe(self) -> bytes:
        """What a worker compiles."""
        inner = self.backend.inner
        specification = inner.specification()
        try:
            return cloudpickle.dumps((inner if specification is None else specification, self.circuit, self._folding))
        except Exception as error:  # options of a backend may be anything
            raise ArgumentError(
                f"`backend` must be made of options that can be pickled to reach worker processes; got {inner!r} "
                f"({error}). Leave `workers` out."
            ) from error

    def describe(self) -> dict[str, Any]:
        """The inner backend's facts, and how rows are spread."""
        spread = {"worker_processes": self.backend.processes, "rows_per_task": self.backend.rows_per_task}
        return self.inner.describe() | spread

    def folded(self, folding: Folding) -> Executable | None:
        """The inner executable, folded in every process."""
        found = self.inner.folded(folding)
        return None if found is None else WorkersExecutable(self.circuit, self.backend, found, folding)

    def flipped(self, wires: Sequence[int], flips: bool) -> Executable | None:
        """The inner backend's: one row, which runs in this process."""
        return self.inner.flipped(wires, flips)

    def circuits_per_row(self, shots: int | None) -> int:
        """Those of the inner backend."""
        return self.inner.circuits_per_row(shots)

    def jobs_for(self, n_rows: int, shots: int | None) -> int:
        """Calls of the inner backend, in whichever process."""
        parts = [part for task in self._tasks(n_rows) for part in task]
        return sum(self.inner.jobs_for(part.stop - part.start, shots) for part in parts)

    def reserve(self, n_rows: int, shots: int | None) -> None:
        """Take one call that torch differentiates itself from the open budgets."""
        self.inner.reserve(n_rows, shots)

    def record(self, n_rows: int, shots: int | None) -> None:
        """Count one call that torch differentiates itself."""
        self.inner.record(n_rows, shots)

    def differentiable(self, angles: Angles) -> torch.Tensor:
        """The inner backend's exact values in torch operations, in this process."""
        return self.inner.differentiable(angles)

    @property
    def programs(self) -> Any:
        """The inner backend's programs, for export."""
        return self.inner.programs


def _positive(name: str, value: object) -> int:
    number = whole(value)
    if number is None or number < 1:
        raise ArgumentError(f"`{name}` must be a positive integer; got {value!r}. Leave it out for the default.")
    return number


def _shares(n: int, parts: int) -> list[slice]:
    """Consecutive parts of 0, 1, ..., n - 1 whose sizes differ by one at most."""
    ends = [n * (i + 1) // parts for i in range(parts)]
    return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]


def _whole(task: list[slice]) -> slice:
    """All rows of a task."""
    return slice(task[0].start, task[-1].stop)


def _estimate(piece: tuple[np.ndarray, Any, Any], shots: int | None, angles: Angles) -> Estimate:
    """What a worker has sent, on the device of `angles`; counts stay on the CPU, as everywhere."""
    values, variance, counts = piece
    place = lambda array: torch.from_numpy(array).to(angles.rows.device)
    return Estimate(
        place(values),
        None if variance is None else place(variance),
        shots,
        None if counts is None else tuple(map(torch.from_numpy, counts)),
    )


def _joined(found: list[Estimate]) -> Estimate:
    """All rows, piece after piece."""
    first = found[0]
    variance = None if first.variance is None else torch.cat([e.variance for e in found if e.variance is not None])
    counts = None
    if first.counts is not None:
        counts = tuple(torch.cat(setting) for setting in zip(*[e.counts or () for e in found], strict=True))
    return Estimate(torch.cat([e.values for e in found]), variance, first.shots, counts)
