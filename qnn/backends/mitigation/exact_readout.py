"""Readout mitigation of exact values, of which only expectation values are known and no histogram.

The inverse of a detector maps its reported Z to (Z + e0 - e1) / (1 - e0 - e1): a word of true letters is a
combination of the words that some of its letters make. They are measured in its place, in the same bases.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from qnn.backends.confusion import apply_confusion
from qnn.backends.mitigation.calibration import Calibration
from qnn.circuits.observables import Expectation, Measurement, PauliSum, PauliWord, Probabilities
from qnn.errors import CapabilityError

_MAX_WORDS = 2**14


class ExactReadout:
    """What to measure instead of some measurements, and how their values follow from it.

    Args:
        measurements: expectation values and probabilities.

    Raises:
        CapabilityError: their words have too many letters.
    """

    def __init__(self, measurements: Sequence[Measurement]) -> None:
        self._wanted = tuple(measurements)
        n_parts = sum(2 ** len(w) for m in measurements if isinstance(m, Expectation) for _, w in m.observable.terms)
        if n_parts > _MAX_WORDS:
            raise CapabilityError(
                f"`observables` must have words of few letters to mitigate readout of exact values; got {n_parts:,} "
                f"words that letters of theirs make, more than {_MAX_WORDS:,}. Use shots, or fewer wires."
            )
        words = {
            p for m in measurements if isinstance(m, Expectation) for _, w in m.observable.terms for p in _parts(w)
        }
        self._words = sorted(words - {()}, key=lambda word: (-len(word), word))
        self._distributions = [m for m in measurements if isinstance(m, Probabilities)]
        expectations = [Expectation(PauliSum(((1.0, word),))) for word in self._words]
        self.measurements: tuple[Measurement, ...] = (*expectations, *self._distributions)

    def values(self, measured: np.ndarray, calibration: Calibration) -> np.ndarray:
        """The outputs wanted, shape (N, M), from those of `measurements`."""
        column = {word: measured[:, i] for i, word in enumerate(self._words)} | {(): np.ones(len(measured))}
        start, outputs = len(self._words), []
        for measurement in self._wanted:
            if isinstance(measurement, Probabilities):
                block = measured[:, start : start + measurement.n_outputs]
                start += measurement.n_outputs
                outputs.append(apply_confusion(block, [calibration.inverse(wire) for wire in measurement.wires]))
                continue
            total = np.zeros(len(measured))
            for coefficient, word in measurement.observable.terms:
                for part in _parts(word):
                    total += coefficient * _share(word, part, calibration) * column[part]
            outputs.append(total[:, None])
        return np.concatenate(outputs, axis=1)


def _parts(word: PauliWord) -> list[PauliWord]:
    """Every word that some of the letters make."""
    masks = product((True, False), repeat=len(word))
    return [tuple(letter for letter, kept in zip(word, mask, strict=True) if kept) for mask in masks]


def _share(word: PauliWord, part: PauliWord, calibration: Calibration) -> float:
    """How much of the reported `part` there is in the true `word`."""
    share = 1.0
    for letter in word:
        inverse = calibration.inverse(letter[0])
        true_z = inverse[:, 0] - inverse[:, 1]  # at reported 0 and 1
        share *= (true_z[0] - true_z[1]) / 2 if letter in part else (true_z[0] + true_z[1]) / 2
    return share
