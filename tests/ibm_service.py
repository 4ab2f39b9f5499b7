"""A stand-in for IBM Quantum at the level of HTTP: IBM's client in front of it is the real one.

A server on loopback, which clients reach as their proxy, so that any process with its environment talks to it. It
answers what the client asks of IAM, of the search for instances and of the quantum service, checks no credentials,
and runs jobs by IBM's own local code on the fake device of Manila, so that results have the form and the statistics of
real ones. What IBM would do beyond its documentation it cannot tell.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from copy import deepcopy
from functools import cache, cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import prod
from threading import Lock, Thread
from urllib.parse import parse_qs, urlparse

import jwt
from ibm_quantum_schemas.common import CompressedTensorModel
from ibm_quantum_schemas.executor.version_2_0 import ParamsModel
from ibm_quantum_schemas.executor.version_2_0.models import (
    ItemMetadataModel,
    MetadataModel,
    QuantumProgramResultItemModel,
    QuantumProgramResultModel,
)
from qiskit_aer import AerSimulator
from qiskit_ibm_runtime.fake_provider import FakeManilaV2
from qiskit_ibm_runtime.fake_provider.executor.run_quantum_program import run_quantum_program
from qiskit_ibm_runtime.options_models.simulator import SimulatorOptions
from qiskit_ibm_runtime.quantum_program.converters.converters_2_0 import (
    passthrough_data_to_2_0,
    quantum_program_from_2_0,
)

API_KEY = "pl4nted-Key-Zx81_abcdefghijklmnop4711"
ACCESS_TOKEN = jwt.encode({"iat": 1_700_000_000, "exp": 4_000_000_000}, "signed by nobody, for nothing at all")
CRN = "crn:v1:bluemix:public:quantum-computing:us-east:a/0123456789:11111111-2222-3333-4444-555555555555::"
DEVICE = "ibm_standin"


@cache
def _file(kind):
    """What IBM's service says of the machine."""
    fake = FakeManilaV2()
    return fake._load_json({"conf": fake.conf_filename, "props": fake.props_filename}[kind])


@cache
def _simulator():
    return AerSimulator.from_backend(FakeManilaV2())


def installed(monkeypatch, tmp_path, plan="open"):
    """A running `StandIn`, and an environment in which IBM's client finds it, and no other account."""
    made = StandIn(plan)
    default = "qiskit_ibm_runtime.accounts.management._DEFAULT_ACCOUNT_CONFIG_JSON_FILE"
    monkeypatch.setattr(default, str(tmp_path / "no_accounts.json"))
    for name in ("no_proxy", "NO_PROXY", "QISKIT_IBM_CHANNEL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


class StandIn:
    """Jobs and faults; attributes are what a test changes or counts.

    Attributes:
        jobs: what was accepted, in order: id, tags, params, status.
        requests: (method, path) of every request to the quantum service.
        faults: what happens to the next submissions, first come first: "lost" (accepted, connection closed), "dropped"
            (not accepted, connection closed), "accepted 500", an HTTP status with a code and a message of IBM's, or
            a status with a content.
        answers: the same for requests whose path ends with the key, such as "/results".
        status: of jobs that are asked for: "Queued", "Running", "Completed", "Failed", "Cancelled".
        hidden: lists of jobs that do not show anything yet.
        worse: qubits whose gates and readout are bad today.
        accepted: called when a job has been accepted, before that is answered.
        accepting: whether sessions and batches take jobs, as they say when asked.
        plan, reason, metrics: of the instance, of jobs that fail, of jobs.
        headers: of every request, as in `requests`.
    """

    def __init__(self, plan="open"):
        self.plan = plan
        self.jobs = []
        self.requests = []
        self.headers = []
        self.faults = []
        self.answers = {}
        self.status = "Completed"
        self.reason = ("ran out of shots", 1517)
        self.metrics = {"usage": {"status": "complete", "qpu_charge_time_seconds": 3.5}}
        self.hidden = 0
        self.worse = ()
        self.accepting = True
        self.accepted = lambda: None
        self._lock = Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def environment(self):
        """Variables by which a client in any process finds the stand-in."""
        return {
            "http_proxy": f"http://127.0.0.1:{self._server.server_port}",
            "IAM_URL": "http://iam.cloud.ibm.test",
            "QISKIT_IBM_URL": "http://cloud.ibm.test",
            "QISKIT_IBM_TOKEN": API_KEY,
            "QISKIT_IBM_INSTANCE": CRN,
            "USAGE_DATA_OPT_OUT": "True",  # else the client walks the stack at every request, for 0.2 s here
        }

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def posts(self, path="/jobs"):
        """How often something was posted there."""
        return self.requests.count(("POST", path))

    def _handler(self):
        service = self

        class Handler(BaseHTTPRequestHandler):
            def _any(self):
                url = urlparse(self.path)
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                try:
                    status, answer = service.answer(self.command, url, body, dict(self.headers))
                except ConnectionAbortedError:
                    self.close_connection = True
                    return
                data = answer.encode() if isinstance(answer, str) else json.dumps(answer, default=str).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                with suppress(BrokenPipeError, ConnectionResetError):  # nobody waits for it any more
                    self.end_headers()
                    self.wfile.write(data)

            do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = _any

            def log_message(self, *_):
                pass

        return Handler

    def answer(self, method, url, body, headers):
        """Status and content."""
        host, path = url.hostname, url.path.removeprefix("/api/v1")
        if host == "iam.cloud.ibm.test":
            now = int(time.time())
            return 200, {"access_token": ACCESS_TOKEN, "refresh_token": "none", "token_type": "Bearer",
                         "expires_in": 3600, "expiration": now + 3600}  # fmt: skip
        if host.startswith("api.global-search"):
            found = {"crn": CRN, "service_plan_unique_id": "plan", "name": "mine", "doc": {"extensions": {"a": 1}}}
            return 200, {"items": [found | {"tags": []}]}
        if host.startswith("globalcatalog"):
            return 200, {
                "overview_ui": {"en": {"display_name": self.plan.title()}},
                "metadata": {"pricing": {"type": "free"}},
            }
        with self._lock:
            self.requests.append((method, path))
            self.headers.append(headers)
            return self._quantum(method, path, parse_qs(url.query), body)

    def _quantum(self, method, path, query, body):
        ending = next((key for key in self.answers if path.endswith(key) and self.answers[key]), None)
        if ending:
            return self._fault(self.answers[ending].pop(0))
        if path == "/jobs" and method == "POST":
            return self._submit(json.loads(body))
        if path == "/jobs":
            return 200, self._listed(query)
        if path.startswith("/jobs/"):
            return self._job(method, *path.split("/")[2:])
        if path.startswith("/backends"):
            return 200, self._device(path.rpartition("/")[2])
        if path == "/instances/usage":
            return 200, {"usage_consumed_seconds": 0}
        if path == "/sessions":
            return 200, {"id": f"session-{self.posts('/sessions')}", "mode": json.loads(body)["mode"]}
        return (200, {"accepting_jobs": self.accepting}) if path.startswith("/sessions/") else (404, {})

    def _device(self, what):
        if what == "backends":
            return {"devices": [{"name": DEVICE, "physical_qubits": 5}]}
        if what == "configuration":
            return _file("conf") | {"backend_name": DEVICE}
        if what == "properties":
            return self._properties()
        return {"state": True, "status": "active", "length_queue": 0, "backend_version": "1"}

    def _properties(self):
        found = deepcopy(_file("props"))
        for qubit in self.worse:
            parameters = list(found["qubits"][qubit])
            parameters += [p for gate in found["gates"] if qubit in gate["qubits"] for p in gate["parameters"]]
            for each in parameters:
                if each["name"] in ("gate_error", "readout_error"):
                    each["value"] = 0.4
        return found

    def _fault(self, fault):
        if fault in ("lost", "dropped"):
            raise ConnectionAbortedError
        if len(fault) == 2:
            return fault
        status, code, message = (500, 1199, "internal") if fault == "accepted 500" else fault
        return status, {"error": {"message": message, "code": code}, "errors": [{"code": code, "message": message}]}

    def _submit(self, sent):
        fault = self.faults.pop(0) if self.faults else None
        if fault in (None, "lost", "accepted 500"):
            number = len(self.jobs)
            sent |= {"id": f"d{number:03}", "created": f"2026-01-01T00:00:{number:02}.000000Z", "status": None}
            self.jobs.append(Job(sent))
            self.accepted()
        if fault is not None:
            return self._fault(fault)
        return 200, {"id": self.jobs[-1]["id"], "backend": sent["backend"]}

    def _listed(self, query):
        tags = set(query.get("tags", []))
        found = [job for job in self.jobs if tags <= set(job["tags"])]
        if self.hidden:
            self.hidden, found = self.hidden - 1, []
        if query.get("sort") != ["ASC"]:
            found = found[::-1]
        first = int(query.get("offset", ["0"])[0])
        page = found[first : first + int(query.get("limit", ["10"])[0])]
        return {"jobs": [self._shown(job) for job in page], "count": len(found)}

    def _shown(self, job):
        status = job["status"] or self.status
        reason, code = self.reason if status == "Failed" else (None, None)
        return {key: job[key] for key in ("id", "backend", "created", "tags")} | {
            "program": {"id": job["program_id"]},
            "state": {"status": status, "reason": reason, "reason_code": code},
            "session_id": job.get("session_id"),
        }

    def _job(self, method, remote_id, what=None):
        job = next((job for job in self.jobs if job["id"] == remote_id), None)
        if job is None:
            return 404, {"error": {"message": "Job not found.", "code": 1291}}
        if what == "results":
            return 200, job.result if self._shown(job)["state"]["status"] == "Completed" else "Traceback: none"
        if what == "metrics":
            return 200, self.metrics
        if what == "cancel":
            if self._shown(job)["state"]["status"] in ("Completed", "Failed", "Cancelled"):
                return 409, {"error": {"message": "Job is in a final state.", "code": 1293}}
            job["status"] = "Cancelled"
            return 204, ""
        return 200, self._shown(job)


def executions(job):
    """Circuits times shots of a job, after broadcasting and twirling, as IBM's client sent it."""
    program, _ = quantum_program_from_2_0(ParamsModel.model_validate(job["params"]))
    return sum(prod(item.shape) for item in program.items) * program.shots


class Job(dict):
    """What was sent, and what comes of it when it is first asked for."""

    @cached_property
    def result(self):
        """The result as IBM's service writes it."""
        program, _ = quantum_program_from_2_0(ParamsModel.model_validate(self["params"]))
        for item in program.items:
            if hasattr(item, "samplex"):
                item.samplex.finalize()
        options = SimulatorOptions(seed_simulator=int(self["id"][1:]) + 1, angle_decimals=14)
        found = run_quantum_program(_simulator(), program, options)
        items = [
            QuantumProgramResultItemModel(
                results={name: CompressedTensorModel.from_numpy(array) for name, array in item.items()},
                metadata=ItemMetadataModel(),
            )
            for item in found
        ]
        return QuantumProgramResultModel(
            data=items,
            metadata=MetadataModel(chunk_timing=[]),
            passthrough_data=passthrough_data_to_2_0(found.passthrough_data),
            semantic_role=found._semantic_role,
        ).model_dump_json()
