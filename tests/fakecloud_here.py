"""A fake cloud within the test's own process: the same HTTP, without the start of another process."""

import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np

from qnn.backends.fakecloud.service import FakeCloudService, Token
from qnn.backends.fakecloud.wire import packed
from qnn.circuits.circuit import Circuit, Operation, Slot
from qnn.circuits.observables import Expectation, pauli
from qnn.fakecloud import Admin
from qnn.fakecloud.requests import Cloud
from qnn.fakecloud.server import Server
from qnn.fakecloud.settings import Settings
from qnn.fakecloud.store import Store

TOKEN = "only-for-this-test"
TURN = Circuit(1, (Operation("RY", (0,), Slot("rows", 0)),), (Expectation(pauli("Z")),), 0, 1)
FORM = {"arrays": [["float64", [1, 1]]]}


@contextmanager
def serving(store=None, faults=None, port=0, **settings):
    """The service, its operator, and a client."""
    server = Server(Cloud(Settings().changed(settings), faults or {}, Store(store)), TOKEN, port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield SimpleNamespace(
            admin=Admin(server.url, TOKEN),
            service=FakeCloudService(server.url, Token(TOKEN), request_timeout_s=20.0),
            port=server.server_port,
        )
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def payload(angle=0.3, shots=None, keys=None, n_rows=1, n_wires=1):
    """A job: RY on one wire, <Z>."""
    rows = np.full((n_rows, 1), angle)
    return {
        "circuit": TURN.to_json() | {"n_wires": n_wires}, "circuits_per_row": 1, "shared": packed(np.zeros(0)),
        "rows": packed(rows), "shots": shots, "keys": None if keys is None else packed(keys),
    }  # fmt: skip


def ended(service, job_id, patience_s=20.0):
    """The state in which a job ends."""
    until = time.monotonic() + patience_s
    while (state := service.state(job_id)) in ("queued", "running"):
        assert time.monotonic() < until, "the job did not end"
        time.sleep(0.005)
    return state
