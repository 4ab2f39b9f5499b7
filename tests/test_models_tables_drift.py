"""Drift: the statistics are SciPy's, alarms are as frequent as they say, and what moved is named."""

import json

import numpy as np
import pytest
from scipy import stats

from qnn.errors import ArgumentError, TableError
from qnn.models.tables.drift import holm, measure_drift
from qnn.models.tables.profile import MAX_POINTS, CategoryProfile, NumberProfile, profile_from_json


def drift_of(profile, values, **options):
    return measure_drift([(profile, values)], len(values), **options).drifts[0]


@pytest.mark.parametrize("decimals", [9, 0])
def test_kolmogorov_smirnov_is_scipys(decimals):
    """Exactly so where the profile has all different values, ties included."""
    generator = np.random.default_rng(0)
    old, new = generator.normal(size=200).round(decimals), generator.normal(0.3, 1.2, size=150).round(decimals)
    found = drift_of(NumberProfile.of("x", old), new)
    expected = stats.ks_2samp(old, new, method="asymp")
    assert (found.statistic, found.p) == pytest.approx((expected.statistic, expected.pvalue), rel=1e-9)


def test_large_columns_keep_quantiles_that_bound_the_statistic():
    generator = np.random.default_rng(1)
    old, new = generator.normal(size=20_000), generator.normal(0.1, 1, size=5_000)
    profile = NumberProfile.of("x", old)
    assert len(profile.points) == MAX_POINTS
    exact = stats.ks_2samp(old, new).statistic
    assert exact - 1 / (MAX_POINTS - 1) <= drift_of(profile, new).statistic <= exact


def test_chi_square_is_scipys():
    old = np.repeat(["a", "b", "c"], [50, 30, 20]).astype(object)
    new = np.repeat(["a", "b", "c"], [20, 40, 30]).astype(object)
    expected = stats.chi2_contingency([[50, 30, 20], [20, 40, 30]], correction=False)
    found = drift_of(CategoryProfile.of("x", old), new)
    assert (found.statistic, found.p) == pytest.approx((expected.statistic, expected.pvalue))
    assert found.status == "drift" and found.detail == "a: 0.5 -> 0.222"


def test_rare_categories_are_taken_together():
    old = np.repeat(["a", "b", "c", "d"], [500, 480, 3, 2]).astype(object)
    new = np.repeat(["a", "b", "c", "d", "e"], [500, 480, 2, 2, 2]).astype(object)
    found = drift_of(CategoryProfile.of("x", old), new)
    pooled = stats.chi2_contingency([[500, 480, 5], [500, 480, 6]], correction=False)
    assert found.statistic == pytest.approx(pooled.statistic)
    assert drift_of(CategoryProfile.of("x", old[:500]), old[:500]).p == 1  # one category, nothing to test


def test_psi_by_definition():
    """Training deciles, half a row added to each bin."""
    old, new = np.arange(100.0), np.arange(50.0)
    p, q = np.full(10, 10.5 / 105), np.array([10.5] * 5 + [0.5] * 5) / 55
    assert drift_of(NumberProfile.of("x", old), new).psi == pytest.approx(((q - p) * np.log(q / p)).sum())
    constant = NumberProfile.of("x", np.ones(100))
    assert drift_of(constant, np.ones(100)).psi == pytest.approx(0, abs=1e-12)
    assert drift_of(constant, np.zeros(100)).status == "drift"


def test_false_alarms_are_as_frequent_as_alpha_says():
    """200 times 2 columns without drift, alpha = 0.2, PSI left aside: at most 20 % + 5 sigma, and not far below."""
    generator = np.random.default_rng(2)
    n = 200
    alarms = 0
    for _ in range(n):
        pairs = [(NumberProfile.of("x", generator.normal(size=300)), generator.normal(size=200))]
        labels = [generator.choice(np.array(["a", "b"], dtype=object), size) for size in (300, 200)]
        pairs.append((CategoryProfile.of("c", labels[0]), labels[1]))
        alarms += bool(measure_drift(pairs, 200, alpha=0.2, min_psi=0).drifted)
    sigma = (0.2 * 0.8 / n) ** 0.5
    assert 0.05 < alarms / n < 0.2 + 5 * sigma


def test_both_p_and_psi_decide():
    generator = np.random.default_rng(3)
    profile = NumberProfile.of("x", generator.normal(size=50_000))
    slightly = generator.normal(0.05, 1, size=50_000)
    assert drift_of(profile, slightly).status == "small"
    assert drift_of(profile, slightly, min_psi=0.001).status == "drift"
    shifted = generator.normal(0.8, 1, size=12)
    assert drift_of(NumberProfile.of("x", generator.normal(size=60)), shifted, alpha=1e-6).status == "none"


def test_missing_values_drift_too():
    profile = NumberProfile.of("x", np.arange(100.0))
    new = np.where(np.arange(100) % 3 == 0, np.nan, np.arange(100.0))
    report = measure_drift([(profile, new)], 100)
    assert report.drifted == ["x (missing)"]
    labels = np.array(["a", None] * 50, dtype=object)
    assert drift_of(CategoryProfile.of("c", np.array(["a"] * 100, dtype=object)), labels).detail.startswith("(missing)")


def test_holm():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1, 1]


def test_the_report():
    profile = NumberProfile.of("size", np.arange(100.0))
    same = NumberProfile.of("same", np.arange(100.0))
    report = measure_drift([(same, np.arange(100.0)), (profile, np.arange(100.0) + 80)], 100)
    assert report.drifted == ["size"] and report.drifts[0].name == "size"
    text = str(report)
    assert "Drift in 1 of 2: size. p is adjusted for 2 tests by Holm's method" in text and "mean 49.5 -> 129.5" in text
    assert json.loads(json.dumps(report.as_dict()))["columns"][0]["status"] == "drift"
    with pytest.raises(ArgumentError, match=r"`alpha` must be from 0 to 1; got 2"):
        measure_drift([], 0, alpha=2)
    with pytest.raises(ArgumentError, match="`min_psi` must be from 0 to inf; got -1"):
        measure_drift([], 0, min_psi=-1)


def test_profiles_as_json():
    for profile, values in (
        (NumberProfile.of("x", np.array([1.0, 2, 2, np.nan])), np.array([3.0, 2])),
        (CategoryProfile.of("c", np.array(["a", None], dtype=object)), np.array(["b"], dtype=object)),
    ):
        stored = json.loads(json.dumps(profile.to_json()))
        assert drift_of(profile_from_json(stored, "it"), values) == drift_of(profile, values)
        for damage in ({"kind": "x"}, {"missing": -1}, {"name": 1}, {"counts": {}, "at_most": [9, 1]}):
            with pytest.raises(TableError, match="it must be the distribution of a column"):
                profile_from_json(stored | damage, "it")
