"""Single tasks at AWS before a stand-in: created once under a tag, looked up, read and cancelled by their ARNs."""

import json
import time
import uuid

import numpy as np
import pytest
from braket.ir.openqasm import Program
from braket_service import ACCOUNT, QPU, SV1, installed

from qnn.backends import Braket
from qnn.backends.braket.service import Task
from qnn.errors import (
    ArgumentError,
    AuthenticationError,
    BackendUnavailableError,
    JobFailedError,
    JobNotFoundError,
    RateLimitError,
)

FOLDER = "amazon-braket-test/folder"
FLIP = Program(source="OPENQASM 3.0;\nqubit[2] q;\nbit[2] b;\nx q[1];\nb[0] = measure q[0];\nb[1] = measure q[1];")
VALUE = Program(
    source="OPENQASM 3.0;\ninput float a;\nqubit[1] q;\nrx(a) q[0];\n#pragma braket result expectation z(q[0])"
)
COUNTS = {"counts": [[1, [0, 1]]]}


@pytest.fixture
def aws(monkeypatch, tmp_path):
    return installed(monkeypatch, tmp_path)


def made(device="sv1"):
    return Braket(device, s3_folder=FOLDER).service()


def arn(number):
    return f"arn:aws:braket:us-east-1:{ACCOUNT}:quantum-task/task-{number}"


def test_the_tag_is_tag_and_token_of_the_task(aws):
    assert made().submit(Task(FLIP, 10), "qnn-abc-1") == arn(1)
    assert aws.tasks[0]["tags"] == {"qnn-job": "qnn-abc-1"}
    assert aws.tokens == ["qnn-abc-1"]
    assert (aws.tasks[0]["deviceArn"], aws.tasks[0]["shots"]) == (SV1, 10)


def test_a_request_with_the_same_tag_makes_no_second_task(aws):
    service = made()
    assert [service.submit(Task(FLIP, 10), tag) for tag in ("a", "a", "b")] == [arn(1), arn(1), arn(2)]
    with pytest.raises(ArgumentError, match="`tag` must be 1 to 64 characters to be a token of AWS; got 65"):
        service.submit(Task(FLIP, 10), "x" * 65)
    assert aws.tokens == ["a", "a", "b"]


def test_other_tasks_of_the_same_session_keep_their_random_tokens(aws):
    service = made()
    service.device.run(FLIP, shots=1, s3_destination_folder=("amazon-braket-test", "folder"))
    assert uuid.UUID(aws.tokens[0])


def test_repetitions_by_botocore_keep_the_token(aws, monkeypatch):
    """botocore sends again by itself where the connection was closed, and where AWS throttles."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    aws.lost = 1
    assert made().submit(Task(FLIP, 10), "a") == arn(1)
    assert aws.tokens == ["a", "a"] and len(aws.tasks) == 1
    aws.refusal, aws.refused = (429, "ThrottlingException", "Rate exceeded"), [3]
    assert made().submit(Task(FLIP, 10), "b") == arn(2)
    assert aws.tokens == ["a", "a", "b"]


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        ((429, "ThrottlingException", "slow"), RateLimitError),
        ((429, "SomethingNew", "slow"), RateLimitError),
        ((500, "InternalServiceException", "oops"), BackendUnavailableError),
        ((503, "SomethingNew", "oops"), BackendUnavailableError),
    ],
)
def test_refusals_after_which_trying_again_may_help(aws, refusal, error):
    aws.refusal = refusal
    with pytest.raises(error, match=f"submit to braket:sv1: {refusal[1]}"):
        made().submit(Task(FLIP, 10), "a")
    assert not aws.tasks


def test_a_lost_answer_is_no_error_that_repeats(aws):
    aws.lost = 1
    with pytest.raises(BackendUnavailableError, match="ConnectionClosedError"):
        made().submit(Task(FLIP, 10), "a")
    assert len(aws.tasks) == 1


def test_tasks_are_found_by_their_tags_in_one_request(aws):
    service = made()
    service.submit(Task(FLIP, 10), "a")
    aws.idempotent = False
    for _ in range(2):
        service.submit(Task(FLIP, 10), "b")
    aws.hosts.clear()
    assert service.find("a") == arn(1)
    assert service.find("c") is None
    assert aws.hosts == ["tagging.us-east-1.amazonaws.com"] * 2
    assert service.find("b") == arn(2)  # the older of two


def test_where_tags_may_not_be_looked_up_the_tasks_of_the_device_are_searched(aws):
    aws.tagging = aws.idempotent = False
    service = made()
    made(QPU).submit(Task(FLIP, 10), "b")
    for tag in ("a", "a", "b", "b"):
        service.submit(Task(FLIP, 10), tag)
    assert service.find("b") == arn(4)
    assert service.find("c") is None
    assert ("POST", "/quantum-tasks") in aws.requests


@pytest.mark.parametrize("tagging", [True, False])
def test_a_task_that_failed_is_found_only_where_no_other_has_the_tag(aws, tagging):
    """As after `qnn jobs prune` of its row: the next attempt has the same tag."""
    aws.tagging, aws.idempotent = tagging, False
    service = made()
    for _ in range(3):
        service.submit(Task(FLIP, 10), "a")
    aws.statuses = {1: "FAILED", 2: "QUEUED"}
    assert service.find("a") == arn(2)
    aws.statuses = {1: "CANCELLED", 2: "FAILED"}
    assert service.find("a") == arn(3)
    aws.statuses[3] = "FAILED"
    assert service.find("a") == arn(1)


def test_credentials_that_nobody_accepts_are_not_hidden_by_the_search(aws, monkeypatch):
    aws.tagging = False
    refused = (403, {"__type": "AccessDeniedException", "message": "no"})
    monkeypatch.setattr(aws, "_search", lambda body: refused)
    with pytest.raises(AuthenticationError, match="look up a task of braket:sv1"):
        made().find("a")


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("CREATED", "queued"),
        ("QUEUED", "queued"),
        ("RUNNING", "running"),
        ("COMPLETED", "done"),
        ("FAILED", "failed"),
        ("CANCELLING", "running"),  # it may yet complete
        ("CANCELLED", "cancelled"),
    ],
)
def test_states(aws, status, state):
    service = made()
    service.submit(Task(FLIP, 10), "a")
    aws.status = status
    assert service.state(arn(1)) == state
    assert service.why(arn(1)) == "the cryostat is warm"


def test_an_unknown_task(aws, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # Braket's SDK asks three times
    service = made()
    for call in (service.state, service.cancel, service.why):
        with pytest.raises(JobNotFoundError, match="Check the task's ARN and its region"):
            call(arn(7))


def test_results_are_read_by_arn_and_plain_data(aws):
    """By another connection than that which submitted, as in another process."""
    service = made()
    counted, valued = service.submit(Task(FLIP, 10), "a"), service.submit(Task(VALUE, 0, {"a": 0.5}), "b")
    forms = [json.loads(json.dumps(form)) for form in (COUNTS, {"counts": [[1, [1, 0]]]}, {"values": 1})]
    (counts,), (swapped,), (values,) = (
        made().result(name, form) for name, form in zip((counted, counted, valued), forms, strict=True)
    )
    assert counts.tolist() == [[0, 10, 0, 0]] and swapped.tolist() == [[0, 0, 10, 0]]
    assert counts.dtype == np.int64 and values.dtype == np.float64
    np.testing.assert_allclose(values, [[np.cos(0.5)]], atol=1e-12)


def test_results_that_do_not_fit(aws):
    service = made()
    counted, valued = service.submit(Task(FLIP, 10), "a"), service.submit(Task(VALUE, 0, {"a": 0.5}), "b")
    with pytest.raises(JobFailedError, match=rf"task {counted} on braket:sv1 must have 2 executables; got 1"):
        service.result(counted, {"counts": [[2, [0]]]})
    with pytest.raises(JobFailedError, match="must have 3 expectation values; got 1"):
        service.result(valued, {"values": 3})
    with pytest.raises(JobFailedError, match=r"must measure qubits \[0, 5\]; got none of \[5\]"):
        service.result(counted, {"counts": [[1, [0, 5]]]})
    aws.status = "FAILED"
    with pytest.raises(JobFailedError, match=rf"Task {counted} on braket:sv1 ended without a result"):
        service.result(counted, COUNTS)
    aws.status = "RUNNING"  # as from a copy of AWS's tables that is behind
    with pytest.raises(BackendUnavailableError, match=rf"Task {counted} on braket:sv1 has no result yet"):
        service.result(counted, COUNTS)


@pytest.mark.parametrize("garbled", ["", "<html>", "{}", "[]", "cut", "measurements", "header"])
def test_results_that_come_garbled_may_come_whole_another_time(aws, garbled):
    service = made()
    counted = service.submit(Task(FLIP, 10), "a")
    whole = aws.results["task-1"]
    parts = json.loads(whole)
    changed = {
        "cut": whole[:-100],
        "measurements": json.dumps(parts | {"measurements": [[0, 1], ["x"]]}),
        "header": json.dumps(parts | {"braketSchemaHeader": {"name": "none.such", "version": "1"}}),
    }
    aws.results["task-1"] = changed.get(garbled, garbled)
    with pytest.raises(BackendUnavailableError, match=r"return the results of braket:sv1: .*not understood; try"):
        service.result(counted, COUNTS)
    aws.results["task-1"] = whole
    assert service.result(counted, COUNTS)[0].tolist() == [[0, 10, 0, 0]]


def test_odd_answers_may_come_whole_another_time(aws, monkeypatch):
    service = made()
    service.submit(Task(FLIP, 10), "a")
    aws.status = "PONDERING"
    with pytest.raises(BackendUnavailableError, match="find a task of braket:sv1: KeyError: 'PONDERING'"):
        service.state(arn(1))
    monkeypatch.setattr(aws, "_search", lambda body: (200, {}))
    aws.tagging = False
    with pytest.raises(BackendUnavailableError, match="look up a task of braket:sv1"):
        service.find("a")
    monkeypatch.setattr(aws, "_create", lambda body: (201, {}))
    with pytest.raises(BackendUnavailableError, match=r"submit to braket:sv1: .*not understood"):
        service.submit(Task(FLIP, 10), "b")


def test_cancelling(aws):
    service = made()
    for tag in "ab":
        service.submit(Task(FLIP, 10), tag)
    aws.statuses = {1: "COMPLETED", 2: "QUEUED"}
    for number in (1, 2, 2):
        service.cancel(arn(number))
    assert aws.cancelled == [2]
    assert [service.state(arn(number)) for number in (1, 2)] == ["done", "cancelled"]


def test_a_task_of_another_region_is_asked_for_there(aws, monkeypatch):
    made().submit(Task(FLIP, 10), "a")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-2")
    service = made()
    aws.hosts.clear()
    assert service.state(arn(1)) == "done"
    assert aws.hosts == ["braket.us-east-1.amazonaws.com"]


def test_what_a_service_says_of_itself(aws):
    service = made()
    assert (service.name, service.max_parallel, service.poll_interval_s) == ("braket:sv1", 10, 0.01)
    assert Braket("sv1", max_parallel=3).service().max_parallel == 3
    assert service.seconds_used(arn(1)) is None
    assert Braket("local").service() is None


def test_a_device_that_is_offline_still_has_its_tasks(aws):
    made().submit(Task(FLIP, 10), "a")
    aws.online = "OFFLINE"
    assert made().state(arn(1)) == "done"


def test_the_default_bucket_is_looked_for_once(aws, monkeypatch):
    asked = []
    service = Braket("sv1").service()
    monkeypatch.setattr(service._session, "default_bucket", lambda: asked.append(1) or "amazon-braket-mine")
    service.submit(Task(FLIP, 10), "a")
    assert aws.tasks[0]["outputS3Bucket"] == "amazon-braket-mine" and asked
