"""How the values of a column were distributed in training: what drift is measured against.

A profile holds counts and quantiles of one column by itself; it has no rows, and does not grow with their number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from qnn._integers import whole
from qnn.errors import TableError

MAX_POINTS = 257
_MAX_CATEGORIES = 10_000


@dataclass(frozen=True, eq=False)
class NumberProfile:
    """The distribution function of a column of numbers at some points.

    All different values are points if there are at most 257, otherwise 257 quantiles.

    Attributes:
        name: of the column.
        n: finite values.
        missing: entries without one.
        mean, deviation: of the values.
        points: (P,) values, increasing.
        below, at_most: (P,) how many values are smaller than a point, and at most as large.
    """

    name: str
    n: int
    missing: int
    mean: float
    deviation: float
    points: np.ndarray
    below: np.ndarray
    at_most: np.ndarray

    @classmethod
    def of(cls, name: str, values: np.ndarray) -> NumberProfile:
        """The profile of values (N,), NaN where missing; at least one must be finite."""
        present = np.sort(values[np.isfinite(values)])
        points = np.unique(present)
        if len(points) > MAX_POINTS:
            points = np.unique(np.quantile(present, np.linspace(0, 1, MAX_POINTS), method="inverted_cdf"))
        return cls(
            name,
            len(present),
            len(values) - len(present),
            float(present.mean()),
            float(present.std()),
            points,
            np.searchsorted(present, points, "left"),
            np.searchsorted(present, points, "right"),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        facts = {"name": self.name, "kind": "number", "n": self.n, "missing": self.missing}
        facts |= {"mean": self.mean, "deviation": self.deviation}
        return facts | {key: getattr(self, key).tolist() for key in ("points", "below", "at_most")}


@dataclass(frozen=True)
class CategoryProfile:
    """How often each category was seen.

    Attributes:
        name: of the column.
        missing: entries without one.
        counts: by category.
    """

    name: str
    missing: int
    counts: dict[str, int]

    @classmethod
    def of(cls, name: str, labels: np.ndarray) -> CategoryProfile:
        """The profile of labels (N,) object, None where missing."""
        present = [label for label in labels.tolist() if label is not None]
        found, counts = np.unique(np.array(present, dtype=str), return_counts=True)
        return cls(name, len(labels) - len(present), dict(zip(map(str, found), map(int, counts), strict=True)))

    @property
    def n(self) -> int:
        """Entries with a category."""
        return sum(self.counts.values())

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"name": self.name, "kind": "category", "missing": self.missing, "counts": dict(self.counts)}


Profile = NumberProfile | CategoryProfile


def profile_from_json(data: Any, where: str) -> Profile:
    """The profile of what `to_json` gave, checked.

    Raises:
        TableError: it is not what it should be; `where` says which.
    """
    try:
        if data["kind"] == "category":
            counts = dict(data["counts"])
            profile: Profile = CategoryProfile(data["name"], data["missing"], counts)
            fine = 0 < len(counts) <= _MAX_CATEGORIES
            fine = fine and all(isinstance(k, str) and _count(v) for k, v in counts.items())
        else:
            points, below, at_most = (np.asarray(data[key]) for key in ("points", "below", "at_most"))
            mean, deviation = float(data["mean"]), float(data["deviation"])
            profile = NumberProfile(
                data["name"], data["n"], data["missing"], mean, deviation, points.astype(float), below, at_most
            )
            fine = data["kind"] == "number" and _count(profile.n) and profile.n > 0
            fine = fine and math.isfinite(mean) and math.isfinite(deviation) and _are_counts(profile)
        fine = fine and isinstance(profile.name, str) and _count(profile.missing)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise TableError(f"{where} must be the distribution of a column; got {data!r:.100}. Save again.") from error
    if not fine:
        raise TableError(f"{where} must be the distribution of a column; got {data!r:.100}. Save again.")
    return profile


def _are_counts(profile: NumberProfile) -> bool:
    """Whether points increase, and counts are those of a distribution function."""
    points, below, at_most = profile.points, profile.below, profile.at_most
    if not (points.ndim == 1 and 0 < len(points) <= MAX_POINTS and points.shape == below.shape == at_most.shape):
        return False
    if below.dtype.kind != "i" or at_most.dtype.kind != "i" or not np.isfinite(points).all():
        return False
    steps = np.stack([below, at_most], axis=1).ravel()
    return bool(
        (np.diff(points) > 0).all() and (np.diff(steps) >= 0).all() and steps[0] >= 0 and steps[-1] == profile.n
    )


def _count(value: Any) -> bool:
    number = whole(value)
    return number is not None and number >= 0
