"""Calls at AWS before a stand-in: what is submitted, waited for, kept, counted and named when something fails."""

import json
import pickle
import signal
import threading
import time
from collections import Counter

import numpy as np
import oracles
import pytest
import torch
from braket.circuits.noise_model import GateCriteria, NoiseModel
from braket.circuits.noises import BitFlip
from braket_service import ACCOUNT, QPU, SETS, installed
from contracts.backend_contract import SAMPLED, equal_rows, keys, no_angles
from random_circuits import random_angles, random_circuit
from shown_errors import shown

from qnn import _meter
from qnn.backends import Braket, from_specification
from qnn.backends.base import Angles
from qnn.backends.braket.service import BraketService
from qnn.circuits.circuit import Circuit, Operation, Slot
from qnn.circuits.observables import Expectation, pauli
from qnn.errors import (
    BackendError,
    BackendUnavailableError,
    BudgetError,
    JobFailedError,
    JobTimeoutError,
    QuotaError,
    RateLimitError,
)
from qnn.jobs import Journal, run_scope

FOLDER = "amazon-braket-test/folder"
FLIP = Circuit(2, (Operation("PauliX", (1,)),), (Expectation(pauli("IZ")),))
THROTTLED = (429, "ThrottlingException", "Rate exceeded")
USED_UP = (402, "ServiceQuotaExceededException", "Too many tasks")
TURN = Circuit(1, (Operation("RX", (0,), Slot("rows", 0)),), (Expectation(pauli("Z")),), 0, 1)
SECRET, KEY_ID = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "AKIAIOSFODNN7EXAMPLE"  # those of the stand-in


@pytest.fixture
def service(monkeypatch, tmp_path):
    return installed(monkeypatch, tmp_path)


def arns(*numbers):
    return tuple(f"arn:aws:braket:us-east-1:{ACCOUNT}:quantum-task/task-{number}" for number in numbers)


def flip(device="sv1", **options):
    return Braket(device, s3_folder=FOLDER, **{"retry_s": 0} | options).compile(FLIP)


def turned(*angles):
    return Angles(torch.zeros(0, dtype=torch.float64), torch.tensor(angles, dtype=torch.float64)[:, None])


def states():
    """Those of all jobs in the journal of this test."""
    return Counter(job.state for job in Journal().jobs())


def small_sets(service):
    """A machine whose program sets take two circuits."""
    service.devices[QPU][1]["action"][SETS] |= {"maximumExecutables": 2}
    return flip(QPU)


def test_a_refused_task_names_and_counts_the_others(service):
    """The third of six is refused: the two before it are named and counted, one is cancelled; none comes after."""
    service.refusal, service.refused = USED_UP, [3]
    service.statuses = {1: "COMPLETED", 2: "QUEUED"}
    executable = flip(max_parallel=2)
    with (
        _meter.measure() as usage,
        pytest.raises(QuotaError, match=r"Too many tasks.*Submitted: 2 of 6 jobs: arn:\S+/task-\d, arn") as caught,
    ):
        executable.run(no_angles(6), shots=10)
    assert sorted(caught.value.job_ids) == sorted(arns(1, 2))
    assert "1 of them, still queued, were cancelled" in str(caught.value)
    assert service.cancelled == [2]
    assert (usage.jobs, usage.circuits, usage.shots) == (2, 2, 20)


def test_tasks_under_way_when_one_is_refused_are_named_too(service):
    """All six are asked for at once: five were taken."""
    service.status = "QUEUED"
    service.refusal, service.refused = USED_UP, [6]
    began = time.monotonic()
    with _meter.measure() as usage, pytest.raises(QuotaError, match="Submitted: 5 of 6 jobs") as caught:
        flip(max_parallel=6).run(no_angles(6), shots=10)
    assert time.monotonic() - began < 20  # and not five days
    assert sorted(caught.value.job_ids) == sorted(arns(1, 2, 3, 4, 5))
    assert str(caught.value).count("quantum-task/") == 3 and "`job_ids`" in str(caught.value)
    assert sorted(service.cancelled) == [1, 2, 3, 4, 5]
    assert usage.jobs == 5


def test_running_tasks_are_left_alone(service):
    service.status = "RUNNING"
    service.refusal, service.refused = USED_UP, [2]
    with pytest.raises(QuotaError, match=r"Submitted: 1 of 2 jobs: \S+task-1\.$"):
        flip(max_parallel=2).run(no_angles(2), shots=10)
    assert not service.cancelled


def test_nothing_is_counted_when_nothing_was_submitted(service):
    service.refusal = THROTTLED
    with _meter.measure() as usage, pytest.raises(RateLimitError, match="No job was submitted") as caught:
        flip(max_parallel=1).run(no_angles(3), shots=10)
    assert caught.value.job_ids == () and usage == _meter.Usage()
    assert sum(method == "POST" for method, _ in service.requests) == 1


def test_every_program_set_counts_as_a_job(service):
    executable = small_sets(service)
    with _meter.measure() as usage:
        executable.run(no_angles(7), shots=10)
    assert len(service.tasks) == 4
    assert (usage.jobs, usage.circuits, usage.shots) == (4, 7, 70)


def test_a_call_without_parameters_counts_what_was_submitted(service):
    """Exact values without parameters are one circuit for all rows."""
    with _meter.measure() as usage:
        flip().run(no_angles(3))
    assert len(service.tasks) == usage.jobs == usage.circuits == 1 and usage.shots == 0


@pytest.mark.parametrize("status", ["FAILED", "CANCELLED"])
def test_tasks_without_result_are_not_submitted_again(service, status):
    service.statuses = {1: "COMPLETED", 2: status}
    with pytest.raises(
        JobFailedError,
        match=rf"quantum-task/task-2 on braket:sv1 was {status.lower()}: the cryostat is warm.*Submitted: 2 of 4 jobs",
    ) as caught:
        flip(max_parallel=1).run(no_angles(4), shots=10)
    assert caught.value.job_ids == arns(1, 2)
    assert len(service.tasks) == 2


def test_circuits_that_failed_in_a_program_set(service):
    executable = small_sets(service)
    failure = {
        "braketSchemaHeader": {"name": "braket.task_result.program_set_executable_failure", "version": "1"},
        "inputsIndex": 0,
        "failureMetadata": {"failureReason": "the laser is off", "retryable": False, "category": "DEVICE"},
    }

    def spoil():
        for number, text in service.results.items():
            result = json.loads(text)
            result["programResults"][0]["executableResults"][0] = failure
            service.results[number] = json.dumps(result)

    create = service._create
    service._create = lambda body: (create(body), spoil())[0]
    with pytest.raises(
        JobFailedError,
        match=r"1 of 2 circuits of task \S+ failed on braket:arn.*the laser is off.*Submitted: 2 of 2 jobs",
    ) as caught:
        executable.run(no_angles(4), shots=10)
    assert sorted(caught.value.job_ids) == list(arns(1, 2))


def test_the_timeout_is_one_for_all_tasks(service):
    """Six tasks, two at a time, that never end: 1 s altogether, and the others are not submitted."""
    service.status = "QUEUED"
    executable = flip(timeout_s=1, max_parallel=2)
    began = time.monotonic()
    with (
        _meter.measure() as usage,
        pytest.raises(
            JobTimeoutError,
            match=r"`timeout_s` must be long enough for a job on braket:sv1.*got 1 s.*Submitted: 2 of 6 jobs",
        ) as caught,
    ):
        executable.run(no_angles(6), shots=10)
    assert 1 <= time.monotonic() - began < 20
    assert sorted(caught.value.job_ids) == list(arns(1, 2))
    assert "They go on and are paid for" in str(caught.value)
    assert not service.cancelled and usage.jobs == 2


def test_max_parallel_bounds_the_tasks_at_aws(service):
    for most, device in ((1, "sv1"), (3, "sv1")):
        service.most_unfinished = 0
        flip(device, max_parallel=most).run(no_angles(9), shots=10, keys=keys(9, call=most))
        assert service.most_unfinished <= most
    service.status = "QUEUED"
    with pytest.raises(JobTimeoutError, match="Submitted: 4 of 9 jobs"):
        flip(timeout_s=1, max_parallel=4).run(no_angles(9), shots=10)


def test_results_keep_the_order_of_rows(service):
    """The task that was submitted last ends first."""
    circuit = random_circuit(3, 3, n_operations=6)
    angles = random_angles(circuit, 2)
    executable = Braket("sv1", s3_folder=FOLDER, max_parallel=100).compile(circuit)
    n_tasks = 2 * len(executable.plan.settings)
    looks = Counter()

    def later(number):
        looks[number] += 1
        return "QUEUED" if len(service.tasks) < n_tasks or looks[number] <= 2 * (n_tasks - number) else "COMPLETED"

    service.status_of = later
    values = executable.run(angles).values
    np.testing.assert_allclose(values, oracles.values(circuit, angles.shared, angles.rows), atol=1e-9)
    assert looks[1] > looks[n_tasks] and n_tasks > 2


def test_aws_out_of_reach_while_waiting(service):
    looks = service._braket

    def broken(request, path):
        if request.method == "GET" and path.startswith("/quantum-task/"):
            return 503, {"__type": "ServiceUnavailable", "message": "no"}
        return looks(request, path)

    service._braket = broken
    with pytest.raises(BackendUnavailableError, match=r"find a task of braket:sv1.*Submitted: 1 of 2") as caught:
        flip(max_parallel=1).run(no_angles(2), shots=10)
    assert caught.value.job_ids == arns(1)


def test_the_same_run_finds_its_tasks_again(service):
    """After a time-out, and after a crash: by another backend object, in the same run."""
    service.status = "RUNNING"
    with run_scope("a"), pytest.raises(JobTimeoutError, match="Submitted: 2 of 2 jobs"):
        flip(timeout_s=0.3).run(no_angles(2), shots=10, keys=keys(2))
    service.status = "COMPLETED"
    with run_scope("a"), _meter.measure() as usage:
        values = flip().run(no_angles(2), shots=10, keys=keys(2)).values
    assert values.tolist() == [[-1.0]] * 2
    assert len(service.tasks) == usage.jobs == 2 and states() == {"done": 2}
    asked = len(service.requests)
    with run_scope("a"):
        flip().run(no_angles(2), shots=10, keys=keys(2))
    assert [path.split("/")[1] for _, path in service.requests[asked:]] == ["device"]  # results are in the journal
    with run_scope("b"):
        flip().run(no_angles(2), shots=10, keys=keys(2))
    assert len(service.tasks) == 4


def test_replayed_shots_are_the_same_to_the_bit(service):
    """Of program sets that hold rows of two settings; other keys draw anew."""
    service.devices[QPU][1]["action"][SETS] |= {"maximumExecutables": 4}
    executable = Braket(QPU, s3_folder=FOLDER).compile(SAMPLED)
    first, again, other = (
        executable.run(equal_rows(3), shots=50, keys=keys(3, call=call)).counts for call in (0, 0, 1)
    )
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    assert len(service.tasks) == 2 * 3
    parts = {job.part: [n for n, _ in job.form_data["counts"]] for job in Journal().jobs()}
    assert parts == {0: [3, 1], 1: [2, 2], 2: [1]}


def test_results_are_read_from_the_journal_alone(service):
    """What `qnn jobs wait` has: a row of the journal; a live noise model is no part of it."""
    model = NoiseModel()
    model.add_noise(BitFlip(0.2), GateCriteria())
    Braket("dm1", noise=model, s3_folder=FOLDER).compile(FLIP).run(no_angles(1))
    (job,) = Journal().jobs()
    backend = from_specification(json.loads(job.specification))
    (values,) = backend.service().result(job.remote_id, job.form_data)
    assert values.shape == (1, 1) and values[0, 0] == pytest.approx(-0.6)


@pytest.mark.parametrize("how", ["tag", "search", "token"])
def test_a_lost_answer_makes_one_task(service, how, monkeypatch):
    monkeypatch.setattr(BraketService, "lookup_s", 0.0)
    service.lost, service.tagging, service.lists = 1, how == "tag", how != "token"
    values = flip(retry_s=20).run(no_angles(1), shots=10, keys=keys(1)).values
    assert values.tolist() == [[-1.0]]
    assert len(service.tasks) == 1 and states() == {"done": 1}
    assert len(service.tokens) == (2 if how == "token" else 1) and len(set(service.tokens)) == 1


def test_throttling_is_waited_for(service):
    service.refusal, service.refused = THROTTLED, [1]
    assert flip(retry_s=20).run(no_angles(1), shots=10, keys=keys(1)).values.tolist() == [[-1.0]]
    assert len(service.tasks) == 1


def test_a_failed_task_is_submitted_anew_by_the_same_run_under_another_token(service):
    service.status = "FAILED"
    with pytest.raises(JobFailedError, match="the cryostat is warm"):
        flip().run(no_angles(1), shots=10, keys=keys(1))
    service.status = "COMPLETED"
    flip().run(no_angles(1), shots=10, keys=keys(1))
    assert len(set(service.tokens)) == len(service.tasks) == 2


@pytest.mark.parametrize(
    ("change", "n_tasks"),
    [
        ({}, 1),
        ({"s3_folder": "amazon-braket-test/other", "timeout_s": 60, "max_parallel": 3, "retry_s": 1}, 1),
        ({"noise": 0.2}, 2),
        ({"reuse_exact": False}, 2),
    ],
)
def test_exact_results_of_other_runs_are_used_where_nothing_differs_that_changes_them(service, change, n_tasks):
    options = {"noise": 0.1, "s3_folder": FOLDER, "reuse_exact": True}
    angles = turned(0.3)
    with run_scope("a"):
        Braket("dm1", **options).compile(TURN).run(angles)
    with run_scope("b"):
        value = float(Braket("dm1", **options | change).compile(TURN).run(angles).values)
    assert len(service.tasks) == n_tasks
    assert value == pytest.approx((1 - 4 / 3 * change.get("noise", 0.1)) * np.cos(0.3))
    with run_scope("c"):
        Braket("dm1", **options).compile(TURN).run(turned(0.4))
    assert len(service.tasks) == n_tasks + 1


def test_the_journal_is_where_it_was_asked_for(service, tmp_path):
    flip(journal=tmp_path / "here").run(no_angles(1), shots=10, keys=keys(1))
    assert len(Journal(tmp_path / "here").jobs()) == 1 and not Journal().jobs()


def test_budgets_refuse_before_anything_is_submitted(service):
    executable = small_sets(service)
    with _meter.budget(max_jobs=3, max_shots=1000) as budget:
        with pytest.raises(BudgetError, match="The budget of 3 jobs does not suffice"):
            executable.run(no_angles(7), shots=10)
        assert not service.tasks
        executable.run(no_angles(5), shots=10)
    assert budget.used["jobs"] == len(service.tasks) == 3 and budget.used["shots"] == 50
    with (
        _meter.budget(max_seconds=1e9),
        pytest.raises(BudgetError, match="`max_seconds` must be left out where nobody says how long jobs take"),
    ):
        executable.run(no_angles(1), shots=10)
    assert executable.seconds_for(1, 10) is None


@pytest.mark.parametrize("code", ["SignatureDoesNotMatch", "ValidationException", "Odd", "ConnectionClosedError"])
def test_credentials_are_nowhere(service, code, tmp_path):
    """AWS quotes them in its refusal, and requests are signed; they are in no error, frame, journal or pickle."""
    if code == "ConnectionClosedError":
        service.lost = 1
    else:
        service.refusal, service.refused = (403, code, f"the string to sign was {SECRET}"), [2]
    executable = flip(max_parallel=1, retry_s=0)
    with pytest.raises(BackendError, match=code) as caught:
        executable.run(no_angles(2), shots=10, keys=keys(2))
    told = shown(caught.value) + repr(executable.backend)
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir()) + pickle.dumps((executable.backend, caught.value))
    assert len(kept) > 1000
    for planted in (SECRET, KEY_ID):
        assert planted not in told and planted.encode() not in kept


@pytest.fixture
def interruptible():
    """A process started in the background by a shell ignores interrupts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_tells_what_goes_on(service, interruptible):
    service.status = "QUEUED"
    service.at_create = lambda: signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
    with _meter.measure() as usage, pytest.raises(KeyboardInterrupt) as caught:
        flip(max_parallel=1, timeout_s=30).run(no_angles(3), shots=10)
    assert any(arns(1)[0] in note for note in caught.value.__notes__)
    assert len(service.tasks) == usage.jobs == 1
