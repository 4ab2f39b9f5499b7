"""HTTP: the token, the log, and requests that are none."""

import http.client
import json
import socket
import threading

import pytest
from fakecloud_here import TOKEN, payload, serving

from qnn.fakecloud.server import HOST


@pytest.fixture(scope="module")
def cloud():
    with serving(workers=0) as running:
        yield running


def ask(cloud, method, path, body=None, token=TOKEN, **headers):
    connection = http.client.HTTPConnection(HOST, cloud.port, timeout=20)
    connection.request(
        method, path, body, headers if token is None else {"Authorization": f"Bearer {token}", **headers}
    )
    answer = connection.getresponse()
    found = answer.status, json.loads(answer.read())
    connection.close()
    return found


@pytest.mark.parametrize("path", ["/jobs", "/device", "/log", "/tags", "/faults", "/nowhere"])
def test_nothing_is_told_without_the_token(cloud, path):
    for token in (None, "", "wrong", TOKEN + "x", "\xe9"):
        assert ask(cloud, "GET", path, token=token) == (401, {"error": "the token is wrong, or there is none"})
    assert ask(cloud, "POST", "/jobs", json.dumps(payload() | {"tag": "t"}), token="wrong")[0] == 401
    assert cloud.admin.tags() == {}


def test_the_log_has_every_request_and_never_the_token(cloud):
    ask(cloud, "GET", "/device?wanted=1")
    ask(cloud, "GET", "/jobs?tag=mine")
    ask(cloud, "GET", "/jobs/1", token="wrong")
    first, second, third, _ = cloud.admin.log()[-4:]
    assert (first["path"], first["status"], first["authorized"]) == ("/device?wanted=1", 200, True)
    assert second["tag"] == "mine"
    assert (third["status"], third["authorized"]) == (401, False)
    assert TOKEN not in json.dumps(cloud.admin.log())


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "told"),
    [
        ("GET", "/nowhere", None, 404, "no such address: GET /nowhere"),
        ("POST", "/jobs", "{", 400, "not JSON"),
        ("POST", "/jobs", "[]", 400, "not a JSON object"),
        ("POST", "/jobs", "{}", 400, "a job must have the fields circuit,"),
        (
            "POST",
            "/jobs",
            json.dumps(payload() | {"tag": "t", "rows": 1}),
            400,
            "the payload cannot be read: TypeError",
        ),
        ("POST", "/jobs", json.dumps(payload() | {"tag": "t", "shots": -5}), 400, "`shots` must be a positive integer"),
        ("POST", "/jobs", json.dumps(payload() | {"tag": 5}), 400, "`tag` must be a text"),
        ("POST", "/faults", '{"faults": 5}', 400, ""),
    ],
)
def test_bad_requests(cloud, method, path, body, status, told):
    found, answer = ask(cloud, method, path, body)
    assert found == status and told in answer["error"]


def test_a_request_without_a_length_is_refused(cloud):
    with socket.create_connection((HOST, cloud.port), timeout=20) as connection:
        connection.sendall(f"POST /jobs HTTP/1.0\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
        assert b"a request must have a length" in connection.makefile("rb").read()


def test_a_client_that_goes_away_harms_nobody(cloud):
    with socket.create_connection((HOST, cloud.port), timeout=20) as connection:
        connection.sendall(b"POST /jobs HTTP/1.0\r\nContent-Length: 100\r\n\r\nhalf")
    assert ask(cloud, "GET", "/device")[0] == 200


def test_many_at_once(cloud):
    """Sixteen threads submit ten jobs each: all are accepted, under ids of their own."""
    found = []

    def submit(number):
        found.extend(cloud.service.submit(payload(), f"at once {number}") for _ in range(10))

    threads = [threading.Thread(target=submit, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 160
    assert {n for tag, n in cloud.admin.tags().items() if tag.startswith("at once")} == {10}
