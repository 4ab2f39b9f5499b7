"""What the loop tells layers (step and positions) and reads from backends (circuits, shots, jobs)."""

import json
from typing import Any

import pytest
import torch

from qnn import _meter
from qnn._seeding import current_scope
from qnn.training import fit


class Probe(torch.nn.Module):
    """Behaves as a layer on a backend does: reads the scope, counts circuits, forward and backward."""

    def __init__(self, n_shots=10):
        super().__init__()
        self.linear = torch.nn.Linear(1, 2)
        self.n_shots = n_shots
        self.calls = []

    def forward(self, x):
        scope = current_scope()
        assert scope is not None and scope.positions is not None
        self.calls.append((self.training, scope.step, scope.positions.tolist(), x[:, 0].tolist()))
        _meter.record(circuits=len(x), shots=self.n_shots * len(x), jobs=1)
        outputs = self.linear(x)
        if outputs.requires_grad:
            outputs.register_hook(self._backward)
        return outputs

    def _backward(self, gradient):
        scope = current_scope()
        assert scope is not None
        self.calls.append(("backward", scope.step))
        _meter.record(circuits=2 * len(gradient), shots=2 * self.n_shots * len(gradient), jobs=1)


X, Y = torch.arange(7.0)[:, None], torch.arange(7) % 2
HELD_OUT = (torch.arange(3.0)[:, None], torch.tensor([0, 1, 1]))
QUIET: dict[str, Any] = {"progress": False}


def test_each_step_has_its_number_and_its_rows():
    probe = Probe()
    fit(probe, (X, Y), epochs=2, batch_size=3, restore_best=False, **QUIET)
    forwards = [call for call in probe.calls if call[0] is True]
    assert [step for _, step, *_ in forwards] == [0, 1, 2, 3, 4, 5]
    for *_, positions, inputs in forwards:
        assert positions == inputs  # a row's position is where it stands in the training part
    for epoch in (forwards[:3], forwards[3:]):
        assert sorted(position for *_, positions, _ in epoch for position in positions) == list(range(7))
    assert [call[2] for call in forwards[:3]] != [call[2] for call in forwards[3:]]  # reshuffled
    assert [call[1] for call in probe.calls if call[0] == "backward"] == [0, 1, 2, 3, 4, 5]


def test_each_evaluation_has_a_number_of_its_own_below_minus_one():
    probe = Probe()
    fit(probe, (X, Y, *HELD_OUT), epochs=3, **QUIET)
    evaluations = [call for call in probe.calls if call[0] is False]
    steps = [step for _, step, *_ in evaluations]
    assert len(set(steps)) == 3 and max(steps) < -2  # -2 is left to `evaluate` with its default seed
    assert [positions for *_, positions, _ in evaluations] == [[0, 1, 2]] * 3


def test_no_scope_is_left_open():
    fit(Probe(), (X, Y), epochs=1, **QUIET)
    assert current_scope() is None


def test_usage_of_steps_and_evaluation_is_in_the_history():
    with _meter.measure() as outside:
        history = fit(Probe(), (X, Y, *HELD_OUT), epochs=2, batch_size=3, **QUIET)
    # An epoch: 7 rows forward, 14 circuits backward, 3 rows of validation; 3 steps of 2 jobs, 1 evaluation.
    for epoch in history.epochs:
        assert (epoch["circuits"], epoch["shots"], epoch["jobs"]) == (24, 240, 7)
        assert epoch["wall_s"] > 0
    assert history.usage == outside == _meter.Usage(circuits=48, shots=480, jobs=14)
    assert history.steps == 6


def test_watching_the_training_part_costs_an_evaluation_and_only_when_asked():
    plain = fit(Probe(), (X, Y), epochs=2, restore_best=False, **QUIET)
    watched = fit(Probe(), (X, Y), epochs=2, restore_best=True, **QUIET)
    assert plain.usage.circuits == 2 * 21 and watched.usage.circuits == 2 * 28


def test_classical_models_use_nothing():
    history = fit(torch.nn.Linear(1, 2), (X, Y), epochs=1, **QUIET)
    assert history.usage == _meter.Usage()


def test_history_is_plain_data():
    history = fit(Probe(), (X, Y, *HELD_OUT), epochs=2, **QUIET)
    stored = json.loads(json.dumps(history.as_dict()))
    assert stored == history.as_dict()
    assert stored["steps"] == 2 and stored["best_epoch"] == history.best_epoch
    assert [epoch["epoch"] for epoch in stored["epochs"]] == [1, 2]
    assert stored["usage"] == {"circuits": 48, "shots": 480, "jobs": 6}
    with pytest.raises(TypeError):
        json.dumps(history)  # as_dict is what makes it so


def test_first_step_numbers_the_steps_that_sampling_sees():
    class Steps(torch.nn.Linear):
        seen: list[int]

        def forward(self, x):
            self.seen.append(current_scope().step)
            return super().forward(x)

    model = Steps(2, 2)
    model.seen = []
    x, y = torch.eye(2), torch.tensor([0, 1])
    fit(model, (x, y), epochs=2, first_step=7, progress=False, restore_best=False)
    assert model.seen == [7, 8]
