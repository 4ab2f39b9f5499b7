import math

import pytest
import torch

from qnn.errors import ArgumentError, UnknownNameError
from qnn.training import Callback, EarlyStopping, fit

X, Y = torch.eye(4), torch.tensor([0, 1, 0, 1])


class Script(Callback):
    """Puts given numbers into the record, and can break the run off."""

    def __init__(self, values, fail_in=None):
        self.values, self.fail_in = values, fail_in

    def on_epoch_start(self, state):
        if state.epoch == self.fail_in:
            raise RuntimeError("power cut")

    def on_epoch_end(self, state):
        state.record["score"] = self.values[state.epoch - 1]


class Reason(Callback):
    def on_fit_end(self, state):
        self.text = state.stop_reason


def run(values, stopper, fail_in=None, **options):
    reason = Reason()
    history = fit(
        torch.nn.Linear(4, 2), (X, Y), epochs=len(values), progress=False, restore_best=False,
        callbacks=[Script(values, fail_in), stopper, reason], **options,
    )  # fmt: skip
    return len(history.epochs), reason.text


def test_training_ends_after_patience_epochs_without_gain():
    stopper = EarlyStopping("score", patience=2)
    assert run([1, 2, 2, 3, 1, 3, 9], stopper) == (6, "score did not get better since epoch 4 (3)")
    assert (stopper.best, stopper.best_epoch) == (3.0, 4)
    assert run([1, 2, 2, 3, 1, 4], stopper) == (6, None)  # a second run has forgotten the first
    assert run([1, 2, 2, 3], EarlyStopping("score", patience=1))[0] == 3


def test_mode_and_min_delta_decide_what_is_better():
    assert run([3, 2, 1, 2, 3], EarlyStopping("score", patience=2, mode="min"))[0] == 5
    assert run([3, 2, 1, 2, 3], EarlyStopping("score", patience=2, mode="max"))[0] == 3
    assert run([1, 1.5, 2, 2.5, 3], EarlyStopping("score", patience=2, min_delta=0.5))[0] == 5
    assert run([1, 1.25, 1.5, 1.75, 2], EarlyStopping("score", patience=2, min_delta=0.5))[0] == 3


def test_nan_is_never_better():
    assert run([math.nan, math.nan, 5], EarlyStopping("score", patience=2)) == (2, "score did not get better")
    assert run([1, math.nan, 2, math.nan, math.nan], EarlyStopping("score", patience=2))[0] == 5


def test_a_resumed_run_goes_on_waiting_and_a_stopped_one_stays_stopped(tmp_path):
    values = [1, 2, 1, 1, 1, 9]
    with pytest.raises(RuntimeError, match="power cut"):
        run(values, EarlyStopping("score", patience=3), fail_in=4, checkpoint=tmp_path)
    stopper = EarlyStopping("score", patience=3)
    assert run(values, stopper, checkpoint=tmp_path)[0] == 5 and stopper.best_epoch == 2
    assert run(values, EarlyStopping("score", patience=3), checkpoint=tmp_path)[0] == 5


def test_options_that_cannot_be_are_refused():
    for patience in (0, 1.5, True):
        with pytest.raises(ArgumentError, match="`patience` must be a whole number of epochs, at least 1; got"):
            EarlyStopping(patience=patience)  # type: ignore[arg-type]
    for min_delta in (-1, math.nan, math.inf, "1"):
        with pytest.raises(ArgumentError, match="`min_delta` must be a finite number of at least 0; got"):
            EarlyStopping(min_delta=min_delta)  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match=r'No entry of an epoch\'s record named "scor".*Did you mean "score"'):
        run([1, 2], EarlyStopping("scor", mode="max"))
