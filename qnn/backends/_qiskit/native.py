"""Native gates of a machine: a Qiskit target to transpile to, and transpiled circuits written in those gates.

Every machine is transpiled to rz, sx, x and one gate of two qubits. A quarter and a half turn about an axis of the
equator, R(π/2, φ) and R(π, φ), are native everywhere, as prx, gpi2 and gpi, or rx. Where rz is not, it is a change of
frame: R(θ, φ) RZ(a) = RZ(a) R(θ, φ - a), so that the phases of later gates take it up, and a last one before a
measurement of Z does nothing. Everything holds up to a global phase.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import pi
from typing import Any

import numpy as np
from qiskit.circuit import Measure, Parameter
from qiskit.circuit.library import CXGate, CZGate, RZGate, SXGate, XGate, iSwapGate
from qiskit.transpiler import InstructionProperties, Target

from qnn.backends._qiskit.binding import BoundCircuit
from qnn.backends.braket.gates import BraketGates, Step
from qnn.errors import CircuitRefusedError

_TURNS = (("prx",), ("gpi", "gpi2"), ("rx", "rz"))  # families of native gates on one qubit
# Native gates on two qubits, the gate that circuits are transpiled to for each, the best first.
_PAIRS = {"cz": CZGate, "iswap": iSwapGate, "cnot": CXGate, "zz": CXGate, "ms": CXGate, "xx": CXGate}
_UNPHASED = ("cnot", "xx")  # take up no change of frame


@dataclass(frozen=True)
class NativeGates:
    """What a machine executes as it is written.

    Attributes:
        target: for Qiskit's transpiler, on qubits numbered from 0.
        labels: the machine's numbers of these qubits.
        turns: the family of gates on one qubit.
        pair: the gate on two qubits.
        virtual: whether rz is a change of frame.
    """

    target: Target
    labels: tuple[int, ...]
    turns: tuple[str, ...]
    pair: str
    virtual: bool

    @property
    def basis_gates(self) -> tuple[str, ...]:
        """Qiskit's names of the gates that circuits are transpiled to."""
        return tuple(name for name in self.target.operation_names if name != "measure")

    def written(self, bound: BoundCircuit) -> BraketGates:
        """A transpiled circuit in native gates, on the machine's own qubits.

        One without gates gets turns by nothing on the measured qubits, since a box of nothing is left out.
        """
        writer = _Writer(self, bound)
        for instruction in bound.circuit.data:
            qubits = tuple(bound.circuit.find_bit(qubit).index for qubit in instruction.qubits)
            writer.write(instruction.operation.name, qubits, instruction.operation.params)
        if not writer.steps:
            for qubit in bound.qubits:
                writer.rest(qubit)
        return BraketGates(
            steps=tuple(writer.steps),
            n_qubits=len({*bound.qubits, *(qubit for step in writer.steps for qubit in step.qubits)}),
            measured=tuple(self.labels[qubit] for qubit in bound.qubits),
            parameters=tuple(f"angle_{i}" for i in range(len(writer.rows))),
            matrix=np.array([row[:-1] for row in writer.rows]).reshape(len(writer.rows), bound.matrix.shape[1]),
            offset=np.array([row[-1] for row in writer.rows]),
            verbatim=True,
        )


def native_gates(properties: Any, name: str) -> NativeGates:
    """The native gates of a machine, by what it says of itself.

    Args:
        properties: of the device, with `paradigm`, and with fidelities in `standardized` where it has them.
        name: of the backend.

    Raises:
        CircuitRefusedError: it names no native gates, or other ones.
    """
    paradigm = properties.paradigm
    names = {str(gate).lower() for gate in getattr(paradigm, "nativeGateSet", None) or ()}
    turns = next((family for family in _TURNS if names.issuperset(family)), None)
    virtual = "rz" not in names
    pair = next((pair for pair in _PAIRS if pair in names and not (virtual and pair in _UNPHASED)), None)
    if turns is None or pair is None:
        raise CircuitRefusedError(
            f"`verbatim` must be for a machine whose native gates qnn can write (prx, gpi and gpi2, or rx and rz, with "
            f"{', '.join(_PAIRS)}); {name} has {', '.join(sorted(names)) or 'none'}. Leave `verbatim` and `mitigation` "
            "out."
        )
    labels, edges = _connections(paradigm)
    one, two = _errors(getattr(properties, "standardized", None), pair)
    number = {label: qubit for qubit, label in enumerate(labels)}
    worst_one, worst_two = max(one.values(), default=None), max(two.values(), default=None)
    target = Target(num_qubits=len(labels))
    for gate in (RZGate(Parameter("angle")), SXGate(), XGate()):
        target.add_instruction(gate, {(qubit,): None for qubit in number.values()})
    target.add_instruction(
        _PAIRS[pair](), {(number[a], number[b]): _properties(two.get((a, b), worst_two)) for a, b in sorted(edges)}
    )
    target.add_instruction(Measure(), {(number[label],): _properties(one.get(label, worst_one)) for label in labels})
    return NativeGates(target, labels, turns, pair, virtual)


def _connections(paradigm: Any) -> tuple[tuple[int, ...], set[tuple[int, int]]]:
    """Numbers of the qubits, and the pairs of them that interact, in both orders."""
    connectivity = paradigm.connectivity
    graph: Mapping[str, Sequence[str]] = connectivity.connectivityGraph or {}
    edges = {(int(a), int(b)) for a, neighbours in graph.items() for b in neighbours}
    labels = sorted({int(a) for a in graph} | {label for edge in edges for label in edge})
    if connectivity.fullyConnected or not labels:
        labels = labels if len(labels) == paradigm.qubitCount else list(range(paradigm.qubitCount))
        edges = {(a, b) for a in labels for b in labels if a < b}
    return tuple(labels), edges | {(b, a) for a, b in edges}


def _errors(standardized: Any, pair: str) -> tuple[dict[int, float], dict[tuple[int, int], float]]:
    """Probabilities of a wrong outcome by qubit, and errors of the gate by pair of qubits, as far as they are told.

    One of which nothing is told, where others tell, is to be taken for the worst: its calibration may have failed.
    """
    one: dict[int, float] = {}
    two: dict[tuple[int, int], float] = {}
    for label, told in (getattr(standardized, "oneQubitProperties", None) or {}).items():
        for fidelity in told.oneQubitFidelity:
            if fidelity.fidelityType.name.upper() == "READOUT":
                one[int(label)] = 1 - fidelity.fidelity
    for key, told in (getattr(standardized, "twoQubitProperties", None) or {}).items():
        a, b = (int(label) for label in key.split("-"))
        for fidelity in told.twoQubitGateFidelity:
            if fidelity.gateName.lower() == pair:
                two[a, b] = two[b, a] = 1 - fidelity.fidelity
    return one, two


def _properties(error: float | None) -> InstructionProperties | None:
    return None if error is None else InstructionProperties(error=error)


class _Writer:
    """Native gates of one circuit; angles are vectors, affine in the columns of the angles, the constant last."""

    def __init__(self, native: NativeGates, bound: BoundCircuit) -> None:
        self.steps: list[Step] = []
        self.rows: list[np.ndarray] = []
        self._native = native
        self._known: dict[bytes, int] = {}
        self._affine = dict(zip(bound.parameters, np.column_stack([bound.matrix, bound.offset]), strict=True))
        self._nothing = np.zeros(bound.matrix.shape[1] + 1)
        self._frames: dict[int, np.ndarray] = {}
        self._words: dict[str, Callable[..., None]] = {
            "rz": self._rz,
            "sx": lambda qubit: self._turn(qubit, pi / 2, 0.0),
            "x": lambda qubit: self._turn(qubit, pi, 0.0),
            "cz": lambda a, b: self._emit("cz", a, b),
            "iswap": self._iswap,
            "cx": self._cx,
        }

    def write(self, name: str, qubits: tuple[int, ...], angles: Sequence[Any]) -> None:
        """One gate of the transpiled circuit."""
        self._words[name](*qubits, *(self._vector(angle) for angle in angles))

    def rest(self, qubit: int) -> None:
        """Turns by nothing, or by half a turn twice where there is no such gate."""
        match self._native.turns:
            case ("prx",):
                self._emit("prx", qubit, angles=(0.0, 0.0))
            case ("rx", "rz"):
                self._emit("rz", qubit, angles=(0.0,))
            case _:
                for _ in range(2):
                    self._turn(qubit, pi, 0.0)

    def _vector(self, angle: Any) -> np.ndarray:
        if isinstance(angle, Parameter):
            return self._affine[angle]
        found = self._nothing.copy()
        found[-1] = float(angle)
        return found

    def _frame(self, qubit: int) -> np.ndarray:
        return self._frames.get(qubit, self._nothing)

    def _rz(self, qubit: int, angle: np.ndarray) -> None:
        if self._native.virtual:
            self._frames[qubit] = self._frame(qubit) + angle
        else:
            self._emit("rz", qubit, angles=(angle,))

    def _turn(self, qubit: int, angle: float, phase: float) -> None:
        """R(angle, phase), by a quarter or half a turn."""
        turned = self._vector(phase) - self._frame(qubit)
        match self._native.turns:
            case ("prx",):
                self._emit("prx", qubit, angles=(angle, turned))
            case ("rx", "rz"):
                for name, value in (("rz", -phase), ("rx", angle), ("rz", phase)):
                    if value:
                        self._emit(name, qubit, angles=(value,))
            case _:
                self._emit("gpi" if angle == pi else "gpi2", qubit, angles=(turned,))

    def _iswap(self, a: int, b: int) -> None:
        self._emit("iswap", a, b)
        self._frames[a], self._frames[b] = self._frame(b), self._frame(a)

    def _cx(self, control: int, target: int) -> None:
        """CNOT, by a quarter turn about XX or ZZ where that is native."""
        if self._native.pair == "cnot":
            self._emit("cnot", control, target)
        elif self._native.pair == "zz":
            self._turn(target, pi / 2, -pi / 2)
            self._emit("zz", control, target, angles=(pi / 2,))
            for qubit in (control, target):
                self._rz(qubit, self._vector(-pi / 2))
            self._turn(target, pi / 2, pi / 2)
        else:
            self._turn(control, pi / 2, pi / 2)
            phases = [-self._frame(qubit) for qubit in (control, target)] if self._native.pair == "ms" else []
            self._emit(self._native.pair, control, target, angles=(*phases, pi / 2))
            self._turn(control, pi / 2, pi)
            self._turn(target, pi / 2, pi)
            self._turn(control, pi / 2, -pi / 2)

    def _emit(self, name: str, *qubits: int, angles: Sequence[np.ndarray | float] = ()) -> None:
        labels = tuple(self._native.labels[qubit] for qubit in qubits)
        self.steps.append(Step(name, labels, tuple(self._plain(angle) for angle in angles)))

    def _plain(self, angle: np.ndarray | float) -> float | int:
        """A number of radians, or the number of a parameter."""
        if isinstance(angle, float):
            return angle
        if not angle[:-1].any():
            return float(angle[-1])
        key = angle.tobytes()
        if key not in self._known:
            self._known[key] = len(self.rows)
            self.rows.append(angle)
        return self._known[key]
