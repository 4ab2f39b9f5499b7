"""Coverage of the nominal 95 % intervals, by simulation.

A row has a difficulty that all seeds share, a seed has a skill that all rows share, the rest is
luck, on a probit scale: the truth is known in closed form. Bounds: below 93 % an interval would
claim too much; towards 100 % it may go only where few errors make exact coverage impossible
(Brown, Cai and DasGupta 2001). On top of them 4σ of the simulation are allowed.
"""

import numpy as np
import pytest
from scipy import stats

from qnn.comparison.statistics import accuracy_interval, difference_interval

TRIALS = 700
SHARED = 0.7  # variance of the latent score that belongs to the row


def simulate(generator, mean, seed_deviation, n_seeds, row):
    """Shape (S, T): right answers of a contestant with this latent mean, deviation between seeds and row effect."""
    seeds = seed_deviation * generator.standard_normal((n_seeds, 1))
    luck = np.sqrt(1 - SHARED) * generator.standard_normal((n_seeds, len(row)))
    return (mean + seeds + np.sqrt(SHARED) * row + luck > 0).astype(float)


def latent(accuracy, seed_points):
    """Latent mean and seed deviation that give this accuracy and this deviation between seeds (a fraction)."""
    mean = stats.norm.ppf(accuracy)
    return mean, seed_points / stats.norm.pdf(mean)


def check_coverage(hits, lowest, highest):
    share, allowed = np.mean(hits), 4 * np.sqrt(0.95 * 0.05 / len(hits))
    assert lowest - allowed < share < highest + allowed, share


CASES = [  # accuracy, deviation between seeds, seeds, test rows, highest coverage
    (0.85, 0.01, 3, 360, 0.97),
    (0.85, 0.03, 3, 360, 0.97),
    (0.95, 0.01, 3, 360, 0.975),
    (0.95, 0.005, 5, 360, 0.975),
    (0.70, 0.02, 10, 360, 0.97),
    (0.99, 0.003, 5, 360, 0.99),
    (0.95, 0.01, 5, 30, 0.99),
]


@pytest.mark.parametrize(("accuracy", "seed_points", "n_seeds", "n_rows", "highest"), CASES)
def test_accuracy_interval_covers_the_truth(accuracy, seed_points, n_seeds, n_rows, highest):
    generator = np.random.default_rng(7)
    mean, deviation = latent(accuracy, seed_points)
    truth = stats.norm.cdf(mean / np.sqrt(1 + deviation**2))
    hits = []
    for _ in range(TRIALS):
        interval = accuracy_interval(simulate(generator, mean, deviation, n_seeds, generator.standard_normal(n_rows)))
        hits.append(interval.low <= truth <= interval.high)
    check_coverage(hits, 0.93, highest)


@pytest.mark.parametrize(("accuracy", "seed_points", "n_seeds", "n_rows", "highest"), CASES)
def test_difference_interval_rarely_decides_between_equals(accuracy, seed_points, n_seeds, n_rows, highest):
    """Two contestants of one accuracy, with row effects half in common: the interval must contain 0."""
    generator = np.random.default_rng(11)
    mean, deviation = latent(accuracy, seed_points)
    hits = []
    for _ in range(TRIALS):
        row, other = generator.standard_normal((2, n_rows))
        first = simulate(generator, mean, deviation, n_seeds, row)
        second = simulate(generator, mean, deviation, n_seeds, 0.5 * row + np.sqrt(0.75) * other)
        hits.append(not difference_interval(first, second).decided)
    check_coverage(hits, 0.93, 1.0 if accuracy > 0.9 else highest)


def test_an_interval_over_rows_alone_would_claim_too_much():
    """The reason for the seeds' part: ignoring it, coverage falls far below the bound used above."""
    generator = np.random.default_rng(5)
    mean, deviation = latent(0.85, 0.03)
    truth = stats.norm.cdf(mean / np.sqrt(1 + deviation**2))
    hits = []
    for _ in range(TRIALS):
        correct = simulate(generator, mean, deviation, 1, generator.standard_normal(360))
        interval = accuracy_interval(correct)
        hits.append(interval.low <= truth <= interval.high)
    assert np.mean(hits) < 0.85
