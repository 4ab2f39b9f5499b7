"""Where Braket runs programs: on this machine, or at AWS. One call for all rows of all settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import torch

from qnn._fingerprint import fingerprint
from qnn.backends.braket.errors import failures
from qnn.backends.braket.service import BraketService, Task, histogram
from qnn.backends.requests import counted_if_it_ends, digest
from qnn.errors import ArgumentError, BackendUnavailableError, CircuitRefusedError
from qnn.jobs import Policy, Request, carry_out

if TYPE_CHECKING:
    from qnn.backends._qiskit.native import NativeGates


class Block(NamedTuple):
    """A program with named parameters, and their values in each of its rows.

    Attributes:
        program: OpenQASM.
        inputs: for each of N rows the values.
        measured: the qubits whose outcomes are counted, the leftmost bit first.
        n_values: numbers that a row's exact program returns.
    """

    program: Any
    inputs: list[dict[str, float]]
    measured: Sequence[int]
    n_values: int


class Origin(NamedTuple):
    """What makes a call the same call after a crash.

    Attributes:
        circuit: fingerprint of the circuit.
        keys: shape (N, 5), sampling keys of the rows; None where there are none.
    """

    circuit: str
    keys: torch.Tensor | None


class Place(Protocol):
    """What an executable needs of the place where its programs run."""

    def exact(self, blocks: Sequence[Block], origin: Origin) -> list[np.ndarray]:
        """What the exact programs of each block return, shape (N, n_values)."""

    def counts(self, blocks: Sequence[Block], shots: int, origin: Origin) -> list[np.ndarray]:
        """How often each outcome of each block was seen, shape (N, 2^k)."""

    def n_tasks(self, n_circuits: int, shots: int | None) -> int:
        """How many tasks so many circuits are; None shots are exact."""


class LocalPlace:
    """A simulator on this machine, by `LocalSimulator.run_batch`."""

    def __init__(self, device: Any, name: str) -> None:
        self._device = device
        self._name = name

    def exact(self, blocks: Sequence[Block], origin: Origin) -> list[np.ndarray]:
        """The outcome probabilities."""
        results = iter(self._run(blocks, 0))
        return [np.stack([np.asarray(next(results).values[0]) for _ in block.inputs]) for block in blocks]

    def counts(self, blocks: Sequence[Block], shots: int, origin: Origin) -> list[np.ndarray]:
        """The simulator's own shots."""
        results = iter(self._run(blocks, shots))
        return [np.stack([histogram(next(results), block.measured) for _ in block.inputs]) for block in blocks]

    def n_tasks(self, n_circuits: int, shots: int | None) -> int:
        """One call is one."""
        return 1

    def _run(self, blocks: Sequence[Block], shots: int) -> list[Any]:
        programs = [block.program for block in blocks for _ in block.inputs]
        inputs = [row for block in blocks for row in block.inputs]
        with failures(f"run a circuit on {self._name}"):
            return self._device.run_batch(programs, shots=shots, max_parallel=1, inputs=inputs).results()


class Portion(NamedTuple):
    """Some rows of a block, by the block's number."""

    block: int
    rows: slice

    @property
    def n_rows(self) -> int:
        """How many."""
        return self.rows.stop - self.rows.start


class AwsPlace:
    """A device at AWS: program sets where it takes them, else a task for every row. Every task is a job.

    Args:
        service: of the device.
        make_set: makes a `ProgramSet` of programs whose inputs are lists, for so many shots per executable.
        policy: patience, and the journal.
        specification: from which the backend can be made again.
    """

    def __init__(
        self,
        service: BraketService,
        make_set: Callable[[list[tuple[Any, list[dict[str, float]]]], int], Any],
        policy: Policy,
        specification: Mapping[str, Any],
    ) -> None:
        self._service, self._make_set = service, make_set
        self._policy, self._specification = policy, specification
        self._name, self._properties = service.name, service.device.properties
        properties = self._properties
        if "braket.ir.openqasm.program" not in properties.action:
            raise CircuitRefusedError(
                f"{self._name} does not run circuits of gates. Use another device of Amazon Braket."
            )
        programs = properties.action["braket.ir.openqasm.program"]
        self.gates = frozenset(operation.lower() for operation in programs.supportedOperations or ())
        self.n_qubits: int = properties.paradigm.qubitCount
        self._sets = properties.action.get("braket.ir.openqasm.program_set")
        self._shots_range = tuple(properties.service.shotsRange)

    @cached_property
    def native(self) -> NativeGates:
        """The machine's own gates and qubits.

        Raises:
            CircuitRefusedError: it names no gates that could be written.
        """
        from qnn.backends._qiskit.native import native_gates

        return native_gates(self._properties, self._name)

    def check_open(self) -> None:
        """Refuse a device that takes no tasks; one that was offline is asked again.

        Raises:
            BackendUnavailableError: it is offline or retired.
        """
        device = self._service.device
        if device.status != "ONLINE":
            with failures(f"look at {self._name}"):
                device.refresh_metadata()
        status = device.status
        if status != "ONLINE":
            raise BackendUnavailableError(
                f"{self._name} must be online to take tasks; got {status}. Use another device of Amazon Braket, or try "
                "again later."
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

    def exact(self, blocks: Sequence[Block], origin: Origin) -> list[np.ndarray]:
        """The expectation values of words, a task for each row."""
        return self._carry_out(blocks, None, origin._replace(keys=None))

    def counts(self, blocks: Sequence[Block], shots: int, origin: Origin) -> list[np.ndarray]:
        """The device's own shots."""
        self.check_shots(shots)
        return self._carry_out(blocks, shots, origin)

    def n_tasks(self, n_circuits: int, shots: int | None) -> int:
        """One for each circuit, or for each program set that they fill."""
        return -(-n_circuits // self._most(shots))

    def _most(self, shots: int | None) -> int:
        """Circuits that a task takes."""
        if shots is None or self._sets is None:
            return 1
        return max(1, min(self._sets.maximumExecutables, self._sets.maximumTotalShots // shots))

    def _carry_out(self, blocks: Sequence[Block], shots: int | None, origin: Origin) -> list[np.ndarray]:
        """The arrays of each block, from as few tasks as the device allows."""
        parts = _parts(blocks, self._most(shots))
        with counted_if_it_ends(origin.keys, sampled=shots is not None) as call:
            requests = [self._request(blocks, part, number, shots, origin, call) for number, part in enumerate(parts)]
            results = carry_out(self._service, requests, self._policy, self._specification)
        found: list[list[np.ndarray]] = [[] for _ in blocks]
        for part, arrays in zip(parts, results, strict=True):
            for portion, array in zip(part, arrays, strict=True):
                found[portion.block].append(array)
        return [np.concatenate(arrays) for arrays in found]

    def _request(
        self,
        blocks: Sequence[Block],
        part: list[Portion],
        number: int,
        shots: int | None,
        origin: Origin,
        call: tuple[int, int, int],
    ) -> Request:
        """A task as a job; the text of its programs tells gates, noise and measurements."""
        chosen = [(blocks[portion.block], portion) for portion in part]
        executed = [[fingerprint(block.program.source), portion.n_rows] for block, portion in chosen]
        numbers = [np.array([list(row.values()) for row in block.inputs[portion.rows]]) for block, portion in chosen]
        if origin.keys is not None:
            numbers += [origin.keys[portion.rows].cpu().numpy() for _, portion in chosen]
        n_circuits = sum(portion.n_rows for portion in part)
        counts = [[portion.n_rows, list(block.measured)] for block, portion in chosen]
        return Request(
            circuit=origin.circuit,
            angles=digest(*numbers),
            options=fingerprint({"device": self._name, "shots": shots, "executed": executed}),
            call=call,
            part=number,
            n_circuits=n_circuits,
            shots=n_circuits * (shots or 0),
            form={"values": chosen[0][0].n_values} if shots is None else {"counts": counts},
            payload=lambda: self._task(
                [(block.program, block.inputs[portion.rows]) for block, portion in chosen], shots
            ),
        )

    def _task(self, programs: list[tuple[Any, list[dict[str, float]]]], shots: int | None) -> Task:
        if shots is None or self._sets is None:
            ((program, (row,)),) = programs
            return Task(program, shots or 0, row)
        return Task(self._make_set(programs, shots), shots * sum(len(rows) for _, rows in programs))


def _parts(blocks: Sequence[Block], most: int) -> list[list[Portion]]:
    """The rows of all blocks in order, in parts of at most `most` rows."""
    parts: list[list[Portion]] = []
    room = 0
    for number, block in enumerate(blocks):
        start = 0
        while start < len(block.inputs):
            if not room:
                parts.append([])
                room = most
            stop = min(start + room, len(block.inputs))
            parts[-1].append(Portion(number, slice(start, stop)))
            room -= stop - start
            start = stop
    return parts
