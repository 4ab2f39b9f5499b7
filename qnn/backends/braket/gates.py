"""A circuit as a list of Braket's gates, with plain parameters: no Braket object is needed for that.

Which gate is which is read from the table for Qiskit, so that it stands in one place; here are Braket's names for
those words, and the way round what Braket or a device has not. Everything holds up to a global phase.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy import sparse

from qnn.backends._qiskit import gates as qiskit_gates
from qnn.circuits.circuit import Circuit, Operation, Slot
from qnn.circuits.gates import gate_named
from qnn.circuits.settings import Setting
from qnn.errors import CircuitRefusedError

_NAMES = {
    "x": "x",
    "y": "y",
    "z": "z",
    "h": "h",
    "s": "s",
    "sdg": "si",
    "t": "t",
    "tdg": "ti",
    "sx": "v",
    "sxdg": "vi",
    "rx": "rx",
    "ry": "ry",
    "rz": "rz",
    "p": "phaseshift",
    "cx": "cnot",
    "cy": "cy",
    "cz": "cz",
    "swap": "swap",
    "iswap": "iswap",
    "ecr": "ecr",
    "ccx": "ccnot",
    "cswap": "cswap",
    "rxx": "xx",
    "ryy": "yy",
    "rzz": "zz",
    "cp": "cphaseshift",
}
_TURNING = frozenset({"rx", "ry", "rz", "p", "rxx", "ryy", "rzz", "cp", "crx", "cry", "crz"})
# Every gate can be made from these.
_ENOUGH = ("h", "s", "si", "rx", "ry", "rz", "cnot")


class Step(NamedTuple):
    """One gate: Braket's name, qubits, and its angles: each radians, or as an integer the number of a parameter."""

    name: str
    qubits: tuple[int, ...]
    angles: tuple[float | int, ...] = ()


@dataclass(frozen=True)
class Turn:
    """An angle that is affine in one column of the dense angles: scale·angle + offset."""

    column: int
    scale: float = 1.0
    offset: float = 0.0

    def __rmul__(self, factor: float) -> Turn:
        """Both terms times a number."""
        return Turn(self.column, factor * self.scale, factor * self.offset)

    def __add__(self, constant: float) -> Turn:
        """A constant more."""
        return Turn(self.column, self.scale, self.offset + constant)


@dataclass(frozen=True)
class BraketGates:
    """The gates of one measurement setting, on qubits numbered from 0 without gaps, or on those of a machine.

    Attributes:
        steps: the gates, basis change included.
        n_qubits: wires that a gate touches or that are measured; others are left out.
        measured: the setting's wires as qubits, in the setting's order.
        parameters: names of the F parameters.
        matrix: shape (F, S + R): parameters are matrix @ angles + offset.
        offset: shape (F,), radians.
        verbatim: whether they are native gates on a machine's own qubits, not to be compiled.
    """

    steps: tuple[Step, ...]
    n_qubits: int
    measured: tuple[int, ...]
    parameters: tuple[str, ...]
    matrix: np.ndarray
    offset: np.ndarray
    verbatim: bool = False

    def inputs(self, angles: np.ndarray, *, repeat: bool) -> list[dict[str, float]]:
        """Values of the parameters, by name, for every row of `angles` (N, S + R).

        Without parameters all rows are the same: then one of them, unless they are to be repeated.
        """
        if not self.parameters:
            return [{} for _ in range(len(angles) if repeat else 1)]
        values = angles @ sparse.csr_array(self.matrix.T) + self.offset  # a dense product's last bits depend on N
        return [dict(zip(self.parameters, row, strict=True)) for row in values.tolist()]


def translate(circuit: Circuit, setting: Setting, available: Collection[str] | None = None) -> BraketGates:
    """The gates of `circuit` followed by the basis change of `setting`.

    Args:
        circuit: what to run.
        setting: what to measure.
        available: names of the gates that the device takes; None for all of Braket's.

    Raises:
        CircuitRefusedError: the device has not even the gates that all others can be made from.
    """
    if available is not None and (missing := [name for name in _ENOUGH if name not in available]):
        raise CircuitRefusedError(
            f"The device must take the gates {', '.join(_ENOUGH)}; it lacks {', '.join(missing)}. Use another device."
        )
    words = _Words(available)
    for operation in circuit.operations:
        words.write(operation, circuit.n_shared)
    for wire, letter in setting.basis:
        words.turn_to_z(letter, wire)
    used = sorted({w for step in words.steps for w in step.qubits}.union(setting.wires))
    number = {wire: qubit for qubit, wire in enumerate(used)}
    matrix = np.zeros((len(words.turns), circuit.n_shared + circuit.n_rows))
    for row, turn in enumerate(words.turns):
        matrix[row, turn.column] = turn.scale
    return BraketGates(
        steps=tuple(Step(s.name, tuple(number[w] for w in s.qubits), s.angles) for s in words.steps),
        n_qubits=len(used),
        measured=tuple(number[wire] for wire in setting.wires),
        parameters=tuple(f"angle_{i}" for i in range(len(words.turns))),
        matrix=matrix,
        offset=np.array([turn.offset for turn in words.turns]),
    )


class _NotAvailableError(Exception):
    """A word that has to be written in others."""


@dataclass
class _Words:
    """Takes the calls that would write a Qiskit circuit, and keeps them as Braket's gates."""

    available: Collection[str] | None
    steps: list[Step] = field(default_factory=list)
    turns: dict[Turn, int] = field(default_factory=dict)

    def __getattr__(self, word: str) -> Callable[..., None]:
        """The method of a Qiskit circuit of that name."""
        if word not in _NAMES and word not in _TURNING and word not in ("ccz", "ch"):
            raise AttributeError(word)
        return partial(self._append, word)

    def write(self, operation: Operation, n_shared: int) -> None:
        """One gate of the table, by its Pauli rotations where it has no better form."""
        angle = operation.angle
        turn: Turn | float | None
        if isinstance(angle, Slot):
            turn = Turn(angle.index + (n_shared if angle.block == "rows" else 0))
        else:
            turn = angle
        before = len(self.steps)
        try:
            qiskit_gates.append_gate(self, operation.gate, operation.wires, turn)
        except _NotAvailableError:
            del self.steps[before:]
            for factor in gate_named(operation.gate).factors(len(operation.wires)):
                constant = factor.constant
                self._rotate(factor.word, operation.wires, constant if turn is None else factor.scale * turn + constant)

    def turn_to_z(self, letter: str, wire: int) -> None:
        """Turn the eigenbasis of a Pauli letter into that of Z."""
        qiskit_gates.append_basis_change(self, letter, wire)

    def _append(self, word: str, *arguments: Turn | float | int) -> None:
        if word == "ccz":
            *controls, target = arguments
            self._append("h", target)
            self._append("ccx", *controls, target)
            self._append("h", target)
            return
        name = _NAMES.get(word)
        if name is None or (self.available is not None and name not in self.available):
            raise _NotAvailableError(word)
        angle: Turn | float | None = None
        if word in _TURNING:
            angle, *arguments = arguments  # type: ignore[assignment]
        qubits = tuple(int(wire) for wire in arguments)  # type: ignore[arg-type]
        if isinstance(angle, Turn):
            self.steps.append(Step(name, qubits, (self.turns.setdefault(angle, len(self.turns)),)))
        else:
            self.steps.append(Step(name, qubits, () if angle is None else (float(angle),)))

    def _rotate(self, word: str, wires: tuple[int, ...], angle: Turn | float) -> None:
        """exp(-i angle/2 · word): a basis change, a ladder of CNOTs, one rotation, and back."""
        active = [(letter, wire) for letter, wire in zip(word, wires, strict=True) if letter != "I"]
        if len(active) == 1:
            self._append(f"r{active[0][0].lower()}", angle, active[0][1])
            return
        for letter, wire in active:
            self.turn_to_z(letter, wire)
        ladder = [(control[1], target[1]) for control, target in pairwise(active)]
        for control, target in ladder:
            self._append("cx", control, target)
        self._append("rz", angle, active[-1][1])
        for control, target in reversed(ladder):
            self._append("cx", control, target)
        for letter, wire in active:
            if letter != "Z":
                self._append("h", wire)
            if letter == "Y":
                self._append("s", wire)
