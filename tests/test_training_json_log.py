import json

import numpy as np
import pytest
import torch

from qnn.errors import ArgumentError, DtypeError, StorageError, UnknownNameError
from qnn.training import Callback, GradientNorms, JSONLog, UsageLog, fit
from qnn.training.processes import World

X, Y = torch.eye(4), torch.tensor([0, 1, 0, 1])


class Entry(Callback):
    def __init__(self, value):
        self.value = value

    def on_epoch_end(self, state):
        state.record["entry"] = self.value


class Fail(Callback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, state):
        if state.step == self.step:
            raise RuntimeError("power cut")


class AsSecondProcess(Callback):
    def on_fit_start(self, state):
        state.world = World(rank=1, size=1)


def train(*callbacks, **options):
    torch.manual_seed(0)
    options = {"epochs": 3, "batch_size": 2, "progress": False, **options}
    return fit(torch.nn.Linear(4, 2), (X, Y), callbacks=callbacks, **options)


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_row_per_epoch_is_the_history(tmp_path):
    log = JSONLog(tmp_path / "deep" / "log.jsonl")
    history = train(Entry(1), log)
    assert rows(log.path) == history.epochs and len(history.epochs) == 3
    history = train(log, epochs=1)  # a new run begins the file anew
    assert rows(log.path) == history.epochs


def test_a_row_per_step_has_what_callbacks_found(tmp_path):
    norms, log = GradientNorms(), JSONLog(tmp_path / "log.jsonl", every="step")
    history = train(norms, UsageLog(), log)
    found = rows(log.path)
    assert [(row["step"], row["epoch"]) for row in found] == [(0, 1), (1, 1), (2, 2), (3, 2), (4, 3), (5, 3)]
    assert np.mean([row["loss"] for row in found[2:4]]) == pytest.approx(history.epochs[1]["train_loss"], rel=1e-6)
    assert found[-1]["gradient_norm"] == norms.latest["gradient_norm"] and found[-1]["total_jobs"] == 0


def test_rows_are_on_disk_before_training_goes_on(tmp_path):
    path = tmp_path / "log.jsonl"
    with pytest.raises(RuntimeError, match="power cut"):
        train(JSONLog(path, every="step"), Fail(3))
    assert len(rows(path)) == 4


@pytest.mark.parametrize("every", ["epoch", "step"])
def test_after_a_crash_and_a_resume_no_row_is_missing_or_doubled(every, tmp_path):
    path, whole, folder = tmp_path / "log.jsonl", tmp_path / "whole.jsonl", tmp_path / "checkpoint"
    train(JSONLog(whole, every=every))
    with pytest.raises(RuntimeError, match="power cut"):
        train(JSONLog(path, every=every), Fail(3), checkpoint=folder)
    with path.open("a") as file:
        file.write('{"step": 4, "epo')  # a row that was being written
    train(JSONLog(path, every=every), checkpoint=folder)
    found, expected = rows(path), rows(whole)
    for row in (*found, *expected):
        row.pop("wall_s", None)
    assert found == expected


def test_rows_that_the_checkpoint_knew_must_be_there(tmp_path):
    path, folder = tmp_path / "log.jsonl", tmp_path / "checkpoint"
    train(JSONLog(path), epochs=2, checkpoint=folder)
    path.write_text(path.read_text().splitlines(keepends=True)[0])
    with pytest.raises(
        StorageError, match=r"must hold the 2 rows that the checkpoint knows; got 1 in .*Put the file back"
    ):
        train(JSONLog(path), checkpoint=folder)
    assert len(rows(path)) == 1


def test_values_become_plain_json(tmp_path):
    log = JSONLog(tmp_path / "log.jsonl")
    train(Entry({"a": torch.tensor([1.0, float("nan")]), "b": np.float32(0.5), "c": (1, None, "x"), "d": -np.inf}), log)
    assert rows(log.path)[0]["entry"] == {"a": [1.0, None], "b": 0.5, "c": [1, None, "x"], "d": None}
    with pytest.raises(DtypeError, match=r'must be numbers, text, lists or dictionaries; got object for "entry"'):
        train(Entry(object()), log)


def test_only_the_main_process_writes(tmp_path):
    train(AsSecondProcess(), JSONLog(tmp_path / "log.jsonl"))
    assert not (tmp_path / "log.jsonl").exists()


def test_a_file_that_is_no_log_is_left_alone(tmp_path):
    path = tmp_path / "data.json"
    path.write_text('{"mine": 1}\n')
    with pytest.raises(ArgumentError, match=r"`path` must be new or an earlier log.*data.json.*Choose another path"):
        train(JSONLog(path))
    assert path.read_text() == '{"mine": 1}\n'
    with pytest.raises(StorageError, match=r"must be a file that can be written.*log.jsonl"):
        train(JSONLog(path / "log.jsonl"))
    with pytest.raises(UnknownNameError, match='No rhythm of a log named "batch"'):
        JSONLog(path, every="batch")
