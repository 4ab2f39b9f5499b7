"""From values at several scales of noise to the value without noise.

A fit by least squares of a polynomial of degree d to values v_k at scales s_k has, at zero, the value Σ_k c_k v_k,
where c is the first row of the pseudo-inverse of the matrix s_k^j. It depends on the scales only, so that values,
variances (Σ c_k² Var v_k) and derivatives of expectation values are extrapolated alike. Richardson's is the
polynomial through all points.

The exponential a + b·exp(-r s), with a known asymptote a, is the line through log|v_k - a|: its value at zero is
a ± Π_k |v_k - a|^{c_k}, with the c of the line. It is not linear in the values, so that shift rules do not hold for it.

References:
    Temme et al., Phys. Rev. Lett. 119, 180509 (2017), eq. (3). Endo et al., Phys. Rev. X 8, 031027 (2018), section V.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qnn.circuits.settings import MeasurementPlan
from qnn.errors import ArgumentError, unknown_name

_SIGNIFICANT = 3.0  # standard errors
NAMES = ("exponential", "linear", "polynomial:<degree>", "richardson")


def degree_of(name: str, n_scales: int) -> int:
    """The degree of the polynomial that `name` fits to values, or to their logarithms.

    Raises:
        UnknownNameError: no such extrapolation.
        ArgumentError: too few scales.
    """
    polynomial = re.fullmatch(r"polynomial:(\d+)", str(name))
    known = {"richardson": n_scales - 1, "linear": 1, "exponential": 1}
    if polynomial is None and name not in known:
        raise unknown_name("extrapolation", name, NAMES)
    degree = int(polynomial[1]) if polynomial else known[name]
    if not 1 <= degree < n_scales:
        raise ArgumentError(
            f"`extrapolation` must have a degree from 1 to {n_scales - 1} with {n_scales} scales of noise; "
            f'got "{name}". Give `zne` more scales, such as (1, 3, 5).'
        )
    return degree


def coefficients(scales: Sequence[float], degree: int) -> np.ndarray:
    """The c with p(0) = Σ c_k v_k for the polynomial p of that degree that is closest to v_k at s_k, shape (K,)."""
    return np.linalg.pinv(np.vander(np.asarray(scales, dtype=np.float64), degree + 1, increasing=True))[0]


@dataclass(frozen=True)
class Extrapolation:
    """What becomes of the values at all scales.

    Attributes:
        weights: shape (K,), c.
        asymptote: shape (M,), a of the exponential; None for polynomials.
        bounds: lowest and highest possible outputs, shapes (M,).
    """

    weights: np.ndarray
    asymptote: np.ndarray | None
    bounds: tuple[np.ndarray, np.ndarray]

    def at_zero(self, values: np.ndarray, errors: np.ndarray | float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """Values without noise and their derivatives by the values with noise.

        An exponential is impossible where v_k - a has both signs, and means nothing where one of them is within three
        standard errors of zero; there, and where its value is beyond what the observable can have, the line through the
        values is taken.

        Args:
            values: shape (K, N, M).
            errors: their standard errors, shape (K, N, M); zero when exact.

        Returns:
            Shapes (N, M) and (K, N, M).
        """
        slopes = np.broadcast_to(self.weights[:, None, None], values.shape)
        line = sum(c * v for c, v in zip(self.weights, values, strict=True))
        if self.asymptote is None:
            return line, slopes
        distance = values - self.asymptote
        same_sign = (np.sign(distance) == np.sign(distance[:1])).all(axis=0)
        same_sign &= (np.abs(distance) > _SIGNIFICANT * errors).all(axis=0)
        safe = np.where(same_sign, distance, 1.0)
        log = sum(c * np.log(np.abs(d)) for c, d in zip(self.weights, safe, strict=True))
        height = np.sign(safe[0]) * np.exp(np.minimum(log, np.log(np.finfo(np.float64).max) / 2))
        curve = self.asymptote + height
        low, high = self.bounds
        fits = same_sign & (low <= curve) & (curve <= high)
        return np.where(fits, curve, line), np.where(fits, height * slopes / safe, slopes)


def extrapolation(name: str, scales: Sequence[float], asymptote: float | None, plan: MeasurementPlan) -> Extrapolation:
    """The extrapolation of that name.

    Args:
        name: one of `NAMES`.
        scales: of noise, different from each other.
        asymptote: of the exponential. None: of each output its value in the maximally mixed state.
        plan: what is measured.
    """
    weights = coefficients(scales, degree_of(name, len(scales)))
    mixed, low, high = (plan.constants.copy() for _ in range(3))
    for setting in plan.settings:
        mixed += np.asarray(setting.weights.mean(axis=0)).ravel()
        low += setting.weights.min(axis=0).toarray().ravel()
        high += setting.weights.max(axis=0).toarray().ravel()
    if name != "exponential":
        return Extrapolation(weights, None, (low, high))
    return Extrapolation(weights, mixed if asymptote is None else np.full_like(mixed, asymptote), (low, high))
