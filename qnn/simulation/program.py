"""The one program form of the embedded simulator: Pauli rotations, then a measurement.

Every gate is a product of Pauli rotations (`circuits.gates`). Those by multiples of π/2 are
Clifford and are not executed at all: they are moved to the end, where they change what the later
rotations turn about and what is measured. `schedule` decides how the rest is executed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi

import numpy as np

from qnn.circuits.circuit import Circuit, Operation, Slot
from qnn.circuits.gates import gate_named
from qnn.circuits.observables import Expectation
from qnn.circuits.settings import Setting
from qnn.simulation.pauli import CliffordFrame, Pauli

_QUARTER = pi / 2


@dataclass(frozen=True)
class Rotations:
    """K rotations exp(-i θ_k/2 P_k) with θ_k = scale_k·angle + constant_k.

    Attributes:
        x: shape (K,) int64, bits that P_k flips.
        z: shape (K,) int64, bits whose sign P_k takes.
        per_row: shape (K,) bool, whether the angle differs from row to row.
        column: shape (K,) int64, column in its block; -1 for a constant.
        scale: shape (K,), sign of the Pauli included.
        constant: shape (K,), radians.
    """

    x: np.ndarray
    z: np.ndarray
    per_row: np.ndarray
    column: np.ndarray
    scale: np.ndarray
    constant: np.ndarray

    def __len__(self) -> int:
        """K."""
        return len(self.x)


@dataclass(frozen=True)
class WordMeasurement:
    """Expectation values of W Pauli words; the outputs are linear in them.

    Attributes:
        x: shape (W,) int64.
        z: shape (W,) int64.
        weights: shape (W, M): output = word values @ weights + constants.
    """

    x: np.ndarray
    z: np.ndarray
    weights: np.ndarray

    @property
    def n_values(self) -> int:
        """W."""
        return len(self.x)


@dataclass(frozen=True)
class OutcomeMeasurement:
    """Probabilities of W outcomes.

    Attributes:
        outcome: shape (2^n,) int64, the outcome that each amplitude belongs to.
        n_values: W.
        words: the diagonal words whose eigenvalues, 0 for +1 and 1 for -1, are the bits of the outcome.
    """

    outcome: np.ndarray
    n_values: int
    words: tuple[Pauli, ...]


@dataclass(frozen=True)
class Program:
    """What an engine runs: rotations of |0...0>, then one measurement."""

    n_wires: int
    rotations: Rotations
    measurement: WordMeasurement | OutcomeMeasurement


class _Emitter:
    """Collects rotations, keeping Clifford ones in the frame unless they are to be executed too."""

    def __init__(self, n_wires: int, *, absorbs: bool = True) -> None:
        self.n_wires = n_wires
        self._absorbs = absorbs
        self.frame = CliffordFrame(n_wires)
        self.rows: list[tuple[int, int, bool, int, float, float]] = []

    def operation(self, operation: Operation) -> None:
        angle = operation.angle
        for factor in gate_named(operation.gate).factors(len(operation.wires)):
            letters = [(w, p) for w, p in zip(operation.wires, factor.word, strict=True) if p != "I"]
            pauli = Pauli.from_letters(letters, self.n_wires)
            if isinstance(angle, Slot) and factor.scale:
                self._emit(self.frame.image(pauli), angle, factor.scale, factor.constant)
            else:
                self.fixed(pauli, factor.constant + factor.scale * (0.0 if not isinstance(angle, float) else angle))

    def fixed(self, pauli: Pauli, angle: float) -> None:
        quarters = round(angle / _QUARTER)
        if self._absorbs and abs(angle - quarters * _QUARTER) < 1e-12:
            self.frame.absorb(pauli, quarters)
        else:
            self._emit(self.frame.image(pauli), None, 0.0, angle)

    def _emit(self, pauli: Pauli, slot: Slot | None, scale: float, constant: float) -> None:
        per_row = slot is not None and slot.block == "rows"
        column = -1 if slot is None else slot.index
        self.rows.append((pauli.x, pauli.z, per_row, column, pauli.sign * scale, pauli.sign * constant))

    def rotations(self) -> Rotations:
        columns = list(zip(*self.rows, strict=True)) or [()] * 6
        x, z, per_row, column, scale, constant = columns
        return Rotations(
            np.array(x, dtype=np.int64),
            np.array(z, dtype=np.int64),
            np.array(per_row, dtype=np.bool_),
            np.array(column, dtype=np.int64),
            np.array(scale, dtype=np.float64),
            np.array(constant, dtype=np.float64),
        )


def _emitted(circuit: Circuit) -> _Emitter:
    emitter = _Emitter(circuit.n_wires)
    for operation in circuit.operations:
        emitter.operation(operation)
    return emitter


def states_program(circuit: Circuit) -> Program:
    """The program whose final state is the circuit's, up to a global phase; it measures nothing."""
    emitter = _Emitter(circuit.n_wires, absorbs=False)
    for operation in circuit.operations:
        emitter.operation(operation)
    nothing = np.zeros(0, dtype=np.int64)
    return Program(circuit.n_wires, emitter.rotations(), WordMeasurement(nothing, nothing, np.zeros((0, 0))))


def words_program(circuit: Circuit) -> Program:
    """The program whose values are the Pauli words of the circuit's expectation values."""
    emitter = _emitted(circuit)
    place: dict[tuple[int, int], int] = {}
    entries: list[tuple[int, int, float]] = []
    for column, measurement in enumerate(circuit.measurements):
        assert isinstance(measurement, Expectation), "probabilities need an outcome program"
        for coefficient, word in measurement.observable.terms:
            if word:
                image = emitter.frame.image(Pauli.from_letters(word, circuit.n_wires))
                row = place.setdefault((image.x, image.z), len(place))
                entries.append((row, column, image.sign * coefficient))
    weights = np.zeros((len(place), len(circuit.measurements)))
    for row, column, coefficient in entries:
        weights[row, column] += coefficient
    masks = np.array(list(place), dtype=np.int64).reshape(-1, 2)
    measurement_ = WordMeasurement(masks[:, 0].copy(), masks[:, 1].copy(), weights)
    return Program(circuit.n_wires, emitter.rotations(), measurement_)


def outcomes_program(circuit: Circuit, setting: Setting) -> Program:
    """The program whose values are the outcome probabilities of one measurement setting.

    The measured Paulis commute; at most one rotation by π/2 for each makes them all diagonal.
    """
    emitter = _emitted(circuit)
    n = circuit.n_wires
    measured = [emitter.frame.image(Pauli.from_letters([letter], n)) for letter in setting.basis]
    tail: list[Pauli] = []
    for i in range(len(measured)):
        word = measured[i]
        if word.x:
            diagonal = Pauli(0, word.x & -word.x, 0)
            turn = (diagonal * word).times_i(1)
            tail.append(turn)
            measured = [(turn * p).times_i(1) if turn.anticommutes(p) else p for p in measured]
    for turn in tail:  # exp(+iπ/4 Q) maps P to QiP, that is a rotation by -π/2
        emitter.rows.append((turn.x, turn.z, False, -1, 0.0, -_QUARTER * turn.sign))
    outcome = outcome_table(measured, n)
    return Program(n, emitter.rotations(), OutcomeMeasurement(outcome, 2 ** len(measured), tuple(measured)))


def outcome_table(measured: Sequence[Pauli], n_wires: int) -> np.ndarray:
    """The outcome of each amplitude, shape (2^n,): one bit for each of the diagonal words, the first leftmost."""
    amplitudes = np.arange(2**n_wires, dtype=np.int64)
    table = np.zeros_like(amplitudes)
    for word in measured:
        assert word.x == 0, "measured words are diagonal by now"
        flips = np.bitwise_count(amplitudes & word.z) & 1
        table = (table << 1) | (flips ^ int(word.sign < 0))
    return table
