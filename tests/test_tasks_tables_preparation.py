"""From columns to features: by definition, from training rows alone, and back from JSON."""

import json
import math

import numpy as np
import pytest

from qnn.errors import ArgumentError, TableError, UnknownNameError
from qnn.tasks.tables import Preparation, read_table

TABLE = read_table({"size": [1.0, 3.0, 100.0, np.nan], "colour": ["red", "blue", "mauve", None], "code": [7, 8, 7, 8]})
TRAIN = np.array([0, 1])


def test_features_by_definition():
    standard = Preparation.learn(TABLE, ["size", "colour"], TRAIN)
    assert standard.feature_names == ["size", "colour=blue", "colour=red"]
    prepared = standard(TABLE)
    assert prepared.x.tolist() == [[-1, 0, 1], [1, 1, 0], [98, 0, 0], [0, 0, 0]]  # mean 2, deviation 1
    assert prepared.missing.lines() == ['row 4, column "size": no value', 'row 4, column "colour": no value']
    assert prepared.unseen.lines() == ['row 3, column "colour": unknown category "mauve"']
    assert Preparation.learn(TABLE, ["size"], TRAIN, scaling="none")(TABLE).x[2, 0] == 100


def test_angles_are_clipped_to_the_training_range():
    angles = Preparation.learn(TABLE, ["size"], TRAIN, scaling="angle")(TABLE).x[:, 0]
    np.testing.assert_allclose(angles, [0, math.pi, math.pi, 0])


def test_numbers_that_are_names():
    assert Preparation.learn(TABLE, ["code"], TRAIN, categorical=["code"]).feature_names == ["code=7", "code=8"]


def test_missing_values_are_filled_with_what_was_learnt():
    preparation = Preparation.learn(TABLE, ["size", "colour"], np.array([0, 1, 2]), missing="fill")
    prepared = preparation(TABLE)
    assert prepared.missing.count == 0
    np.testing.assert_array_equal(prepared.x[3], [*(prepared.x[1, :1]), 1, 0, 0])  # median 3; blue, the first of three


def test_a_constant_column_is_only_shifted():
    table = read_table({"a": [0.1] * 10, "b": np.arange(10.0)})
    prepared = Preparation.learn(table, ["a", "b"], np.arange(10))(table)
    np.testing.assert_allclose(prepared.x[:, 0], 0, atol=1e-15)


def test_groups_share_mean_and_deviation():
    table = read_table({"x0": [0.0, 2.0], "x1": [2.0, 4.0], "x2": [5.0, 6.0], "x3": [7.0, 8.0]})
    x = Preparation.learn(table, table.names, np.arange(2), groups=2)(table).x
    first = np.array([[0, 2], [2, 4]])
    np.testing.assert_allclose(x[:, :2], (first - 2) / math.sqrt(2))


@pytest.mark.parametrize("scaling", ["standard", "angle"])
def test_json_round_trip(scaling):
    preparation = Preparation.learn(TABLE, ["size", "colour"], TRAIN, scaling=scaling, missing="fill")
    again = Preparation.from_json(json.loads(json.dumps(preparation.to_json())))
    assert again == preparation
    np.testing.assert_array_equal(again(TABLE).x, preparation(TABLE).x)


@pytest.mark.parametrize(
    "damage",
    [
        {"kind": "function"},
        {"subtract": "1"},
        {"multiply": float("nan")},
        {"scaling": "cubic"},
        {"name": 3},
        {"fill": True},
        {"kind": "category", "categories": ["a", 1]},
        {"kind": "category", "categories": ["a"], "fill": "b"},
    ],
)
def test_damaged_json(damage):
    (entry,) = Preparation.learn(TABLE, ["size"], TRAIN).to_json()
    with pytest.raises(TableError, match="column 1 of a preparation"):
        Preparation.from_json([entry | damage])
    with pytest.raises(TableError, match="column 2 of a preparation"):
        Preparation.from_json([entry, {}])
    with pytest.raises(TableError, match="each column once"):
        Preparation.from_json([entry, entry])


def test_nearly_numbers_are_refused_by_row():
    table = read_table({"age": ["31", "?", "27", "n.a.", "54"], "price": ["1,5", "2,5", "3,0", "4", "5,5"]})
    with pytest.raises(TableError, match=r'"age" of data must be all numbers.* 2 that are not: row 2, .*: "\?"; row 4'):
        Preparation.learn(table, ["age"], np.arange(5))
    with pytest.raises(TableError, match=r'"price" .*row 1, column "price": "1,5".*decimals have a point'):
        Preparation.learn(table, ["price"], np.arange(5))
    assert len(Preparation.learn(table, ["age"], np.arange(5), categorical=["age"]).feature_names) == 5


def test_what_cannot_be_a_feature():
    many = read_table({"id": [f"n{i}" for i in range(60)], "none": [None] * 60})
    with pytest.raises(TableError, match=r'"id" of data must have at most 50 categories.*got 60 in 60'):
        Preparation.learn(many, ["id"], np.arange(60))
    assert len(Preparation.learn(many, ["id"], np.arange(60), max_categories=60).feature_names) == 60
    with pytest.raises(TableError, match='"none" must have a value'):
        Preparation.learn(many, ["none"], np.arange(60))
    with pytest.raises(ArgumentError, match="`features` must name at least one"):
        Preparation.learn(many, [], np.arange(60))
    with pytest.raises(ArgumentError, match='`categorical` must name features; got "x"'):
        Preparation.learn(many, ["id"], np.arange(60), categorical=["x"])
    with pytest.raises(UnknownNameError, match=r'No `scaling` named "angles". Did you mean "angle"'):
        Preparation.learn(many, ["id"], np.arange(60), scaling="angles")


def test_new_tables_that_do_not_fit():
    preparation = Preparation.learn(TABLE, ["size", "colour"], TRAIN)
    with pytest.raises(TableError, match=r'trained on; it lacks "colour". Columns go by name'):
        preparation(read_table({"size": [1.0]}))
    prepared = preparation(read_table({"colour": ["red"] * 3, "size": ["big", "2", float("inf")]}))
    assert prepared.missing.lines() == [
        'row 1, column "size": "big" is no number',
        'row 3, column "size": an infinite value',
    ]
    assert prepared.x[1].tolist() == [0, 0, 1]


def test_the_first_few_problems_and_a_count():
    table = read_table({"size": [1.0] + [None] * 9})
    missing = Preparation.learn(table, ["size"], np.array([0]))(table).missing
    assert missing.count == 9 and missing.rows.tolist() == list(range(1, 10))
    assert missing.describe(2) == 'row 2, column "size": no value; row 3, column "size": no value; and 7 more'


def test_numbers_without_a_finite_spread_are_refused_by_column():
    wide = read_table({"a": [1e308, -1e308, 1e308]})
    with pytest.raises(
        TableError, match=r'The column "a" must have numbers whose mean and spread are finite; got .* 1e'
    ):
        Preparation.learn(wide, ["a"], np.arange(3))
