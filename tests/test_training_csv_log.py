import csv

import pytest
import torch

from qnn.errors import ArgumentError
from qnn.training import Callback, CSVLog, fit

X, Y = torch.eye(4), torch.tensor([0, 1, 0, 1])


class Late(Callback):
    """Adds an entry from the second epoch on, and can break the run off."""

    def __init__(self, fail_in=None):
        self.fail_in = fail_in

    def on_epoch_start(self, state):
        if state.epoch == self.fail_in:
            raise RuntimeError("power cut")

    def on_epoch_end(self, state):
        if state.epoch >= 2:
            state.record |= {"late": 0.1 + state.epoch, 'a "name", so': [1, 2], "text": "two\nlines"}
        state.record["wall_s"] = 0.0


def train(*callbacks, **options):
    torch.manual_seed(0)
    return fit(torch.nn.Linear(4, 2), (X, Y), callbacks=callbacks, **{"epochs": 3, "progress": False, **options})


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_per_epoch_is_the_history_bit_for_bit(tmp_path):
    log = CSVLog(tmp_path / "log.csv")
    history = train(log)
    table = read(log.path)
    assert list(table[0]) == list(history.epochs[0])
    for name in ("epoch", "train_loss", "train_accuracy", "wall_s"):
        assert [float(row[name]) for row in table] == [epoch[name] for epoch in history.epochs]
    assert [row["validation_loss"] for row in table] == ["", "", ""]


def test_a_row_per_step(tmp_path):
    log = CSVLog(tmp_path / "log.csv", every="step")
    train(log, batch_size=2)
    assert [row["step"] for row in read(log.path)] == list("012345")


def test_an_entry_that_comes_later_becomes_a_column(tmp_path):
    log = CSVLog(tmp_path / "log.csv")
    train(Late(), log)
    found = read(log.path)
    assert [row["late"] for row in found] == ["", "2.1", "3.1"]
    assert found[1]['a "name", so'] == "[1, 2]" and found[1]["text"] == '"two\\nlines"'
    assert len(log.path.read_text().splitlines()) == 4


def test_after_a_crash_and_a_resume_the_bytes_are_those_of_the_undisturbed_run(tmp_path):
    path, whole, folder = tmp_path / "log.csv", tmp_path / "whole.csv", tmp_path / "checkpoint"
    train(Late(), CSVLog(whole), epochs=4)
    with pytest.raises(RuntimeError, match="power cut"):
        train(Late(fail_in=4), CSVLog(path), epochs=4, checkpoint=folder)
    with path.open("a") as file:
        file.write("4,0.3,0")  # a row that was being written
    train(Late(), CSVLog(path), epochs=4, checkpoint=folder)
    assert path.read_bytes() == whole.read_bytes()


def test_a_table_of_data_is_left_alone(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("x,y\n1,2\n")
    with pytest.raises(ArgumentError, match=r"`path` must be new or an earlier log.*starts with 'x,y\\n'"):
        train(CSVLog(path))
    assert path.read_text() == "x,y\n1,2\n"
