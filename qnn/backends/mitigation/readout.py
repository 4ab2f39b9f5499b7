"""Readout mitigation: what true bits would have given the reported ones.

With q the distribution of reported outcomes and C_k[true, reported] the confusion matrix of wire k, q = p ⊗C_k, so
that an output Σ_o F[o] p(o) of the true outcomes is the mean of

    G = (⊗C_k⁻¹) F

over the reported ones: any shot estimate of it is unbiased, and its variance for a given calibration is (Σ_o G[o]²
q(o) - (Σ_o G[o] q(o))²) / shots, as for any mean. For <Z> of one wire G = (±1 + e0 - e1) / (1 - e0 - e1): the
variance grows by about 1/(1 - e0 - e1)² a wire. Errors e of the calibration move the output by (∂G/∂e) q each; they
are the same in all rows and calls, and independent of one another, so that their part of the variance is Σ_e (∂G/∂e
q)² Var e to first order. Frequencies (N, 2^k) take the place of q.

References:
    Bravyi et al., Phys. Rev. A 103, 042605 (2021), eqs. (6)-(9), the tensor product model.
    Nearest probability distribution: Smolin et al., Phys. Rev. Lett. 108, 070502 (2012).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy import sparse

from qnn.backends.confusion import apply_confusion
from qnn.backends.mitigation.calibration import Calibration
from qnn.circuits.settings import MeasurementPlan, Setting
from qnn.errors import CapabilityError

_MAX_ENTRIES = 2**26  # of all matrices of one circuit


class Readout:
    """Outputs of true outcomes from the frequencies of reported ones.

    Args:
        plan: what is measured.
        calibration: the detectors.
        clip: whether frequencies of true outcomes, some of which may come out negative, are replaced by the nearest
            probability distribution. It keeps outputs in their range at the price of a bias; variances are those
            without it, mostly too large.

    Raises:
        CapabilityError: too many outcomes.
    """

    def __init__(self, plan: MeasurementPlan, calibration: Calibration, clip: bool) -> None:
        if sum(map(_n_entries, plan.settings)) > _MAX_ENTRIES:
            widest = max(len(s.wires) for s in plan.settings)
            raise CapabilityError(
                f"`observables` must measure few enough wires together to mitigate readout; got {widest} wires and "
                f'{len(plan.constants)} outputs. Measure fewer, or use mitigation="zne".'
            )
        self._plan, self._calibration, self._clip = plan, calibration, clip
        self._gains = [self._gain(setting) for setting in plan.settings]
        errors = [(wire, error) for wire in calibration.wires for error in (0, 1)]
        self._slopes = [
            (calibration.variance(*which), [self._slope(setting, *which) for setting in plan.settings])
            for which in errors
            if calibration.variance(*which)
        ]

    def values(self, frequencies: Sequence[np.ndarray]) -> np.ndarray:
        """Outputs (N, M), which may lie outside of the range that an observable has."""
        if self._clip:
            return self._plan.values([nearest_distribution(p) for p in self.true_frequencies(frequencies)])
        return self._sum(frequencies, self._gains) + self._plan.constants

    def true_frequencies(self, frequencies: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Quasi-probabilities of true outcomes: rows sum to 1, and entries may be negative."""
        inverse = self._calibration.inverse
        pairs = zip(self._plan.settings, frequencies, strict=True)
        return [apply_confusion(p, [inverse(wire) for wire in setting.wires]) for setting, p in pairs]

    def variance(self, frequencies: Sequence[np.ndarray], shots: int) -> np.ndarray:
        """Variance of the outputs for this calibration, shape (N, M)."""
        total = np.zeros((1, len(self._plan.constants)))
        for p, gain in zip(frequencies, self._gains, strict=True):
            total = total + np.maximum(p @ gain.power(2) - (p @ gain) ** 2, 0.0)
        return total / shots

    def by_calibration(self, frequencies: Sequence[np.ndarray]) -> Iterator[tuple[float, np.ndarray]]:
        """For each error of the calibration its variance, and the derivatives of the outputs by it, shape (N, M)."""
        for variance, slopes in self._slopes:
            yield variance, self._sum(frequencies, slopes)

    def _sum(self, frequencies: Sequence[np.ndarray], matrices: Sequence[sparse.csr_array]) -> np.ndarray:
        """Sparse products: the last bits of a dense one depend on the number of rows."""
        return sum(
            (p @ m for p, m in zip(frequencies, matrices, strict=True)), np.zeros((1, len(self._plan.constants)))
        )

    def _gain(self, setting: Setting) -> sparse.csr_array:
        """G, shape (2^k, M)."""
        return _transformed(setting.weights, [self._calibration.inverse(w) for w in setting.wires])

    def _slope(self, setting: Setting, wire: int, error: int) -> sparse.csr_array:
        """∂G/∂e, shape (2^k, M); zero but for outputs that `wire` is measured for."""
        shape = setting.weights.shape
        columns = sorted({c for member in setting.members for c in _columns(member, wire)})
        if not columns:
            return sparse.csr_array(shape)
        inverse = self._calibration.inverse
        matrices = [self._calibration.inverse_slope(w, error) if w == wire else inverse(w) for w in setting.wires]
        found = _transformed(setting.weights[:, columns], matrices).tocoo()
        return sparse.coo_array((found.data, (found.row, np.array(columns)[found.col])), shape=shape).tocsr()


def _n_entries(setting: Setting) -> int:
    """Entries of G and of its derivatives."""
    members = ((len(word), measurement.n_outputs) for word, _, measurement, _ in setting.members)
    return int(2 ** len(setting.wires) * (setting.n_outputs + sum(2 * length * n for length, n in members)))


def _columns(member: tuple, wire: int) -> range:
    """The output columns of a member of a setting, if it measures `wire`."""
    word, column, measurement, _ = member
    return range(column, column + measurement.n_outputs) if wire in dict(word) else range(0)


def _transformed(weights: sparse.csr_array, matrices: Sequence[np.ndarray]) -> sparse.csr_array:
    """(⊗ matrices) weights."""
    return sparse.csr_array(apply_confusion(weights.toarray().T, [m.T for m in matrices]).T)


def nearest_distribution(quasi: np.ndarray) -> np.ndarray:
    """The probability distributions closest to rows that sum to 1, in the sum of squares, shape (N, K)."""
    descending = -np.sort(-quasi, axis=1)
    excess = (np.cumsum(descending, axis=1) - 1) / np.arange(1, quasi.shape[1] + 1)
    kept = (descending > excess).sum(axis=1)
    return np.maximum(quasi - excess[np.arange(len(quasi)), kept - 1][:, None], 0.0)
