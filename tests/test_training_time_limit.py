import time

import pytest
import torch

from qnn.errors import ArgumentError
from qnn.training import Callback, TimeLimit, fit
from qnn.training.callbacks.time_limit import _seconds

X, Y = torch.eye(4), torch.tensor([0, 1, 0, 1])


class Slow(Callback):
    def on_step_end(self, state):
        time.sleep(0.05)

    def on_fit_end(self, state):
        self.reason = state.stop_reason


def run(limit, **options):
    slow = Slow()
    options = {"epochs": 100, "batch_size": 1, "restore_best": False, "progress": False, **options}
    return fit(torch.nn.Linear(4, 2), (X, Y), callbacks=[slow, limit], **options), slow.reason


def test_training_ends_with_the_step_in_which_the_limit_is_reached():
    limit = TimeLimit(0.22)
    history, reason = run(limit)
    assert reason == "time limit of 0.22 s" and limit.elapsed_s >= 0.22
    assert 1 <= history.steps <= 5  # steps of 0.05 s at least: the fifth passes 0.22 s
    assert run(TimeLimit("1h"), epochs=1)[1] is None


def test_time_before_a_resume_counts_and_the_pause_does_not(tmp_path):
    first = TimeLimit(0.3)
    steps = run(first, checkpoint=tmp_path)[0].steps
    time.sleep(0.05)
    again = TimeLimit(0.3)
    history, reason = run(again, checkpoint=tmp_path)
    assert history.steps == steps and reason == "time limit of 0.3 s"  # nothing is left of the same limit
    longer = TimeLimit(first.elapsed_s + 0.3)
    assert run(longer, checkpoint=tmp_path)[0].steps > steps
    assert longer.elapsed_s >= first.elapsed_s + 0.25


def test_the_clock_stands_still_outside_of_fit():
    limit = TimeLimit(10)
    run(limit, epochs=1)
    before = limit.elapsed_s
    time.sleep(0.01)
    assert limit.elapsed_s == before >= 0.2
    run(limit, epochs=1, batch_size=None)
    assert limit.elapsed_s < before  # a new run starts from 0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(90, 90), (0.5, 0.5), ("2h", 7200), ("1h30m", 5400), ("1d 12 h", 129600), ("1.5min", 90), ("45s", 45)],
)
def test_times_are_read(text, seconds):
    assert _seconds(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "2", "2 hours", "h", "-1h", "1h x", 0, -3, float("nan"), float("inf"), True, None]
)
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ArgumentError, match=r'`limit` must be a time above 0, in seconds or as text.*Try "2h"'):
        TimeLimit(text)
