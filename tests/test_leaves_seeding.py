"""Keys and generators: independent of order, distinct in every field."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qnn import _seeding


def draw(*key: int, stream: int = 0) -> float:
    return _seeding.generator(np.array(key), stream).random()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.tuples(
        st.integers(0, 2**63 - 1),
        st.integers(-5, 10**6),
        st.integers(0, 10**5),
        st.integers(0, 10**7),
        st.integers(0, 10**5),
    )
)
def test_a_key_is_repeatable_and_every_field_counts(key) -> None:
    value = draw(*key)
    assert value == draw(*key)
    for place in range(5):
        moved = list(key)
        moved[place] += 1
        if moved[0] < 2**63:
            assert draw(*moved) != value
    assert draw(*key, stream=1) != value


def test_neighbouring_keys_never_meet() -> None:
    values = [draw(*key, stream=s) for key in itertools.product(range(3), repeat=5) for s in range(3)]
    assert len(set(values)) == len(values)


def test_a_long_draw_does_not_run_into_the_next_row() -> None:
    one, other = (_seeding.generator(np.array([0, 0, 0, p, 0])).random(10_000) for p in (0, 1))
    assert not set(one) & set(other)


def test_rows_outside_a_loop() -> None:
    keys = _seeding.row_keys(7, 3, 5)
    assert keys.tolist() == [[7, -1, 5, 0, 0], [7, -1, 5, 1, 0], [7, -1, 5, 2, 0]]


def test_rows_inside_a_step_have_their_positions_and_calls_are_counted_per_root() -> None:
    with _seeding.step_scope(9, torch.tensor([4, 2])) as scope:
        assert _seeding.current_scope() is scope
        assert _seeding.row_keys(7, 2, 99).tolist() == [[7, 9, 0, 4, 0], [7, 9, 0, 2, 0]]
        assert _seeding.row_keys(7, 2, 99)[:, 2].tolist() == [1, 1]
        assert _seeding.row_keys(8, 2, 99)[:, 2].tolist() == [0, 0]
        with _seeding.step_scope(10):
            assert _seeding.row_keys(7, 2, 0).tolist() == [[7, 10, 0, 0, 0], [7, 10, 0, 1, 0]]
        assert _seeding.row_keys(7, 2, 99)[:, 2].tolist() == [2, 2]
    assert _seeding.current_scope() is None


def test_further_leading_dimensions_spread_over_positions() -> None:
    with _seeding.step_scope(0, torch.tensor([5, 1])):
        assert _seeding.row_keys(0, 6, 0)[:, 3].tolist() == [15, 16, 17, 3, 4, 5]
        assert _seeding.row_keys(0, 5, 0)[:, 3].tolist() == [0, 1, 2, 3, 4]


def test_a_scope_closes_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), _seeding.step_scope(1):
        1 / 0  # noqa: B018
    assert _seeding.current_scope() is None


def test_roots() -> None:
    assert _seeding.draw_root(5) == 5
    torch.manual_seed(0)
    first = _seeding.draw_root(None)
    assert first != _seeding.draw_root(None)
    torch.manual_seed(0)
    assert first == _seeding.draw_root(None)
