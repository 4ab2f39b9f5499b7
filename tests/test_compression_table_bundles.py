"""What a compressed bundle of `qnn train` says about its model: found anew, or not at all."""

import numpy as np
import pytest
import torch

import qnn
from qnn.compression import compress_bundle
from qnn.compression.table_bundles import rows_of_builtin
from qnn.errors import ArgumentError
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
    assert new.metrics["test"]["n"] == 30 == sum(model.predicted.counts.values())
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


def test_rows_that_were_used_for_everything_are_not_called_held_out(bundle, tmp_path):
    pair = torch.as_tensor(X, dtype=torch.float32), torch.as_tensor((TABLE["answer"] == "yes").astype(int))
    compress_bundle(bundle, tmp_path / "out", pair, **PRUNED)
    metrics = read_bundle(tmp_path / "out").metrics
    assert "test" not in metrics and metrics["train"]["n"] == 120


def test_predicted_numbers_are_in_the_unit_of_the_target(tmp_path):
    columns = {name: TABLE[name] for name in ("a", "b", "sum")}
    qnn.train_table(columns, "sum", epochs=1, **NETWORK).save(tmp_path / "b")
    report = compress_bundle(tmp_path / "b", tmp_path / "out", TABLE, **PRUNED)
    metrics, model = read_bundle(tmp_path / "out").metrics, TableModel.load(tmp_path / "out")
    assert metrics["test"]["rmse"]["value"] == pytest.approx(model.target.deviation * report.after.loss**0.5, rel=1e-4)
    assert model.predicted.n == 30


def test_a_task_is_scaled_and_split_as_in_training(tmp_path):
    path = tmp_path / "iris"
    qnn.train_table("iris", scaling="angle", split_seed=3, epochs=3, **NETWORK).save(path)
    report = compress_bundle(path, tmp_path / "out", "iris", quantize={"method": "angles", "bits": 8}, device=None)
    assert (
        report.before.accuracy == read_bundle(path).metrics["test"]["accuracy"]["value"] and report.before.n_test == 30
    )
    model = TableModel.load(path)
    model.config = {"data": "iris", "table": {"split_seed": "three"}}  # a bundle is input
    assert len(rows_of_builtin(model, "iris").validation) == 24
    with pytest.raises(
        ArgumentError, match=r'`data` must have the classes of the bundle, setosa, .*; got the task "digits"'
    ):
        rows_of_builtin(model, "digits")
