"""The counting backend: the counts of the real one, by the meter; no value of any use, and nothing executed."""

import copy
import math

import pennylane as qml
import pytest
import torch
from contracts.backend_contract import SAMPLED, equal_rows, keys

from qnn import QuantumLayer, _meter
from qnn.backends import Aer, FakeCloud, Mitigated, PennyLane, Statevector, Workers
from qnn.backends.base import Capabilities, Executable
from qnn.backends.counting import Amount, Counting

BACKENDS = [Statevector(), Aer(), PennyLane("default.qubit"), Workers("aer", processes=2, rows_per_task=100)]
EXECUTES = {None: ("statevector", "pennylane"), 10: ("statevector",)}  # where there are only constants to measure


@pytest.mark.parametrize("backend", BACKENDS, ids=repr)
@pytest.mark.parametrize("shots", [None, 10])
@pytest.mark.parametrize("n_rows", [0, 6])
def test_it_counts_as_the_meter_does(backend, shots, n_rows):
    angles, row_keys = equal_rows(n_rows), keys(n_rows)
    counting = Counting(backend)
    with _meter.measure() as nothing:
        stand_in = counting.compile(SAMPLED).run(angles, shots=shots, keys=row_keys)
    with _meter.measure() as usage:
        real = backend.compile(SAMPLED).run(angles, shots=shots, keys=row_keys)
    assert nothing == _meter.Usage()
    assert counting.used == Amount(usage.jobs, usage.circuits, usage.shots)
    assert stand_in.values.shape == real.values.shape and stand_in.values.dtype == real.values.dtype
    assert (stand_in.variance is None) == (real.variance is None) and stand_in.shots == real.shots
    if shots is not None:
        assert [c.shape for c in stand_in.counts] == [c.shape for c in real.counts]
        assert all((c.sum(dim=1) == shots).all() for c in stand_in.counts)


@pytest.mark.filterwarnings("ignore::qnn.errors.InertParameterWarning")
@pytest.mark.parametrize("shots", [None, 10])
@pytest.mark.parametrize(
    "backend", [*BACKENDS[:3], "braket:local", Mitigated("aer", readout=True), "fakecloud"], ids=str
)
def test_constants_are_executed_where_the_meter_counts_them(backend, shots):
    """Neither the plan of a step nor the count of it tells of circuits that are not run, of which nobody is asked."""
    if backend == "fakecloud":
        backend = FakeCloud("http://127.0.0.1:9", "nobody")
    layer = QuantumLayer(2, 1, seed=0, observables=[qml.Identity(0)], backend=backend, shots=shots)
    x, counting = torch.ones(3, 2, requires_grad=True), Counting(layer.backend)
    with _meter.measure() as usage:
        layer(x).sum().backward()
    plan = layer.explain(3)
    with layer.using(counting, shots=shots, gradient=layer.plan.method):
        layer(x).sum().backward()
    assert counting.used == Amount(usage.jobs, usage.circuits, usage.shots)
    assert (plan.jobs_per_step, plan.circuits_per_step, plan.shots_per_step) == (
        usage.jobs,
        usage.circuits,
        usage.shots,
    )
    assert counting.beforehand == Amount() and bool(usage.jobs) == (layer.backend.name.startswith(EXECUTES[shots]))


@pytest.mark.parametrize("gradient", ["adjoint", "backprop", "parameter-shift", "spsa"])
def test_gradients_count_as_they_do_and_open_budgets_are_left_alone(gradient):
    layer = QuantumLayer(2, 1, seed=0, gradient=gradient)
    x = torch.ones(3, 2, requires_grad=True)
    counting = Counting(layer.backend)
    with layer.using(counting, gradient=gradient), _meter.budget(max_jobs=0):
        layer(x).sum().backward()
    assert x.grad is not None and torch.isfinite(x.grad).all() and torch.isfinite(layer.weights.grad).all()
    with _meter.measure() as usage:
        layer(x).sum().backward()
    assert counting.used == Amount(usage.jobs, usage.circuits, usage.shots)


def test_amounts_add_up():
    """Seconds: None where nobody bills, NaN where nobody can say, which no sum hides."""
    one, two = Amount(1, 2, 3), Amount(4, 5, 6, 1.5)
    assert one + two == Amount(5, 7, 9, 1.5) and 3 * two == Amount(12, 15, 18, 4.5)
    assert (one + one).qpu_seconds is None and (2 * two).qpu_seconds == 3.0
    unknown = two + Amount(1, 1, 0, math.nan)
    assert unknown.jobs == 5 and unknown.qpu_seconds is None


class Distant(Statevector):
    """A place elsewhere that refuses to execute, estimates where it is told to, and calibrates once."""

    name = "distant"

    def __init__(self, seconds):
        self.seconds = seconds

    @property
    def capabilities(self):
        return Capabilities(remote=True)

    def specification(self):
        return None

    def compile(self, circuit):
        return DistantExecutable(circuit, self)


class DistantExecutable(Executable):
    def run(self, angles, *, shots=None, keys=None):
        raise AssertionError("executed")

    def jobs_for(self, n_rows, shots):
        return -(-n_rows // 4)

    def seconds_for(self, n_rows, shots):
        return None if self.backend.seconds is None else self.backend.seconds * n_rows

    def once(self, shots):
        return Amount(circuits=2, shots=2 * shots, jobs=1, seconds=math.nan)

    def pending(self, shots, root=0):
        return shots


def test_jobs_seconds_and_what_comes_before_the_first_call():
    counting = Counting(Distant(0.5))
    executable = counting.compile(SAMPLED)
    for _ in range(2):
        executable.run(equal_rows(6), shots=10)
    circuits = 6 * len(executable.plan.settings)
    assert counting.used == 2 * Amount(2, circuits, 10 * circuits, 3.0)
    assert counting.beforehand.jobs == 1 and counting.beforehand.shots == 20  # once, for both calls
    assert math.isnan(counting.beforehand.seconds)
    counting = Counting(Distant(None))
    counting.compile(SAMPLED).run(equal_rows(6), shots=10)
    assert math.isnan(counting.used.seconds) and counting.used.qpu_seconds is None


def test_copies_count_together():
    layer = QuantumLayer(2, 1, seed=0)
    counting = Counting(layer.backend)
    with layer.using(counting):
        copied = copy.deepcopy(layer)
        copied(torch.zeros(5, 2))
    assert counting.used.circuits == 5
    with _meter.measure() as usage:
        layer(torch.zeros(5, 2))
    assert usage.circuits == 5 == counting.used.circuits
