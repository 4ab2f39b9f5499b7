import io
from contextlib import redirect_stderr

import pytest
import torch

from qnn.errors import ArgumentError
from qnn.training import Callback, ProgressBar, fit
from qnn.training.processes import World

X, Y = torch.eye(4), torch.tensor([0, 1, 0, 1])


class Terminal(io.StringIO):
    """A stderr that is a terminal."""

    def isatty(self):
        return True


class Fail(Callback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, state):
        if state.step == self.step:
            raise RuntimeError("stop here")


class AsSecondProcess(Callback):
    def on_fit_start(self, state):
        state.world = World(rank=1, size=1)


class Stop(Callback):
    def on_epoch_end(self, state):
        state.stop, state.stop_reason = True, "enough"


def last_line(text):
    return text.rstrip().split("\r")[-1]


def test_a_terminal_shows_epoch_steps_time_left_loss_and_metrics():
    with redirect_stderr(Terminal()) as terminal:
        data = (X, Y, X, Y)
        options = {"epochs": 2, "batch_size": 2, "metrics": ("f1_score",)}
        fit(torch.nn.Linear(4, 2), data, **options, progress=False)
        assert terminal.getvalue() == ""
        epoch = fit(torch.nn.Linear(4, 2), data, **options).epochs[-1]
        last = last_line(terminal.getvalue())
        assert "epoch 2/2" in last and "4/4" in last and "<00:00" in last
        for name in ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "validation_f1_score"):
            shown = name.replace("train_", "").replace("validation_", "val_")
            assert f"{shown}={epoch[name]:.3f}" in last


def test_a_regression_shows_no_accuracy():
    with redirect_stderr(Terminal()) as terminal:
        fit(torch.nn.Linear(4, 1), (X, Y.float()), loss="mse", epochs=1)
        shown = terminal.getvalue()
        assert "loss=" in shown and "accuracy" not in shown


def test_the_bar_says_why_training_was_stopped():
    with redirect_stderr(Terminal()) as terminal:
        fit(torch.nn.Linear(4, 2), (X, Y), callbacks=[Stop()], epochs=9)
        assert "epoch 1/9, stopped: enough" in last_line(terminal.getvalue())


def test_the_bar_is_closed_after_an_error():
    with redirect_stderr(Terminal()):
        bar = ProgressBar()
        with pytest.raises(RuntimeError, match="stop here"):
            fit(torch.nn.Linear(4, 2), (X, Y), callbacks=[bar, Fail(0)], progress=False)
        assert bar._bar is not None and bar._bar.disable  # tqdm disables a bar when it is closed


def test_a_resumed_bar_starts_where_the_run_does(tmp_path):
    with redirect_stderr(Terminal()):
        options = {"epochs": 2, "batch_size": 1, "checkpoint": tmp_path}
        with pytest.raises(RuntimeError, match="stop here"):
            fit(torch.nn.Linear(4, 2), (X, Y), callbacks=[Fail(5)], progress=False, **options)
        bar = ProgressBar()
        fit(torch.nn.Linear(4, 2), (X, Y), callbacks=[bar], progress=False, **options)
        shown = bar._bar
        assert shown is not None and (shown.initial, shown.n) == (4, 8)  # the checkpoint was at the epoch's end


def test_elsewhere_it_is_quiet_but_for_a_line_now_and_then(capsys):
    fit(torch.nn.Linear(4, 2), (X, Y, X, Y), epochs=2, batch_size=2)
    assert capsys.readouterr().err == ""  # shorter than a minute
    epochs = fit(
        torch.nn.Linear(4, 2),
        (X, Y, X, Y),
        epochs=2,
        batch_size=2,
        progress=False,
        callbacks=[ProgressBar(plain_every_s=0)],
    ).epochs
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4 and "\r" not in "".join(lines)
    assert lines[-1].startswith(f"epoch 2/2, step 4/4: loss={epochs[-1]['train_loss']:.3f}, accuracy=")
    assert f"val_loss={epochs[0]['validation_loss']:.3f}" in lines[-1] and lines[-1].endswith("elapsed, 00:00 left)")


def test_only_the_main_process_shows_anything():
    with redirect_stderr(Terminal()) as terminal:
        fit(torch.nn.Linear(4, 2), (X, Y), epochs=1, progress=False, callbacks=[AsSecondProcess(), ProgressBar(0.0)])
        assert terminal.getvalue() == ""


def test_a_rhythm_that_cannot_be_is_refused():
    with pytest.raises(ArgumentError, match="`plain_every_s` must be a number of at least 0; got -1"):
        ProgressBar(plain_every_s=-1)
