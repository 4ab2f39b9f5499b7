"""What a run measures: Pauli strings, PennyLane observables, outcome probabilities."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from qnn.circuits.observables import (
    Expectation,
    Measurement,
    PauliSum,
    PauliWord,
    Probabilities,
    check_wires,
    z_on_every_wire,
)
from qnn.errors import ArgumentError, UnsupportedError
from qnn.running.sources import Source

_SPACED = re.compile(r"\s*([IXYZ])(\d+)[\s@*]*")


def measurements_of(source: Source, observables: Any) -> tuple[tuple[Measurement, ...], bool]:
    """The measurements of a run.

    Args:
        source: the circuit.
        observables: one observable, or a list: Pauli strings ("ZIZ", "Z0 Z2"), PennyLane observables and
            measurements, `PauliSum`s, or "probs". "Z" alone is Z on every wire. None takes what the source asks
            for, else the probabilities of the measured wires.

    Returns:
        The measurements, and whether they are a single observable that was not in a list.

    Raises:
        ArgumentError: an observable that cannot be read, or a wire that does not exist.
        UnsupportedError: probabilities of two lists of wires.
    """
    if observables is None:
        measurements = source.circuit.measurements or (Probabilities(source.measured),)
        bare = source.bare
    elif isinstance(observables, str) and observables == "Z":
        measurements, bare = z_on_every_wire(source.circuit.n_wires), False
    else:
        bare = not isinstance(observables, list | tuple)
        items = [observables] if bare else list(observables)
        if not items:
            raise ArgumentError('`observables` must name at least one; got an empty list. Use for example "Z".')
        measurements = tuple(_measurement(source, item) for item in items)
    check_wires(measurements, source.circuit.n_wires)
    asked = list(dict.fromkeys(m.wires for m in measurements if isinstance(m, Probabilities)))
    if len(asked) > 1:
        raise UnsupportedError(
            f"`observables` must ask for the probabilities of one list of wires; got {asked[0]} and {asked[1]}. "
            "Measure all of these wires together, or run twice."
        )
    return measurements, bare


def pauli_word(written: str, n_wires: int) -> PauliWord:
    """The word of a text such as "ZIZ", a letter for every wire, or "Z0 Z2".

    Raises:
        ArgumentError: the text is neither, or has another number of letters than the circuit has wires.

    Example:
        >>> pauli_word("ZIX", 3), pauli_word("Z0 X2", 3)
        (((0, 'Z'), (2, 'X')), ((0, 'Z'), (2, 'X')))
    """
    plain = written.strip()
    if plain and not set(plain) - set("IXYZ"):
        if len(plain) != n_wires:
            raise ArgumentError(
                f"`observables` must have a letter for each of the circuit's {n_wires} wires; "
                f'got "{written}" with {len(plain)}. Add I for wires that are not measured, or write {plain[0]}0.'
            )
        letters = list(enumerate(plain))
    else:
        letters, end = [], 0
        while (found := _SPACED.match(plain, end)) is not None:
            letters.append((int(found.group(2)), found.group(1)))
            end = found.end()
        if end < len(plain) or not letters:
            raise ArgumentError(
                f'`observables` must be Pauli strings such as "ZIZ" or "Z0 Z2"; got "{written}". For sums and other '
                "observables use PennyLane's, for example 0.5 * qml.Z(0) + qml.X(1)."
            )
    return tuple(sorted((wire, letter) for wire, letter in letters if letter != "I"))


def _measurement(source: Source, item: Any) -> Measurement:
    if not isinstance(item, str):
        return source.measurement(item)
    if item == "probs":
        return Probabilities(source.measured)
    return Expectation(PauliSum(((1.0, pauli_word(item, source.circuit.n_wires)),)))


def written(measurement: Measurement, names: Sequence[str]) -> str:
    """A measurement in a line, wires by their names.

    Example:
        >>> written(Expectation(PauliSum(((0.5, ((0, "Z"), (1, "X"))),))), ("a", "b"))
        '<0.5 Za Xb>'
    """
    if isinstance(measurement, Probabilities):
        return f"probs({', '.join(names[wire] for wire in measurement.wires)})"
    named: Any = tuple((c, tuple((names[w], p) for w, p in word)) for c, word in measurement.observable.terms)
    return str(type(measurement)(PauliSum(named)))
