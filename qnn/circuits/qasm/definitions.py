"""Gates that can be called by name: those of the table, and U."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi

from qnn.circuits.gates import GATES
from qnn.circuits.qasm.expressions import Parameter, Scalar
from qnn.circuits.qasm.instructions import PHASE, Instruction, bind, placed


@dataclass(frozen=True)
class Definition:
    """A gate that can be called: its formal parameters, number of qubits, and what it consists of.

    Wires of the instructions are positions among the gate's qubits.
    """

    parameters: tuple[str, ...]
    n_qubits: int
    instructions: tuple[Instruction, ...]

    def call(self, angles: Sequence[Scalar], wires: Sequence[int]) -> list[Instruction]:
        """The instructions of one call."""
        values = dict(zip(self.parameters, angles, strict=True))
        return [placed(bind(instruction, values), wires) for instruction in self.instructions]


def row(gate: str, n_wires: int | None = None) -> Definition:
    """A gate of the table as a definition."""
    row = GATES[gate]
    wires = tuple(range(row.n_wires or n_wires or 1))
    parameters, angle = (("angle",), Parameter("angle")) if row.is_parametric else ((), None)
    return Definition(parameters, len(wires), (Instruction(gate, wires, angle),))


def euler(angles: Sequence[Scalar], version: int) -> list[Instruction]:
    """U(θ, φ, λ) by rotations, with the phase of the OpenQASM 3 specification."""
    theta, phi, lam = angles
    if _is(theta, 0.0):
        total = lam if _is(phi, 0.0) else phi if _is(lam, 0.0) else phi + lam
        return [Instruction("PhaseShift", (0,), total)]
    if _is(phi, -pi / 2) and _is(lam, pi / 2):
        return [Instruction("RX", (0,), theta), Instruction(PHASE, (), theta / 2)]
    rotations = [("RZ", lam), ("RY", theta), ("RZ", phi)]
    kept = [Instruction(gate, (0,), angle) for gate, angle in rotations if not _is(angle, 0.0)]
    return [*kept, Instruction(PHASE, (), (theta + phi + lam) / 2)] if version == 3 else kept


def _is(scalar: Scalar, value: float) -> bool:
    """Whether a scalar is a constant of this value."""
    return isinstance(scalar, (int, float)) and scalar == value
