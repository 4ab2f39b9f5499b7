"""Jobs at IBM: its own client in front of a stand-in for its service, at the level of HTTP."""

import json
import os
import pickle
import signal
import sqlite3
from contextlib import suppress

import ibm_service
import numpy as np
import pytest
import torch
from contracts.backend_contract import keys
from ibm_service import CRN, DEVICE
from shown_errors import shown
from test_backends_ibm import WORDS, rows

from qnn import _meter
from qnn._run import run_scope
from qnn.backends import IBM, from_specification
from qnn.backends.ibm.client import send_once
from qnn.backends.ibm.service import IBMPayload
from qnn.errors import (
    AuthenticationError,
    BackendError,
    BackendUnavailableError,
    BudgetError,
    DuplicateJobWarning,
    JobFailedError,
    JobNotFoundError,
    JobTimeoutError,
    QuotaError,
    RateLimitError,
    UnknownNameError,
)

ANGLES = rows(2, 2.6, -1.0)
SHOTS = 200


@pytest.fixture
def cloud(monkeypatch, tmp_path):
    made = ibm_service.installed(monkeypatch, tmp_path)
    monkeypatch.setenv("QNN_JOURNAL", str(tmp_path / "jobs.sqlite3"))
    yield made
    made.close()


def machine(**options):
    """A backend whose service looks often, and gives up soon."""
    backend = IBM(DEVICE, **({"retry_s": 20} | options))
    service = backend.service()
    service.poll_interval_s, service.lookup_s = 0.02, 0.2
    return backend


def run(backend, angles=ANGLES, root=0, shots=SHOTS):
    return backend.compile(WORDS).run(angles, shots=shots, keys=keys(angles.n_rows, root=root))


def payload(backend, n_rows=2):
    executable = backend.compile(WORDS)
    return IBMPayload(executable._pubs(np.tile([2.6, -1.0], (n_rows, 1))), SHOTS), executable._form(n_rows)


# the port -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "shapes"), [({}, [(2, 8), (2, 8)]), ({"primitive": "estimator"}, [(2, 3), (2, 3)])]
)
def test_a_job_is_found_by_its_tag_and_read_elsewhere_from_plain_data(cloud, options, shapes):
    backend = machine(tags=["thesis"], **options)
    service = backend.service()
    pubs, form = payload(backend)
    assert service.find("qnn-17-1") is None
    remote_id = service.submit(pubs, "qnn-17-1")
    assert cloud.jobs[0]["tags"] == ["qnn", "thesis", "qnn-17-1"]
    assert cloud.headers[-1]["Service-CRN"] == CRN
    arrays = service.result(remote_id, form)
    assert [a.shape for a in arrays] == shapes

    elsewhere = from_specification(json.loads(json.dumps(backend.specification()))).service()
    assert elsewhere is not service
    assert elsewhere.find("qnn-17-1") == remote_id and elsewhere.state(remote_id) == "done"
    again = elsewhere.result(remote_id, json.loads(json.dumps(form)))
    assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(arrays, again, strict=True))
    assert elsewhere.seconds_used(remote_id) == 3.5
    cloud.metrics = {"usage": {"status": "pending", "qpu_charge_time_seconds": 0}}
    assert elsewhere.seconds_used(remote_id) is None
    with pytest.raises(JobFailedError, match=r"must have arrays of shapes \[\(3, "):
        elsewhere.result(remote_id, form | {"rows": 3})


def test_states_reasons_and_cancelling(cloud):
    backend = machine()
    service = backend.service()
    pubs, _ = payload(backend)
    remote_id = service.submit(pubs, "qnn-1-1")
    for status, state in (("Queued", "queued"), ("Running", "running")):
        cloud.status = status
        assert service.state(remote_id) == state
    service.cancel(remote_id)
    assert service.state(remote_id) == "cancelled"
    service.cancel(remote_id)  # IBM answers 409, since it has ended

    cloud.status = "Failed"
    failed = service.submit(pubs, "qnn-2-1")
    cloud.answers["/results"] = [(404, 1291, "no results")]
    assert service.state(failed) == "failed"
    assert "1517; ran out of shots" in machine().service().why(failed)
    with pytest.raises(JobFailedError, match="ran out of shots"):
        service.result(failed, {})
    for ask in (service.state, service.cancel):
        with pytest.raises(JobNotFoundError, match="Job not found: d999"):
            ask("d999")
    assert service.why("d999") == "" and service.seconds_used("d999") is None


def test_of_two_jobs_with_a_tag_the_oldest_counts(cloud):
    """The second is cancelled while it waits; once it runs it is only told."""
    backend = machine()
    service = backend.service()
    pubs, _ = payload(backend)
    first, second = (service.submit(pubs, "qnn-1-1") for _ in range(2))
    cloud.status = "Queued"
    with pytest.warns(DuplicateJobWarning, match=f"job {first} is used; job {second} was cancelled before it began"):
        assert service.find("qnn-1-1") == first
    assert [job["status"] for job in cloud.jobs] == [None, "Cancelled"]
    cloud.jobs[1]["status"] = "Running"
    with pytest.warns(DuplicateJobWarning, match=f"job {second} runs and is paid for"):
        assert machine().service().find("qnn-1-1") == first


def test_a_job_that_failed_is_found_only_where_no_other_has_its_tag(cloud):
    """As after `qnn jobs prune` of its row: the next attempt has the same tag, and is not cancelled for its sake."""
    backend = machine()
    pubs, _ = payload(backend)
    bad, good = (backend.service().submit(pubs, "qnn-1-1") for _ in range(2))
    cloud.jobs[0]["status"], cloud.status = "Failed", "Queued"
    assert machine().service().find("qnn-1-1") == good
    careless = machine().service()
    careless._sends_once = False  # as a client that could not be told: what it has sent is looked up
    latest = careless.submit(pubs, "qnn-1-2")
    assert careless.find("qnn-1-2") == latest
    cloud.jobs[1]["status"] = cloud.jobs[2]["status"] = "Cancelled"
    assert careless.submit(pubs, "qnn-1-1") not in (bad, good)
    assert [job["status"] for job in cloud.jobs] == ["Failed", "Cancelled", "Cancelled", None]
    cloud.jobs[3]["status"] = "Cancelled"
    assert machine().service().find("qnn-1-1") == bad


@pytest.mark.parametrize("fault", ["lost", "dropped", "accepted 500", (503, 1199, "in maintenance"), (502, 0, "bad")])
def test_a_submission_is_sent_once(cloud, fault):
    """By itself IBM's client sends each of these again, so that two jobs come of one that was accepted."""
    backend = machine()
    service = backend.service()
    pubs, _ = payload(backend)
    cloud.faults = [fault]
    with pytest.raises(BackendUnavailableError, match="IBM Quantum could not submit a job to ibm_standin"):
        service.submit(pubs, "qnn-1-1")
    accepted = fault in ("lost", "accepted 500")
    assert cloud.posts() == 1 and len(cloud.jobs) == accepted
    assert (service.find("qnn-1-1") is not None) == accepted


def test_what_the_client_does_by_itself(cloud):
    backend = IBM(DEVICE)
    pubs, _ = payload(backend)
    cloud.faults = ["accepted 500"]
    backend.submit(backend.device, pubs.pubs, SHOTS, None, tag="qnn-1-1")
    assert cloud.posts() == len(cloud.jobs) == 2


def test_a_client_that_goes_on_sending_by_itself(cloud, monkeypatch):
    """Then the tag of each submission is looked up: the older job counts, the other one is cancelled and named."""
    monkeypatch.setattr("qnn.backends.ibm.service.send_once", lambda device: False)
    service = machine().service()
    pubs, _ = payload(machine())
    cloud.faults, cloud.status = ["accepted 500"], "Queued"
    with pytest.warns(DuplicateJobWarning, match="job d000 is used; job d001 was cancelled before it began"):
        assert service.submit(pubs, "qnn-1-1") == "d000"
    assert [job["status"] for job in cloud.jobs] == [None, "Cancelled"]
    assert service.submit(pubs, "qnn-2-1") == "d002"
    cloud.faults, cloud.hidden = ["accepted 500"], 1  # nothing is listed yet
    assert service.submit(pubs, "qnn-3-1") == "d004"


def test_a_submission_that_could_not_be_looked_up_is_not_made_again(cloud, monkeypatch):
    monkeypatch.setattr("qnn.backends.ibm.service.send_once", lambda device: False)
    cloud.accepted = lambda: cloud.answers.update({"/jobs": [(429, 1202, "slowly")]})
    with pytest.raises(BackendUnavailableError, match=r"Job d000 was submitted .* not known whether twice: .*slowly"):
        run(machine(retry_s=0))
    assert run(machine()).values.shape == (2, 3) and cloud.posts() == 1


def test_whether_the_client_could_be_told(cloud):
    assert send_once(machine().device) is True
    assert send_once(object()) is False


@pytest.mark.parametrize(
    ("fault", "error", "text"),
    [
        ((429, 1202, "Too many requests"), RateLimitError, "Too many requests.*Try again in a minute"),
        ((400, 3458, "pending jobs limit reached"), RateLimitError, "pending jobs limit.*Wait until pending jobs"),
        ((409, 4317, "usage limit"), QuotaError, "usage limit.*next period of the plan"),
        ((401, 1200, "who are you"), AuthenticationError, "who are you.*valid token"),
        ((400, 1234, "not a job"), BackendError, "not a job"),
    ],
)
def test_refusals(cloud, fault, error, text):
    backend = machine()
    pubs, _ = payload(backend)
    cloud.faults = [fault]
    with pytest.raises(error, match=text) as caught:
        backend.service().submit(pubs, "qnn-1-1")
    assert type(caught.value) is error and cloud.posts() == 1


def test_without_a_network(cloud):
    service = machine().service()
    cloud.close()
    with pytest.raises(BackendUnavailableError, match="say how job d000 is"):
        service.state("d000")
    with pytest.raises(BackendUnavailableError, match="Check the network"):
        IBM(DEVICE).service()


def test_unknown_machines_and_lists_that_could_not_be_had(cloud):
    with pytest.raises(UnknownNameError, match=r'No IBM device named "ibm_standing"\. Did you mean "ibm_standin"'):
        IBM("ibm_standing").service()
    cloud.answers["/configuration"] = [(404, 1, "gone")]
    with pytest.raises(BackendUnavailableError, match="lists no device"):
        IBM(DEVICE).service()


def test_the_plan_says_how_many_jobs_may_wait(cloud):
    backend = machine()
    assert backend.service().max_parallel == 3 and backend._mode_by_plan == "job"
    cloud.plan = "premium"
    backend = machine()
    assert backend.service().max_parallel is None and backend._mode_by_plan == "batch"
    pubs, _ = payload(backend)
    with backend:
        for tag in ("qnn-1-1", "qnn-2-1"):
            backend.service().submit(pubs, tag)
    assert [job["session_id"] for job in cloud.jobs] == ["session-1"] * 2 and cloud.posts("/sessions") == 1


def test_a_batch_that_ibm_has_closed_is_followed_by_another(cloud):
    cloud.plan = "premium"
    with machine() as backend:
        run(backend)
        cloud.faults, cloud.accepting = [(400, 1211, "The session is closed.")], False
        run(backend, root=1)
        assert cloud.posts("/sessions") == 2 and len(cloud.jobs) == 2
        cloud.faults, cloud.accepting = [(400, 1234, "The circuit is not good.")], True
        with pytest.raises(BackendError, match="circuit is not good"):
            run(backend, root=2)


# calls of a layer ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"primitive": "estimator"}])
def test_a_call_is_one_job_and_the_same_run_takes_it_from_the_journal(cloud, options):
    with run_scope("one"), _meter.measure() as usage:
        first = run(machine(**options))
    assert usage == _meter.Usage(circuits=4, shots=4 * SHOTS, jobs=1) and cloud.posts() == 1
    with run_scope("one"), _meter.measure() as again:
        second = run(machine(timeout_s=50, retry_s=3, **options))  # which change no result
        assert torch.equal(first.values, second.values) and torch.equal(first.variance, second.variance)
        assert again == usage and cloud.posts() == 1
    with run_scope("two"):
        run(machine(**options))
    assert cloud.posts() == 2


def test_options_tell_jobs_apart(cloud):
    with run_scope("one"):
        first = machine()
        run(first)
        run(machine(optimization_level=1))
        assert cloud.posts() == 2
        run(IBM(first.device))  # without a specification they do, too
        assert cloud.posts() == 2
        run(IBM(first.device, dynamical_decoupling="XX"))
        assert cloud.posts() == 3


def test_another_instance_is_another_job(cloud):
    """What was sent from one instance is not found by its tag from another: it must not seem to be the same job."""
    with run_scope("one"):
        run(machine())
        run(machine(instance=CRN))
    assert cloud.posts() == 2


def test_a_process_that_ends_after_sending_finds_its_job(cloud):
    """The answer is lost, and nothing is tried again: as after a crash only the row before submitting is there."""
    cloud.faults, cloud.hidden = ["lost"], 2
    with run_scope("one"), pytest.raises(BackendUnavailableError):
        run(machine(retry_s=0))
    assert len(cloud.jobs) == 1
    backend = machine()
    backend.service().lookup_s = 4.0
    with run_scope("one"):
        estimate = run(backend)
    assert cloud.posts() == 1 and not cloud.hidden and estimate.values.shape == (2, 3)


def test_a_process_killed_while_it_submits_pays_once(cloud):
    """SIGKILL in the moment in which the job is accepted; the same run then finds it."""
    backend = machine()
    backend.compile(WORDS)
    pid = os.fork()
    if not pid:  # a child that was not killed in time shows by its status
        with suppress(BaseException), run_scope("one"):
            run(backend)
        os._exit(0)
    cloud.accepted = lambda: os.kill(pid, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert len(cloud.jobs) == 1
    with run_scope("one"):
        estimate = run(backend)
    assert cloud.posts() == 1 and estimate.values.shape == (2, 3)


def test_faults_on_the_way_are_waited_out(cloud):
    """A job that never arrived, limits, and answers that fail while it is asked for: one job in the end."""
    cloud.faults = ["dropped", (429, 1202, "slowly"), (400, 3458, "pending")]
    cloud.answers = {
        "/results": ["dropped", (503, 1, "later")],
        "/d000": [(500, 1, "oh")],
        "/metrics": [(429, 1, "no")],
    }
    estimate = run(machine())
    assert cloud.posts() == 4 and len(cloud.jobs) == 1 and not any(cloud.answers.values())
    assert estimate.shots == SHOTS


@pytest.mark.parametrize("content", ["", "<html>", "{}", "[1]", '{"data": []}', "cut", {"error": "none"}], ids=str)
def test_a_result_that_comes_garbled_is_asked_for_again(cloud, content):
    service = machine().service()
    pubs, form = payload(machine())
    remote_id = service.submit(pubs, "qnn-1-1")
    cloud.answers = {"/results": [(200, cloud.jobs[0].result[:-300] if content == "cut" else content)]}
    with pytest.raises(BackendUnavailableError, match=r"(?i)try again later"):
        service.result(remote_id, form)
    assert [a.shape for a in service.result(remote_id, form)] == [(2, 8), (2, 8)]


def test_odd_answers_are_asked_for_again(cloud):
    cloud.faults = [(200, {"number": 1}), (200, "<html>")]
    cloud.answers = {
        "/d000": [(200, {}), (200, "<html>"), (200, {"state": {"status": "Odd"}})],
        "/metrics": [(200, [])],
    }
    run(machine())
    assert cloud.posts() == 3 and len(cloud.jobs) == 1 and not any(cloud.answers.values())


def test_another_layout_is_another_job(cloud):
    """A process that is started again transpiles for the device as it is that day; its counts are of other qubits."""
    with run_scope("one"):
        first = machine()
        run(first)
        layout = first.compile(WORDS).describe()["layout"]
        run(machine())
        assert cloud.posts() == 1
        cloud.worse = (layout[0], layout[2])
        second = machine()
        assert second.compile(WORDS).describe()["layout"] != layout
        run(second)
        assert cloud.posts() == 2


def test_rows_beyond_the_limit_of_a_job(cloud):
    backend = machine(max_executions=2 * 2 * SHOTS)
    with _meter.measure() as usage:
        estimate = run(backend, rows(5, 2.6, -1.0))
    assert usage.jobs == len(cloud.jobs) == 3 and estimate.values.shape == (5, 3)
    assert [p["params"]["quantum_program"]["items"][0]["shape"] for p in cloud.jobs]
    reference = IBM("fake_manila").compile(WORDS).run(rows(5, 2.6, -1.0), shots=SHOTS, keys=keys(5))
    sigma = torch.sqrt(estimate.variance + reference.variance)
    assert bool(((estimate.values - reference.values).abs() < 5 * sigma).all())


def test_time_is_over_while_the_job_waits(cloud):
    cloud.status = "Queued"
    with run_scope("one"):
        with pytest.raises(JobTimeoutError, match="d000") as caught:
            run(machine(timeout_s=0.3))
        assert caught.value.job_ids == ("d000",)
        cloud.status = "Completed"
        run(machine())
    assert cloud.posts() == 1


def test_a_failed_job_says_why(cloud):
    cloud.status = "Failed"
    with pytest.raises(JobFailedError, match=r"Job d000 on ibm:ibm_standin was failed.*ran out of shots"):
        run(machine())


def test_a_budget_of_seconds_refuses_before_anything_is_sent(cloud):
    backend = machine()
    needed = backend.compile(WORDS).seconds_for(2, SHOTS)
    with _meter.budget(max_seconds=1.5 * needed) as budget:
        run(backend)
        assert budget.used["seconds"] == needed
        with pytest.raises(BudgetError, match="seconds does not suffice"):
            run(backend, root=1)
    assert cloud.posts() == 1


# secrets ------------------------------------------------------------------------------------------------------


def test_tokens_stay_with_ibms_client(cloud, tmp_path, caplog, recwarn, monkeypatch):
    """Even from a service that repeats them in its answers, with and without a word that says what they are."""
    echo = f"{ibm_service.API_KEY} and {ibm_service.ACCESS_TOKEN}"
    told = []
    backend = machine(retry_s=0)
    monkeypatch.delenv("QISKIT_IBM_TOKEN")  # as where it was given to IBM's service in the program
    for fault in ((400, 1234, echo), (503, 1199, echo), (401, 1200, echo), (429, 1202, f"apikey {echo}"), "dropped"):
        cloud.faults = [fault]
        with pytest.raises(BackendError) as caught:
            run(backend)
        told += [shown(caught.value), repr(caught.value)]
    cloud.answers = {"/results": [(500, 1, echo)]}
    with pytest.raises(BackendUnavailableError) as caught:
        run(backend, root=1)
    told += [shown(caught.value)]
    cloud.status, cloud.reason = "Failed", (f"token={echo}", 1517)
    with pytest.raises(JobFailedError) as caught:
        run(backend, root=2)
    told += [shown(caught.value)]
    assert "1517" in told[-1]
    connection = sqlite3.connect(tmp_path / "jobs.sqlite3")
    told += list(connection.iterdump())
    connection.close()
    files = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    told += [repr(backend), repr(backend.service()), str(backend.specification()), caplog.text]
    told += [str(warning.message) for warning in recwarn]
    assert len(files) > 1000 and cloud.headers[-1]["Authorization"] == f"Bearer {ibm_service.ACCESS_TOKEN}"
    for secret in (ibm_service.API_KEY, ibm_service.ACCESS_TOKEN):
        assert all(secret not in text for text in told)
        assert secret.encode() not in files + pickle.dumps(backend)
