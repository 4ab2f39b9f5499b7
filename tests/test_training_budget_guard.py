from types import SimpleNamespace

import pytest
import torch

from qnn import _meter
from qnn.errors import ArgumentError, BudgetError
from qnn.training import BudgetGuard, Callback, UsageLog, fit
from qnn.training.callbacks import RunBudget
from qnn.training.processes import World

X, Y = torch.arange(7.0)[:, None], torch.arange(7) % 2
HELD_OUT = (torch.arange(5.0)[:, None], torch.tensor([0, 1, 1, 0, 1]))


class Metered(torch.nn.Module):
    """A circuit of 10 shots per row, a job per call."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(1, 2)

    def forward(self, x):
        _meter.record(circuits=len(x), shots=10 * len(x), jobs=1)
        return self.linear(x)


class End(Callback):
    def on_fit_end(self, state):
        self.usage, self.step, self.reason = state.usage.as_dict(), state.step, state.stop_reason


def run(guard, *others, data=(X, Y), **options):
    """Steps of 3, 3 and 1 rows, epoch after epoch."""
    end = End()
    options = {"epochs": 5, "batch_size": 3, "progress": False, "restore_best": False, **options}
    end.history = fit(Metered(), data, callbacks=[guard, *others, end], **options)
    return end


@pytest.mark.parametrize(
    ("limits", "steps"),
    [
        ({"max_circuits": 10}, 4),  # 3 + 3 + 1 + 3, to the last circuit
        ({"max_circuits": 9}, 3),  # after the batch of one row the next has three
        ({"max_circuits": 1}, 1),  # the first step is always made
        ({"max_shots": 65}, 2),
        ({"max_jobs": 2}, 2),
        ({"max_jobs": 4, "max_circuits": 6}, 2),
        ({"max_jobs": 99}, 15),
    ],
)
def test_training_ends_before_the_step_that_would_exceed(limits, steps):
    end = run(BudgetGuard(**limits))
    assert end.history.steps == steps
    assert (end.reason is None) == (steps == 15)


def test_it_says_why():
    assert run(BudgetGuard(max_circuits=9)).reason == "budget of 9 circuits: 7 used, the next step would use 3"


def test_an_evaluation_that_would_exceed_is_not_made():
    end = run(BudgetGuard(max_circuits=22), data=(X, Y, *HELD_OUT))  # epochs of 7 circuits and 5 for the evaluation
    assert end.usage["circuits"] == 19 and len(end.history.epochs) == 1
    assert end.reason == "budget of 22 circuits: 19 used, the next evaluation would use 5"
    assert run(BudgetGuard(max_circuits=24), data=(X, Y, *HELD_OUT)).usage["circuits"] == 24


@pytest.mark.parametrize("limit", [10, 14])  # within the second epoch, at its end
def test_a_resumed_run_counts_what_was_used_before_and_goes_on_with_a_larger_budget(limit, tmp_path):
    assert run(BudgetGuard(max_circuits=limit), checkpoint=tmp_path).usage["circuits"] == limit
    again = run(BudgetGuard(max_circuits=limit), checkpoint=tmp_path)
    assert again.usage["circuits"] == limit
    assert again.reason is not None and again.reason.startswith(f"budget of {limit} circuits: {limit} used")
    assert run(BudgetGuard(max_circuits=20), checkpoint=tmp_path).usage["circuits"] == 20


def test_a_guard_that_joins_at_a_resume_does_not_take_the_past_for_a_step(tmp_path):
    run(UsageLog(), epochs=2, checkpoint=tmp_path)  # 14 circuits
    assert run(BudgetGuard(max_circuits=20), checkpoint=tmp_path).usage["circuits"] == 20


class Reserving(Metered):
    """Asks before it executes, as backends do; the evaluation at an epoch's end is one call of five rows."""

    def forward(self, x):
        _meter.reserve(circuits=len(x), shots=10 * len(x), jobs=1, seconds=0.5)
        return super().forward(x)


@pytest.mark.parametrize(
    ("limits", "executed"), [({"max_circuits": 2}, 0), ({"max_circuits": 9}, 7), ({"max_seconds": 1.9}, 7)]
)
def test_a_call_that_would_exceed_is_refused_before_it_is_made_even_where_no_forecast_knew(limits, executed):
    with _meter.measure() as usage, pytest.raises(BudgetError, match=r"Nothing of it was submitted. Give a larger"):
        fit(Reserving(), (X, Y, *HELD_OUT), callbacks=[BudgetGuard(**limits)], epochs=2, batch_size=3, progress=False)
    assert usage.circuits == executed


def test_several_guards_leave_nothing_behind():
    guards = [BudgetGuard(max_circuits=9), BudgetGuard(max_jobs=2)]
    with pytest.raises(BudgetError):
        fit(Reserving(), (X, Y), callbacks=guards, epochs=2, batch_size=7, progress=False)
    assert not _meter.is_limited()


def test_seconds_that_a_run_used_before_it_was_resumed_count(tmp_path):
    options = {"batch_size": 3, "progress": False, "restore_best": False, "checkpoint": tmp_path}
    fit(Reserving(), (X, Y), callbacks=[BudgetGuard(max_seconds=1.5)], epochs=1, **options)
    with pytest.raises(BudgetError, match=r"budget of 1.5 seconds does not suffice: 1.5 are used"):
        fit(Reserving(), (X, Y), callbacks=[BudgetGuard(max_seconds=1.5)], epochs=2, **options)
    assert fit(Reserving(), (X, Y), callbacks=[BudgetGuard(max_seconds=3.0)], epochs=2, **options).steps == 6


def test_limits_that_cannot_be_are_refused():
    with pytest.raises(ArgumentError, match=r"a budget must have a limit; got none.*Give `max_jobs`"):
        BudgetGuard()
    for value in (-1, 1.5, True):
        with pytest.raises(ArgumentError, match="`max_shots` must be a whole number from 0 up, or None; got"):
            BudgetGuard(max_shots=value)  # type: ignore[arg-type]


def test_what_the_first_step_does_once_is_not_expected_of_every_step():
    class Calibrated(Metered):
        once = False

        def forward(self, x):
            if not self.once:
                _meter.record(circuits=6, shots=0, jobs=2)
                self.once = True
            return super().forward(x)

    end = End()
    options = {"epochs": 2, "batch_size": 3, "progress": False, "restore_best": False}
    fit(Calibrated(), (X, Y), callbacks=[BudgetGuard(max_circuits=20), end], **options)  # 6 + 2 epochs of 7
    assert end.step == 6 and end.usage["circuits"] == 20


class Two(World):
    """This process, and another that does the same."""

    def sum(self, values):
        return [2 * value for value in values]


def test_a_budget_holds_what_was_used_before_and_what_other_processes_use():
    """Two trainings under one budget, the second of them resumed."""
    state = SimpleNamespace(world=Two(size=2), usage=_meter.Usage())
    with _meter.budget(max_jobs=100, max_seconds=100) as left:
        _meter.reserve(circuits=0, shots=0, jobs=5, seconds=0.5)
        for training in range(2):
            counting, past = RunBudget(left), 4 * training
            counting.on_fit_start(state)
            state.usage = _meter.Usage(0, 0, past)
            if past:
                counting.load_state_dict({"seconds": 8.0})
            for step in (1, 2):
                _meter.reserve(circuits=0, shots=0, jobs=1, seconds=2.0)
                state.usage = _meter.Usage(0, 0, past + 2 * step)
                counting.on_step_end(state)
            assert counting.state_dict() == {"seconds": 8.0 + 2 * past}
            counting.on_fit_end(state)
    assert (left.used["jobs"], left.used["seconds"]) == (5 + 4 + 8, 0.5 + 8 + 16)


def test_a_guards_state_is_read_outside_a_training_too():
    guard = BudgetGuard(max_jobs=9)
    guard.load_state_dict(guard.state_dict())
    assert guard.state_dict()["seconds"] == 0
