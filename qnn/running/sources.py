"""What people have: files, texts, circuits of ours, of PennyLane and of Qiskit, as one kind of thing that runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from qnn.backends.base import Angles
from qnn.circuits.circuit import Circuit
from qnn.circuits.observables import Measurement, measurement_from
from qnn.circuits.qasm.program import QasmProgram, read_qasm
from qnn.circuits.tapes import is_quantum_function, read_tape
from qnn.errors import ArgumentError
from qnn.running.parameters import angles_of_program, finite_array


@dataclass(frozen=True)
class Source:
    """A circuit with its angles.

    Attributes:
        name: a word for titles.
        circuit: every angle a slot of the rows block; its measurements are those that the source asks for itself.
        angles: shape (N, R), radians, float64.
        leading: sizes whose product is N: the leading dimensions of the result.
        labels: what the source calls the wires.
        names: what it calls them in observables: numbers in programs, labels in PennyLane.
        measured: wires that the source measures, ascending; all of them if it does not say.
        measurement: turns an observable on the source's wires into a measurement on those of the circuit.
        shots: those that the source itself asks for.
        sampled: whether the source asks for samples or counts, which need shots.
        bare: whether the source returns one value, not in a list.
    """

    name: str
    circuit: Circuit
    angles: np.ndarray
    leading: tuple[int, ...]
    labels: tuple[str, ...]
    names: tuple[str, ...]
    measured: tuple[int, ...]
    measurement: Callable[[Any], Measurement] = measurement_from
    shots: int | None = None
    sampled: bool = False
    bare: bool = False


def as_source(circuit: Any, parameters: Any) -> Source:
    """What `qnn.run` is given, as a `Source`.

    Raises:
        ArgumentError: it is something else, or a parameter has no value.
        QasmError: a program cannot be read.
        UnsupportedError: it has what a circuit of fixed structure cannot express.
    """
    if isinstance(circuit, Circuit):
        return _from_circuit(circuit, parameters)
    values = _mapping(parameters)
    if isinstance(circuit, str | Path):
        program = read_qasm(circuit)
        return _from_program(program, {name: (name, None) for name in program.parameters}, values, program.name)
    if isinstance(circuit, QasmProgram):
        return _from_program(circuit, {name: (name, None) for name in circuit.parameters}, values, circuit.name)
    if _is_qiskit(circuit):
        from qnn.backends._qiskit.source import by_name, qiskit_program

        program, origins = qiskit_program(circuit)
        return _from_program(program, origins, by_name(values), circuit.name)
    if is_quantum_function(circuit):
        return _from_function(circuit, values)
    advice = 'Give a file such as "circuits/bell.qasm".'
    if isinstance(circuit, torch.nn.Module):
        advice = "Call a layer on its inputs, or use layer.counts(inputs)."
    raise ArgumentError(
        "`circuit` must be an OpenQASM file or text, a qnn Circuit, a PennyLane function, QNode or script, or a Qiskit "
        f"QuantumCircuit; got {type(circuit).__name__}. {advice}"
    )


def _is_qiskit(circuit: Any) -> bool:
    return any(
        cls.__name__ == "QuantumCircuit" and cls.__module__.partition(".")[0] == "qiskit"
        for cls in type(circuit).__mro__
    )


def _mapping(parameters: Any) -> Mapping[Any, Any]:
    if parameters is None:
        return {}
    if not isinstance(parameters, Mapping):
        raise ArgumentError(
            f"`parameters` must map names to values; got {type(parameters).__name__}. "
            'Write for example parameters={"theta": 0.3}.'
        )
    return parameters


def _from_program(
    program: QasmProgram, origins: Mapping[str, tuple[str, int | None]], values: Mapping[str, Any], name: str
) -> Source:
    circuit, angles, leading = angles_of_program(program, origins, values)
    wires = program.measured_wires or tuple(range(program.n_qubits))
    return Source(Path(name).name or "circuit", circuit, angles, leading, program.qubit_names, _numbers(circuit), wires)


def _from_circuit(circuit: Circuit, parameters: Any) -> Source:
    if isinstance(parameters, Angles):
        parameters = {"shared": parameters.shared, "rows": parameters.rows}
    blocks = {}
    sizes = {"shared": circuit.n_shared, "rows": circuit.n_rows}
    given = _mapping(parameters)
    for block, size in sizes.items():
        blocks[block] = finite_array(block, given.get(block, np.zeros(0)))
        if blocks[block].shape[-1:] != (size,) or (block == "shared" and blocks[block].ndim != 1):
            shape = f"({size},)" if block == "shared" else f"(..., {size})"
            raise ArgumentError(
                f'`parameters["{block}"]` must have shape {shape}, one angle for each slot; '
                f"got {blocks[block].shape if block in given else 'none'}. "
                'Write parameters={"shared": [...], "rows": [...]}.'
            )
    if unknown := sorted(set(map(str, given)) - set(sizes)):
        raise ArgumentError(
            f'`parameters` of a qnn Circuit must be "shared" and "rows"; got "{unknown[0]}". Give its angles by block.'
        )
    rows = blocks["rows"]
    leading = rows.shape[:-1]
    table = rows.reshape(-1, circuit.n_rows) if rows.size else np.zeros((int(np.prod(leading)), circuit.n_rows))
    angles = np.concatenate([np.broadcast_to(blocks["shared"], (len(table), circuit.n_shared)), table], axis=1)
    names = _numbers(circuit)
    return Source("circuit", circuit.all_rows(), angles, leading, names, names, tuple(range(circuit.n_wires)))


def _from_function(function: Any, values: Mapping[str, Any]) -> Source:
    program = read_tape(function, values)
    labels = tuple(map(str, program.labels))
    return Source(
        name=str(getattr(getattr(function, "func", function), "__name__", "circuit")),
        circuit=program.circuit,
        angles=program.angles,
        leading=() if program.batch is None else (program.batch,),
        labels=labels,
        names=labels,
        measured=tuple(range(program.circuit.n_wires)),
        measurement=program.measurement,
        shots=program.shots,
        sampled=program.sampled,
        bare=program.bare,
    )


def _numbers(circuit: Circuit) -> tuple[str, ...]:
    return tuple(map(str, range(circuit.n_wires)))
