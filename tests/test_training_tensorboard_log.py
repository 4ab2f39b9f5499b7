import sys

import pytest
import torch

pytest.importorskip("tensorboard")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from qnn.errors import MissingDependencyError, UnknownNameError
from qnn.training import Callback, GradientNorms, TensorBoardLog, fit
from qnn.training.processes import World

X, Y = torch.eye(4), torch.tensor([0, 1, 0, 1])


class Fail(Callback):
    def on_step_end(self, state):
        if state.step == 3:
            raise RuntimeError("power cut")


class AsSecondProcess(Callback):
    def on_fit_start(self, state):
        state.world = World(rank=1, size=1)


def train(*callbacks, **options):
    torch.manual_seed(0)
    options = {"epochs": 3, "batch_size": 2, "progress": False, **options}
    return fit(torch.nn.Linear(4, 2), (X, Y), callbacks=callbacks, **options)


def read(folder):
    """All curves as TensorBoard shows them: name -> [(step, value)]."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return {tag: [(point.step, point.value) for point in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_epochs_and_steps_are_read_back(tmp_path):
    history = train(GradientNorms(), TensorBoardLog(tmp_path, every="step"))
    curves = read(tmp_path)
    assert curves["train_loss"] == [(2 * e["epoch"], pytest.approx(e["train_loss"])) for e in history.epochs]
    assert [step for step, _ in curves["step/loss"]] == [1, 2, 3, 4, 5, 6]
    assert len(curves["step/gradient_norm"]) == 6 and len(curves["gradient_norm"]) == 3
    assert "epoch" not in curves and "validation_loss" not in curves


def test_after_a_crash_and_a_resume_curves_are_those_of_the_undisturbed_run(tmp_path):
    train(TensorBoardLog(tmp_path / "whole", every="step"))
    with pytest.raises(RuntimeError, match="power cut"):
        train(TensorBoardLog(tmp_path / "cut", every="step"), Fail(), checkpoint=tmp_path / "checkpoint")
    (events,) = (tmp_path / "cut").iterdir()
    assert [step for step, _ in read(tmp_path / "cut")["step/loss"]] == [1, 2, 3, 4]
    events.write_bytes(events.read_bytes()[:-7])  # an event that was being written
    train(TensorBoardLog(tmp_path / "cut", every="step"), checkpoint=tmp_path / "checkpoint")
    cut, whole = read(tmp_path / "cut"), read(tmp_path / "whole")
    for curves in (cut, whole):
        curves.pop("wall_s")
    assert cut == whole


def test_per_epoch_is_the_default_and_only_the_main_process_writes(tmp_path):
    train(TensorBoardLog(tmp_path / "log"), epochs=1)
    assert "step/loss" not in read(tmp_path / "log")
    train(AsSecondProcess(), TensorBoardLog(tmp_path / "other"), epochs=1)
    assert not (tmp_path / "other").exists()
    with pytest.raises(UnknownNameError, match='No rhythm of a log named "row"'):
        TensorBoardLog(tmp_path, every="row")


def test_without_tensorboard_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(MissingDependencyError, match=r'TensorBoardLog needs the package "tensorboard".*"qnn\[logs\]"'):
        TensorBoardLog("x")
