"""Whether new rows come from the distribution of the training rows: a test and an effect size for each column.

- Numbers: the two-sample Kolmogorov-Smirnov test, D = sup |F_new - F_training|, with the asymptotic distribution that
  `scipy.stats.ks_2samp(method="asymp")` uses. F_training is known exactly at the points of a profile only; where it has
  fewer points than values, D is a lower bound.
- Categories, missing values and predicted classes: Pearson's chi-square test of homogeneity; categories of which fewer
  than 5 are expected in either sample are taken together.
- The population stability index PSI = Σ (q - p) ln(q / p) over the training deciles, or categories, with half a row
  added to each bin. In small samples it is far from 0 without any drift, by about (bins - 1) (1/n + 1/m); in large
  ones the tests see differences that do not matter.

So a column has drifted when both say so: p, after Holm's correction for the number of tests (Holm 1979), is below
`alpha`, and PSI reaches `min_psi`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import stats

from qnn.errors import ArgumentError
from qnn.models.tables.profile import CategoryProfile, NumberProfile, Profile

_BINS = 10
_LEAST_EXPECTED = 5
_MISSING = "(missing)"
NOTE = (
    "p is adjusted for {n} tests by Holm's method: if nothing has changed, the chance that any column is called "
    "drifted is below {alpha:g}. PSI below 0.1 is small, above 0.25 large."
)


@dataclass(frozen=True)
class Drift:
    """What was found in one column.

    Attributes:
        name: of the column, or what is predicted.
        test: "ks" or "chi2".
        statistic: D, or chi-square.
        p: of the test by itself.
        p_adjusted: Holm's, over all columns of the report.
        psi: population stability index.
        status: "drift", "small" (significant, but PSI below `min_psi`) or "none".
        detail: mean or category that says what has moved.
    """

    name: str
    test: str
    statistic: float
    p: float
    p_adjusted: float
    psi: float
    status: str
    detail: str


@dataclass(frozen=True)
class DriftReport:
    """Drift of all columns and of the predictions.

    Attributes:
        drifts: one entry a test, the smallest p first.
        n_rows: new rows.
        alpha, min_psi: what counts as drift.
        remark: what was not looked at; empty where all was.
    """

    drifts: tuple[Drift, ...]
    n_rows: int
    alpha: float
    min_psi: float
    remark: str = ""

    @property
    def drifted(self) -> list[str]:
        """Names of the columns that have drifted."""
        return [drift.name for drift in self.drifts if drift.status == "drift"]

    @property
    def note(self) -> str:
        """What p and PSI mean here."""
        return " ".join(filter(None, [NOTE.format(n=len(self.drifts), alpha=self.alpha), self.remark]))

    def as_dict(self) -> dict[str, Any]:
        """Plain data that `json.dumps` takes."""
        columns = [dict(vars(drift)) for drift in self.drifts]
        facts = {"drifted": self.drifted, "n_rows": self.n_rows, "alpha": self.alpha, "min_psi": self.min_psi}
        return facts | {"columns": columns, "note": self.note}

    def __str__(self) -> str:
        shown = self.drifts[:20]
        width = max(len(drift.name) for drift in shown)
        lines = [f"{'column':<{width}}  test  {'p adjusted':>10}  {'PSI':>6}  status"]
        lines += [
            f"{d.name:<{width}}  {d.test:<4}  {d.p_adjusted:>10.3g}  {d.psi:>6.3f}  {d.status:<6} {d.detail}".rstrip()
            for d in shown
        ]
        if len(shown) < len(self.drifts):
            lines.append(f"and {len(self.drifts) - len(shown)} more with larger p")
        names = ", ".join(self.drifted[:10])
        found = f"Drift in {len(self.drifted)} of {len(self.drifts)}: {names}." if self.drifted else "No drift found."
        return "\n".join([*lines, f"{found} {self.note}"])


def measure_drift(
    pairs: Iterable[tuple[Profile, np.ndarray]], n_rows: int, *, alpha: float = 0.05, min_psi: float = 0.1
) -> DriftReport:
    """Compare new values with the profiles of training.

    Args:
        pairs: for each column its profile and the new values: (N,) float64 with NaN where missing, or labels (N,)
            object with None.
        n_rows: new rows, for the report.
        alpha: chance of calling anything drifted when nothing has changed.
        min_psi: a column with a smaller PSI has not drifted, however small p.

    Raises:
        ArgumentError: `alpha` or `min_psi` out of range.
    """
    for name, value, most in (("alpha", alpha, 1.0), ("min_psi", min_psi, np.inf)):
        if not 0 <= value <= most:
            raise ArgumentError(f"`{name}` must be from 0 to {most:g}; got {value!r}. Leave it out for the default.")
    found = [drift for profile, values in pairs for drift in _compare(profile, values)]
    adjusted = holm([drift.p for drift in found])
    judged = []
    for drift, p in zip(found, adjusted, strict=True):
        status = "none" if p >= alpha else "drift" if drift.psi >= min_psi else "small"
        judged.append(replace(drift, p_adjusted=p, status=status))
    judged.sort(key=lambda drift: (drift.p_adjusted, -drift.psi))
    return DriftReport(tuple(judged), n_rows, alpha, min_psi)


def holm(p: list[float]) -> list[float]:
    """p-values adjusted by Holm's step-down method."""
    order = np.argsort(p)
    steps = np.asarray(p)[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return adjusted.tolist()


def _compare(profile: Profile, values: np.ndarray) -> list[Drift]:
    """The tests of one column; nothing where there are no new values."""
    if isinstance(profile, CategoryProfile):
        new = CategoryProfile.of(profile.name, values)
        old_counts, new_counts = dict(profile.counts), dict(new.counts)
        if profile.missing or new.missing:
            old_counts[_MISSING], new_counts[_MISSING] = profile.missing, new.missing
        return [_chi_square(profile.name, old_counts, new_counts)] if new_counts else []
    present = np.sort(values[np.isfinite(values)])
    found = [_kolmogorov_smirnov(profile, present)] if len(present) else []
    missing = len(values) - len(present)
    if profile.missing or missing:
        old = {"value": profile.n, _MISSING: profile.missing}
        found.append(_chi_square(f"{profile.name} {_MISSING}", old, {"value": len(present), _MISSING: missing}))
    return found


def _kolmogorov_smirnov(profile: NumberProfile, new: np.ndarray) -> Drift:
    """`new` is sorted."""
    n, m = profile.n, len(new)
    up_to = np.searchsorted(new, profile.points, "right") / m
    before = np.searchsorted(new, profile.points, "left") / m
    d = float(max(np.abs(up_to - profile.at_most / n).max(), np.abs(before - profile.below / n).max()))
    p = float(np.clip(stats.kstwo.sf(d, max(1, np.round(n * m / (n + m)))), 0, 1))
    detail = f"mean {profile.mean:.4g} -> {new.mean():.4g}"
    return Drift(profile.name, "ks", d, p, p, _number_psi(profile, new), "none", detail)


def _number_psi(profile: NumberProfile, new: np.ndarray) -> float:
    """PSI over the training deciles; values that many rows share make fewer bins."""
    wanted = np.arange(1, _BINS) / _BINS * profile.n
    edges = np.unique(np.searchsorted(profile.at_most, wanted))
    edges = edges[edges < len(profile.points) - 1]  # the last point is no inner edge
    old = np.diff([0, *profile.at_most[edges], profile.n])
    counts = np.diff([0, *np.searchsorted(new, profile.points[edges], "right"), len(new)])
    if len(edges) == 0:  # a constant: a bin for it, and one for all else
        same = int((new == profile.points[0]).sum())
        old, counts = np.array([profile.n, 0]), np.array([same, len(new) - same])
    return _psi(old, counts)


def _psi(old: np.ndarray, new: np.ndarray) -> float:
    p, q = ((counts + 0.5) / (counts.sum() + 0.5 * len(counts)) for counts in (old, new))
    return float(((q - p) * np.log(q / p)).sum())


def _chi_square(name: str, old: dict[str, int], new: dict[str, int]) -> Drift:
    names = sorted({*old, *new})
    table = np.array([[counts.get(category, 0) for category in names] for counts in (old, new)], dtype=float)
    psi = _psi(*table)
    shares = table / table.sum(axis=1, keepdims=True)
    moved = int(np.abs(shares[1] - shares[0]).argmax())
    detail = f"{names[moved]}: {shares[0, moved]:.3g} -> {shares[1, moved]:.3g}"
    table = _pooled(table)
    statistic, p = 0.0, 1.0
    if table.shape[1] > 1:
        statistic, p, *_ = stats.chi2_contingency(table, correction=False)
    return Drift(name, "chi2", float(statistic), float(p), float(p), psi, "none", detail)


def _pooled(table: np.ndarray) -> np.ndarray:
    """Counts (2, K) with the columns of few expected rows added up; one column if that is not enough."""
    expected = table.sum(axis=0) * table.sum(axis=1).min() / table.sum()
    few = expected < _LEAST_EXPECTED
    pooled = np.concatenate([table[:, ~few], table[:, few].sum(axis=1, keepdims=True)], axis=1)
    pooled = pooled[:, pooled.sum(axis=0) > 0]
    expected = pooled.sum(axis=0) * pooled.sum(axis=1).min() / pooled.sum()
    if len(expected) > 1 and expected[-1] < _LEAST_EXPECTED and few.any():  # the rest joins the smallest of the others
        smallest = int(expected[:-1].argmin())
        pooled[:, smallest] += pooled[:, -1]
        pooled = pooled[:, :-1]
    return pooled
