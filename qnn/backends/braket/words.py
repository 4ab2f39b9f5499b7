"""Exact outputs from expectation values of Z words: what simulators return that have no exact distributions.

SV1 and DM1 return probabilities from shots only, and expectation values exactly. After the basis change of a setting
every output is a linear function of the expectation values of a few words of Z; a probability on m wires is

    p(o) = 2^-m Σ_w (-1)^(o·w) <Z_w>,   w over all subsets of the m wires.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, combinations

import numpy as np

from qnn.circuits.observables import Expectation
from qnn.circuits.settings import Setting
from qnn.errors import CapabilityError

MOST_WIRES = 8  # of an exact probability: 255 expectation values in one circuit


@dataclass(frozen=True)
class WordReadout:
    """How the expectation values of words become outputs.

    Attributes:
        words: the wires of W words of Z, none of them empty.
        matrix: shape (W, M).
        offset: shape (M,), the contribution of the identity; the plan's constants are apart.
    """

    words: tuple[tuple[int, ...], ...]
    matrix: np.ndarray
    offset: np.ndarray


def word_readout(setting: Setting, name: str) -> WordReadout:
    """The words whose expectation values decide what `setting` contributes to the outputs.

    Raises:
        CapabilityError: probabilities of too many wires.
    """
    entries: list[tuple[tuple[int, ...], int, float]] = []  # word, output, weight
    for word, column, measurement, coefficient in setting.members:
        if isinstance(measurement, Expectation):
            entries.append((tuple(wire for wire, _ in word), column, coefficient))
            continue
        wires = measurement.wires
        if len(wires) > MOST_WIRES:
            raise CapabilityError(
                f"Exact probabilities on {name} must be of at most {MOST_WIRES} wires; got {len(wires)}. "
                'Give shots, or use backend="braket:local".'
            )
        for chosen in chain.from_iterable(combinations(range(len(wires)), n) for n in range(len(wires) + 1)):
            for outcome in range(measurement.n_outputs):
                parity = sum(outcome >> (len(wires) - 1 - i) & 1 for i in chosen)
                weight = (-1) ** parity / measurement.n_outputs
                entries.append((tuple(sorted(wires[i] for i in chosen)), column + outcome, weight))
    words = tuple(sorted({wires for wires, _, _ in entries if wires}))
    row = {wires: i for i, wires in enumerate(words)}
    matrix, offset = np.zeros((len(words), setting.n_outputs)), np.zeros(setting.n_outputs)
    for chosen_wires, column, weight in entries:
        if chosen_wires:
            matrix[row[chosen_wires], column] += weight
        else:
            offset[column] += weight
    return WordReadout(words, matrix, offset)
