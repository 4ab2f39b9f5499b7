"""Fewer gates for the same outputs: neighbours merge, pairs cancel, what nobody can see leaves.

Every gate is a product of Pauli rotations (`qnn.circuits.gates`). Two gates commute where all their Pauli words do, so
that a gate can be moved back through those before it: RZ through the control of a CNOT, RX through its target. It
stops where it does not commute, or where it meets

- a rotation about the same word: the angles add (S, T, X and the like are rotations by constants);
- a gate of the same name and generator, such as another CRX: the angles add;
- its inverse, such as the same CNOT: both leave.

A gate that can be moved to the beginning and is diagonal there changes |0...0> by a phase; one that can be moved to the
end and commutes with all that is measured changes no output. Both leave. Outputs stay the same up to rounding;
the state does not, and neither does what `QuantumLayer.sample` shows of wires that are not measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import pi, remainder

import numpy as np

from qnn.circuits.gates import gate_named
from qnn.circuits.observables import Measurement, Probabilities
from qnn.compression.circuits.angle_sums import Step, Sum

Word = tuple[tuple[int, str], ...]  # (wire, letter), wires ascending, no I

_ROUNDING = 1e-14
_ROTATIONS = {"X": "RX", "Y": "RY", "Z": "RZ", "XX": "IsingXX", "YY": "IsingYY", "ZZ": "IsingZZ"}
_FIXED = {
    ("Z", 1): "T", ("Z", 2): "S", ("Z", 4): "PauliZ", ("Z", 6): "Adjoint(S)", ("Z", 7): "Adjoint(T)",
    ("X", 2): "SX", ("X", 4): "PauliX", ("X", 6): "Adjoint(SX)", ("Y", 4): "PauliY",
}  # fmt: skip
"""Gates without an angle, by the letter and the multiple of π/4 by which they turn."""


def simplified(steps: Sequence[Step], measurements: Sequence[Measurement]) -> list[Step]:
    """An equal circuit, as far as what is measured goes, with as many gates or fewer."""
    measured = _measured_words(measurements)
    before: list[Step] = []
    now = list(steps)
    while now != before:
        before = now
        now = _without_unseen(_merged(now), measured)
    return now


def period(gate: str) -> float:
    """After how many radians a gate with an angle is itself again, up to a global phase."""
    return 2 * pi / min(gate_named(gate).frequencies)


def wrapped(angle: float, gate: str) -> float:
    """The same angle in (-π, π], or (-2π, 2π] for controlled rotations and others of twice the period."""
    turn = period(gate)
    rest = remainder(angle, turn)
    return turn / 2 if rest <= -turn / 2 else rest


def _merged(steps: Sequence[Step]) -> list[Step]:
    """Each gate moved back as far as it goes, and joined with what it meets there."""
    kept: list[Step] = []
    for step in steps:
        words = _words(step.gate, step.wires)
        if _is_identity(step):
            continue
        for place in reversed(range(len(kept))):
            joined = _joined(kept[place], step)
            if joined is not None:
                kept[place : place + 1] = joined
                break
            if not _commute(words, _words(kept[place].gate, kept[place].wires)):
                kept.append(step)
                break
        else:
            if not all(letter == "Z" for word in words for _, letter in word):
                kept.append(step)
    return kept


def _without_unseen(steps: Sequence[Step], measured: Sequence[Word]) -> list[Step]:
    """Without gates that can be moved to the end and commute with what is measured there."""
    kept: list[Step] = []  # from the end
    for step in reversed(steps):
        words = _words(step.gate, step.wires)
        if not _commute(words, measured) or not all(_commute(words, _words(s.gate, s.wires)) for s in kept):
            kept.append(step)
    return kept[::-1]


def _joined(first: Step, second: Step) -> list[Step] | None:
    """One gate or none in the place of two neighbours; None where there is no such gate."""
    turns = _turn(first), _turn(second)
    if turns[0] is not None and turns[1] is not None:
        (word, angle), (other, further) = turns[0], turns[1]
        return _rotation(word, angle + further) if word == other and angle.merges_with(further) else None
    if first.angle is not None and second.angle is not None:
        same = first.gate == second.gate and _generator(first) == _generator(second)
        if not same or not first.angle.merges_with(second.angle):
            return None
        step = first.turned(first.angle + second.angle)
        return [] if _is_identity(step) else [step]
    if first.angle is None and second.angle is None and set(first.wires) == set(second.wires):
        order = tuple(first.wires.index(wire) for wire in second.wires)
        return [] if _cancel(first.gate, second.gate, order) else None
    return None


def _turn(step: Step) -> tuple[Word, Sum] | None:
    """A gate that is one Pauli rotation, as its word and angle."""
    factors = gate_named(step.gate).factors(len(step.wires))
    if len(factors) != 1:
        return None
    angle = Sum(constant=factors[0].constant) if step.angle is None else step.angle
    return _words(step.gate, step.wires)[0], angle


def _rotation(word: Word, angle: Sum) -> list[Step]:
    """The gate that turns about `word`; none where it does not turn."""
    wires, letters = tuple(wire for wire, _ in word), "".join(letter for _, letter in word)
    if not angle.terms:
        eighths = angle.constant / (pi / 4)
        name = _FIXED.get((letters, round(eighths) % 8))
        if abs(eighths - round(eighths)) < _ROUNDING * max(1.0, abs(eighths)) and name is not None:
            return [Step(name, wires)]
    gate = _ROTATIONS.get(letters, "MultiRZ")
    step = Step(gate, wires, Sum(angle.terms, wrapped(angle.constant, gate), angle.of))
    return [] if _is_identity(step) else [step]


def _is_identity(step: Step) -> bool:
    if step.angle is None:
        return not gate_named(step.gate).factors(len(step.wires))
    return not step.angle.terms and abs(wrapped(step.angle.constant, step.gate)) < _ROUNDING


def _generator(step: Step) -> frozenset[tuple[Word, float]]:
    factors = gate_named(step.gate).factors(len(step.wires))
    return frozenset(zip(_words(step.gate, step.wires), (f.scale for f in factors), strict=True))


@lru_cache(maxsize=4096)
def _words(gate: str, wires: tuple[int, ...]) -> tuple[Word, ...]:
    """The Pauli words that a gate is made of."""
    return tuple(
        tuple(sorted((wire, letter) for wire, letter in zip(wires, factor.word, strict=True) if letter != "I"))
        for factor in gate_named(gate).factors(len(wires))
    )


def _commute(words: Sequence[Word], others: Sequence[Word]) -> bool:
    """Whether every word commutes with every other: they differ on an even number of wires."""
    return all(_two_commute(word, other) for word in words for other in others)


@lru_cache(maxsize=1 << 16)
def _two_commute(word: Word, other: Word) -> bool:
    letters = dict(other)
    return sum(letters.get(wire, letter) != letter for wire, letter in word) % 2 == 0


@lru_cache(maxsize=1024)
def _cancel(gate: str, other: str, order: tuple[int, ...]) -> bool:
    """Whether two fixed gates make the identity, up to a phase; wire i of the second is order[i] of the first."""
    n = len(order)
    first, second = gate_named(gate).matrix(n_wires=n), gate_named(other).matrix(n_wires=n)
    axes = [order.index(wire) for wire in range(n)]
    second = second.reshape((2,) * 2 * n).transpose([*axes, *(n + a for a in axes)]).reshape(2**n, 2**n)
    return bool(abs(abs(np.trace(second @ first)) - 2**n) < 1e-9)


def _measured_words(measurements: Sequence[Measurement]) -> list[Word]:
    """Words of which all that is measured is a function: a gate that commutes with them changes nothing."""
    words: set[Word] = set()
    for measurement in measurements:
        if isinstance(measurement, Probabilities):
            words |= {((wire, "Z"),) for wire in measurement.wires}
        else:
            words |= {tuple(word) for _, word in measurement.observable.terms}
    return sorted(words)
