"""Budgets on backends of this machine: a call that does not fit is refused before anything of it is executed."""

from contextvars import Context

import pytest
import torch
from contracts.backend_contract import SAMPLED, equal_rows, keys

from qnn import QuantumLayer, _meter
from qnn.backends import Aer, PennyLane, Statevector, Workers, worker_pool
from qnn.backends.aer import executable as aer_executable
from qnn.backends.pennylane import PennyLaneExecutable
from qnn.errors import BudgetError
from qnn.simulation.engine import Engine

BACKENDS = [Statevector(), Aer(), PennyLane("default.qubit"), Workers("aer", processes=2, rows_per_task=3)]


@pytest.fixture
def executed(monkeypatch):
    """What was executed, by the last function before the simulator.

    What worker processes do is done here, in a context like theirs.
    """
    calls = []

    def watch(owner, name):
        real = getattr(owner, name)

        def watched(*arguments, **options):
            calls.append(name)
            return real(*arguments, **options)

        monkeypatch.setattr(owner, name, watched)

    watch(Engine, "forward")
    watch(aer_executable, "launch")
    watch(PennyLaneExecutable, "_execute")
    monkeypatch.setattr(
        worker_pool, "compute", lambda processes, function, calls: [Context().run(function, *a) for a in calls]
    )
    return calls


@pytest.mark.parametrize("backend", BACKENDS, ids=repr)
@pytest.mark.parametrize("unit", ["jobs", "circuits", "shots"])
def test_what_does_not_fit_is_not_executed(backend, unit, executed):
    """Two calls of 6 rows: a budget for both holds them, and one that is smaller by one stops before the second."""
    shots = 10
    executable = backend.compile(SAMPLED)
    run = lambda: executable.run(equal_rows(6), shots=shots, keys=keys(6))
    with _meter.measure() as usage:
        run()
    used = 2 * usage.as_dict()[unit]
    assert used
    with _meter.budget(**{f"max_{unit}": used}) as left:
        run(), run()
    assert left.used[unit] == used and left.used["seconds"] == 0
    with _meter.budget(**{f"max_{unit}": used - 1}) as left:
        run()
        executed.clear()
        with pytest.raises(BudgetError, match=f"The budget of .* {unit} does not suffice"):
            run()
        assert not executed and left.used[unit] == used // 2
    run()
    assert executed


@pytest.mark.parametrize("gradient", ["adjoint", "backprop", "parameter-shift"])
def test_gradients_on_the_embedded_simulator(gradient, executed):
    layer = QuantumLayer(2, 1, seed=0, gradient=gradient)
    x = torch.ones(3, 2, requires_grad=True)
    with _meter.measure() as usage:
        layer(x)
    with _meter.budget(max_circuits=usage.circuits) as left:
        layer(x).sum().backward()
        executed.clear()
        with pytest.raises(BudgetError):
            layer(x)
    assert left.used["circuits"] == usage.circuits and not executed


def test_what_torch_differentiates_is_one_call_with_workers_too():
    layer = QuantumLayer(2, 1, seed=0, gradient="backprop", workers=2, rows_per_task=1)
    with _meter.measure() as usage, _meter.budget(max_jobs=1):
        layer(torch.ones(4, 2))
    assert usage.jobs == 1
