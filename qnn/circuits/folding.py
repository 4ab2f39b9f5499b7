"""Folding: the same unitary from more gates, G → G G† G, so that noise grows by a known factor.

What is decided here is an order of gates and of their inverses, by the number of qubits of each gate: for circuits
of the gate table, which `fold` writes out, and for circuits that a transpiler has made of them, which are folded
after it, so that it cannot cancel what belongs together.

References:
    Giurgica-Tiron et al., Digital zero noise extrapolation for quantum error mitigation, arXiv:2005.10921, section III.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from math import pi

import numpy as np

from qnn.circuits.circuit import Block, Circuit, Operation, Slot
from qnn.circuits.gates import GATES, Gate, gate_named
from qnn.errors import UnsupportedError

KINDS = ("two-qubit", "global")
_ROUNDING = 1e-9
_AS_ROTATION = {"ISWAP": ("IsingXY", pi), "SISWAP": ("IsingXY", pi / 2)}  # whose inverses have no name of their own

Step = tuple[int, bool]  # number of the gate, and whether its inverse acts


@dataclass(frozen=True)
class Folding:
    """How much noise, and where it comes from.

    What is counted are gates on two or more qubits, where errors are largest; all gates where there are none.

    Attributes:
        scale: gates after by gates before, at least 1. Odd numbers are exact; others are approached as closely as
            the number of gates allows.
        kind: "two-qubit" repeats each counted gate in its place, G G† G; "global" repeats the whole circuit, and
            for the rest its last gates.
    """

    scale: float
    kind: str = "two-qubit"

    def order(self, widths: Sequence[int]) -> tuple[list[Step], float]:
        """The gates and inverses to apply, in order, and the scale that they have.

        Args:
            widths: number of qubits of each gate of the circuit.
        """
        counted = [width > 1 for width in widths]
        if not any(counted):
            counted = [self.kind == "global"] * len(widths)
        size = sum(counted)
        if not size:
            return [(i, False) for i in range(len(widths))], 1.0
        folds = round(size * (self.scale - 1) / 2)
        in_place = _in_place if self.kind == "two-qubit" else _as_a_whole
        return list(in_place(counted, *divmod(folds, size))), 1 + 2 * folds / size


def _in_place(counted: Sequence[bool], every: int, further: int) -> Iterator[Step]:
    """Each counted gate folded `every` times, and `further` of them, evenly spread, once more."""
    size, seen = sum(counted), 0
    for i, counts in enumerate(counted):
        yield i, False
        if not counts:
            continue
        once_more = (seen + 1) * further // size > seen * further // size
        seen += 1
        for _ in range(every + once_more):
            yield i, True
            yield i, False


def _as_a_whole(counted: Sequence[bool], every: int, further: int) -> Iterator[Step]:
    """All gates, folded `every` times; then as many of the last ones as hold `further` counted ones."""
    whole = range(len(counted))
    yield from ((i, False) for i in whole)
    start = len(counted)
    while further:
        start -= 1
        further -= counted[start]
    for part in [whole] * every + [whole[start:]]:
        yield from ((i, True) for i in reversed(part))
        yield from ((i, False) for i in part)


@dataclass(frozen=True)
class Folded:
    """A folded circuit, whose slots are copies of the original's.

    Attributes:
        circuit: the gates written out.
        shared: for each shared slot, the original's and the sign that its angle takes.
        rows: the same for the slots of rows.
        scale: noise by that of the original.
    """

    circuit: Circuit
    shared: tuple[tuple[int, int], ...]
    rows: tuple[tuple[int, int], ...]
    scale: float


def fold(circuit: Circuit, folding: Folding) -> Folded:
    """Write a folded circuit out in gates of the table.

    Raises:
        UnsupportedError: the table cannot express the inverse of a gate.
    """
    order, scale = folding.order([len(operation.wires) for operation in circuit.operations])
    copies: dict[Block, list[tuple[int, int]]] = {"shared": [], "rows": []}
    operations = []
    for number, inverted in order:
        operation = circuit.operations[number]
        acting, sign = (inverse(operation), -1) if inverted else (operation, 1)
        if isinstance(operation.angle, Slot):
            block = operation.angle.block
            acting = Operation(acting.gate, acting.wires, Slot(block, len(copies[block])))
            copies[block].append((operation.angle.index, sign))
        operations.append(acting)
    shared, rows = tuple(copies["shared"]), tuple(copies["rows"])
    folded = Circuit(circuit.n_wires, tuple(operations), circuit.measurements, len(shared), len(rows))
    return Folded(folded, shared, rows, scale)


def inverse(operation: Operation) -> Operation:
    """The inverse up to a global phase; of an angle in a slot, the gate whose angle is to be negated.

    Raises:
        UnsupportedError: the table has no such gate.
    """
    gate, angle = operation.gate, operation.angle
    if gate in _AS_ROTATION:
        gate, turn = _AS_ROTATION[gate]
        return Operation(gate, operation.wires, -turn)
    negated = -angle if isinstance(angle, float) else angle
    return Operation(_inverse_of(gate_named(gate)), operation.wires, negated)


@cache
def _inverse_of(gate: Gate) -> str:
    """The name of the gate whose matrix is the inverse; for a gate with an angle, itself at the negative angle."""
    matrix = gate.matrix(0.7)
    if gate.is_parametric:
        if _is_identity(gate.matrix(-0.7) @ matrix):
            return gate.name
    else:
        for other in GATES.values():
            if other.n_wires == gate.n_wires and not other.is_parametric and _is_identity(other.matrix() @ matrix):
                return other.name
    raise UnsupportedError(
        f"Folding needs the inverse of every gate; got {gate.name}, whose inverse is no gate of the table. "
        "Write the circuit without it, or leave out `zne`."
    )


def _is_identity(matrix: np.ndarray) -> bool:
    """Up to a phase."""
    return bool(np.allclose(np.abs(np.trace(matrix)), len(matrix), atol=_ROUNDING * len(matrix)))
