"""A user's Qiskit circuit as an OpenQASM 3 program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qiskit import qasm3
from qiskit.circuit import ParameterVectorElement
from qiskit.exceptions import QiskitError

from qnn.circuits.qasm import QasmProgram, read_qasm
from qnn.errors import UnsupportedError


def qiskit_program(circuit: Any) -> tuple[QasmProgram, dict[str, tuple[str, int | None]]]:
    """The program that a `QuantumCircuit` is, by OpenQASM 3.

    Args:
        circuit: a Qiskit `QuantumCircuit`; its first qubit becomes wire 0.

    Returns:
        The program, and for each of its free parameters (which OpenQASM cannot always call as Qiskit does) the name
        in Qiskit, and the place within a `ParameterVector` of that name.

    Raises:
        UnsupportedError: the circuit cannot be written in OpenQASM, or read as a circuit of fixed structure.
    """
    try:
        text = qasm3.dumps(circuit)
    except QiskitError as error:
        raise UnsupportedError(
            f"`circuit` must consist of gates, and of measurements at the end; Qiskit cannot write {circuit.name!r} in "
            f"OpenQASM 3 ({error}). Use prepare_state instead of initialize, for example."
        ) from error
    program = read_qasm(text)
    origins = {}
    for written, parameter in zip(program.parameters, circuit.parameters, strict=True):  # in one order, says the writer
        if isinstance(parameter, ParameterVectorElement):
            origins[written] = (parameter.vector.name, parameter.index)
        else:
            origins[written] = (parameter.name, None)
    return program, origins


def by_name(parameters: Mapping[Any, Any]) -> dict[str, Any]:
    """Values under the names of Qiskit's parameters and vectors, given under these or under the objects."""
    return {getattr(key, "name", key): value for key, value in parameters.items()}
