"""Trigonometric polynomials: what a loss is of one weight, and where it is smallest."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from functools import reduce
from math import gcd, pi

import numpy as np

_FINER = 16  # points of the search grid for each harmonic
_NEWTON_STEPS = 12
_TINY = 1e-300  # keeps a division of 0 by 0 at 0
_FLAT = 1e-12  # of the largest value: what counts as no oscillation


def harmonics(gates: Iterable[tuple[float, ...]], degree: int) -> tuple[float, int]:
    """Unit and number R of the frequencies unit, 2·unit, …, R·unit, which hold all that occur.

    Args:
        gates: frequencies of each gate that the weight drives; they add up, with either sign.
        degree: of the loss as a polynomial in the expectation values.
    """
    exact = [[Fraction(f).limit_denominator(64) for f in frequencies] for frequencies in gates]
    unit = reduce(_common, (f for frequencies in exact for f in frequencies))
    reach = sum((max(frequencies) for frequencies in exact), Fraction(0))
    return float(unit), int(degree * reach / unit)


def _common(a: Fraction, b: Fraction) -> Fraction:
    """The largest fraction that both are multiples of."""
    return Fraction(gcd(a.numerator * b.denominator, b.numerator * a.denominator), a.denominator * b.denominator)


def shifts(unit: float, n_harmonics: int) -> np.ndarray:
    """2R + 1 places, evenly over one period, 0 first: enough to know the polynomial."""
    n = 2 * n_harmonics + 1
    return 2 * pi / unit * np.arange(n) / n


def minimum(values: np.ndarray, unit: float) -> float:
    """Where the trigonometric polynomial through values at `shifts` is smallest, within half a period of 0.

    One harmonic is solved in closed form, more by Newton's method from every dip of a fine grid.

    Args:
        values: shape (2R + 1,).
        unit: lowest frequency.

    References:
        Ostaszewski, Grant and Benedetti, Quantum 5, 391 (2021), appendix A; Wierichs et al., Quantum 6, 677 (2022),
        section 3, for more frequencies.
    """
    n_harmonics = len(values) // 2
    coefficients = 2 * np.fft.rfft(values)[1:] / len(values)  # f(t) = mean + Re Σ c_k exp(ikt)
    if np.abs(coefficients).max() <= _FLAT * np.abs(values).max():
        return 0.0
    if n_harmonics == 1:
        place = pi - np.angle(coefficients[0])
    else:
        place = _lowest(coefficients)
    return float((place + pi) % (2 * pi) - pi) / unit


def _lowest(coefficients: np.ndarray) -> float:
    """Where Re Σ c_k exp(ikt) is smallest, for c_1 to c_R."""
    grid = 2 * pi * np.arange(_FINER * len(coefficients)) / (_FINER * len(coefficients))
    heights = _curve(coefficients, grid)
    places = grid[(heights <= np.roll(heights, 1)) & (heights <= np.roll(heights, -1))]
    for _ in range(_NEWTON_STEPS):
        slope, bend = _curve(coefficients, places, 1), np.abs(_curve(coefficients, places, 2))
        places = places - np.clip(slope / np.maximum(bend, _TINY), -grid[1], grid[1])
    return places[np.argmin(_curve(coefficients, places))]


def _curve(coefficients: np.ndarray, places: np.ndarray, derivative: int = 0) -> np.ndarray:
    """Re Σ (ik)^derivative c_k exp(ikt) at each place t."""
    orders = 1j * np.arange(1, len(coefficients) + 1)
    return (np.exp(np.multiply.outer(places, orders)) @ (coefficients * orders**derivative)).real
