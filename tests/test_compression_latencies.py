"""Latencies: what a machine does meanwhile falls on all models alike."""

import time

import pytest
import torch

import qnn
from qnn.compression import CompressionReport, Measuring
from qnn.compression.measurement.latencies import ROUNDS, in_turns, latencies_ms


class Machine:
    """A clock, and passes that move it: each takes its time, as much longer as the machine is slow just then."""

    def __init__(self, slowness):
        self.now, self.slowness, self.begun = 0.0, slowness, 0

    def one_pass(self, seconds):
        def run():
            self.now += seconds * self.slowness(self.begun)
            self.begun += 1

        return run


@pytest.mark.parametrize(
    "slowness",
    [lambda n: 1 + n / 100, lambda n: 1 if n < 30 else 3, lambda n: 1 if n % 5 == 0 else 2 + n % 7],
    ids=["ever slower", "slower at once", "mostly slower"],
)
def test_a_machine_that_slows_down_makes_no_difference(slowness, monkeypatch):
    machine = Machine(slowness)
    monkeypatch.setattr(time, "perf_counter", lambda: machine.now)
    first, second, twice = in_turns([machine.one_pass(s) for s in (0.01, 0.01, 0.02)])
    assert machine.begun == 3 * (2 + 2 * ROUNDS)
    assert second == pytest.approx(first, rel=0.05) and twice == pytest.approx(2 * first, rel=0.05)


def test_latency_is_the_time_of_a_pass():
    class Sleeps(torch.nn.Module):
        def forward(self, x):
            time.sleep(0.004)
            return x

    net = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Dropout()).train()
    (slow, fast) = latencies_ms([Sleeps(), net], [torch.ones(1, 1)] * 2)
    assert 4 <= slow < 40 and fast < slow and net.training and latencies_ms([], []) == []


def test_models_are_timed_after_the_last_was_added_and_sample_on_as_if_they_had_not_been():
    calls = []

    class Noting(torch.nn.Linear):
        def forward(self, x):
            calls.append(self.name)
            return super().forward(x)

    layer = qnn.QuantumLayer(2, 1, shots=5, seed=0)
    state = layer.sampling_state()
    measuring = Measuring((torch.rand(4, 2), torch.tensor([0, 1, 0, 1])), device=None, batch_size=4)
    for name in "ab":
        model = Noting(2, 2)
        model.name = name
        measuring.add(name, model)
    measuring.add("layer", layer)
    calls.clear()
    found = measuring.finish()
    assert [m.label for m in found] == ["a", "b", "layer"] and all(m.latency_ms > 0 for m in found)
    turns = [name for name, before in zip(calls, ["", *calls], strict=False) if name != before]
    assert turns[-4:] == [*"abab"] and len(turns) >= 2 * ROUNDS
    assert layer.sampling_state() == state
    assert CompressionReport("x", found).before.label == "a" and Measuring(None).finish() == ()
