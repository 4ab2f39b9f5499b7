"""A stand-in for AWS at the level of HTTP: Braket's SDK and botocore in front of it are the real ones.

It answers what Amazon Braket and S3 are asked for, checks nothing about credentials, and runs tasks on Braket's local
simulator, so that results have the form and the statistics of real ones. What AWS would do beyond its documentation
it cannot tell.
"""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from functools import cache
from threading import Lock
from urllib.parse import unquote, urlparse

import botocore.handlers
import botocore.loaders
import numpy as np
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError
from braket.default_simulator import DensityMatrixSimulator, StateVectorSimulator
from braket.ir.openqasm import ProgramSet
from braket.schema_common import BraketSchemaBase
from braket_machine import MACHINE, emulated, machine_properties

ACCOUNT = "123456789012"
SETS = "braket.ir.openqasm.program_set"
PROGRAMS = "braket.ir.openqasm.program"
QPU = "arn:aws:braket:eu-north-1::device/qpu/iqm/Standin"
SV1 = "arn:aws:braket:::device/quantum-simulator/amazon/sv1"
DM1 = "arn:aws:braket:::device/quantum-simulator/amazon/dm1"


# Every session of botocore reads its megabytes of JSON anew: here they are read once.
_read_file = cache(botocore.loaders.JSONFileLoader().load_file)


def installed(monkeypatch, tmp_path):
    """A `Service` in the place of AWS, with credentials and a region, and nobody else's configuration."""
    made = Service()
    handlers = [*botocore.handlers.BUILTIN_HANDLERS, ("before-send", made.answer)]
    monkeypatch.setattr(botocore.handlers, "BUILTIN_HANDLERS", handlers)
    monkeypatch.setattr(botocore.loaders.JSONFileLoader, "load_file", lambda self, path: _read_file(path))
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_SESSION_TOKEN", "AMZN_BRAKET_TASK_RESULTS_S3_URI"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("QNN_JOURNAL", str(tmp_path / "jobs.sqlite3"))
    return made


class _Raw(io.BytesIO):
    def stream(self, *args, **kwargs):
        yield self.read()


class Service:
    """Devices, tasks and results; attributes are what a test changes or counts."""

    def __init__(self):
        self.devices = {
            SV1: _capabilities(StateVectorSimulator(), "SIMULATOR", n_qubits=34, shots=[0, 100_000], sets=None),
            DM1: _capabilities(DensityMatrixSimulator(), "SIMULATOR", n_qubits=17, shots=[0, 100_000], sets=None),
            QPU: _capabilities(
                StateVectorSimulator(),
                "QPU",
                n_qubits=5,
                shots=[1, 2000],
                sets={"maximumExecutables": 7, "maximumTotalShots": 10_000},
                lacks=("cz", "xx", "swap", "ccnot"),
            ),
            MACHINE: _machine(),
        }
        self.tasks = []  # bodies of CreateQuantumTask, as sent, one for each task
        self.tokens = []  # clientToken of every CreateQuantumTask
        self.idempotent = True  # a token that was there before gets the task made then
        self.lost = 0  # CreateQuantumTask to come whose task is made, and whose answer is lost
        self.tagging = True  # whether the Resource Groups Tagging API is allowed
        self.lists = True  # whether tasks are listed by their tags
        self.requests = []  # (method, path)
        self.hosts = []  # of every request
        self.status = "COMPLETED"
        self.online = "ONLINE"
        self.refusal = None  # (HTTP status, code, message) of CreateQuantumTask
        self.refused = None  # numbers of the CreateQuantumTask that are refused, from 1; None: all
        self.statuses = {}  # of single tasks, by their number, instead of `status`
        self.status_of = self._status  # of a number, at each look at a task
        self.cancelled = []  # numbers of tasks
        self.at_create = lambda: None  # called when a task was made
        self.most_unfinished = 0  # tasks at the same time whose end was not told
        self._unfinished = set()
        self._asked = 0
        self._lock = Lock()  # Braket's SDK asks from several threads
        self.results = {}

    def answer(self, request, **kwargs):
        """A handler of botocore's event before-send: an answer stops the request from being sent."""
        with self._lock:
            return self._answer(request)

    def _answer(self, request):
        url = urlparse(request.url)
        self.requests.append((request.method, unquote(url.path)))
        self.hosts.append(url.netloc)
        if url.netloc.startswith("tagging."):
            return self._tagged(request)
        if url.netloc.startswith("braket."):
            status, body = self._braket(request, unquote(url.path))
            if status >= 400:
                headers = {"x-amzn-ErrorType": body.pop("__type")}
                return _response(request.url, status, json.dumps(body), headers)
            return _response(request.url, status, json.dumps(body))
        folder = unquote(url.path).strip("/").removesuffix("/results.json").split("/")[-1]
        return _response(request.url, 200, self.results[folder])

    def _braket(self, request, path):
        if path.startswith("/device/"):
            return self._device(path.removeprefix("/device/"))
        if path == "/quantum-tasks":
            return self._search(json.loads(request.body))
        if request.method == "POST":
            return self._create(json.loads(request.body))
        arn = path.removeprefix("/quantum-task/").removesuffix("/cancel")
        number = arn.rpartition("/")[2]
        if number not in self.results:
            return 404, {"__type": "ResourceNotFoundException", "message": f"no task {arn}"}
        status = self.status_of(int(number.removeprefix("task-")))
        if request.method == "PUT":
            if status in ("COMPLETED", "FAILED", "CANCELLED"):
                return 409, {"__type": "ConflictException", "message": f"the task is {status}"}
            self.cancelled.append(int(number.removeprefix("task-")))
            return 200, {"quantumTaskArn": arn, "cancellationStatus": "CANCELLING"}
        if status not in ("QUEUED", "RUNNING"):
            self._unfinished.discard(number)
        return 200, {
            "quantumTaskArn": arn,
            "status": status,
            "failureReason": "the cryostat is warm",
            "deviceArn": "arn",
            "deviceParameters": "{}",
            "shots": 1,
            "outputS3Bucket": "amazon-braket-test",
            "outputS3Directory": f"folder/{number}",
            "createdAt": _created(number),
            "actionMetadata": {"actionType": PROGRAMS},
            "queueInfo": {"queue": "QUANTUM_TASKS_QUEUE", "position": "1", "queuePriority": "Normal"},
        }

    def _device(self, arn):
        if arn not in self.devices:
            return 404, {"__type": "ResourceNotFoundException", "message": f"no device {arn}"}
        kind, capabilities = self.devices[arn]
        return 200, {
            "deviceArn": arn,
            "deviceName": arn.rpartition("/")[2],
            "providerName": "provider",
            "deviceType": kind,
            "deviceStatus": self.online,
            "deviceCapabilities": json.dumps(capabilities),
        }

    def _create(self, body):
        self._asked += 1
        if self.refusal is not None and (self.refused is None or self._asked in self.refused):
            status, code, message = self.refusal
            return status, {"__type": code, "message": message}
        if not body["shots"] and "result probability" in body["action"]:
            return 400, {"__type": "ValidationException", "message": "probability needs shots"}
        self.tokens.append(body["clientToken"])
        known = [task["clientToken"] for task in self.tasks]
        if self.idempotent and body["clientToken"] in known:
            return 201, {"quantumTaskArn": _arn(known.index(body["clientToken"]) + 1)}
        self.tasks.append(body)
        number = f"task-{len(self.tasks)}"
        self._unfinished.add(number)
        self.most_unfinished = max(self.most_unfinished, len(self._unfinished))
        self.results[number] = self._run(json.dumps(json.loads(body["action"])), body["deviceArn"], body["shots"])
        self.at_create()
        if self.lost:
            self.lost -= 1
            raise ConnectionClosedError(endpoint_url="https://braket.us-east-1.amazonaws.com")
        return 201, {"quantumTaskArn": _arn(len(self.tasks))}

    def _run(self, action, device, shots):
        if device == MACHINE:
            program = BraketSchemaBase.parse_raw_schema(action)
            result = emulated(json.dumps(self.devices[device][1]), program, shots)
            return result.copy(update={"resultTypes": None}).json()
        return _run(action, device, shots)

    def _status(self, number):
        status = self.statuses.get(number, self.status)
        return "CANCELLED" if number in self.cancelled and status in ("CREATED", "QUEUED", "RUNNING") else status

    def _search(self, body):
        """SearchQuantumTasks: two tasks a page, in the order of creation."""
        device, since = (next(f["values"][0] for f in body["filters"] if f["name"] == name) for name in _FILTERS)
        found = [
            {
                "quantumTaskArn": _arn(number),
                "status": self.statuses.get(number, self.status),
                "deviceArn": task["deviceArn"],
                "shots": task["shots"],
                "outputS3Bucket": "amazon-braket-test",
                "outputS3Directory": "folder",
                "createdAt": _created(f"task-{number}"),
                "tags": task.get("tags", {}),
            }
            for number, task in enumerate(self.tasks, start=1)
            if task["deviceArn"] == device and _created(f"task-{number}") >= since
        ]
        found = found if self.lists else []
        start = int(body.get("nextToken", 0))
        more = {"nextToken": str(start + 2)} if len(found) > start + 2 else {}
        return 200, {"quantumTasks": found[start : start + 2], **more}

    def _tagged(self, request):
        """GetResources of the Resource Groups Tagging API; the newest task comes first."""
        if not self.tagging:
            refusal = {"__type": "AccessDeniedException", "message": "not authorized: tag:GetResources"}
            return _response(request.url, 400, json.dumps(refusal))
        asked = json.loads(request.body)
        assert asked["ResourceTypeFilters"] == ["braket:quantum-task"]
        (wanted,) = asked["TagFilters"]
        found = [
            {"ResourceARN": _arn(number), "Tags": []}
            for number, task in reversed(list(enumerate(self.tasks, start=1)))
            if task.get("tags", {}).get(wanted["Key"]) in wanted["Values"] and self.lists
        ]
        return _response(request.url, 200, json.dumps({"PaginationToken": "", "ResourceTagMappingList": found}))


_FILTERS = ("deviceArn", "createdAt")


def _arn(number):
    return f"arn:aws:braket:us-east-1:{ACCOUNT}:quantum-task/task-{number}"


def _created(number):
    """Task 7 was made at seven seconds past today's midnight."""
    seconds = int(number.removeprefix("task-"))
    return f"{datetime.now(UTC):%Y-%m-%d}T00:{seconds // 60:02}:{seconds % 60:02}Z"


def _run(action, device, shots):
    """The text of a task's results file."""
    simulator = DensityMatrixSimulator() if device == DM1 else StateVectorSimulator()
    program = BraketSchemaBase.parse_raw_schema(action)
    if isinstance(program, ProgramSet):
        return simulator.run_program_set(program, shots=shots).json()
    result = simulator.run_openqasm(program, shots=shots)
    if shots:
        return result.copy(update={"resultTypes": None}).json()
    for value in result.resultTypes:
        value.value = np.asarray(value.value).tolist()
    return result.copy(update={"measurements": None}).json()


def _capabilities(simulator, kind, *, n_qubits, shots, sets, lacks=()):
    """Those of a local simulator with other limits."""
    properties = json.loads(simulator.properties.json())
    properties["paradigm"]["qubitCount"] = n_qubits
    properties["service"]["shotsRange"] = shots
    properties["service"]["getTaskPollIntervalMillis"] = 10
    program = properties["action"][PROGRAMS]
    program["supportedOperations"] = [name for name in program["supportedOperations"] if name not in lacks]
    if sets is None:
        del properties["action"][SETS]
    else:
        properties["action"][SETS] |= sets
    return kind, properties


def _machine():
    kind, common = _capabilities(StateVectorSimulator(), "QPU", n_qubits=4, shots=[1, 20_000], sets=None)
    del common["action"]["braket.ir.jaqcd.program"]
    return kind, machine_properties(common)


def _response(url, status, text, headers=None):
    body = text.encode()
    return AWSResponse(url, status, {"content-length": str(len(body))} | (headers or {}), _Raw(body))
