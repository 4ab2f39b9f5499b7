"""What would decide an undecided difference: how many seeds, or how many test rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from scipy import stats

from qnn.comparison.statistics import Interval, variance_of_mean

_MOST_SEEDS = 1_000
_MOST_ROWS = 10_000_000


@dataclass(frozen=True)
class Needed:
    """What would decide a true difference of the given size.

    Attributes:
        difference: that size, a fraction above 0.
        seeds: with as many test rows as now; None when more seeds alone would not do.
        rows: test rows with as many seeds as now; None when more test rows alone would not do.
    """

    difference: float
    seeds: int | None
    rows: int | None


def needed_to_decide(interval: Interval, power: float = 0.8, smallest: float = 0.005) -> Needed:
    """How many seeds, or test rows, would decide a true difference of the size seen, with a chance of `power`.

    The variance components and so the degrees of freedom are taken to be those estimated:
    (t_{1-α/2} + t_power)² Var(mean) = difference². Differences below `smallest` are planned for as
    if they were that large.

    Args:
        interval: a difference, of at least two seeds.
        power: chance of deciding.
        smallest: in the unit of the estimate.
    """
    difference = max(abs(interval.estimate), smallest)

    def decides(n_seeds: int, n_rows: int) -> bool:
        variance, freedom = _expected(interval, n_seeds, n_rows)
        quantiles = stats.t.ppf(0.5 + interval.level / 2, freedom) + stats.t.ppf(power, freedom)
        return bool(quantiles**2 * variance <= difference**2)

    seeds = _smallest(lambda n: decides(n, interval.n_rows), interval.n_seeds + 1, _MOST_SEEDS)
    rows = _smallest(lambda n: decides(interval.n_seeds, n), interval.n_rows + 1, _MOST_ROWS)
    return Needed(difference, seeds, rows)


def _expected(interval: Interval, n_seeds: int, n_rows: int) -> tuple[float, float]:
    """Variance of the mean and degrees of freedom that other numbers of seeds and rows would give."""
    rest = interval.rest_variance
    rows = max(0.0, interval.row_variance - rest / interval.n_seeds)
    return variance_of_mean((n_seeds, n_rows), rest + n_rows * interval.seed_variance, rest + n_seeds * rows, rest)


def _smallest(decides: Callable[[int], bool], least: int, most: int) -> int | None:
    """The smallest number from `least` to `most` that decides; deciding is monotone in it."""
    if not decides(most):
        return None
    low, high = least - 1, most
    while high - low > 1:
        middle = math.floor((low + high) / 2)
        low, high = (low, middle) if decides(middle) else (middle, high)
    return high
