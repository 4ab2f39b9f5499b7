"""Seconds that IBM bills: its formula on numbers by hand, and executions as its client really sends them."""

import math

import ibm_service
import pytest
from contracts.backend_contract import keys, no_angles
from ibm_service import DEVICE, executions
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit_ibm_runtime.executor.calculate_twirling_shots import calculate_twirling_shots
from qiskit_ibm_runtime.fake_provider import FakeManilaV2
from test_backends_ibm import LINE, WORDS, rows

from qnn import QuantumLayer, _meter
from qnn.backends import IBM
from qnn.backends.ibm.estimate import PER_JOB_S, twirled_shots
from qnn.circuits.circuit import Circuit, Operation
from qnn.circuits.observables import Expectation, pauli
from qnn.errors import BudgetError, JobTimeoutError

FLIP = Circuit(1, (Operation("PauliX", (0,)),), (Expectation(pauli("Z")),))


@pytest.fixture
def cloud(monkeypatch, tmp_path):
    made = ibm_service.installed(monkeypatch, tmp_path)
    monkeypatch.setenv("QNN_JOURNAL", str(tmp_path / "jobs.sqlite3"))
    yield made
    made.close()


def test_the_formula_by_hand():
    """2 s + (repetition delay + reset + X + measurement) * executions, on whatever qubit the layout chose."""
    executable = IBM("fake_manila").compile(FLIP)
    qubit = executable.describe()["layout"][0]
    target = FakeManilaV2().target
    length = sum(target[name][(qubit,)].duration for name in ("reset", "x", "measure"))
    assert 5e-6 < length < 20e-6
    assert executable.seconds_for(3, 1000) == pytest.approx(2 + (250e-6 + length) * 3000, rel=1e-12)
    assert executable.seconds_for(0, 1000) == 0 and executable.seconds_for(3, None) is None
    several = IBM("fake_manila", max_executions=1000).compile(FLIP)
    assert several.seconds_for(3, 1000) - executable.seconds_for(3, 1000) == pytest.approx(2 * PER_JOB_S)


def test_execution_options_and_the_machine_agree_with_the_fake_device(cloud):
    """The same numbers for the machine as for the fake device of its data, before anything is sent."""
    plain = IBM("fake_manila").compile(WORDS).seconds_for(4, 100)
    assert IBM(DEVICE).compile(WORDS).seconds_for(4, 100) == pytest.approx(plain, rel=1e-12)
    executed = 4 * 2 * 100
    short = IBM(DEVICE, execution={"rep_delay": 1e-4}).compile(WORDS).seconds_for(4, 100)
    assert plain - short == pytest.approx(150e-6 * executed, rel=1e-9)
    cold = IBM(DEVICE, execution={"init_qubits": False}).compile(WORDS).seconds_for(4, 100)
    assert (plain - cold) / executed == pytest.approx(FakeManilaV2().target["reset"][(0,)].duration, rel=0.1)
    assert cloud.posts() == 0


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"primitive": "estimator"},
        {"twirling": True},
        {"twirling": {"enable_measure": True, "num_randomizations": 3}},
        {"resilience_level": 1},
        {"resilience_level": 2},
        {"resilience": {"zne_mitigation": True, "zne": {"noise_factors": [1, 3]}}},
    ],
)
def test_executions_are_those_of_the_job_that_is_sent(cloud, options):
    """With a delay of 1,000 s for each execution the estimate counts them."""
    cloud.status = "Queued"
    n_rows, shots = 3, 100
    backend = IBM(DEVICE, timeout_s=0.05, **options)
    executable = backend.compile(WORDS)
    with pytest.raises(JobTimeoutError, match="timeout_s"):
        executable.run(rows(n_rows, 2.6, -1.0), shots=shots, keys=keys(n_rows))
    counting = IBM(DEVICE, execution={"rep_delay": 1000.0}, **options).compile(WORDS)
    seconds = counting.seconds_for(n_rows, shots) - 2
    assert seconds / 1000 == pytest.approx(executions(cloud.jobs[0]), abs=0.1)
    assert executable.seconds_for(n_rows, shots) - 2 > 250e-6 * executions(cloud.jobs[0])


@pytest.mark.parametrize("number", ["auto", 1, 7, 40])
@pytest.mark.parametrize("each", ["auto", 1, 10, 64])
def test_whole_randomizations_as_ibms_client_makes_them(number, each):
    for shots in (1, 50, 64, 100, 2048, 4097):
        theirs = math.prod(calculate_twirling_shots(shots, number, each))
        assert twirled_shots(shots, (number, each)) == theirs
        assert twirled_shots(shots, None) == shots


def test_folded_gates_take_longer():
    """Three circuits whose gates are folded 1, 3 and 5 times: nine times the gates, three times all else."""
    one, three = (
        IBM("fake_manila", primitive="estimator", resilience=resilience).compile(WORDS)._billing.per_row_s
        for resilience in (None, {"zne_mitigation": True, "zne": {"noise_factors": [1, 3, 5]}})
    )
    assert 3 * one < three < 9 * one


def test_a_device_without_durations_is_taken_for_a_typical_one():
    line = GenericBackendV2(5, ["rz", "sx", "x", "cx"], coupling_map=LINE, noise_info=False, seed=1)
    assert IBM(line).compile(FLIP).seconds_for(10, 100) == pytest.approx(2 + 0.00035 * 1000)  # IBM's short formula


def test_budgets_in_local_mode_hold_without_seconds():
    """A fake device says what its machine would bill; nobody bills it."""
    executable = IBM("fake_manila", max_executions=100).compile(FLIP)
    with _meter.budget(max_seconds=0.0, max_jobs=2) as budget:
        executable.run(no_angles(2), shots=100, keys=keys(2))
        assert budget.used == {"jobs": 2, "shots": 200, "circuits": 2, "seconds": 0}
        with _meter.measure() as usage, pytest.raises(BudgetError, match="budget of 2 jobs does not suffice"):
            executable.run(no_angles(1), shots=100, keys=keys(1))
    assert usage == _meter.Usage() and executable.seconds_for(2, 100) > 4


def test_a_training_step_is_estimated_as_in_the_documentation():
    """The layer of docs/providers/ibm.md: 136 circuits of 1,024 shots for 8 rows and their shifted ones."""
    layer = QuantumLayer(4, 2, backend="ibm:fake_manila", shots=1024, seed=0)
    assert 36 < layer.backend.compile(layer.circuit).seconds_for(136, 1024) < 40
