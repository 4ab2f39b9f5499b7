"""How good predictions are on rows that were held out, with 95 % intervals for the sampling of these rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

LEVEL = 0.95
_RESAMPLES = 1000


@dataclass(frozen=True)
class Score:
    """A figure with its interval.

    Attributes:
        value: the figure.
        low, high: bounds of the 95 % interval; None where a single row allows none.
    """

    value: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        return f"{self.value:.3f}" + ("" if self.low is None else f" [{self.low:.3f}, {self.high:.3f}]")


@dataclass(frozen=True)
class Scores:
    """The scores on one part; `main` is the one to quote.

    Attributes:
        main: "accuracy" or "r2".
        by_name: "accuracy" (Wilson's interval) and "majority" (that of always saying the most frequent class), or "r2"
            and "rmse" (percentiles over resampled rows).
        n: rows.
    """

    main: str
    by_name: dict[str, Score]
    n: int

    def __str__(self) -> str:
        return ", ".join(f"{name} {score}" for name, score in self.by_name.items()) + f" ({self.n} rows)"

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"n": self.n} | {name: asdict(score) for name, score in self.by_name.items()}


def score_classes(y: np.ndarray, predicted: np.ndarray, majority: int) -> Scores:
    """Scores of class numbers `predicted` (N,) against `y` (N,); `majority` is the most frequent in training."""
    return Scores("accuracy", {"accuracy": _share(y == predicted), "majority": _share(y == majority)}, len(y))


def score_numbers(y: np.ndarray, predicted: np.ndarray) -> Scores:
    """Scores of values `predicted` (N,) against `y` (N,); R² is 0 for always saying the mean of these rows."""
    found = {"r2": _interval(_r2, y, predicted), "rmse": _interval(_rmse, y, predicted)}
    return Scores("r2", found, len(y))


def _share(right: np.ndarray) -> Score:
    bounds = stats.binomtest(int(right.sum()), len(right)).proportion_ci(LEVEL, method="wilson")
    return Score(float(right.mean()), float(bounds.low), float(bounds.high))


def _interval(figure: Callable[[np.ndarray, np.ndarray], float], y: np.ndarray, predicted: np.ndarray) -> Score:
    value = figure(y, predicted)
    if len(y) < 2:
        return Score(value, None, None)
    generator = np.random.default_rng(0)
    resampled = []
    for _ in range(_RESAMPLES):
        rows = generator.integers(0, len(y), len(y))
        resampled.append(figure(y[rows], predicted[rows]))
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Score(value, float(low), float(high))


def _rmse(y: np.ndarray, predicted: np.ndarray) -> float:
    return float(np.sqrt(((y - predicted) ** 2).mean()))


def _r2(y: np.ndarray, predicted: np.ndarray) -> float:
    spread = ((y - y.mean()) ** 2).sum()
    return float(1 - ((y - predicted) ** 2).sum() / spread) if spread > 0 else 0.0
