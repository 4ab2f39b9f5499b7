"""Instructions: gates of the table with symbolic angles, exponents and controls.

A program is reduced to these when it is read; they become PennyLane operations when its
parameters have values. Phases are kept, because a control turns a global phase into a relative
one; what is still global in the end is dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import pi
from typing import Any

import pennylane as qml
from pennylane.operation import Operator

from qnn.circuits.gates import GATES
from qnn.circuits.qasm.expressions import Scalar, evaluate

PHASE = "GlobalPhase"  # a phase factor exp(i·angle), on no wires; a relative phase once it is controlled

#: How a parametric gate looks from further inside: with its own control taken out.
_CONTROLLED = {"CRX": "RX", "CRY": "RY", "CRZ": "RZ", "ControlledPhaseShift": "PhaseShift"}
_WITH_ONE_CONTROL = {inside: outside for outside, inside in _CONTROLLED.items()}


@dataclass(frozen=True)
class Instruction:
    """A gate of the table, perhaps to a power and under controls.

    Attributes:
        gate: name in the gate table, or `PHASE`.
        wires: the gate's own wires.
        angle: radians; None for a fixed gate.
        exponent: -1 for the inverse; other values for a power of a fixed gate.
        controls: wires that must be 1 for the gate to act.
    """

    gate: str
    wires: tuple[int, ...]
    angle: Scalar | None = None
    exponent: float = 1
    controls: tuple[int, ...] = ()

    @property
    def all_wires(self) -> tuple[int, ...]:
        """Controls, then the gate's own wires."""
        return self.controls + self.wires


def inverse(instructions: Sequence[Instruction]) -> list[Instruction]:
    """The inverse of a sequence."""
    return [_power(instruction, -1) for instruction in reversed(instructions)]


def power(instructions: Sequence[Instruction], exponent: float) -> list[Instruction]:
    """A sequence to a power: repeated if that is an integer, else the principal power of a single gate.

    Raises:
        ValueError: a fraction of more than one gate.
    """
    if exponent == int(exponent):
        body = list(instructions) if exponent >= 0 else inverse(instructions)
        return body * abs(int(exponent))
    if len(instructions) != 1 or instructions[0].exponent != 1:
        raise ValueError("a fractional power of several gates")
    return [_power(instructions[0], exponent)]


def _power(instruction: Instruction, exponent: float) -> Instruction:
    if instruction.angle is not None:
        angle = -instruction.angle if exponent == -1 else instruction.angle * exponent
        return replace(instruction, angle=angle)
    return replace(instruction, exponent=instruction.exponent * exponent)


def control(instructions: Iterable[Instruction], wires: Sequence[int], when: int) -> list[Instruction]:
    """A sequence under further controls, all of which must be `when` (0 or 1)."""
    flips = [] if when else [Instruction("PauliX", (wire,)) for wire in wires]
    inside = [replace(instruction, controls=(*wires, *instruction.controls)) for instruction in instructions]
    return [*flips, *inside, *flips]


def placed(instruction: Instruction, wires: Sequence[int]) -> Instruction:
    """An instruction on wires 0, 1, … moved to `wires`."""
    return Instruction(
        instruction.gate,
        tuple([wires[w] for w in instruction.wires]),
        instruction.angle,
        instruction.exponent,
        tuple([wires[w] for w in instruction.controls]),
    )


def bind(instruction: Instruction, values: Mapping[str, Any]) -> Instruction:
    """A formal instruction of a gate definition with actual parameters."""
    if instruction.angle is None:
        return instruction
    return replace(instruction, angle=evaluate(instruction.angle, values))


def operations(instruction: Instruction, values: Mapping[str, Any]) -> list[Operator]:
    """The PennyLane operations of an instruction, up to a phase that is global, none of them queued."""
    with qml.QueuingManager.stop_recording():
        if instruction.angle is None:
            return _fixed(instruction)
        return _parametric(instruction, evaluate(instruction.angle, values))


def _fixed(instruction: Instruction) -> list[Operator]:
    name, adjoint = instruction.gate, instruction.exponent
    if name.startswith("Adjoint("):
        name, adjoint = name[len("Adjoint(") : -1], -adjoint
    operation = getattr(qml, name)(wires=instruction.wires)
    if adjoint == -1:
        operation = qml.adjoint(operation, lazy=False)
    elif adjoint != 1:
        operation = qml.pow(operation, adjoint, lazy=False)
    return [qml.ctrl(operation, control=instruction.controls) if instruction.controls else operation]


def _parametric(instruction: Instruction, angle: Any) -> list[Operator]:
    name, wires, controls = instruction.gate, instruction.wires, instruction.controls
    if not controls:
        return [] if name == PHASE else [getattr(qml, name)(angle, wires=wires)]
    if name in _CONTROLLED:
        name, controls, wires = _CONTROLLED[name], (*controls, wires[0]), wires[1:]
    if name in (PHASE, "PhaseShift"):
        return _phase_on_ones(angle, controls + wires)
    if len(controls) == 1 and name in _WITH_ONE_CONTROL:
        return [getattr(qml, _WITH_ONE_CONTROL[name])(angle, wires=controls + wires)]
    factors = GATES[name].factors(len(wires))
    return [op for factor in factors for op in _controlled_rotation(angle * factor.scale, factor.word, controls, wires)]


def _phase_on_ones(angle: Any, wires: tuple[int, ...]) -> list[Operator]:
    """exp(i·angle) where all `wires` are 1."""
    if len(wires) == 1:
        return [qml.PhaseShift(angle, wires=wires)]
    if len(wires) == 2:
        return [qml.ControlledPhaseShift(angle, wires=wires)]
    size = 2 ** (len(wires) - 1)
    return [qml.MultiRZ(angle * (-((-1) ** len(subset)) / size), wires=subset) for subset in _subsets(wires) if subset]


def _controlled_rotation(angle: Any, word: str, controls: tuple[int, ...], wires: tuple[int, ...]) -> list[Operator]:
    """exp(-i angle/2 · word) where all `controls` are 1, as commuting Pauli rotations."""
    into, out_of = _basis_change(word, wires)
    support = tuple(wire for letter, wire in zip(word, wires, strict=True) if letter != "I")
    size = 2 ** len(controls)
    rotations = [
        qml.MultiRZ(angle * ((-1) ** len(subset) / size), wires=(*subset, *support)) for subset in _subsets(controls)
    ]
    return [*into, *rotations, *out_of]


def _basis_change(word: str, wires: tuple[int, ...]) -> tuple[list[Operator], list[Operator]]:
    into: list[Operator] = []
    out_of: list[Operator] = []
    for letter, wire in zip(word, wires, strict=True):
        if letter == "X":
            into.append(qml.Hadamard(wire))
            out_of.append(qml.Hadamard(wire))
        elif letter == "Y":
            into.append(qml.RX(pi / 2, wires=wire))
            out_of.append(qml.RX(-pi / 2, wires=wire))
    return into, out_of


def _subsets(wires: tuple[int, ...]) -> Iterable[tuple[int, ...]]:
    for mask in product((False, True), repeat=len(wires)):
        yield tuple(wire for wire, chosen in zip(wires, mask, strict=True) if chosen)
