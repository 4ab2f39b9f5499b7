"""Quantum tasks at AWS as jobs: created once under a tag, looked at, read and cancelled by their ARNs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np

from qnn._forking import ForkLock
from qnn.backends.braket.errors import failures, without_secrets
from qnn.errors import ArgumentError, AuthenticationError, BackendUnavailableError, JobFailedError
from qnn.jobs import RemoteState, Service

TAG = "qnn-job"
DEFAULT_PARALLEL = 10
_LONGEST_TOKEN = 64  # characters of a clientToken
_WINDOW = timedelta(days=7)
_TYPE = "braket:quantum-task"
_ENDED = ("COMPLETED", "FAILED", "CANCELLED")
_STATES: dict[str, RemoteState] = {
    "CREATED": "queued",
    "QUEUED": "queued",
    "RUNNING": "running",
    "COMPLETED": "done",
    "FAILED": "failed",
    "CANCELLING": "running",  # it may still complete, and is then paid for
    "CANCELLED": "cancelled",
}


class Task(NamedTuple):
    """What one task executes.

    Attributes:
        program: a program or a program set, as `AwsDevice.run` takes it.
        shots: of the whole task; 0 for exact values.
        inputs: values of a program's parameters, by name.
    """

    program: Any
    shots: int
    inputs: Mapping[str, float] | None = None


class BraketService(Service):
    """Tasks on one device of Amazon Braket.

    The job's tag is the value of the AWS tag `qnn-job`, and the `clientToken` of CreateQuantumTask, with which AWS is
    to answer a request that it has had before with the task it made then. botocore's own repetitions of a request
    carry the same token. So a task is not made twice even where looking it up fails.

    A result is read by the ARN and plain data, called `form`: `{"values": W}` for W exact expectation values, which
    become one array (1, W); `{"counts": [[n, qubits], ...]}` for executables in order, n of which are counted on
    these qubits, the first of them the leftmost bit, and become an array (n, 2^k) of int64.

    Args:
        device: the `AwsDevice`.
        attach: makes an `AwsQuantumTask` of an ARN and a session.
        name: of the backend.
        s3_folder: bucket and prefix of the results; None for Braket's default.
        max_parallel: tasks of a call that are at AWS at the same time.
    """

    def __init__(
        self,
        device: Any,
        attach: Callable[[str, Any], Any],
        name: str,
        s3_folder: tuple[str, str] | None = None,
        max_parallel: int | None = None,
    ) -> None:
        self.device, self.name = device, name
        self._attach = attach
        self.max_parallel = DEFAULT_PARALLEL if max_parallel is None else max_parallel
        self.poll_interval_s = (device.properties.service.getTaskPollIntervalMillis or 1000) / 1000
        self._session = device.aws_session
        self._elsewhere: dict[str, Any] = {}  # sessions for tasks of other regions
        self._folder = s3_folder
        self._lock = ForkLock()
        self._tagging: Any = None
        # `AwsDevice.run` hands tags on to the request, and no token
        self._session.braket_client.meta.events.register(
            "provide-client-params.braket.CreateQuantumTask", _with_token, unique_id="qnn-client-token"
        )

    def submit(self, payload: Task, tag: str) -> str:
        """Create the task; returns its ARN.

        Raises:
            ArgumentError: the tag is no token.
            BackendError: AWS refused, or did not answer; see the subclasses.
        """
        if not 0 < len(tag) <= _LONGEST_TOKEN:
            raise ArgumentError(
                f"`tag` must be 1 to {_LONGEST_TOKEN} characters to be a token of AWS; got {len(tag)}. Shorten it."
            )
        options = {} if self._folder is None else {"s3_destination_folder": self._folder}
        with failures(f"submit to {self.name}"):
            self._find_bucket()
            task = self.device.run(
                payload.program, shots=payload.shots, inputs=payload.inputs, tags={TAG: tag}, **options
            )
        return task.id

    def _find_bucket(self) -> None:
        """Have the default bucket made, if need be, by one thread."""
        if self._folder is None and "AMZN_BRAKET_TASK_RESULTS_S3_URI" not in os.environ:
            with self._lock:
                self._session.default_bucket()

    def find(self, tag: str) -> str | None:
        """The ARN of the task that was created with `tag`, or None.

        Of several, the oldest that has not failed or been cancelled; else the oldest.

        Asked of AWS's Resource Groups Tagging API, which looks tags up by their values, whatever their age, in one
        request. It needs the permission `tag:GetResources`, which Braket's own policy does not give, and an endpoint
        of its own; where it is refused or out of reach, SearchQuantumTasks lists the device's tasks of the last
        seven days, tags included, a hundred in a request. Braket has no filter for tags.
        """
        try:
            return self._by_tagging(tag)
        except (AuthenticationError, BackendUnavailableError):
            return self._by_search(tag)

    def _by_tagging(self, tag: str) -> str | None:
        with failures(f"look up a task of {self.name}", reading=True):
            with self._lock:
                if self._tagging is None:
                    self._tagging = _tagging_client(self._session)
            pages = self._tagging.get_paginator("get_resources").paginate(
                TagFilters=[{"Key": TAG, "Values": [tag]}], ResourceTypeFilters=[_TYPE]
            )
            found = [entry["ResourceARN"] for page in pages for entry in page["ResourceTagMappingList"]]
            if len(found) < 2:
                return found[0] if found else None
            return min(found, key=lambda arn: _preference(self._task(arn).metadata()))

    def _by_search(self, tag: str) -> str | None:
        since = (datetime.now(UTC) - _WINDOW).strftime("%Y-%m-%dT%H:%M:%SZ")
        filters = [
            {"name": "deviceArn", "operator": "EQUAL", "values": [self.device.arn]},
            {"name": "createdAt", "operator": "GTE", "values": [since]},
        ]
        with failures(f"look up a task of {self.name}", reading=True):
            pages = self._session.braket_client.get_paginator("search_quantum_tasks").paginate(
                filters=filters, PaginationConfig={"PageSize": 100}
            )
            tasks = [task for page in pages for task in page["quantumTasks"] if task.get("tags", {}).get(TAG) == tag]
            first = min(tasks, key=_preference, default=None)
            return None if first is None else first["quantumTaskArn"]

    def state(self, remote_id: str) -> RemoteState:
        """How far the task is.

        Raises:
            JobNotFoundError: AWS does not know the ARN.
        """
        with failures(f"find a task of {self.name}", reading=True):
            return _STATES[self._task(remote_id).metadata()["status"]]

    def result(self, remote_id: str, form: Mapping[str, Any]) -> list[np.ndarray]:
        """The numbers of a task that is done, in the order of `form`; shapes and dtypes as the class says.

        Raises:
            JobFailedError: it has no result, circuits of it failed, or the result does not fit `form`.
            BackendUnavailableError: the task has not ended, or what came is damaged.
        """
        with failures(f"return the results of {self.name}", reading=True):
            task = self._task(remote_id)
            if task.metadata()["status"] not in _ENDED:
                raise BackendUnavailableError(f"Task {remote_id} on {self.name} has no result yet. Wait for its end.")
            result = task.result()
            if result is None:
                raise JobFailedError(f"Task {remote_id} on {self.name} ended without a result. Look for its reason.")
            if "values" in form:
                values = np.array([result.values], dtype=np.float64)
                self._check_number(remote_id, values.shape[1], form["values"], "expectation values")
                return [values]
            return self._counts(remote_id, result, form["counts"])

    def _counts(self, remote_id: str, result: Any, form: Sequence[tuple[int, Sequence[int]]]) -> list[np.ndarray]:
        executables = self._executables(remote_id, result)
        self._check_number(remote_id, len(executables), sum(n for n, _ in form), "executables")
        entries = iter(executables)
        return [np.stack([self._histogram(remote_id, next(entries), qubits) for _ in range(n)]) for n, qubits in form]

    def _histogram(self, remote_id: str, sample: Any, qubits: Sequence[int]) -> np.ndarray:
        absent = sorted(set(qubits) - {int(qubit) for qubit in sample.measured_qubits})
        if absent:
            raise JobFailedError(
                f"The result of task {remote_id} on {self.name} must measure qubits {list(qubits)}; got none of "
                f"{absent}. Look at the task in the console of Amazon Braket."
            )
        return histogram(sample, qubits)

    def _executables(self, remote_id: str, result: Any) -> list[Any]:
        """What was measured, circuit by circuit."""
        if not hasattr(result, "entries"):
            return [result]
        found = [entry for program in result.entries for entry in program.entries]
        failed = [entry for entry in found if not hasattr(entry, "measurements")]
        if failed:
            raise JobFailedError(
                f"{len(failed)} of {len(found)} circuits of task {remote_id} failed on {self.name}: "
                f"{without_secrets(str(failed[0]))}. Look at the task in the console of Amazon Braket."
            )
        return found

    def _check_number(self, remote_id: str, found: int, expected: int, what: str) -> None:
        if found != expected:
            raise JobFailedError(
                f"The result of task {remote_id} on {self.name} must have {expected} {what}; got {found}. "
                "Look at the task in the console of Amazon Braket."
            )

    def cancel(self, remote_id: str) -> None:
        """Ask AWS to cancel the task; one that has ended stays as it is."""
        with failures(f"cancel a task of {self.name}"):
            task = self._task(remote_id)
            try:
                task.cancel()
            except Exception:
                if task.metadata()["status"] not in (*_ENDED, "CANCELLING"):
                    raise

    def why(self, remote_id: str) -> str:
        """AWS's reason for a failure."""
        with failures(f"find a task of {self.name}"):
            return without_secrets(self._task(remote_id).metadata().get("failureReason") or "")

    def _task(self, arn: str) -> Any:
        """The task of an ARN, which a session of its region knows."""
        region = arn.split(":")[3]
        session = self._session
        if region != session.region:
            with self._lock:
                if region not in self._elsewhere:
                    self._elsewhere[region] = session.copy_session(region=region)
                session = self._elsewhere[region]
        return self._attach(arn, session)


def _preference(task: Mapping[str, Any]) -> tuple[bool, Any]:
    """What orders the tasks of a tag: older ones first, behind all others those that failed or were cancelled."""
    return task["status"] in ("FAILED", "CANCELLED"), task["createdAt"]


def histogram(sample: Any, measured: Sequence[int]) -> np.ndarray:
    """Counts of the outcomes on the measured qubits, shape (2^k,) int64; the first qubit is the leftmost bit.

    Args:
        sample: has `measurements`, shape (shots, n), and `measured_qubits`, the qubit of each column.
        measured: k qubits.
    """
    column = {int(qubit): i for i, qubit in enumerate(sample.measured_qubits)}
    bits = np.asarray(sample.measurements, dtype=np.int64)[:, [column[qubit] for qubit in measured]]
    outcomes = bits @ (1 << np.arange(len(measured))[::-1])
    return np.bincount(outcomes, minlength=2 ** len(measured)).astype(np.int64)


def _with_token(params: dict[str, Any], **_: Any) -> None:
    """Make the tag the idempotency token, before botocore draws a random one."""
    if TAG in params.get("tags", {}):
        params["clientToken"] = params["tags"][TAG]


def _tagging_client(session: Any) -> Any:
    """A client that soon gives up: networks that reach Braket only are usual."""
    from botocore.config import Config

    config = Config(connect_timeout=10, read_timeout=10, retries={"total_max_attempts": 2})
    return session.boto_session.client("resourcegroupstaggingapi", region_name=session.region, config=config)
