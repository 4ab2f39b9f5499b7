"""Writing a circuit as OpenQASM 2 or 3, so that reading it gives the same gates, wires and angles."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence

from qnn.circuits.circuit import Circuit, Operation, Slot
from qnn.circuits.qasm.expressions import CONSTANTS, Expression, parameters, text
from qnn.circuits.qasm.library import STANDARD_INCLUDE, WRITTEN, definition_text, qasm_name
from qnn.errors import ArgumentError, NotFiniteError, UnsupportedError

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = {"q", "c", "U", "input", "gate", "qubit", "bit", *CONSTANTS}  # q and c are the registers of the file

Shape = tuple[int, ...]
Angle = str | float | Expression


def circuit_to_qasm(
    circuit: Circuit,
    *,
    version: int = 3,
    angles: Mapping[Slot, Angle] | None = None,
    inputs: Sequence[str] | Mapping[str, Shape] | None = None,
    measure: bool = False,
    comments: Iterable[str] = (),
) -> str:
    """Write a circuit as an OpenQASM program.

    Numbers are written in their shortest exact form and gates without a standard name with a definition that
    `read_qasm` recognises: reading the program gives the same gates, wires and angles, bit for bit. Measurements of
    the circuit (expectation values, probabilities) have no counterpart in OpenQASM and are left out.

    Args:
        circuit: what to write.
        version: 2 or 3.
        angles: for each slot its angle in radians: a number or, in version 3, an expression in the inputs. None
            declares one input per slot, named like ``shared_0`` or ``rows_2``.
        inputs: names of free parameters to declare, in this order; a mapping gives each its array shape, () for a
            scalar. None declares the scalar parameters of the expressions in `angles`, in order of use; names
            within an angle given as text are not looked at.
        measure: measure every wire at the end into a register ``c``.
        comments: lines to put at the head of the program.

    Raises:
        UnsupportedError: version 2 cannot express an angle that is not a number.
        ArgumentError: a slot has no angle, or a name cannot be declared.
        NotFiniteError: an angle is NaN or infinite.
    """
    if version not in STANDARD_INCLUDE:
        raise ArgumentError(f"`version` must be 2 or 3; got {version!r}. Use version=3.")
    if angles is None:
        angles = {slot: f"{slot.block}_{slot.index}" for slot in sorted(circuit.slot_operations, key=str)}
        angles = dict(sorted(angles.items(), key=lambda item: (item[0].block != "shared", item[0].index)))
        inputs = [str(name) for name in angles.values()] if inputs is None else inputs
    if version == 2:
        _refuse_free(circuit, angles)
    shapes = _shapes(_free_names(circuit, angles) if inputs is None else inputs)
    body = [_line(operation, angles, version) for operation in circuit.operations]
    lines = [f"// {comment}" for comment in comments]
    lines += [f"OPENQASM {version}.0;", f'include "{STANDARD_INCLUDE[version]}";']
    lines += _definitions(circuit.operations, version)
    lines += [_declaration(name, shape) for name, shape in shapes.items()]
    lines += [f"qubit[{circuit.n_wires}] q;" if version == 3 else f"qreg q[{circuit.n_wires}];"]
    if measure:
        lines += [f"bit[{circuit.n_wires}] c;" if version == 3 else f"creg c[{circuit.n_wires}];"]
    lines += body
    if measure:
        lines += ["c = measure q;" if version == 3 else "measure q -> c;"]
    return "\n".join(lines) + "\n"


def _line(operation: Operation, angles: Mapping[Slot, Angle], version: int) -> str:
    name = qasm_name(operation.gate, len(operation.wires), version)
    argument = "" if operation.angle is None else f"({_angle(operation, angles, version)})"
    return f"{name}{argument} {', '.join(f'q[{wire}]' for wire in operation.wires)};"


def _angle(operation: Operation, angles: Mapping[Slot, Angle], version: int) -> str:
    angle: Angle | None = operation.angle if not isinstance(operation.angle, Slot) else angles.get(operation.angle)
    if angle is None:
        raise ArgumentError(
            f"`angles` must have an entry for every slot; {operation.angle} of {operation.gate} has none. Add it."
        )
    if isinstance(angle, str):
        return angle
    if isinstance(angle, Expression):
        return text(angle)
    if not math.isfinite(angle):
        raise NotFiniteError(
            f"`angles` must be finite; {operation.gate} on wires {operation.wires} has {angle}. Correct the angle."
        )
    return _number(float(angle), version)


def _number(value: float, version: int) -> str:
    """The shortest exact decimal; version 2 wants a decimal point before an exponent."""
    written = repr(value)
    if version == 2 and "e" in written and "." not in written:
        return written.replace("e", ".0e")
    return written


def _definitions(operations: Iterable[Operation], version: int) -> list[str]:
    """Definitions of the gates in use that the include file may not have, in order of first use."""
    used = dict.fromkeys((operation.gate, len(operation.wires)) for operation in operations)
    return [definition_text(gate, n) for gate, n in used if gate not in WRITTEN[version]]


def _free_names(circuit: Circuit, angles: Mapping[Slot, Angle]) -> list[str]:
    """Names of the parameters that angles depend on, in order of use."""
    used = [p for slot in circuit.slot_operations for p in parameters(angles.get(slot))]
    for parameter in used:
        if parameter.index:
            raise ArgumentError(
                f'`inputs` must give the shape of every array; the angles use "{parameter}". '
                f'Pass for example inputs={{"{parameter.name}": (4,)}}.'
            )
    return list(dict.fromkeys(p.name for p in used))


def _declaration(name: str, shape: Shape) -> str:
    kind = f"array[float[64], {', '.join(map(str, shape))}]" if shape else "float[64]"
    return f"input {kind} {name};"


def _shapes(inputs: Sequence[str] | Mapping[str, Shape]) -> dict[str, Shape]:
    shapes: dict[str, Shape] = dict(inputs) if isinstance(inputs, Mapping) else dict.fromkeys(inputs, ())
    for name in shapes:
        if not _IDENTIFIER.fullmatch(name) or name in _RESERVED:
            raise ArgumentError(
                f'`inputs` must be names that OpenQASM allows and this program does not use; got "{name}". Rename it.'
            )
    return shapes


def _refuse_free(circuit: Circuit, angles: Mapping[Slot, Angle]) -> None:
    for slot, operation in circuit.slot_operations.items():
        angle = angles.get(slot)
        if isinstance(angle, (str, Expression)):
            raise UnsupportedError(
                f"`version=2` cannot express free parameters; the angle of {operation.gate} on wires "
                f"{operation.wires} is {angle}. Bind every angle to a number, or use version=3."
            )
