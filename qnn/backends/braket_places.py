"""Where Braket runs programs: on this machine, or at AWS. One call for all rows of all settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, NamedTuple, Protocol

import numpy as np

from qnn.backends.braket_errors import failures
from qnn.errors import ArgumentError, BackendUnavailableError, CircuitRefusedError, JobFailedError, JobTimeoutError

_NO_RESULT = ("FAILED", "CANCELLED")


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

    def _run(self, requests: Sequence[Request], shots: int) -> list[Any]:
        programs, inputs = _flat(requests)
        with failures(f"run a circuit on {self._name}"):
            return self._device.run_batch(programs, shots=shots, max_parallel=1, inputs=inputs).results()


class AwsPlace:
    """A device at AWS: program sets where it takes them, else a batch of tasks.

    Args:
        device: the `AwsDevice`.
        name: as in the registry.
        make_set: makes a `ProgramSet` of programs whose inputs are lists, for so many shots per executable.
        options: keyword options of `AwsDevice.run_batch`.
    """

    def __init__(
        self, device: Any, name: str, make_set: Callable[[list[Request], int], Any], options: dict[str, Any]
    ) -> None:
        self._device = device
        self._name = name
        self._make_set = make_set
        self._options = options
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
        programs, inputs = _flat(requests)
        return [np.array(result.values, dtype=float) for result in self._run(programs, shots=0, inputs=inputs)]

    def sample(self, requests: Sequence[Request], shots: int) -> list[Sample]:
        """The device's own shots."""
        self.check_shots(shots)
        if self._sets is None:
            programs, inputs = _flat(requests)
            results = self._run(programs, shots=shots, inputs=inputs)
            return [Sample(result.measurements, result.measured_qubits) for result in results]
        most = max(1, min(self._sets.maximumExecutables, self._sets.maximumTotalShots // shots))
        sets = [self._make_set(part, shots) for part in _parts(requests, most)]
        results = self._run(sets, shots=[one.total_shots for one in sets])
        executables = [entry for result in results for program in result.entries for entry in program.entries]
        failed = [entry for entry in executables if not hasattr(entry, "measurements")]
        if failed:
            raise JobFailedError(
                f"{len(failed)} of {len(executables)} circuits failed on {self._name}: {failed[0]}. "
                "Look at the task in the console of Amazon Braket."
            )
        return [Sample(entry.measurements, entry.measured_qubits) for entry in executables]

    def _run(self, specifications: list[Any], **arguments: Any) -> list[Any]:
        """The results of one batch; a task that ends without one is not submitted again, as Braket would do."""
        with failures(f"submit to {self._name}"):
            batch = self._device.run_batch(specifications, **arguments, **self._options)
        with failures(f"return the results of {self._name}"):
            results = batch.results(max_retries=0)
            unfinished = [
                (task.id, task.metadata(use_cached_value=True))
                for task, result in zip(batch.tasks, results, strict=True)
                if result is None
            ]
        if unfinished:
            raise _without_result(self._name, unfinished, len(results), self._options.get("poll_timeout_seconds"))
        return results


def _without_result(
    name: str, unfinished: Sequence[tuple[str, dict[str, Any]]], n_tasks: int, timeout: float | None
) -> JobFailedError | JobTimeoutError:
    """The error for tasks (ARN, metadata) that gave no result."""
    ended = [(arn, facts) for arn, facts in unfinished if facts.get("status") in _NO_RESULT]
    if ended:
        arn, facts = ended[0]
        reason = f" ({facts['failureReason'].rstrip('.')})" if facts.get("failureReason") else ""
        return JobFailedError(
            f"{len(ended)} of {n_tasks} tasks on {name} ended without a result: {arn} is {facts['status']}{reason}. "
            "Look at it in the console of Amazon Braket before running it again."
        )
    arn, facts = unfinished[0]
    within = "in time" if timeout is None else f"within {timeout:g} s"
    return JobTimeoutError(
        f"{len(unfinished)} of {n_tasks} tasks on {name} did not end {within}: {arn} is "
        f"{facts.get('status')}. They go on and are paid for: give a longer `timeout`, or cancel them in the console."
    )


def _flat(requests: Sequence[Request]) -> tuple[list[Any], list[dict[str, float]]]:
    """One program and one dictionary of inputs for each row of each request."""
    programs = [request.program for request in requests for _ in request.inputs]
    return programs, [row for request in requests for row in request.inputs]


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
