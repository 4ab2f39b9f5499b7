"""Intervals: known values, an independent derivation, and the limits in which they must agree with textbooks."""

import numpy as np
import pytest
from scipy import stats

from qnn.comparison.planning import needed_to_decide
from qnn.comparison.statistics import accuracy_interval, difference_interval, independent_interval


def test_estimate_is_the_plain_mean():
    correct = np.array([[1, 1, 0, 1], [0, 1, 0, 1]])
    assert accuracy_interval(correct).estimate == 5 / 8


def test_one_seed_is_agresti_and_coull_up_to_students_t():
    correct = np.array([[1.0] * 90 + [0.0] * 10])
    interval = accuracy_interval(correct)
    p, n = 92 / 104, 104
    half = stats.t.ppf(0.975, n - 1) * np.sqrt(p * (1 - p) / (n - 1))
    assert interval.low == pytest.approx(p - half)
    assert interval.high == pytest.approx(p + half)


def test_difference_of_one_seed_is_agresti_and_min_up_to_students_t():
    first = np.array([[1.0] * 80 + [0.0] * 20])
    second = np.array([[1.0] * 70 + [0.0] * 25 + [1.0] * 5])  # 10 rows only the first, 5 only the second
    interval = difference_interval(first, second)
    n = 102
    mean = (11 - 6) / n
    half = stats.t.ppf(0.975, n - 1) * np.sqrt(((11 + 6) / n - mean**2) / (n - 1))
    assert interval.estimate == pytest.approx(0.05)
    assert (interval.low, interval.high) == (pytest.approx(mean - half), pytest.approx(mean + half))


def test_variance_is_that_of_an_independent_derivation():
    """Var(mean) = σ_a²/S + σ_b²/T + σ_e²/(ST), with components from pairwise covariances instead of mean squares."""
    generator = np.random.default_rng(1)
    n_seeds, n_rows = 4, 30
    skill = np.array([[0.7], [0.8], [0.95], [1.1]])
    correct = (generator.random((1, n_rows)) + 0.4 * generator.random((n_seeds, n_rows)) < skill).astype(float)
    padded = np.concatenate([correct, np.tile([1.0, 1.0, 0.0, 0.0], (n_seeds, 1))], axis=1)
    size = padded.shape[1]
    between_seeds = np.cov(padded)  # covariance of two seeds over rows is σ_b²
    rows = between_seeds[~np.eye(n_seeds, dtype=bool)].mean()
    between_rows = np.cov(padded.T)  # covariance of two rows over seeds is σ_a²
    seeds = between_rows[~np.eye(size, dtype=bool)].mean()
    rest = np.diag(between_seeds).mean() - rows
    variance = seeds / n_seeds + rows / size + rest / (n_seeds * size)
    interval = accuracy_interval(correct)
    half = interval.high - padded.mean()
    # invert the half width with the degrees of freedom that Satterthwaite's formula gives
    ms_seeds, ms_rows, ms_rest = rest + size * seeds, rest + n_seeds * rows, rest
    freedom = (ms_seeds + ms_rows - ms_rest) ** 2 / (
        ms_seeds**2 / (n_seeds - 1) + ms_rows**2 / (size - 1) + ms_rest**2 / ((n_seeds - 1) * (size - 1))
    )
    assert half == pytest.approx(stats.t.ppf(0.975, freedom) * np.sqrt(variance))


def test_seeds_that_all_agree_add_nothing():
    once = np.array([[1.0] * 80 + [0.0] * 20])
    one, many = accuracy_interval(once), accuracy_interval(np.repeat(once, 10, axis=0))
    assert many.high - many.low == pytest.approx(one.high - one.low, rel=1e-6)


def test_seeds_that_differ_are_punished_by_their_few_degrees_of_freedom():
    """Rows all alike within a seed: nothing but the seeds' accuracies counts, and t has S - 1 degrees of freedom."""
    accuracies = np.array([0.2, 0.5, 0.9])
    generator = np.random.default_rng(0)
    correct = (generator.random((3, 20_000)) < accuracies[:, None]).astype(float)
    interval = accuracy_interval(correct)
    half = stats.t.ppf(0.975, 2) * accuracies.std(ddof=1) / np.sqrt(3)
    assert interval.low == pytest.approx(max(0.0, accuracies.mean() - half), abs=0.02)
    assert interval.high == pytest.approx(min(1.0, accuracies.mean() + half), abs=0.02)


@pytest.mark.parametrize("n_seeds", [1, 2, 5])
def test_perfect_scores_still_have_an_interval(n_seeds):
    interval = accuracy_interval(np.ones((n_seeds, 38)))
    assert interval.estimate == 1.0 == interval.high
    assert 0.85 < interval.low < 0.95


@pytest.mark.parametrize("n_seeds", [1, 3])
def test_a_contestant_does_not_differ_from_itself(n_seeds):
    correct = (np.random.default_rng(0).random((n_seeds, 100)) < 0.8).astype(float)
    interval = difference_interval(correct, correct)
    assert interval.estimate == 0.0
    assert interval.low == pytest.approx(-interval.high)
    assert 0.0 < interval.high < 0.05
    assert not interval.decided


def test_pairing_cancels_what_both_find_hard():
    generator = np.random.default_rng(0)
    hard = generator.random(400) < 0.3
    first, second = np.tile(~hard, (3, 1)).astype(float), np.tile(~hard, (3, 1)).astype(float)
    second[:, :12] = 0.0
    paired = difference_interval(first, second)
    unpaired = difference_interval(first, generator.permuted(second, axis=1))
    assert paired.decided and not unpaired.decided
    assert paired.estimate == pytest.approx(unpaired.estimate)


def test_four_rows_do_not_decide_and_twelve_do():
    """The exact sign test needs 6 discordant rows, all on one side, for p < 0.05."""
    reference = np.zeros((3, 300))
    few, many = reference.copy(), reference.copy()
    few[:, :4], many[:, :12] = 1.0, 1.0
    assert not difference_interval(few, reference).decided
    assert difference_interval(many, reference).decided


def test_more_comparisons_and_higher_levels_widen():
    generator = np.random.default_rng(0)
    first, second = (generator.random((2, 3, 200)) < 0.8).astype(float)
    widths = [
        np.ptp([interval.low, interval.high])
        for interval in (
            difference_interval(first, second, level=0.9),
            difference_interval(first, second),
            difference_interval(first, second, n_comparisons=4),
        )
    ]
    assert widths[0] < widths[1] < widths[2]
    corrected = difference_interval(first, second, n_comparisons=4)
    alone = difference_interval(first, second, level=1 - 0.05 / 4)
    assert (corrected.low, corrected.high) == (alone.low, alone.high)


def test_different_rows_cannot_be_paired():
    with pytest.raises(ValueError, match="one shape"):
        difference_interval(np.ones((3, 10)), np.ones((3, 11)))


def test_independent_interval_is_students():
    correct = (np.random.default_rng(0).random((5, 100)) < 0.3).astype(float)
    interval = independent_interval(correct)
    low, high = stats.t.interval(0.95, 4, correct.mean(), stats.sem(correct.mean(axis=1)))
    assert (interval.low, interval.high) == (pytest.approx(low), pytest.approx(high))


def test_planned_rows_decide_as_often_as_planned():
    """Studies of the planned size decide 80 % of the time, within 4σ of the simulation and 5 % for the plan."""
    generator = np.random.default_rng(3)

    def tables(n_rows: int) -> tuple[np.ndarray, np.ndarray]:
        hard = generator.random(n_rows)
        first = (0.7 * hard + 0.3 * generator.random((3, n_rows)) < 0.82).astype(float)
        second = (0.7 * hard + 0.3 * generator.random((3, n_rows)) < 0.80).astype(float)
        return first, second

    large = difference_interval(*tables(200_000))  # components as good as known
    small = type(large)(**{**large.__dict__, "n_rows": 100, "low": -0.1, "high": 0.1, "seed_variance": 0.0})
    needed = needed_to_decide(small)
    assert needed.rows is not None and 200 < needed.rows < 20_000
    trials = 300
    share = np.mean([difference_interval(*tables(needed.rows)).decided for _ in range(trials)])
    assert abs(share - 0.8) < 0.05 + 4 * np.sqrt(0.8 * 0.2 / trials)


def test_plan_says_when_one_kind_of_sample_alone_would_not_do():
    generator = np.random.default_rng(0)
    hard = generator.random(60)
    first = np.tile(hard < 0.75, (3, 1)).astype(float)
    second = np.tile(np.roll(hard, 1) < 0.75, (3, 1)).astype(float)
    first[:, 0], second[:, 0] = 1.0, 0.0
    rows_only = needed_to_decide(difference_interval(first, second))
    assert rows_only.seeds is None and rows_only.rows is not None  # seeds agree: more of them say nothing
    wild = np.array([0.5, 0.9, 0.7])
    first = (generator.random((3, 5000)) < wild[:, None]).astype(float)
    second = (generator.random((3, 5000)) < wild[::-1, None] + 0.05).astype(float)
    seeds_only = needed_to_decide(difference_interval(first, second))
    assert seeds_only.rows is None and seeds_only.seeds is not None and seeds_only.seeds > 3
