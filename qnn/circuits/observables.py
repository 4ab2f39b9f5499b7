"""What is measured: expectation values and variances of Pauli sums, and outcome probabilities.

All are plain data. A Hermitian matrix or a projector becomes a Pauli sum on the way in. Expectation values and
probabilities are linear in the outcome distributions; a variance is read out of two expectation values.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.operation import Operator

from qnn.circuits.pauli_form import label, sentence_of, squared
from qnn.errors import ArgumentError, UnsupportedError

PauliWord = tuple[tuple[int, str], ...]  # ((wire, "X" | "Y" | "Z"), ...) by ascending wire; () is the identity


_NOT_HERMITIAN = 1e-7  # imaginary part of a coefficient, of the largest: matrices may come in float32


@dataclass(frozen=True)
class PauliSum:
    """A real linear combination of Pauli words, Σ c_k P_k."""

    terms: tuple[tuple[float, PauliWord], ...]

    @property
    def wires(self) -> tuple[int, ...]:
        """Wires on which any term acts, ascending."""
        return tuple(sorted({wire for _, word in self.terms for wire, _ in word}))

    def squared(self) -> PauliSum:
        """O²."""
        return PauliSum(squared(self.terms))

    def __str__(self) -> str:
        """The sum as a formula."""
        return " + ".join(_term_text(c, word) for c, word in self.terms) or "0"


@dataclass(frozen=True)
class _OfObservable:
    """A measurement of one observable with one output value."""

    observable: PauliSum

    @property
    def n_outputs(self) -> int:
        """Number of values it contributes to the output."""
        return 1

    @property
    def wires(self) -> tuple[int, ...]:
        """Wires that are measured."""
        return self.observable.wires


@dataclass(frozen=True)
class Expectation(_OfObservable):
    """The expectation value of an observable: one output value."""

    def __str__(self) -> str:
        """The expectation value in Dirac brackets."""
        return f"<{self.observable}>"


@dataclass(frozen=True)
class Variance(_OfObservable):
    """The variance <O²> - <O>² of an observable: one output value, never executed itself (`Circuit.linear`)."""

    def __str__(self) -> str:
        """The variance as a function of the observable."""
        return f"Var({self.observable})"


@dataclass(frozen=True)
class Probabilities:
    """The probabilities of all outcomes on some wires: 2^k values, first wire the leftmost bit."""

    wires: tuple[int, ...]

    @property
    def n_outputs(self) -> int:
        """Number of values it contributes to the output."""
        return int(2 ** len(self.wires))

    def __str__(self) -> str:
        """The wires in question."""
        return f"probs({', '.join(map(str, self.wires))})"


Measurement = Expectation | Probabilities | Variance


def pauli(word: str | PauliWord, coefficient: float = 1.0) -> PauliSum:
    """A single Pauli word: ``pauli("XIZ")``, letters from wire 0 on, or ``pauli(((0, "X"), (2, "Z")))``."""
    if isinstance(word, str):
        if set(word) - set("IXYZ"):
            raise ArgumentError(f'`word` must consist of the letters I, X, Y, Z; got "{word}". Spell it like "XIZ".')
        word = tuple((wire, letter) for wire, letter in enumerate(word) if letter != "I")
    return PauliSum(((float(coefficient), tuple(sorted(word))),))


def z_on_every_wire(n_wires: int) -> tuple[Measurement, ...]:
    """<Z> on every wire, in order."""
    return tuple(Expectation(pauli(((wire, "Z"),))) for wire in range(n_wires))


def pauli_sum(observable: Operator) -> PauliSum:
    """A PennyLane observable as a Pauli sum.

    Raises:
        UnsupportedError: the observable is not Hermitian, has no Pauli representation, or is a matrix on more than
            six wires.
    """
    sentence = sentence_of(observable)
    terms: dict[PauliWord, complex] = {}
    for word, coefficient in sentence.items():
        key = tuple(sorted((_wire_number(wire), letter) for wire, letter in word.items()))
        terms[key] = terms.get(key, 0.0) + complex(coefficient)
    largest = max((abs(c) for c in terms.values()), default=0.0)
    if any(abs(c.imag) > _NOT_HERMITIAN * largest for c in terms.values()):
        raise UnsupportedError(
            f"`observables` must be Hermitian; got {label(observable)}. Use real coefficients, or (A + A.conj().T) / 2 "
            "for a matrix A."
        )
    kept = tuple((c.real, word) for word, c in sorted(terms.items()) if c.real != 0.0)
    return PauliSum(kept)


def measurements_from(observables: Any, n_wires: int) -> tuple[Measurement, ...]:
    """What the `observables` option of a layer means.

    Args:
        observables: "Z" (one per wire), "probs", a PennyLane observable or measurement, a `PauliSum`, or a
            list of these.
        n_wires: number of wires of the layer.
    """
    if isinstance(observables, str):
        if observables == "Z":
            return z_on_every_wire(n_wires)
        if observables == "probs":
            return (Probabilities(tuple(range(n_wires))),)
        raise ArgumentError(
            f'`observables` must be "Z", "probs", or a list of PennyLane observables; got "{observables}". '
            "For one observable per output write for example [qml.Z(0), qml.X(1) @ qml.Z(2)]."
        )
    items: Sequence[Any] = observables if isinstance(observables, (list, tuple)) else [observables]
    if not items:
        raise ArgumentError('`observables` must name at least one observable; got an empty list. Use "Z".')
    measurements = on_all_wires(tuple(measurement_from(item) for item in items), n_wires)
    check_wires(measurements, n_wires)
    return measurements


def measurement_from(item: Any) -> Measurement:
    """One PennyLane observable or measurement process, or our own, as a `Measurement`."""
    if isinstance(item, (Expectation, Probabilities, Variance)):
        return item
    if isinstance(item, PauliSum):
        return Expectation(item)
    if isinstance(item, qml.measurements.ExpectationMP) and item.obs is not None:
        return Expectation(pauli_sum(item.obs))
    if isinstance(item, qml.measurements.VarianceMP) and item.obs is not None:
        return Variance(pauli_sum(item.obs))
    if isinstance(item, qml.measurements.ProbabilityMP) and item.obs is None:
        return Probabilities(tuple(_wire_number(wire) for wire in item.wires))
    if isinstance(item, qml.measurements.MeasurementProcess):
        raise UnsupportedError(
            f"`observables` must be expectation values, variances or probabilities; got {item}. "
            "Return qml.expval(...), qml.var(...) or qml.probs(wires=...); layer.sample and layer.counts give samples."
        )
    if isinstance(item, Operator):
        return Expectation(pauli_sum(item))
    raise ArgumentError(
        f"`observables` must hold PennyLane observables; got {item!r} of type {type(item).__name__}. "
        "Write for example [qml.Z(0), qml.X(1)]."
    )


def on_all_wires(measurements: tuple[Measurement, ...], n_wires: int) -> tuple[Measurement, ...]:
    """``qml.probs()`` names no wires and means all of them."""
    every = Probabilities(tuple(range(n_wires)))
    return tuple(every if isinstance(m, Probabilities) and not m.wires else m for m in measurements)


def check_wires(measurements: Iterable[Measurement], n_wires: int) -> None:
    """Refuse measurements on wires that do not exist, and what is no Pauli word or no list of wires."""
    for measurement in measurements:
        if isinstance(measurement, Probabilities) and not measurement.wires:
            raise ArgumentError("`observables` must give probabilities at least one wire; got none. Name the wires.")
        words = [measurement.wires]
        if isinstance(measurement, (Expectation, Variance)):
            words = [tuple(wire for wire, _ in word) for _, word in measurement.observable.terms]
            _check_terms(measurement.observable)
        if any(len(set(word)) != len(word) for word in words):
            raise ArgumentError(f"`observables` must name each wire once; got {measurement}. Remove the repetition.")
        outside = [wire for wire in measurement.wires if not 0 <= wire < n_wires]
        if outside:
            raise ArgumentError(
                f"`observables` must act on wires 0 to {n_wires - 1}; got {measurement} on wire {outside[0]}. "
                "Use more qubits or another wire."
            )


def _check_terms(observable: PauliSum) -> None:
    for coefficient, word in observable.terms:
        if not math.isfinite(coefficient):
            raise ArgumentError(f"`observables` must have finite coefficients; got {coefficient}. Correct the sum.")
        for wire, letter in word:
            if letter not in ("X", "Y", "Z"):
                raise ArgumentError(
                    f"`observables` must consist of X, Y or Z; got {letter} on wire {wire}. Correct it."
                )


def _wire_number(wire: Any) -> int:
    if isinstance(wire, (int, np.integer)) and not isinstance(wire, bool):
        return int(wire)
    raise ArgumentError(f"`wires` must be numbered from 0; got the label {wire!r}. Use qml.map_wires to number them.")


def _term_text(coefficient: float, word: PauliWord) -> str:
    letters = " ".join(f"{letter}{wire}" for wire, letter in word) or "1"
    return letters if coefficient == 1.0 else f"{coefficient:g} {letters}"
