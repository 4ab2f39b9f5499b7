"""What a compressed bundle of `qnn train` says about its model: found anew, or not at all."""

import numpy as np
import pytest
import torch

import qnn
from qnn.compression import compress_bundle
from qnn.compression.table_bundles import rows_of_builtin, rows_of_table
from qnn.errors import ArgumentError, BundleError, TableError
from qnn.models.bundle import read_bundle
from qnn.models.tables import TableModel

X = np.random.default_rng(0).normal(size=(120, 2))
TABLE = {"a": X[:, 0], "b": X[:, 1], "answer": np.where(X[:, 0] + X[:, 1] > 0, "yes", "no"), "sum": X.sum(axis=1)}
PRUNED = {"prune": {"method": "angle", "amount": 3}, "device": None}  # of 4 angles: another model
NETWORK = {"n_qubits": 2, "n_layers": 2, "progress": False}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    columns = {name: TABLE[name] for name in ("a", "b", "answer")}
    path = tmp_path_factory.mktemp("table") / "whole"
    qnn.train_table(columns, "answer", epochs=4, **NETWORK).save(path)
    return path


def test_scores_and_the_distribution_of_predictions_are_those_of_the_new_model(bundle, tmp_path):
    old = read_bundle(bundle)
    report = compress_bundle(bundle, tmp_path / "out", TABLE, **PRUNED)
    new, model = read_bundle(tmp_path / "out"), TableModel.load(tmp_path / "out")
    assert new.metrics.keys() == {"source", "test", "compression"} and new.metrics["source"] == old.metrics
    assert new.metrics["test"]["n"] == 24 == old.metrics["test"]["n"]
    assert sum(model.predicted.counts.values()) == 24 + 19, "test and validation, as after a training"
    assert new.metrics["test"]["accuracy"]["value"] == pytest.approx(report.after.accuracy)
    assert report.after.accuracy < 0.8 < old.metrics["test"]["accuracy"]["value"]
    assert {name: new.task[name] for name in ("target", "profiles", "labels")} == {
        name: old.task[name] for name in ("target", "profiles", "labels")
    }
    found = qnn.predict_table(model, TABLE, monitor=True).drift
    assert not found.drifted and "prediction" in {drift.name for drift in found.drifts} and not found.remark
    model.predicted = TableModel.load(bundle).predicted  # that of the old model
    assert qnn.predict_table(model, TABLE, monitor=True).drift.drifted == ["prediction"]


def test_without_data_there_are_none_and_columns_alone_are_watched(bundle, tmp_path):
    compress_bundle(bundle, tmp_path / "out", **PRUNED)
    new = read_bundle(tmp_path / "out")
    assert new.metrics.keys() == {"source", "compression"} and new.task["predicted"] is None
    found = qnn.predict_table(tmp_path / "out", TABLE, monitor=True).drift
    assert {drift.name for drift in found.drifts} == {"a", "b"} and not found.drifted
    assert "Predictions are not compared: the bundle has no distribution" in str(found)
    again = TableModel.load(tmp_path / "out").save(tmp_path / "again")
    compress_bundle(again, tmp_path / "more", TABLE, quantize={"method": "angles", "bits": 6}, device=None)
    assert TableModel.load(tmp_path / "more").predicted is not None


def test_the_table_of_the_training_is_split_as_it_was_and_others_are_not_called_test(bundle, tmp_path):
    """Of labels at random a model knows only what it was trained on, so that a split of its own would show."""
    columns = {name: TABLE[name] for name in ("a", "b")} | {
        "answer": np.random.default_rng(1).permutation(TABLE["answer"])
    }
    options = {"split_seed": 7, "validation_fraction": 0.0, "test_fraction": 0.3}
    qnn.train_table(columns, "answer", epochs=1, **options, **NETWORK).save(tmp_path / "b")
    model, old = TableModel.load(tmp_path / "b"), read_bundle(tmp_path / "b")
    found = rows_of_table(model, columns, seed=5)
    assert (len(found.train), found.validation, len(found.test), found.called) == (84, None, 36, "test")
    hundred = {"quantize": {"method": "angles", "bits": 16}, "device": None}  # the same model, as good as
    compress_bundle(tmp_path / "b", tmp_path / "out", columns, **hundred)
    assert read_bundle(tmp_path / "out").metrics["test"]["accuracy"] == old.metrics["test"]["accuracy"]
    again = compress_bundle(tmp_path / "out", tmp_path / "more", columns, **hundred)
    assert again.after.n_test == 36, "a bundle that was compressed knows it, too"
    other = {name: values[::-1] for name, values in columns.items()}
    found = rows_of_table(model, other, seed=5)
    assert (len(found.train), len(found.test), found.called) == (90, 30, "data")
    compress_bundle(tmp_path / "b", tmp_path / "others", other, **hundred)
    assert read_bundle(tmp_path / "others").metrics.keys() == {"source", "data", "compression"}
    few = {name: values[:9] for name, values in columns.items()}
    assert rows_of_table(model, few, seed=0).called == "data"
    model.config["table"]["split_seed"] = -1
    with pytest.raises(BundleError, match=r"must have a `split_seed` from 0 to .*; got -1"):
        rows_of_table(model, columns, seed=0)
    model.config = {}
    assert rows_of_table(model, columns, seed=0).called == "data"


def test_rows_are_left_out_as_in_the_training_and_categories_of_its_test_rows_are_no_mistake():
    """As the training does it: with gaps in a feature and in the target, and one category in a single row."""
    columns = {name: TABLE[name].copy() for name in ("a", "answer")} | {"kind": np.where(TABLE["b"] > 0, "u", "v")}
    columns["a"][:5] = np.nan
    columns = {name: values.astype(object) for name, values in columns.items()}
    columns["answer"][100], columns["kind"][101] = None, "rare"
    model = qnn.train_table(columns, "answer", epochs=1, missing="drop", split_seed=1, **NETWORK)
    assert not any("rare" in name for name in model.preparation.feature_names), "it is in no training row"
    found = rows_of_table(model, columns, seed=0)
    assert (found.called, len(found.train) + len(found.validation) + len(found.test)) == ("test", 114)
    assert len(found.test) == model.metrics["test"]["n"]
    other = {name: values[::-1] for name, values in columns.items()}
    with pytest.raises(TableError, match=r'must have values and known categories .*"rare"'):
        rows_of_table(model, other, seed=0)
    with pytest.raises(TableError, match='it lacks "a"'):
        rows_of_table(model, {"kind": columns["kind"], "answer": columns["answer"]}, seed=0)


def test_without_a_test_part_the_entry_is_named_after_what_was_used(tmp_path):
    columns = {name: TABLE[name] for name in ("a", "b", "sum")}
    for fractions, called, n in (((0.25, 0.0), "validation", 30), ((0.0, 0.0), "train", 120)):
        shares = dict(zip(("validation_fraction", "test_fraction"), fractions, strict=True))
        qnn.train_table(columns, "sum", epochs=1, **shares, **NETWORK).save(tmp_path / called)
        compress_bundle(tmp_path / called, tmp_path / f"{called} out", TABLE, **PRUNED)
        metrics, model = read_bundle(tmp_path / f"{called} out").metrics, TableModel.load(tmp_path / f"{called} out")
        assert metrics.keys() == {"source", called, "compression"} and metrics[called]["n"] == n == model.predicted.n


def test_rows_that_were_used_for_everything_are_not_called_held_out(bundle, tmp_path):
    pair = torch.as_tensor(X, dtype=torch.float32), torch.as_tensor((TABLE["answer"] == "yes").astype(int))
    compress_bundle(bundle, tmp_path / "out", pair, **PRUNED)
    metrics = read_bundle(tmp_path / "out").metrics
    assert "test" not in metrics and metrics["train"]["n"] == 120
    assert {found["part"] for found in metrics["compression"]["measurements"]} == {"data"}


def test_predicted_numbers_are_in_the_unit_of_the_target(tmp_path):
    columns = {name: TABLE[name] for name in ("a", "b", "sum")}
    qnn.train_table(columns, "sum", epochs=1, **NETWORK).save(tmp_path / "b")
    report = compress_bundle(tmp_path / "b", tmp_path / "out", TABLE, **PRUNED)
    metrics, model = read_bundle(tmp_path / "out").metrics, TableModel.load(tmp_path / "out")
    unit = report.details["unit of the loss"]
    assert unit == f'({model.target.deviation:.4g})², the variance of "sum" in training' and report.after.part == "test"
    assert metrics["test"]["rmse"]["value"] == pytest.approx(model.target.deviation * report.after.loss**0.5, rel=1e-4)
    assert model.predicted.n == 24 + 19


def test_a_task_is_scaled_and_split_as_in_training(tmp_path):
    path = tmp_path / "iris"
    qnn.train_table("iris", scaling="angle", split_seed=3, epochs=3, **NETWORK).save(path)
    report = compress_bundle(path, tmp_path / "out", "iris", quantize={"method": "angles", "bits": 8}, device=None)
    assert (
        report.before.accuracy == read_bundle(path).metrics["test"]["accuracy"]["value"] and report.before.n_test == 30
    )
    model = TableModel.load(path)
    for forged in (-1, 2**40, "three", True):  # a bundle is input
        model.config = {"data": "iris", "table": {"split_seed": forged}}
        with pytest.raises(BundleError, match=r"must have a `split_seed` from 0 to 4,294,967,295; got .* fresh copy"):
            rows_of_builtin(model, "iris")
    model.config = {"data": "wine", "table": {"split_seed": 3}}
    found = rows_of_builtin(model, "iris")
    assert len(found.validation) == 24 and found.called == "data", "of another task's training nothing is known"
    with pytest.raises(
        ArgumentError, match=r'`data` must have the classes of the bundle, setosa, .*; got the task "digits"'
    ):
        rows_of_builtin(model, "digits")
