"""Frequencies of a loss in one weight, and minima of trigonometric polynomials."""

import numpy as np
import pytest

from qnn.circuits.gates import GATES
from qnn.gradients.optimizers.trigonometry import harmonics, minimum, shifts


def test_frequencies_add_up() -> None:
    rx, crx = GATES["RX"].frequencies, GATES["CRX"].frequencies
    assert harmonics([rx], 1) == (1.0, 1)
    assert harmonics([rx, rx, rx], 1) == (1.0, 3)
    assert harmonics([rx], 2) == (1.0, 2)
    assert harmonics([crx], 1) == (0.5, 2)
    assert harmonics([crx, rx], 1) == (0.5, 4)
    assert harmonics([(1.0,), (2 / 3,)], 1) == (pytest.approx(1 / 3), 5)


@pytest.mark.parametrize(("n_harmonics", "unit"), [(1, 1.0), (2, 0.5), (3, 1.0), (7, 1.0)])
def test_the_minimum_is_global(n_harmonics: int, unit: float) -> None:
    generator = np.random.default_rng(n_harmonics)
    fine = np.linspace(-np.pi, np.pi, 20_001) / unit
    for _ in range(10):
        a, b = generator.normal(size=(2, n_harmonics))
        orders = unit * np.arange(1, n_harmonics + 1)
        curve = lambda t, a=a, b=b, o=orders: np.cos(np.multiply.outer(t, o)) @ a + np.sin(np.multiply.outer(t, o)) @ b
        place = minimum(3.0 + curve(shifts(unit, n_harmonics)), unit)
        assert abs(place) <= np.pi / unit + 1e-12
        assert curve(np.array(place)) <= curve(fine).min() + 1e-12


def test_unused_harmonics_and_flat_curves() -> None:
    """A fit with more harmonics than there are finds the same; a constant stays where it is."""
    for n in (1, 2, 5):
        t = shifts(1.0, n)
        assert np.cos(minimum(np.cos(t - 0.7), 1.0) - 0.7) == pytest.approx(-1, abs=1e-14)
        assert minimum(np.full(2 * n + 1, 0.3), 1.0) == 0.0
        assert minimum(np.zeros(2 * n + 1), 1.0) == 0.0
