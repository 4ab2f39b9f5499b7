import json

import torch

from qnn import _meter
from qnn._meter import Usage
from qnn.training import BudgetGuard, Callback, JSONLog, UsageLog, fit
from qnn.training.callbacks.usage_log import difference, largest

X, Y = torch.arange(5.0)[:, None], torch.arange(5) % 2


class Metered(torch.nn.Module):
    """A circuit of 10 shots per row, a job per call."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(1, 2)

    def forward(self, x):
        _meter.record(circuits=len(x), shots=10 * len(x), jobs=1)
        return self.linear(x)


class Steps(Callback):
    def __init__(self):
        self.rows = []

    def on_step_end(self, state):
        self.rows.append({"step": state.step, **state.step_record})


def run(*callbacks, **options):
    data = (X, Y, X, Y)
    return fit(Metered(), data, callbacks=callbacks, **{"epochs": 2, "batch_size": 3, "progress": False, **options})


def test_steps_have_their_own_numbers_and_epochs_the_totals():
    usage, steps = UsageLog(), Steps()
    history = run(usage, steps)
    assert [(row["circuits"], row["shots"], row["jobs"]) for row in steps.rows] == [(3, 30, 1), (2, 20, 1)] * 2
    assert [row["total_circuits"] for row in steps.rows] == [3, 5, 13, 15]  # an evaluation of five lies between
    assert [(e["circuits"], e["total_circuits"], e["total_shots"]) for e in history.epochs] == [
        (10, 10, 100),
        (10, 20, 200),
    ]
    assert usage.total == Usage(20, 200, history.epochs[1]["total_jobs"])


def test_a_resume_within_an_epoch_changes_no_row(tmp_path):
    whole, path = tmp_path / "whole.jsonl", tmp_path / "log.jsonl"
    run(UsageLog(), JSONLog(whole, every="step"))
    run(UsageLog(), JSONLog(path, every="step"), BudgetGuard(max_circuits=13), checkpoint=tmp_path / "checkpoint")
    assert len(path.read_text().splitlines()) == 3
    run(UsageLog(), JSONLog(path, every="step"), checkpoint=tmp_path / "checkpoint")
    kept = [[{**json.loads(line), "loss": 0} for line in file.read_text().splitlines()] for file in (path, whole)]
    assert kept[0] == kept[1]


def test_usage_is_compared_count_by_count():
    assert difference(Usage(5, 50, 2), Usage(3, 30, 1)) == Usage(2, 20, 1)
    assert largest(Usage(5, 0, 2), Usage(3, 30, 2)) == Usage(5, 30, 2)
