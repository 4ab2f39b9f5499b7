"""Measurement settings: few bases, right values, right variances."""

import numpy as np
import oracles
import pytest
from random_circuits import random_measurements

from qnn.circuits.observables import Expectation, PauliSum, Probabilities, Variance, pauli, z_on_every_wire
from qnn.circuits.settings import plan_measurements
from qnn.errors import ArgumentError

TURN = {"X": np.array([[1, 1], [1, -1]]) / np.sqrt(2), "Y": np.array([[1, -1j], [1, 1j]]) / np.sqrt(2), "Z": np.eye(2)}


def distributions(plan, psi: np.ndarray, n: int) -> list[np.ndarray]:
    """Outcome distribution of each setting by turning the dense state, shape (1, 2^k) each."""
    found = []
    for setting in plan.settings:
        turned = psi
        for wire, letter in setting.basis:
            turned = oracles.embed(TURN[letter], (wire,), n) @ turned
        found.append(oracles.marginal(np.abs(turned) ** 2, setting.wires)[None])
    return found


def random_state(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    psi = rng.normal(size=2**n) + 1j * rng.normal(size=2**n)
    return psi / np.linalg.norm(psi)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_values_and_variances_from_distributions(n: int) -> None:
    measurements = random_measurements(n, np.random.default_rng(n))
    plan, psi = plan_measurements(measurements), random_state(n, n)
    found = distributions(plan, psi, n)
    exact: list[float] = []
    for m in measurements:
        if isinstance(m, Expectation):
            exact.append(float((psi.conj() @ oracles.observable(m.observable.terms, n) @ psi).real))
        else:
            exact.extend(oracles.marginal(np.abs(psi) ** 2, m.wires))
    np.testing.assert_allclose(plan.values(found)[0], exact, atol=1e-12)
    single = np.array(exact[:3])  # one Pauli word each
    np.testing.assert_allclose(plan.variance(found, 50)[0, :3], (1 - single**2) / 50, atol=1e-12)
    p = np.array(exact[4:])
    np.testing.assert_allclose(plan.variance(found, 50)[0, 4:], p * (1 - p) / 50, atol=1e-12)


def test_words_of_one_setting_keep_their_correlation() -> None:
    """Var(Z0 + Z1) on a Bell pair is 4, not the 2 of independent words; Var(Z0 - Z1) is 0."""
    sums = [Expectation(PauliSum(((1.0, ((0, "Z"),)), (s, ((1, "Z"),))))) for s in (1.0, -1.0)]
    plan = plan_measurements(sums)
    bell = np.array([[0.5, 0, 0, 0.5]])
    np.testing.assert_allclose(plan.variance([bell], 10), [[0.4, 0.0]], atol=1e-15)


@pytest.mark.parametrize(
    ("words", "bases"),
    [
        (["ZII", "IZI", "IIZ"], 1),
        (["XII", "IYI", "XYZ"], 1),
        (["XII", "ZII"], 2),
        (["XX", "YY", "ZZ"], 3),
        (["XI", "IZ", "ZI", "IX"], 2),
    ],
)
def test_words_that_agree_share_a_basis(words: list[str], bases: int) -> None:
    plan = plan_measurements([Expectation(pauli(w)) for w in words])
    assert len(plan.settings) == bases


def test_constants_need_no_measurement() -> None:
    plan = plan_measurements([Expectation(PauliSum(((0.75, ()), (0.5, ()))))])
    assert plan.settings == () and plan.constants.tolist() == [1.25]
    np.testing.assert_array_equal(plan.values([]), [[1.25]])
    np.testing.assert_array_equal(plan.variance([], 3), [[0.0]])


def test_a_variance_is_no_linear_function_of_a_distribution() -> None:
    with pytest.raises(
        ArgumentError, match=r"`measurements` must be expectation values .* got Var\(Z0\)\. Execute cir"
    ):
        plan_measurements([Variance(pauli("Z"))])


def test_probabilities_keep_their_order_of_wires() -> None:
    plan = plan_measurements([Probabilities((2, 0))])
    (setting,) = plan.settings
    assert setting.wires == (0, 2)
    only_wire_0 = np.array([[0.0, 0.0, 1.0, 0.0]])
    np.testing.assert_array_equal(plan.values([only_wire_0]), [[0, 1, 0, 0]])


def test_planning_thirty_wires_allocates_nothing_of_size_2_to_the_30() -> None:
    plan = plan_measurements(z_on_every_wire(30))
    assert len(plan.settings) == 1 and "weights" not in vars(plan.settings[0])
