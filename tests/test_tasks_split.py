import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qnn.tasks.split import split_rows, stratified_order

LABELS = st.lists(st.integers(0, 4), min_size=5, max_size=200).map(np.array)


def test_parts_share_no_row_and_leave_none_out():
    y = np.arange(500) % 7
    split = split_rows(y, seed=4)
    rows = np.concatenate([split.train, split.validation, split.test])
    np.testing.assert_array_equal(np.sort(rows), np.arange(500))
    assert [len(split.train), len(split.validation), len(split.test)] == [320, 80, 100]


def test_seed_changes_which_rows_are_held_out():
    y = np.arange(500) % 5
    assert set(split_rows(y, seed=0).test) != set(split_rows(y, seed=1).test)
    assert set(split_rows(y, seed=0).test) == set(split_rows(y, seed=0).test)


@settings(max_examples=60, deadline=None)
@given(LABELS, st.integers(0, 2**31))
def test_stratified_order_is_a_permutation_that_starts_with_each_class(y, seed):
    order = stratified_order(y, np.random.default_rng(seed))
    np.testing.assert_array_equal(np.sort(order), np.arange(len(y)))
    classes = np.unique(y)
    np.testing.assert_array_equal(np.sort(y[order[: len(classes)]]), classes)


@settings(max_examples=60, deadline=None)
@given(LABELS, st.integers(0, 2**31))
def test_every_prefix_has_the_classes_in_proportion(y, seed):
    ordered = y[stratified_order(y, np.random.default_rng(seed))]
    classes, totals = np.unique(y, return_counts=True)
    counts = (ordered[:, None] == classes).cumsum(axis=0)
    expected = np.arange(1, len(y) + 1)[:, None] * totals / len(y)
    # Each class is off by rounding (1) and by those that were put in front (at most one of every class).
    assert np.abs(counts - expected).max() <= 1 + len(classes)


def test_order_within_a_class_is_random():
    y = np.zeros(50, dtype=int)
    first, second = (stratified_order(y, np.random.default_rng(seed)) for seed in (0, 1))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, np.arange(50))
