"""Drawing shots: multinomial, keyed by row."""

import numpy as np
import pytest
from scipy import stats

from qnn import _seeding
from qnn.simulation.sampling import sample_counts

P = np.array([0.5, 0.2, 0.05, 0.25])


def keys(n: int, call: int = 0) -> np.ndarray:
    return _seeding.row_keys(9, n, call).numpy()


def test_counts_follow_the_distribution() -> None:
    """Chi-squared of all counts, at the 1e-6 quantile of the statistic."""
    counts = sample_counts(np.tile(P, (200, 1)), 500, keys(200))
    assert counts.shape == (200, 4) and (counts.sum(axis=1) == 500).all()
    statistic = ((counts.sum(axis=0) - 100_000 * P) ** 2 / (100_000 * P)).sum()
    assert statistic < stats.chi2.ppf(1 - 1e-6, 3)


def test_covariance_is_multinomial() -> None:
    """Var and Cov of counts over equal rows against n p (δ - p), 5 sigma of a Gaussian's estimator."""
    n_rows, shots = 2000, 100
    counts = sample_counts(np.tile(P, (n_rows, 1)), shots, keys(n_rows))
    expected = shots * (np.diag(P) - np.outer(P, P))
    spread = np.sqrt((np.outer(np.diag(expected), np.diag(expected)) + expected**2) / n_rows)
    assert np.all(np.abs(np.cov(counts.T) - expected) < 5.5 * spread)


def test_a_row_depends_on_its_key_alone() -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(4), size=6)
    counts = sample_counts(p, 50, keys(6))
    order = [3, 0, 5, 1]
    np.testing.assert_array_equal(sample_counts(p[order], 50, keys(6)[order]), counts[order])
    assert not np.array_equal(sample_counts(p, 50, keys(6, call=1)), counts)
    assert not np.array_equal(sample_counts(p, 50, keys(6), stream=1), counts)


@pytest.mark.parametrize("p", [[1.0 + 1e-7, -1e-9, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
def test_rounding_of_probabilities_does_no_harm(p: list[float]) -> None:
    counts = sample_counts(np.array([p], dtype=np.float32), 1000, keys(1))
    assert counts.max() == 1000
