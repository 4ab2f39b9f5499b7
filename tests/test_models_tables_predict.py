"""Predictions from a bundle: rows, probabilities, faults by row and column, scores, drift."""

import csv
import io
import math

import numpy as np
import pandas as pd
import pytest
import torch
from table_samples import QUICK, houses_frame, iris_frame

from qnn.errors import ArgumentError, TableError, UnknownNameError
from qnn.models.tables import TableModel, predict_table, train_table
from qnn.tasks.tables import read_table


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "iris.qnn"
    train_table(iris_frame(), "species", out=path, **QUICK | {"epochs": 30})
    return path


@pytest.fixture(scope="module")
def houses():
    return train_table(houses_frame(), "price", **QUICK | {"epochs": 2})


def test_predictions_are_those_of_the_network(bundle):
    model, frame = TableModel.load(bundle), iris_frame()
    found = predict_table(bundle, frame[["petal_width", "sepal_length", "petal_length", "sepal_width"]])  # by name
    features = torch.as_tensor(model.preparation(read_table(frame)).x)
    with torch.no_grad():
        expected = model.model(features.float()).softmax(-1)
    np.testing.assert_allclose(found.probabilities, expected.numpy(), atol=1e-6)
    assert found.predicted.tolist() == [model.target.classes[i] for i in expected.argmax(-1)]


def test_what_is_written(bundle, tmp_path):
    found = predict_table(bundle, iris_frame().assign(row=7), keep=["species", "row"])
    rows = list(csv.reader(io.StringIO(found.to_csv())))
    names = ["probability setosa", "probability versicolor", "probability virginica"]
    assert rows[0] == ["row", "species", "input row", "prediction", *names]
    assert rows[1][:4] == ["1", "setosa", "7", "setosa"] and len(rows) == 151
    assert math.fsum(map(float, rows[1][4:])) == pytest.approx(1, abs=1e-5)
    frame = pd.read_parquet(found.write(tmp_path / "p.parquet"))
    assert list(frame) == rows[0] and frame.prediction.tolist() == found.predicted.tolist()
    assert found.write(tmp_path / "p.csv").read_text() == found.to_csv()
    with pytest.raises(ArgumentError, match=r"must end in \.csv or \.parquet; got \"p.xlsx\""):
        found.write("p.xlsx")


def test_kept_columns_do_not_hide_predictions(bundle):
    frame = iris_frame().assign(**{"probability setosa": 7, "prediction": "p", "input prediction": "q"})
    found = predict_table(bundle, frame, keep=["probability setosa", "prediction", "input prediction"]).columns()
    assert list(found)[1:4] == ["input probability setosa", "input input prediction", "input prediction"]
    assert [found[name][0] for name in list(found)[1:4]] == ["7", "p", "q"]
    assert found["probability setosa"] == predict_table(bundle, iris_frame()).probabilities[:, 0].tolist()


def test_skipped_rows_leave_the_shots_of_others(bundle):
    frame, sampled = iris_frame()[:6], {"backend": "statevector", "shots": 20}
    whole = predict_table(bundle, frame, **sampled).probabilities
    frame.loc[1, "petal_width"] = None
    found = predict_table(bundle, frame, **sampled, bad_rows="skip").probabilities
    np.testing.assert_array_equal(np.delete(found, 1, axis=0), np.delete(whole, 1, axis=0))
    assert not np.array_equal(predict_table(bundle, frame, **sampled, bad_rows="skip", seed=1).probabilities, found)


def test_rows_that_cannot_be_predicted(houses):
    frame = pd.DataFrame({"size": [50.0, None, 70, 80], "district": ["north", "south", "island", None]})
    message = (
        r'got 3 others: row 2, column "size": no value; row 4, column "district": no value; '
        r'row 3, column "district": unknown category "island"\. Correct'
    )
    with pytest.raises(TableError, match=message):
        predict_table(houses, frame)
    found = predict_table(houses, frame, bad_rows="skip")
    assert [value is None for value in found.predicted] == [False, True, True, True]
    assert len(found.skipped) == 3 and found.to_csv().splitlines()[2] == "2,"
    with pytest.raises(TableError, match="must have a row that can be predicted; got none"):
        predict_table(houses, frame[1:], bad_rows="skip")
    with pytest.raises(UnknownNameError, match="No `bad_rows` named"):
        predict_table(houses, frame, bad_rows="ignore")


def test_scores(bundle):
    frame = iris_frame()
    scores = predict_table(bundle, frame, score=True).scores
    assert scores.by_name["accuracy"].value > 0.8 and scores.by_name["majority"].value == pytest.approx(1 / 3)
    frame.loc[4, "species"] = "setossa"
    with pytest.raises(TableError, match=r'to score predictions; got 1 others: row 5, column "species": "setossa"'):
        predict_table(bundle, frame, score=True)


def test_drift(bundle):
    frame = iris_frame()
    assert predict_table(bundle, frame, monitor=True).drift.drifted == []
    virginica = frame[frame.species == "virginica"]
    report = predict_table(bundle, virginica, monitor=True).drift
    assert {"petal_length", "petal_width", "prediction"} <= set(report.drifted)
    assert predict_table(bundle, virginica, monitor=True, min_psi=50.0).drift.drifted == []
    assert predict_table(bundle, virginica, monitor=True, alpha=0).drift.drifted == []


def test_numbers_among_texts_count_for_drift(houses):
    frame = houses_frame()[["size", "district"]].astype({"size": object})
    frame.loc[::2, "size"] = "unknown"
    found = predict_table(houses, frame, bad_rows="skip", monitor=True)
    by_name = {drift.name: drift for drift in found.drift.drifts}
    assert by_name["size (missing)"].status == "drift" and by_name["size"].status == "none"


def test_another_place_to_run(bundle):
    frame = iris_frame()[:20]
    exact = predict_table(bundle, frame).probabilities
    noisy = [
        predict_table(bundle, frame, backend="statevector", shots=100, seed=seed).probabilities for seed in (0, 0, 1)
    ]
    assert (noisy[0] == noisy[1]).all() and (noisy[0] != noisy[2]).any() and (noisy[0] != exact).any()


def test_options_of_a_bundle_for_a_model(houses):
    with pytest.raises(ArgumentError, match="`backend` is for a bundle that is read"):
        predict_table(houses, houses_frame(), backend="aer")
