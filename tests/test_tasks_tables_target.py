"""The target of a table, and the split of its rows."""

import json

import numpy as np
import pytest

from qnn.errors import ArgumentError, TableError, UnknownNameError
from qnn.tasks.tables import Target, read_table, split_table

TABLE = read_table(
    {
        "kind": ["b", "a", None, "b"],
        "stars": [3.0, 10.0, 3.0, 10.0],
        "price": [1.5, 2.0, 3.0, np.nan],
        "one": ["x"] * 4,
        "same": [1.5] * 4,
        "name": ["p", "q", "r", "s"],
        "age": ["31", "?", "27", "54"],
    }
)


def test_the_kind_is_seen():
    assert Target.learn(TABLE, "kind").classes == ("a", "b")
    assert Target.learn(TABLE, "stars").classes == ("3", "10")  # by value, not by letter
    assert Target.learn(TABLE, "stars", task="regression").task == "regression"
    assert Target.learn(TABLE, "price").task == "regression"
    assert Target.learn(read_table({"y": np.arange(50)}), "y").task == "regression"
    assert Target.learn(TABLE, "kind", classes=["b", "a"]).classes == ("b", "a")


def test_values():
    y, missing, outside = Target.learn(TABLE, "kind").values(TABLE)
    assert y.tolist() == [1, 0, -1, 1] and outside.count == 0
    assert missing.lines() == ['row 3, column "kind": no value']
    y, missing, outside = Target("kind", "classification", ("b", "c")).values(TABLE)
    assert y.tolist() == [0, -1, -1, 0]
    assert outside.lines() == ['row 2, column "kind": "a"']
    y, missing, _ = Target.learn(TABLE, "price").values(TABLE)
    assert missing.lines() == ['row 4, column "price": no value'] and y[1] == 2.0


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("kind", {"task": "regression"}, 'numbers for a regression; got "b" in row 1'),
        ("age", {}, r'numbers for a regression; got "\?" in row 2'),
        ("price", {"task": "classification"}, "got the real number 1.5 in row 1"),
        ("one", {}, r'two classes; got one only \("x"\)'),
        ("same", {}, r"different values; got one only \(\[1.5\]\)"),
        ("name", {}, "got 4 classes in 4 rows"),
        ("kind", {"classes": ["a", "b", "c"]}, '"c" has none in column "kind"'),
        ("kind", {"classes": ["a", "a"]}, "two or more different names"),
        ("price", {"task": "regression", "classes": ["a", "b"]}, "no meaning in a regression"),
    ],
)
def test_targets_that_cannot_be_learnt(name, options, message):
    with pytest.raises((TableError, ArgumentError), match=message):
        Target.learn(TABLE, name, **options)


def test_misspelt():
    with pytest.raises(UnknownNameError, match=r'named "knid". Did you mean "kind"'):
        Target.learn(TABLE, "knid")
    with pytest.raises(UnknownNameError, match='No task named "classify"'):
        Target.learn(TABLE, "kind", task="classify")


def test_json_round_trip():
    for target in (Target.learn(TABLE, "kind"), Target.learn(TABLE, "price").scaled_by(np.array([1.0, 3.0]))):
        assert Target.from_json(json.loads(json.dumps(target.to_json()))) == target
    for damaged in (
        {},
        {"name": "a", "task": "classification", "classes": ["a"]},
        {"name": "", "task": "regression"},
        3,
    ):
        with pytest.raises(TableError, match="A target must be"):
            Target.from_json(damaged)


def test_split():
    y = np.repeat([0, 1, 2], [60, 30, 10])
    shares = {"validation_fraction": 0.2, "test_fraction": 0.1, "seed": 3}
    split = split_table(y, stratified=True, **shares)
    assert sorted([*split.train, *split.validation, *split.test]) == list(range(100))
    assert np.bincount(y[split.validation]).tolist() == pytest.approx([12, 6, 2], abs=1)
    assert (split_table(y, stratified=True, **shares).train == split.train).all()
    assert (split_table(y, stratified=True, **shares | {"seed": 4}).train != split.train).any()
    assert len(split_table(y, stratified=False, **shares | {"test_fraction": 0}).test) == 0


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"test_fraction": 0.01}, TableError, "`test_fraction`=0.01 of 10 rows must be at least one row"),
        ({"test_fraction": 0.6, "validation_fraction": 0.4}, ArgumentError, "leave rows to train on"),
        ({"test_fraction": 0.9}, TableError, "one row of each class; got 1 of 10"),
        ({"test_fraction": -0.1}, ArgumentError, "`test_fraction` must be from 0"),
        ({"validation_fraction": True}, ArgumentError, "`validation_fraction` must be from 0"),
    ],
)
def test_empty_parts(options, error, message):
    with pytest.raises(error, match=message):
        split_table(
            np.arange(10) % 2, stratified=True, seed=0, **{"validation_fraction": 0, "test_fraction": 0} | options
        )
