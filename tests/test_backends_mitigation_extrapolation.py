"""Extrapolation to zero noise: exact on what it assumes, linear where it says so, refused where it makes no sense."""

import numpy as np
import pytest

from qnn.backends import Mitigated
from qnn.backends.mitigation.extrapolation import coefficients, degree_of, extrapolation
from qnn.circuits.observables import Expectation, PauliSum, Probabilities
from qnn.circuits.settings import plan_measurements
from qnn.errors import ArgumentError, UnknownNameError

PLAN = plan_measurements(
    (Expectation(PauliSum(((0.5, ()), (1.5, ((0, "X"),)), (-1.0, ((1, "Z"),))))), Probabilities((0, 1)))
)


def test_polynomials_are_recovered() -> None:
    rng = np.random.default_rng(0)
    for scales in ([1, 3], [1, 2, 3], [1, 1.4, 3, 5, 9]):
        for degree in range(1, len(scales)):
            polynomial = np.polynomial.Polynomial(rng.normal(size=degree + 1))
            assert coefficients(scales, degree) @ polynomial(np.array(scales)) == pytest.approx(polynomial(0))
            noisy = rng.normal(size=len(scales))
            assert coefficients(scales, degree) @ noisy == pytest.approx(np.polyfit(scales, noisy, degree)[-1])
    np.testing.assert_allclose(coefficients([1, 3], 1), [1.5, -0.5])
    np.testing.assert_allclose(coefficients([1, 3, 5], 2), np.array([15, -10, 3]) / 8)
    assert [degree_of(name, 4) for name in ("richardson", "linear", "exponential", "polynomial:2")] == [3, 1, 1, 2]


def test_exponentials_are_recovered() -> None:
    """Towards the value in the maximally mixed state, 0.5 for the sum and 1/4 for probabilities, or a given one."""
    scales = np.array([1, 2.5, 3])
    height, rate = np.array([[1.1, -0.08, 0.7, 0.1, -0.05]]), np.array([[0.3, 0.02, 0.4, 1.0, 0.1]])
    for asymptote, mixed in ((None, np.array([0.5, *[0.25] * 4])), (0.1, np.full(5, 0.1))):
        values = mixed + height * np.exp(-rate * scales[:, None, None])
        found, _ = extrapolation("exponential", scales, asymptote, PLAN).at_zero(values)
        np.testing.assert_allclose(found, mixed + height, rtol=1e-12)


def test_where_no_exponential_fits_there_is_a_line() -> None:
    """Both signs, a zero, and a value beyond the range of the observable, [-2, 3] for the sum."""
    curve = extrapolation("exponential", [1, 3], None, PLAN)
    line = extrapolation("linear", [1, 3], None, PLAN)
    values = np.full((2, 4, 5), 0.3)
    values[:, :, 0] = 0.5 + np.array([[0.2, -0.1], [0.0, 0.1], [1.5, 0.01], [0.6, 0.5]]).T
    found, slopes = curve.at_zero(values)
    expected, weights = line.at_zero(values)
    np.testing.assert_allclose(found[:3, 0], expected[:3, 0])
    np.testing.assert_allclose(slopes[:, :3, 0], weights[:, :3, 0])
    assert found[3, 0] == pytest.approx(0.5 + 0.6 * np.sqrt(0.6 / 0.5)) != expected[3, 0]
    for error, same in ((0.16, True), (0.17, False)):  # 0.5 above the asymptote: more or less than three of them
        fitted, _ = curve.at_zero(values, np.full_like(values, error))
        assert (fitted[3, 0] == found[3, 0]) == same and (fitted[3, 0] == expected[3, 0]) != same


@pytest.mark.parametrize("name", ["exponential", "linear", "richardson"])
def test_slopes_are_derivatives(name) -> None:
    curve = extrapolation(name, [1, 3, 4], None, PLAN)
    values = 0.5 + np.random.default_rng(1).uniform(0.2, 0.4, size=(3, 2, 5))
    _, slopes = curve.at_zero(values)
    for k in range(3):
        step = np.zeros((3, 1, 1))
        step[k] = 1e-6
        difference = (curve.at_zero(values + step)[0] - curve.at_zero(values - step)[0]) / 2e-6
        np.testing.assert_allclose(slopes[k], difference, rtol=1e-6)


def test_values_of_another_package() -> None:
    """As computed once with mitiq 1.1.0: `extrapolate` of its Richardson, Linear, Poly and Exp factories."""
    values = np.array([0.72, 0.45, 0.31])[:, None, None]
    at_zero = lambda name, n, asymptote=None: float(
        extrapolation(name, [1, 3, 5][:n], asymptote, PLAN).at_zero(np.broadcast_to(values[:n], (n, 1, 5)))[0][0, 0]
    )
    assert at_zero("richardson", 3) == at_zero("polynomial:2", 3) == pytest.approx(0.90375)
    assert at_zero("linear", 3) == pytest.approx(0.8008333333333332)
    assert at_zero("exponential", 2, asymptote=0.0) == pytest.approx(0.9107359661284932)
    # With more scales mitiq weighs logarithms by the square roots of values (0.88291 here), and this does not.
    assert at_zero("exponential", 3, asymptote=0.0) == pytest.approx(0.8745413259322374)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"zne": (1, 3), "extrapolation": "cubic"}, UnknownNameError, 'No extrapolation named "cubic". Known: exp'),
        (
            {"zne": (1, 3), "extrapolation": "polynomial:2"},
            ArgumentError,
            'degree from 1 to 1 with 2 .* "polynomial:2"',
        ),
        ({"zne": (1, 3), "extrapolation": "polynomial:0"}, ArgumentError, "Give `zne` more scales"),
    ],
)
def test_what_cannot_be_fitted_is_refused(options, error, match) -> None:
    with pytest.raises(error, match=match):
        Mitigated("statevector", **options)
