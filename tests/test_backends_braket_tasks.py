"""Tasks at AWS before a stand-in: what is submitted, waited for, counted and named when something fails."""

import json
import signal
import threading
import time
from collections import Counter

import numpy as np
import oracles
import pytest
from braket_service import ACCOUNT, QPU, SETS, installed
from contracts.backend_contract import no_angles
from random_circuits import random_angles, random_circuit

from qnn import _meter
from qnn.backends import Braket
from qnn.circuits.circuit import Circuit, Operation
from qnn.circuits.observables import Expectation, pauli
from qnn.errors import BackendUnavailableError, JobFailedError, JobTimeoutError, RateLimitError

FOLDER = "amazon-braket-test/folder"
FLIP = Circuit(2, (Operation("PauliX", (1,)),), (Expectation(pauli("IZ")),))
THROTTLED = (429, "ThrottlingException", "Rate exceeded")


@pytest.fixture
def service(monkeypatch, tmp_path):
    return installed(monkeypatch, tmp_path)


def arns(*numbers):
    return tuple(f"arn:aws:braket:us-east-1:{ACCOUNT}:quantum-task/task-{number}" for number in numbers)


def flip(device="sv1", **options):
    return Braket(device, s3_folder=FOLDER, **options).compile(FLIP)


def small_sets(service):
    """A machine whose program sets take two circuits."""
    service.devices[QPU][1]["action"][SETS] |= {"maximumExecutables": 2}
    return flip(QPU)


def test_a_refused_task_names_and_counts_the_others(service):
    """The third of six is refused: the two before it are named and counted, one is cancelled; none comes after."""
    service.refusal, service.refused = THROTTLED, [3]
    service.statuses = {1: "COMPLETED", 2: "QUEUED"}
    executable = flip(max_parallel=2)
    with (
        _meter.measure() as usage,
        pytest.raises(RateLimitError, match=r"Rate exceeded.*Submitted: 2 of 6 tasks: arn:\S+/task-\d, arn") as caught,
    ):
        executable.run(no_angles(6), shots=10)
    assert sorted(caught.value.job_ids) == sorted(arns(1, 2))
    assert "1 of them, still queued, were told to cancel" in str(caught.value)
    assert service.cancelled == [2]
    assert (usage.jobs, usage.circuits, usage.shots) == (2, 2, 20)


def test_tasks_under_way_when_one_is_refused_are_named_too(service):
    """All six are asked for at once: five were taken."""
    service.status = "QUEUED"
    service.refusal, service.refused = THROTTLED, [6]
    began = time.monotonic()
    with _meter.measure() as usage, pytest.raises(RateLimitError, match="Submitted: 5 of 6 tasks") as caught:
        flip(max_parallel=6).run(no_angles(6), shots=10)
    assert time.monotonic() - began < 20  # and not five days
    assert sorted(caught.value.job_ids) == sorted(arns(1, 2, 3, 4, 5))
    assert str(caught.value).count("quantum-task/") == 3 and "`job_ids`" in str(caught.value)
    assert sorted(service.cancelled) == [1, 2, 3, 4, 5]
    assert usage.jobs == 5


def test_running_tasks_are_left_alone(service):
    service.status = "RUNNING"
    service.refusal, service.refused = THROTTLED, [2]
    with pytest.raises(RateLimitError, match="0 of them, still queued"):
        flip(max_parallel=2).run(no_angles(2), shots=10)
    assert not service.cancelled


def test_nothing_is_counted_when_nothing_was_submitted(service):
    service.refusal = THROTTLED
    with _meter.measure() as usage, pytest.raises(RateLimitError, match="No task was submitted") as caught:
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
        JobFailedError, match=rf"quantum-task/task-2 is {status} \(the cryostat is warm\).*Submitted: 2 of 4 tasks"
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
        JobFailedError, match=r"2 of 4 circuits failed on braket:arn.*the laser is off.*Submitted: 2 of 2 tasks"
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
            JobTimeoutError, match=r"6 of 6 tasks on braket:sv1 did not end within 1 s\. Submitted: 2 of 6 tasks"
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
        flip(device, max_parallel=most).run(no_angles(9), shots=10)
        assert service.most_unfinished <= most
    service.status = "QUEUED"
    with pytest.raises(JobTimeoutError, match="Submitted: 4 of 9 tasks"):
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
    with pytest.raises(BackendUnavailableError, match=r"return the results of braket:sv1.*Submitted: 1 of 2") as caught:
        flip(max_parallel=1).run(no_angles(2), shots=10)
    assert caught.value.job_ids == arns(1)


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
