"""Where Braket runs programs: on this machine, or at AWS. One call for all rows of all settings."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, NamedTuple, Protocol

import numpy as np

from qnn.backends.braket_errors import failures
from qnn.backends.braket_tasks import DEFAULT_PARALLEL, DEFAULT_TIMEOUT_S, Submission, Task, naming
from qnn.errors import ArgumentError, BackendUnavailableError, CircuitRefusedError, JobFailedError


class Request(NamedTuple):
    """A program with named parameters, and their values in each of its rows."""

    program: Any
    inputs: list[dict[str, float]]


class Sample(NamedTuple):
    """Bits of every shot, shape (shots, n), and the qubit of each column."""

    bits: np.ndarray
    qubits: Sequence[int]


class Place(Protocol):
    """What an executable needs of the place where its programs run."""

    def exact(self, requests: Sequence[Request]) -> list[np.ndarray]:
        """What each row's exact program returns, request by request."""

    def sample(self, requests: Sequence[Request], shots: int) -> list[Sample]:
        """The shots of every row, request by request."""

    def n_tasks(self, n_circuits: int, shots: int | None) -> int:
        """How many tasks so many circuits are; None shots are exact."""


class LocalPlace:
    """A simulator on this machine, by `LocalSimulator.run_batch`."""

    def __init__(self, device: Any, name: str) -> None:
        self._device = device
        self._name = name

    def exact(self, requests: Sequence[Request]) -> list[np.ndarray]:
        """The outcome probabilities of every row, request by request."""
        return [np.asarray(result.values[0]) for result in self._run(requests, 0)]

    def sample(self, requests: Sequence[Request], shots: int) -> list[Sample]:
        """The simulator's own shots."""
        return [Sample(result.measurements, result.measured_qubits) for result in self._run(requests, shots)]

    def n_tasks(self, n_circuits: int, shots: int | None) -> int:
        """One call is one."""
        return 1

    def _run(self, requests: Sequence[Request], shots: int) -> list[Any]:
        programs, inputs = _flat(requests)
        with failures(f"run a circuit on {self._name}"):
            return self._device.run_batch(programs, shots=shots, max_parallel=1, inputs=inputs).results()


class AwsPlace:
    """A device at AWS: program sets where it takes them, else a task for every row. The meter counts tasks.

    Args:
        device: the `AwsDevice`.
        name: as in the registry.
        make_set: makes a `ProgramSet` of programs whose inputs are lists, for so many shots per executable.
        s3_folder: bucket and prefix of the results; None for Braket's default.
        timeout_s: seconds for all tasks of a call; None for five days.
        max_parallel: tasks of a call that are at AWS at the same time; None for 10.
    """

    def __init__(
        self,
        device: Any,
        name: str,
        make_set: Callable[[list[Request], int], Any],
        *,
        s3_folder: tuple[str, str] | None = None,
        timeout_s: float | None = None,
        max_parallel: int | None = None,
    ) -> None:
        self._device = device
        self._name = name
        self._make_set = make_set
        self._options = {} if s3_folder is None else {"s3_destination_folder": s3_folder}
        self._timeout = DEFAULT_TIMEOUT_S if timeout_s is None else timeout_s
        self._max_parallel = DEFAULT_PARALLEL if max_parallel is None else max_parallel
        self._interval = (device.properties.service.getTaskPollIntervalMillis or 1000) / 1000
        action = device.properties.action
        if "braket.ir.openqasm.program" not in action:
            raise CircuitRefusedError(f"{name} does not run circuits of gates. Use another device of Amazon Braket.")
        self._sets = action.get("braket.ir.openqasm.program_set")
        self.gates = frozenset(op.lower() for op in action["braket.ir.openqasm.program"].supportedOperations or ())
        self.n_qubits: int = device.properties.paradigm.qubitCount
        self._shots_range = tuple(device.properties.service.shotsRange)

    def check_open(self) -> None:
        """Refuse a device that takes no tasks.

        Raises:
            BackendUnavailableError: it is offline or retired.
        """
        if self._device.status != "ONLINE":
            raise BackendUnavailableError(
                f"{self._name} must be online to take tasks; got {self._device.status}. Use another device of Amazon "
                "Braket, or try again later."
            )

    def check_shots(self, shots: int) -> None:
        """Refuse more shots than a circuit may have.

        Raises:
            ArgumentError: fewer or more shots than the device takes.
        """
        low, high = max(1, self._shots_range[0]), self._shots_range[1]
        if self._sets is not None:
            high = min(high, self._sets.maximumTotalShots)
        if not low <= shots <= high:
            raise ArgumentError(
                f"`shots` must be {low} to {high} on {self._name}; got {shots}. Change the layer's shots."
            )

    def exact(self, requests: Sequence[Request]) -> list[np.ndarray]:
        """The expectation values of the words of every row, request by request."""
        results, _ = self._run(_single(requests, 0))
        return [np.array(result.values, dtype=float) for result in results]

    def sample(self, requests: Sequence[Request], shots: int) -> list[Sample]:
        """The device's own shots."""
        self.check_shots(shots)
        if self._sets is None:
            results, _ = self._run(_single(requests, shots))
            return [Sample(result.measurements, result.measured_qubits) for result in results]
        sets = [self._make_set(part, shots) for part in _parts(requests, self._most(shots))]
        results, job_ids = self._run([Task(one, one.total_shots, one.total_shots // shots) for one in sets])
        executables = [entry for result in results for program in result.entries for entry in program.entries]
        failed = [entry for entry in executables if not hasattr(entry, "measurements")]
        if failed:
            error = JobFailedError(
                f"{len(failed)} of {len(executables)} circuits failed on {self._name}: {failed[0]}. "
                "Look at the tasks in the console of Amazon Braket."
            )
            raise naming(error, job_ids, len(sets))
        return [Sample(entry.measurements, entry.measured_qubits) for entry in executables]

    def n_tasks(self, n_circuits: int, shots: int | None) -> int:
        """One for each circuit, or for each program set that they fill."""
        return n_circuits if shots is None or self._sets is None else -(-n_circuits // self._most(shots))

    def _most(self, shots: int) -> int:
        """Circuits that a program set takes."""
        return max(1, min(self._sets.maximumExecutables, self._sets.maximumTotalShots // shots))

    def _run(self, tasks: list[Task]) -> tuple[list[Any], tuple[str, ...]]:
        """The results of all tasks, and their ARNs; the meter has them."""
        if "s3_destination_folder" not in self._options and "AMZN_BRAKET_TASK_RESULTS_S3_URI" not in os.environ:
            with failures(f"find the bucket for the results of {self._name}"):
                self._device.aws_session.default_bucket()  # made here if need be, and not by several threads
        submission = Submission(
            self._device,
            self._name,
            tasks,
            max_parallel=self._max_parallel,
            timeout_s=self._timeout,
            interval=self._interval,
            options=self._options,
        )
        return submission.results(), submission.job_ids


def _flat(requests: Sequence[Request]) -> tuple[list[Any], list[dict[str, float]]]:
    """One program and one dictionary of inputs for each row of each request."""
    programs = [request.program for request in requests for _ in request.inputs]
    return programs, [row for request in requests for row in request.inputs]


def _single(requests: Sequence[Request], shots: int) -> list[Task]:
    """A task for each row of each request."""
    return [Task(program, shots, inputs=row) for program, row in zip(*_flat(requests), strict=True)]


def _parts(requests: Sequence[Request], most: int) -> list[list[Request]]:
    """The same rows in the same order, in parts of at most `most` rows."""
    parts: list[list[Request]] = [[]]
    room = most
    for request in requests:
        rows = iter(request.inputs)
        while taken := list(islice(rows, room or most)):
            if not room:
                parts.append([])
                room = most
            parts[-1].append(Request(request.program, taken))
            room -= len(taken)
    return parts
