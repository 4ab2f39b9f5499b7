"""The whole path at once: what a newcomer is promised."""

import pytest
import torch
from qiskit_aer import AerSimulator

import qnn
from qnn import QuantumLayer
from qnn.comparison import budget


@pytest.fixture
def aer_runs(monkeypatch):
    """The calls of `AerSimulator.run` made so far."""
    calls = []
    run = AerSimulator.run

    def counted(self, circuits, **options):
        calls.append(circuits)
        return run(self, circuits, **options)

    monkeypatch.setattr(AerSimulator, "run", counted)
    return calls


@pytest.mark.parametrize("options", [{"shots": 256}, {}], ids=["shots", "exact"])
def test_a_hybrid_net_trains_on_aer_with_one_run_per_step(aer_runs, options):
    torch.manual_seed(0)
    layer = QuantumLayer(2, 1, backend="aer", gradient="parameter-shift", seed=0, **options)
    net = torch.nn.Sequential(torch.nn.Linear(3, 2), layer, torch.nn.Linear(2, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
    x = torch.randn(16, 3)
    y = torch.tanh(x[:, :1] - x[:, 1:2])
    losses = []
    for step in range(1, 26):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(net(x), y)
        loss.backward()
        assert len(aer_runs) == step, "forward and shifted rows of the whole batch are one run"
        optimizer.step()
        losses.append(float(loss.detach()))
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in net.parameters())
    assert losses[-1] < losses[0] / 2


@pytest.mark.slow
def test_the_default_hybrid_reads_digits_it_has_never_seen(tmp_path):
    """By one of the default learning rates and in this process: tuning and workers have tests of their own."""
    options = {"seeds": 1, "tuning_trials": 1, "jobs": 0}
    comparison = qnn.compare("digits", ["hybrid@statevector"], out=tmp_path / "run", progress=False, **options)
    (record,) = comparison.records
    assert (record.n_test, record.epochs) == (360, budget.FULL_EPOCHS)
    assert record.test_accuracy >= 0.85
