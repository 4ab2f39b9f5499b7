"""Outputs from expectation values of Z words are those from the whole distribution."""

import numpy as np
import pytest

from qnn.backends.braket.words import word_readout
from qnn.circuits.observables import Expectation, PauliSum, Probabilities, pauli
from qnn.circuits.settings import plan_measurements
from qnn.errors import CapabilityError

MEASUREMENTS = (
    Expectation(PauliSum(((0.5, ((0, "Z"),)), (-1.5, ((0, "Z"), (2, "Z"))), (0.25, ())))),
    Probabilities((2, 0)),
    Expectation(pauli("XYI")),
    Probabilities((1,)),
)


def test_words_replace_the_distribution():
    rng = np.random.default_rng(0)
    plan = plan_measurements(MEASUREMENTS)
    distributions, total = [], plan.constants[None, :]
    for setting in plan.settings:
        k = len(setting.wires)
        p = rng.dirichlet(np.ones(2**k), size=2)
        distributions.append(p)
        readout = word_readout(setting, "here")
        outcomes = np.arange(2**k)
        bits = {wire: (outcomes >> (k - 1 - i)) & 1 for i, wire in enumerate(setting.wires)}
        values = np.stack([p @ np.prod([1 - 2 * bits[w] for w in word], axis=0) for word in readout.words], axis=1)
        total = total + readout.offset + values @ readout.matrix
    np.testing.assert_allclose(total, plan.values(distributions), atol=1e-12)


def test_a_sum_needs_its_own_words_only():
    (setting,) = plan_measurements((Expectation(pauli("Z" * 30)),)).settings
    assert word_readout(setting, "here").words == (tuple(range(30)),)


def test_probabilities_of_many_wires():
    (setting,) = plan_measurements((Probabilities(tuple(range(9))),)).settings
    with pytest.raises(CapabilityError, match="Exact probabilities on here must be of at most 8 wires; got 9"):
        word_readout(setting, "here")
