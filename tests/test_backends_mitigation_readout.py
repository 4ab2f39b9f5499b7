"""The linear algebra of readout mitigation against dense matrices, multinomial samples and central differences."""

from dataclasses import replace
from functools import reduce

import numpy as np
import pytest

from qnn.backends.mitigation.calibration import Calibration
from qnn.backends.mitigation.exact_readout import ExactReadout
from qnn.backends.mitigation.readout import Readout, nearest_distribution
from qnn.circuits.observables import Expectation, PauliSum, Probabilities, pauli
from qnn.circuits.settings import plan_measurements
from qnn.errors import CapabilityError

DETECTORS = Calibration((0, 2, 5), np.array([[0.02, 0.07], [0.15, 0.1], [0.0, 0.04]]), shots=1000)
MEASUREMENTS = (
    Expectation(pauli(((0, "Z"), (2, "X")))),
    Expectation(PauliSum(((0.4, ()), (0.7, ((5, "Y"),)), (-1.2, ((0, "Z"), (2, "X"), (5, "Y")))))),
    Probabilities((5, 0)),
)
PLAN = plan_measurements(MEASUREMENTS)
SHOTS = 500


def dense_confusion(setting) -> np.ndarray:
    return reduce(np.kron, [DETECTORS.confusion(wire) for wire in setting.wires])


def distributions(n_rows: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.dirichlet(np.ones(2 ** len(s.wires)), size=n_rows) for s in PLAN.settings]


def reported(true: list[np.ndarray]) -> list[np.ndarray]:
    return [p @ dense_confusion(setting) for p, setting in zip(true, PLAN.settings, strict=True)]


def test_reported_distributions_give_the_true_outputs() -> None:
    assert len(PLAN.settings) == 2  # Z X Y, and Z Z of wires 0 and 5
    true = distributions(4)
    for clip in (False, True):
        readout = Readout(PLAN, DETECTORS, clip)
        np.testing.assert_allclose(readout.values(reported(true)), PLAN.values(true), atol=1e-12)
    for found, expected in zip(readout.true_frequencies(reported(true)), true, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-12)
    for found, p in zip(readout.true_frequencies(true), zip(true, PLAN.settings, strict=True), strict=True):
        np.testing.assert_allclose(found, np.linalg.solve(dense_confusion(p[1]).T, p[0].T).T, atol=1e-12)


def test_variance_is_that_of_many_samples() -> None:
    """Of 4,000 multinomial samples, within 5 sigma of a sample variance, sqrt((kurtosis - 1) / n) of it."""
    n = 4000
    p = reported(distributions(1))
    rng = np.random.default_rng(3)
    frequencies = [rng.multinomial(SHOTS, row[0], size=n) / SHOTS for row in p]
    readout = Readout(PLAN, DETECTORS, clip=False)
    values = readout.values(frequencies)
    predicted = readout.variance(p, SHOTS)[0]
    kurtosis = ((values - values.mean(axis=0)) ** 4).mean(axis=0) / values.var(axis=0) ** 2
    assert np.all(np.abs(values.var(axis=0) / predicted - 1) < 5 * np.sqrt((kurtosis - 1) / n))
    assert np.all(np.abs(values.mean(axis=0) - readout.values(p)[0]) < 5 * np.sqrt(predicted / n))
    assert np.all(predicted[:2] > 1.3 * PLAN.variance(p, SHOTS)[0, :2])  # than without mitigation
    np.testing.assert_allclose(readout.variance(frequencies, SHOTS).mean(axis=0), predicted, rtol=0.02)


def test_what_calibration_errors_do() -> None:
    """Derivatives by every error against central differences; binomial variances; nothing for exact calibrations."""
    p = distributions(2)
    which = [(wire, error) for wire in range(3) for error in (0, 1) if DETECTORS.errors[wire, error]]
    found = list(Readout(PLAN, DETECTORS, clip=False).by_calibration(p))
    assert len(found) == len(which) == 5
    for (wire, error), (variance, slope) in zip(which, found, strict=True):
        e = DETECTORS.errors[wire, error]
        assert variance == pytest.approx(e * (1 - e) / 1000)
        moved = []
        for step in (1e-6, -1e-6):
            errors = DETECTORS.errors.copy()
            errors[wire, error] += step
            moved.append(Readout(PLAN, replace(DETECTORS, errors=errors), clip=False).values(p))
        np.testing.assert_allclose(slope, (moved[0] - moved[1]) / 2e-6, atol=1e-8)
    assert not list(Readout(PLAN, replace(DETECTORS, shots=None), clip=False).by_calibration(p))


def test_clipping_finds_the_nearest_distribution() -> None:
    """A projection onto a convex set: the step to it makes no acute angle with the way to any point of it."""
    rng = np.random.default_rng(2)
    quasi = rng.normal(size=(50, 8))
    quasi += (1 - quasi.sum(axis=1, keepdims=True)) / 8
    nearest = nearest_distribution(quasi)
    assert nearest.min() == 0 and np.allclose(nearest.sum(axis=1), 1)
    for corner in np.eye(8):
        assert np.all(((quasi - nearest) * (corner - nearest)).sum(axis=1) < 1e-12)
    inside = rng.dirichlet(np.ones(8), size=3)
    np.testing.assert_allclose(nearest_distribution(inside), inside, atol=1e-15)


def test_clipped_values_stay_in_range() -> None:
    all_zero = [np.eye(2 ** len(s.wires))[:1] for s in PLAN.settings]
    free, clipped = (Readout(PLAN, DETECTORS, clip).values(all_zero)[0] for clip in (False, True))
    assert free[0] > 1 and free[2:].max() > 1
    assert clipped[0] == 1 and clipped[2:].max() == 1


def test_exact_values_are_corrected_word_by_word() -> None:
    instead = ExactReadout(MEASUREMENTS)
    plan = plan_measurements(instead.measurements)
    assert [s.basis for s in plan.settings] == [s.basis for s in PLAN.settings]  # as many circuits as before
    true = distributions(3)
    np.testing.assert_allclose(
        instead.values(plan.values(reported(true)), DETECTORS), PLAN.values(true), atol=1e-12
    )  # fmt: skip


def test_too_many_outcomes_are_refused() -> None:
    wires = tuple(range(13))
    wide = Calibration(wires, np.full((13, 2), 0.1), 100)
    with pytest.raises(CapabilityError, match=r"to mitigate readout; got 13 wires and 8192 outputs\. Measure fewer"):
        Readout(plan_measurements((Probabilities(wires),)), wide, clip=False)
    every_z = plan_measurements(tuple(Expectation(pauli(((wire, "Z"),))) for wire in wires))
    assert Readout(every_z, wide, clip=False).values([np.full((1, 2**13), 2.0**-13)])[0] == pytest.approx(np.zeros(13))
    with pytest.raises(CapabilityError, match=r"got 32,768 words that letters of theirs make.*Use shots"):
        ExactReadout((Expectation(pauli("Z" * 15)),))
