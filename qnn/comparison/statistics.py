"""Intervals for accuracies and for paired differences that cover seeds and test sampling.

What is known of a contestant is the table ``c[s, t]`` of 0 and 1: did seed ``s`` get test row
``t`` right? Both the seeds and the test rows are samples of larger populations, so the table is
a two-way random-effects layout (Searle, Casella and McCulloch 1992, chapter 4)

    c[s, t] = μ + a[s] + b[t] + e[s, t]
    Var(mean) = σ_a²/S + σ_b²/T + σ_e²/(S T) = (E MS_seeds + E MS_rows - E MS_rest) / (S T)

where the mean squares are those of the analysis of variance. Their degrees of freedom combine by
Satterthwaite (1946) to those of a t quantile. Rows repeat between seeds, so many seeds never
make up for few test rows, and few seeds are punished by the t quantile.

0 and 1 are far from normal where nearly all rows are right. Two correct and two wrong rows are
therefore added before the interval is computed (Agresti and Coull 1998), and for differences one
row for each side (Agresti and Min 2005): a contestant without an error still gets an interval of
positive width. Estimates themselves are the plain means. ``tests/test_comparison_coverage.py``
shows the coverage that results.

A difference is computed row by row and seed by seed before anything is averaged: what both
contestants find hard, and what a seed gives to both (the data order), cancels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

_ADDED_TO_ACCURACY = (1.0, 1.0, 0.0, 0.0)
_ADDED_TO_DIFFERENCE = (1.0, -1.0)


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval; the unit is a fraction (0.01 is one point).

    Attributes:
        estimate: plain mean over seeds and test rows.
        low, high: bounds of the interval.
        level: its nominal coverage.
        n_seeds, n_rows: S and T.
        seed_variance: σ_a², the variance between seeds, not below 0; NaN with a single seed.
        row_variance: σ_b² + σ_e²/S, the variance of the rows' means.
        rest_variance: σ_e²; NaN with a single seed.
    """

    estimate: float
    low: float
    high: float
    level: float
    n_seeds: int
    n_rows: int
    seed_variance: float
    row_variance: float
    rest_variance: float

    @property
    def decided(self) -> bool:
        """True when 0 lies outside (meaningful for differences)."""
        return self.low > 0 or self.high < 0


def accuracy_interval(correct: np.ndarray, level: float = 0.95) -> Interval:
    """The accuracy and its interval over seeds and test rows.

    Args:
        correct: shape (S, T), 1 where seed s got test row t right, else 0.
        level: nominal coverage.
    """
    return _interval(correct, _ADDED_TO_ACCURACY, level, (0.0, 1.0))


def difference_interval(
    correct: np.ndarray, reference: np.ndarray, level: float = 0.95, n_comparisons: int = 1
) -> Interval:
    """The difference of two accuracies, paired by test row and seed, and its interval.

    Args:
        correct: shape (S, T), as for `accuracy_interval`.
        reference: shape (S, T), the same seeds and test rows for the other contestant.
        level: nominal coverage of all `n_comparisons` intervals together.
        n_comparisons: number of intervals that are to hold at once (Bonferroni).
    """
    if correct.shape != reference.shape:
        raise ValueError(f"paired tables must have one shape; got {correct.shape} and {reference.shape}")
    each = 1 - (1 - level) / n_comparisons
    return _interval(correct.astype(float) - reference.astype(float), _ADDED_TO_DIFFERENCE, each, (-1.0, 1.0))


def independent_interval(correct: np.ndarray, level: float = 0.95) -> Interval:
    """The accuracy and its interval where every seed has test rows (and training labels) of its own.

    The seeds' accuracies are then independent, and Student's t applies to them alone. Needs two seeds.

    Args:
        correct: shape (S, T), as for `accuracy_interval`; column t is another row for each seed.
        level: nominal coverage.
    """
    accuracies = np.asarray(correct, dtype=float).mean(axis=1)
    n_seeds, estimate = len(accuracies), float(accuracies.mean())
    half = float(stats.t.ppf(0.5 + level / 2, n_seeds - 1) * accuracies.std(ddof=1) / np.sqrt(n_seeds))
    return Interval(
        estimate=estimate,
        low=max(0.0, estimate - half),
        high=min(1.0, estimate + half),
        level=level,
        n_seeds=n_seeds,
        n_rows=correct.shape[1],
        seed_variance=float(accuracies.var(ddof=1)),
        row_variance=0.0,
        rest_variance=0.0,
    )


def _interval(values: np.ndarray, added: tuple[float, ...], level: float, bounds: tuple[float, float]) -> Interval:
    """The two-way random-effects interval with `added` pseudo-rows, clipped to `bounds`."""
    values = np.asarray(values, dtype=float)
    n_seeds, n_rows = values.shape
    padded = np.concatenate([values, np.tile(added, (n_seeds, 1))], axis=1)
    ms_seeds, ms_rows, ms_rest = _mean_squares(padded)
    variance, freedom = variance_of_mean(padded.shape, ms_seeds, ms_rows, ms_rest)
    half = float(stats.t.ppf(0.5 + level / 2, freedom) * np.sqrt(variance))
    centre, estimate = float(padded.mean()), float(values.mean())
    plain_seeds, plain_rows, plain_rest = _mean_squares(values)
    return Interval(
        estimate=estimate,
        low=max(bounds[0], min(centre - half, estimate)),
        high=min(bounds[1], max(centre + half, estimate)),
        level=level,
        n_seeds=n_seeds,
        n_rows=n_rows,
        seed_variance=max(0.0, (plain_seeds - plain_rest) / n_rows) if n_seeds > 1 else float("nan"),
        row_variance=plain_rows / n_seeds,
        rest_variance=plain_rest if n_seeds > 1 else float("nan"),
    )


def _mean_squares(values: np.ndarray) -> tuple[float, float, float]:
    """Mean squares of seeds, rows and the rest; 0 where a factor has one level."""
    n_seeds, n_rows = values.shape
    seeds, rows, mean = values.mean(axis=1), values.mean(axis=0), values.mean()
    rest = values - seeds[:, None] - rows[None, :] + mean
    ms_seeds = n_rows * seeds.var(ddof=1) if n_seeds > 1 else 0.0
    ms_rows = n_seeds * rows.var(ddof=1) if n_rows > 1 else 0.0
    freedom = (n_seeds - 1) * (n_rows - 1)
    return float(ms_seeds), float(ms_rows), float((rest**2).sum() / freedom) if freedom else 0.0


def variance_of_mean(shape: tuple[int, ...], ms_seeds: float, ms_rows: float, ms_rest: float) -> tuple[float, float]:
    """Variance of the grand mean of an (S, T) table with these mean squares, and Satterthwaite's degrees of freedom."""
    n_seeds, n_rows = shape
    total = max(ms_seeds + ms_rows - ms_rest, ms_seeds, ms_rows)
    spread = ms_rows**2 / (n_rows - 1)
    if n_seeds > 1:
        spread += ms_seeds**2 / (n_seeds - 1) + ms_rest**2 / ((n_seeds - 1) * (n_rows - 1))
    return total / (n_seeds * n_rows), max(1.0, total**2 / spread) if spread > 0 else 1.0
