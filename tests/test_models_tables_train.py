"""From a table to a bundle: every kind of file the same model, every option with an effect, every fault by its name."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from table_samples import QUICK, houses_frame, iris_frame
from torch.testing._internal.distributed.fake_pg import FakeStore

import qnn
from qnn.errors import ArgumentError, BundleError, CheckpointError, TableError, UnknownNameError
from qnn.models.tables import TableModel, is_main, predict_table, train_table
from qnn.tasks.tables import prepare_builtin, prepare_table, read_table
from qnn.training import Callback


def weights(model):
    return torch.cat([weight.detach().reshape(-1) for weight in model.model.parameters()])


@pytest.fixture(scope="module")
def iris(tmp_path_factory):
    """A model, and the folder in which it and its bundle are."""
    folder = tmp_path_factory.mktemp("iris")
    iris_frame().to_csv(folder / "iris.csv", index=False)
    return train_table(folder / "iris.csv", "species", out=folder / "iris.qnn", **QUICK | {"epochs": 30}), folder


def test_a_model_that_learnt(iris):
    model, folder = iris
    assert model.scores["test"].by_name["accuracy"].low > 0.7
    assert [model.scores[name].n for name in ("train", "validation", "test")] == [96, 24, 30]
    lines = [json.loads(line) for line in (folder / "iris.qnn.log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(1, 31))
    assert not (folder / "iris.qnn.checkpoint").exists()  # done, so there is nothing to go on with


def test_the_bundle_holds_it_all(iris):
    model, folder = iris
    loaded = TableModel.load(folder / "iris.qnn")
    assert loaded.preparation == model.preparation and loaded.target == model.target
    assert loaded.metrics == json.loads(json.dumps(model.metrics)) and loaded.metrics["test"]["n"] == 30
    assert loaded.config["fit"]["epochs"] == 30 and loaded.config["data"] == "iris.csv"
    assert [p.to_json() for p in loaded.profiles] == [p.to_json() for p in model.profiles]
    assert loaded.labels.counts == {"setosa": 32, "versicolor": 32, "virginica": 32}
    assert sum(loaded.predicted.counts.values()) == 54  # what was held out
    assert torch.equal(weights(loaded), weights(model))


@pytest.mark.parametrize("kind", ["parquet", "npz", "frame"])
def test_every_kind_of_file_gives_the_same_model(kind, tmp_path):
    frame = iris_frame()
    data = {"parquet": tmp_path / "a.parquet", "npz": tmp_path / "a.npz", "frame": frame}[kind]
    frame.to_csv(tmp_path / "a.csv", index=False)
    if kind == "parquet":
        frame.to_parquet(data)
    elif kind == "npz":
        np.savez(data, **{name: frame[name].to_numpy(dtype=None if name != "species" else str) for name in frame})
    quick = QUICK | {"epochs": 1}
    models = [train_table(source, "species", **quick) for source in (tmp_path / "a.csv", data)]
    assert torch.equal(weights(models[0]), weights(models[1]))
    assert models[0].preparation == models[1].preparation


@pytest.mark.parametrize(
    "option",
    [
        {"features": ["petal_length", "petal_width"]},
        {"scaling": "angle"},
        {"categorical": ["petal_width"]},
        {"validation_fraction": 0.3},
        {"test_fraction": 0},
        {"split_seed": 1},
        {"seed": 1},
        {"n_hidden": [3]},
        {"classes": ["virginica", "setosa", "versicolor"]},
        {"epochs": 2},
        {"optimizer": "rotosolve"},
        {"shots": 100},
        {"learning_rate": 0.01},
    ],
)
def test_options_change_the_model(option, iris):
    frame, quick = iris_frame().iloc[::3], QUICK | {"epochs": 1}
    plain, other = (train_table(frame, "species", **quick | more) for more in ({}, option))
    assert weights(plain).shape != weights(other).shape or not torch.allclose(weights(plain), weights(other))


def test_regression_in_its_own_unit(tmp_path):
    options = QUICK | {"epochs": 40, "scaling": "angle"}
    model = train_table(houses_frame(), "price", out=tmp_path / "houses.zip", **options)
    assert model.target.task == "regression" and model.preparation.feature_names[-1] == "district=south"
    assert model.scores["test"].by_name["r2"].value > 0.7
    found = predict_table(tmp_path / "houses.zip", houses_frame(), score=True, monitor=True)
    assert found.scores.by_name["rmse"].value < 40_000 and found.drift.drifted == []
    assert abs(np.mean(found.predicted) - houses_frame().price.mean()) < 20_000


def test_a_task_by_name_is_split_and_scaled_like_the_task(tmp_path):
    model = train_table("digits", **QUICK | {"epochs": 1, "batch_size": None})
    assert model.target.classes == tuple("0123456789") and len(model.preparation.columns) == 64
    task = qnn.load_task("digits")
    prepared = prepare_builtin("digits")
    assert torch.equal(prepared.test.y, task.test.y)
    torch.testing.assert_close(prepared.test.x, task.test.x, rtol=1e-5, atol=1e-5)
    other = train_table("digits", split_seed=3, **QUICK | {"epochs": 1, "batch_size": None})
    assert not torch.equal(weights(model), weights(other))


class _StopAfter(Callback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, state):
        if state.step == self.step:
            raise KeyboardInterrupt


def test_the_same_call_goes_on_after_a_crash(tmp_path):
    frame = iris_frame()
    whole = train_table(frame, "species", out=tmp_path / "whole", **QUICK)
    with pytest.raises(KeyboardInterrupt):
        train_table(frame, "species", out=tmp_path / "broken", callbacks=[_StopAfter(8)], **QUICK)
    assert (tmp_path / "broken.checkpoint").is_dir() and not (tmp_path / "broken").exists()
    with pytest.raises(CheckpointError, match="learning_rate"):
        train_table(frame, "species", out=tmp_path / "broken", **QUICK | {"learning_rate": 0.2})
    resumed = train_table(frame, "species", out=tmp_path / "broken", **QUICK)
    assert torch.equal(weights(resumed), weights(whole))
    logs = [(tmp_path / f"{name}.log.jsonl").read_text().splitlines() for name in ("whole", "broken")]
    assert len(logs[0]) == len(logs[1]) == 6


def test_a_checkpoint_elsewhere_is_kept(tmp_path):
    frame, quick = iris_frame(), QUICK | {"epochs": 1}
    train_table(frame, "species", out=tmp_path / "a", checkpoint=tmp_path / "kept", **quick)
    assert list((tmp_path / "kept").iterdir())
    train_table(frame, "species", out=tmp_path / "b", checkpoint=False, **quick)
    assert not (tmp_path / "b.checkpoint").exists()


def test_missing_values(tmp_path):
    frame = houses_frame()
    frame.loc[[1, 4, 60], "size"] = None
    frame.loc[7, "district"] = None
    quick = QUICK | {"epochs": 1}
    with pytest.raises(TableError, match=r'got 4 without: row 2, column "size": no value; .*row 8, column "district"'):
        train_table(frame, "price", **quick)
    dropped = train_table(frame, "price", missing="drop", **quick)
    assert sum(score.n for score in dropped.scores.values()) == 86
    assert dropped.notes[0].startswith('Left out 4 of 90 rows with missing values: row 2, column "size": no value')
    filled = train_table(frame, "price", missing="fill", out=tmp_path / "filled", **quick)
    assert sum(score.n for score in filled.scores.values()) == 90
    assert predict_table(tmp_path / "filled", frame).predicted[1] is not None
    frame.loc[3, "price"] = None
    with pytest.raises(TableError, match=r'target "price" of data .* row; got 1 without: row 4, column "price"'):
        train_table(frame, "price", missing="fill", **quick)


def test_categories_of_held_out_rows_only_are_noted():
    frame = houses_frame()
    prepared = train_table(frame, "price", **QUICK | {"epochs": 1})
    held = int(prepare_table(read_table(frame), "price").split.test[0])
    frame.loc[held, "district"] = "island"
    model = train_table(frame, "price", **QUICK | {"epochs": 1})
    assert model.notes == (
        f'Categories that no training row has: row {held + 1}, column "district": unknown category "island"',
    )
    assert model.preparation == prepared.preparation


@pytest.mark.parametrize(
    ("data", "target", "options", "error", "message"),
    [
        ("digitz", None, {}, UnknownNameError, 'named "digitz". Did you mean "digits"'),
        ("digits", "class", {}, ArgumentError, '`target` has no meaning for the built-in task "digits"'),
        ("digits", None, {"features": ["x0"]}, ArgumentError, "`features` has no meaning"),
        (None, None, {}, ArgumentError, "`target` must name the column"),
        (None, "specie", {}, UnknownNameError, 'Did you mean "species"'),
        (None, "species", {"features": ["species"]}, ArgumentError, "other than the target"),
        (None, "species", {"loss": "mse"}, ArgumentError, "`loss` follows from the table"),
        (None, "species", {"optimizer": "adamm"}, UnknownNameError, 'No optimizer named "adamm".*rotosolve'),
        (None, "species", {"n_qubit": 2}, Exception, "n_qubit"),
        (None, "species", {"classes": ["setosa", "virginica"]}, TableError, '50 others: row 51, .* "versicolor"'),
        (None, "species", {"seed": -1}, ArgumentError, "`seed` must be"),
        (None, "species", {"split_seed": -1}, ArgumentError, "`split_seed` must be an integer from 0 to .*; got -1"),
        ("iris", None, {"split_seed": 2**40}, ArgumentError, "`split_seed` must be an integer from 0 to 4,294,967,295"),
    ],
)
def test_bad_input(data, target, options, error, message):
    with pytest.raises(error, match=message):
        train_table(iris_frame() if data is None else data, target, **{"progress": False} | options)


def test_what_is_there_is_not_overwritten(iris, tmp_path):
    _, folder = iris
    before = (folder / "iris.qnn" / "bundle.json").read_bytes()
    quick = QUICK | {"epochs": 1}
    with pytest.raises(ArgumentError, match=r"`out` must not be there yet; got .*iris.qnn"):
        train_table(iris_frame(), "species", out=folder / "iris.qnn", **quick)
    assert (folder / "iris.qnn" / "bundle.json").read_bytes() == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(ArgumentError, match="`out` must be new or a bundle"):
        train_table(iris_frame(), "species", out=tmp_path / "mine", overwrite=True, **quick)
    for seed in (0, 1):
        train_table(iris_frame(), "species", out=tmp_path / "twice", overwrite=seed > 0, **quick | {"seed": seed})
    assert TableModel.load(tmp_path / "twice").config["network"]["seed"] == 1


def test_bundles_that_are_not_of_a_table(iris, tmp_path):
    model, _ = iris
    qnn.save(torch.nn.Linear(2, 2), tmp_path / "linear")
    with pytest.raises(BundleError, match="must be a QuantumNeuralNetwork; got Linear"):
        TableModel.load(tmp_path / "linear")
    qnn.save(model.model, tmp_path / "bare")
    with pytest.raises(BundleError, match=r"`task` of .*bare must be that of a table"):
        TableModel.load(tmp_path / "bare")
    task = {"kind": "table", "target": model.target.to_json(), "profiles": []}
    scaling = {"columns": model.preparation.to_json()}
    qnn.save(model.model, tmp_path / "half", task=task, scaling=scaling)
    with pytest.raises(BundleError, match=r"`task` and `scaling` of .*half must be those of a table: the profile"):
        TableModel.load(tmp_path / "half")
    task |= {"labels": model.labels.to_json(), "predicted": model.predicted.to_json()}
    qnn.save(model.model, tmp_path / "half", task=task, scaling=scaling)
    with pytest.raises(BundleError, match="must have a profile for each column"):
        TableModel.load(tmp_path / "half")
    task |= {"profiles": [profile.to_json() for profile in model.profiles]}
    other = qnn.QuantumNeuralNetwork(5, None, 3, n_qubits=2, n_layers=1, seed=0)
    qnn.save(other, tmp_path / "other", task=task, scaling=scaling)
    with pytest.raises(BundleError, match="must have 4 inputs and 3 outputs, as its table has; got 5 and 3"):
        TableModel.load(Path(tmp_path / "other"))


def test_one_process_writes_whoever_made_the_group(monkeypatch):
    """A group of the caller's own counts before what torchrun says."""
    assert is_main()
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert not is_main()
    for rank in (0, 1):
        torch.distributed.init_process_group("fake", store=FakeStore(), rank=rank, world_size=2)
        try:
            monkeypatch.setenv("RANK", str(1 - rank))
            assert is_main() == (rank == 0)
        finally:
            torch.distributed.destroy_process_group()


def test_a_quantum_optimizer_is_recorded_by_name_and_rate():
    options = QUICK | {"epochs": 1, "optimizer": "spsa", "learning_rate": 0.3}
    fit = train_table(iris_frame().iloc[::3], "species", **options).config["fit"]
    assert (fit["optimizer"], fit["learning_rate"]) == ("spsa", 0.3)
