"""The circuit: frozen, hashable structure without data.

Angles live outside, in two blocks: `shared` holds one value for all rows (weights), `rows` one
value per executed row (inputs, and what mixes with them). A slot names one entry of a block and
belongs to exactly one gate.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from math import isfinite
from typing import Any, Literal

from qnn._fingerprint import fingerprint
from qnn.circuits.gates import gate_named
from qnn.circuits.observables import Expectation, Measurement, PauliSum, Probabilities, Variance, check_wires
from qnn.errors import ArgumentError

Block = Literal["shared", "rows"]


@dataclass(frozen=True)
class Slot:
    """One angle to be supplied at run time: column `index` of a block."""

    block: Block
    index: int

    def __str__(self) -> str:
        """Block and index."""
        return f"{self.block}[{self.index}]"


@dataclass(frozen=True)
class Operation:
    """A gate of the table on given wires, with its angle: a slot, a constant in radians, or none."""

    gate: str
    wires: tuple[int, ...]
    angle: Slot | float | None = None


@dataclass(frozen=True)
class Circuit:
    """Operations and measurements on `n_wires` wires that start in |0...0>; wire 0 is the leftmost bit.

    Attributes:
        n_wires: number of wires.
        operations: gates in the order in which they act.
        measurements: what comes out, in the order of the output columns.
        n_shared: S, columns of the `shared` block.
        n_rows: R, columns of the `rows` block.

    Raises:
        ArgumentError: a wire or a slot is out of range, or a slot is used twice.
    """

    n_wires: int
    operations: tuple[Operation, ...]
    measurements: tuple[Measurement, ...]
    n_shared: int = 0
    n_rows: int = 0

    def __post_init__(self) -> None:
        if self.n_wires < 1:
            raise ArgumentError(f"`n_wires` must be at least 1; got {self.n_wires}. Use one qubit or more.")
        used: set[Slot] = set()
        for operation in self.operations:
            self._check_operation(operation, used)
        if len(used) != self.n_shared + self.n_rows:
            raise ArgumentError(
                f"`operations` must use every slot once; got {len(used)} used of {self.n_shared + self.n_rows}. "
                "Give each gate parameter a slot of its own."
            )
        check_wires(self.measurements, self.n_wires)

    def _check_operation(self, operation: Operation, used: set[Slot]) -> None:
        gate = gate_named(operation.gate)
        wires, angle = operation.wires, operation.angle
        if len(set(wires)) != len(wires) or any(not 0 <= w < self.n_wires for w in wires) or not wires:
            raise ArgumentError(
                f"`wires` of {operation.gate} must be different and within 0 to {self.n_wires - 1}; got {wires}. "
                "Correct the wires."
            )
        if gate.n_wires not in (None, len(wires)):
            raise ArgumentError(f"`wires` of {gate.name} must be {gate.n_wires}; got {len(wires)}. Correct the wires.")
        if gate.is_parametric != (angle is not None):
            need = "an angle" if gate.is_parametric else "no angle"
            raise ArgumentError(f"`angle` of {gate.name} must be {need}; got {angle}. Correct the operation.")
        if isinstance(angle, float) and not isfinite(angle):
            raise ArgumentError(f"`angle` of {gate.name} must be finite; got {angle}. Correct the angle.")
        if isinstance(angle, Slot):
            size = self.n_shared if angle.block == "shared" else self.n_rows
            if angle in used or not 0 <= angle.index < size:
                raise ArgumentError(
                    f"`angle` of {gate.name} must be an unused slot below {size}; got {angle}. Number slots anew."
                )
            used.add(angle)

    @cached_property
    def n_outputs(self) -> int:
        """M, the number of output values per row."""
        return sum(m.n_outputs for m in self.measurements)

    @cached_property
    def slot_operations(self) -> dict[Slot, Operation]:
        """Which operation each slot belongs to."""
        return {op.angle: op for op in self.operations if isinstance(op.angle, Slot)}

    @cached_property
    def fingerprint(self) -> str:
        """Content id: equal circuits have equal fingerprints, on every machine."""
        return fingerprint(self.to_json())

    def with_measurements(self, measurements: tuple[Measurement, ...]) -> Circuit:
        """The same operations with other measurements."""
        return Circuit(self.n_wires, self.operations, measurements, self.n_shared, self.n_rows)

    @cached_property
    def variance_columns(self) -> tuple[int, ...]:
        """Output columns that are variances."""
        starts = accumulate((m.n_outputs for m in self.measurements), initial=0)
        return tuple(c for c, m in zip(starts, self.measurements, strict=False) if isinstance(m, Variance))

    def linear(self) -> Circuit:
        """What is executed: <O> in the place of each variance of O, and behind all outputs <O²> for each.

        Backends and gradient rules only know outputs that are linear in outcome distributions;
        `qnn.backends.read_out` makes the variances of the values that come back.
        """
        if not self.variance_columns:
            return self
        means = (Expectation(m.observable) if isinstance(m, Variance) else m for m in self.measurements)
        squares = (Expectation(m.observable.squared()) for m in self.measurements if isinstance(m, Variance))
        return self.with_measurements((*means, *squares))

    def all_rows(self) -> Circuit:
        """The same circuit with every slot in the rows block, in the column order of `Angles.dense`."""
        if not self.n_shared:
            return self
        operations = []
        for op in self.operations:
            angle = op.angle
            if isinstance(angle, Slot):
                angle = Slot("rows", angle.index + (self.n_shared if angle.block == "rows" else 0))
            operations.append(Operation(op.gate, op.wires, angle))
        return Circuit(self.n_wires, tuple(operations), self.measurements, 0, self.n_shared + self.n_rows)

    def depth(self) -> int:
        """Number of layers of gates when each gate starts as soon as its wires are free."""
        return n_layers((operation.wires for operation in self.operations), self.n_wires)

    def n_two_qubit_gates(self) -> int:
        """Number of gates on two or more wires."""
        return sum(len(op.wires) > 1 for op in self.operations)

    def to_json(self) -> dict[str, Any]:
        """Plain data from which `from_json` makes an equal circuit."""
        return {
            "n_wires": self.n_wires,
            "n_shared": self.n_shared,
            "n_rows": self.n_rows,
            "operations": [[op.gate, list(op.wires), _angle_to_json(op.angle)] for op in self.operations],
            "measurements": [_measurement_to_json(m) for m in self.measurements],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Circuit:
        """The circuit described by `to_json`; everything is checked as in the constructor."""
        return cls(
            n_wires=int(data["n_wires"]),
            operations=tuple(
                Operation(str(gate), tuple(int(w) for w in wires), _angle_from_json(angle))
                for gate, wires, angle in data["operations"]
            ),
            measurements=tuple(_measurement_from_json(m) for m in data["measurements"]),
            n_shared=int(data["n_shared"]),
            n_rows=int(data["n_rows"]),
        )


def n_layers(gates: Iterable[Sequence[int]], n_wires: int) -> int:
    """Layers of gates, each given by its wires, when each starts as soon as its wires are free."""
    level = [0] * n_wires
    for wires in gates:
        reached = 1 + max(level[wire] for wire in wires)
        for wire in wires:
            level[wire] = reached
    return max(level)


def _angle_to_json(angle: Slot | float | None) -> Any:
    return [angle.block, angle.index] if isinstance(angle, Slot) else angle


def _angle_from_json(data: Any) -> Slot | float | None:
    if isinstance(data, list):
        block, index = data
        if block not in ("shared", "rows"):
            raise ArgumentError(f'`block` of a slot must be "shared" or "rows"; got {block!r}. Correct the data.')
        return Slot(block, int(index))
    return None if data is None else float(data)


def _measurement_to_json(measurement: Measurement) -> dict[str, Any]:
    if isinstance(measurement, Probabilities):
        return {"probabilities": list(measurement.wires)}
    terms = [[c, [[wire, letter] for wire, letter in word]] for c, word in measurement.observable.terms]
    return {"variance" if isinstance(measurement, Variance) else "expectation": terms}


def _measurement_from_json(data: dict[str, Any]) -> Measurement:
    if "probabilities" in data:
        return Probabilities(tuple(int(w) for w in data["probabilities"]))
    kind = "variance" if "variance" in data else "expectation"
    terms = tuple((float(c), tuple((int(w), str(p)) for w, p in word)) for c, word in data[kind])
    return Variance(PauliSum(terms)) if kind == "variance" else Expectation(PauliSum(terms))
