"""Tasks at AWS: submitted by a few threads, waited for until one deadline, all of them named when something fails.

`AwsDevice.run_batch` of Braket's SDK is not used: where one task is refused it loses the ARNs of the others, goes on
submitting them, and waits for them without an end.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from threading import Event
from time import monotonic
from typing import Any, NamedTuple, cast

from qnn import _meter
from qnn.backends.braket_errors import failures
from qnn.errors import JobFailedError, JobTimeoutError, QnnError

DEFAULT_PARALLEL = 10
DEFAULT_TIMEOUT_S = 5 * 86400.0
_ENDED = ("COMPLETED", "FAILED", "CANCELLED")
_WAITING = ("CREATED", "QUEUED")
_NAMED = 3  # ARNs in a message


class Task(NamedTuple):
    """What one task executes.

    Attributes:
        specification: as `AwsDevice.run` takes it.
        shots: of the whole task; 0 for exact values.
        n_circuits: circuits in it, for the meter.
        inputs: values of the parameters, by name.
    """

    specification: Any
    shots: int
    n_circuits: int = 1
    inputs: dict[str, float] | None = None


class Submission:
    """Tasks of one call; used once.

    Args:
        device: the `AwsDevice`.
        name: of the backend.
        tasks: what to submit.
        max_parallel: tasks that are submitted and have not ended, at any time.
        timeout_s: seconds from the first request to the last result.
        interval: seconds between two looks at a task.
        options: further options of `AwsDevice.run`.
    """

    def __init__(
        self,
        device: Any,
        name: str,
        tasks: Sequence[Task],
        *,
        max_parallel: int,
        timeout_s: float,
        interval: float,
        options: dict[str, Any],
    ) -> None:
        self._device, self._name, self._tasks = device, name, tasks
        self._max_parallel, self._timeout, self._interval = max_parallel, timeout_s, interval
        self._options = options
        self._submitted: list[Any] = [None] * len(tasks)
        self._deadline = 0.0
        self._stop = Event()

    @property
    def job_ids(self) -> tuple[str, ...]:
        """ARNs of the tasks submitted so far, in the order of the tasks."""
        return tuple(task.id for task in self._submitted if task is not None)

    def results(self) -> list[Any]:
        """The results of all tasks in their order; nothing is submitted a second time.

        When a task is refused or ends without a result, no more are submitted, and those still queued are cancelled.
        What was submitted counts in the meter, whatever comes of it.

        Raises:
            JobTimeoutError: the time is over; tasks go on.
            JobFailedError: a task ended without a result.
            QnnError: AWS refused a task or did not answer; its attribute `job_ids` has the ARNs, as in the others.
        """
        self._deadline = monotonic() + self._timeout
        try:
            return self._collect()
        except JobTimeoutError as error:
            naming(
                error,
                self.job_ids,
                len(self._tasks),
                "They go on and are paid for: give a longer `timeout_s`, or cancel them in the console.",
            )
            raise
        except QnnError as error:
            cancelled = self._cancel_queued()
            naming(error, self.job_ids, len(self._tasks), f"{cancelled} of them, still queued, were told to cancel.")
            raise
        except BaseException as error:  # an interrupt, above all
            if self.job_ids:
                error.add_note(f"Submitted to {self._name}, going on there: {', '.join(self.job_ids)}")
            raise
        finally:
            paid = [task for task, at_aws in zip(self._tasks, self._submitted, strict=True) if at_aws is not None]
            _meter.record(
                circuits=sum(task.n_circuits for task in paid), shots=sum(task.shots for task in paid), jobs=len(paid)
            )

    def _collect(self) -> list[Any]:
        pool = ThreadPoolExecutor(min(self._max_parallel, len(self._tasks)), thread_name_prefix="qnn-braket")
        try:
            futures = [pool.submit(self._submit_and_wait, number) for number in range(len(self._tasks))]
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            self._stop.set()
            pool.shutdown(cancel_futures=True)  # requests under way come to their end, so that no ARN is lost
        for future in futures:
            if future in done and (error := future.exception()) is not None:
                raise error
        missing = sum(future.result() is None for future in futures)
        if missing:
            raise JobTimeoutError(
                f"{missing} of {len(futures)} tasks on {self._name} did not end within {self._timeout:g} s."
            )
        return [future.result() for future in futures]

    def _submit_and_wait(self, number: int) -> Any:
        """The result of one task, which has its thread until it ends; None when waiting has no more sense."""
        if self._stop.is_set() or monotonic() >= self._deadline:
            return None
        try:
            with failures(f"submit to {self._name}"):
                task = self._tasks[number]
                at_aws = self._device.run(task.specification, shots=task.shots, inputs=task.inputs, **self._options)
                self._submitted[number] = at_aws
            with failures(f"return the results of {self._name}"):
                return self._result(at_aws)
        except BaseException:
            self._stop.set()  # here, before this thread takes up the next task
            raise

    def _result(self, at_aws: Any) -> Any:
        while at_aws.state() not in _ENDED:
            left = self._deadline - monotonic()
            if left <= 0 or self._stop.wait(min(self._interval, left)):
                return None
        result = at_aws.result()  # that of a program set which failed in part, too
        if result is None:
            raise self._without_result(at_aws)
        return result

    def _without_result(self, at_aws: Any) -> JobFailedError:
        facts = at_aws.metadata(use_cached_value=True)
        reason = f" ({facts['failureReason'].rstrip('.')})" if facts.get("failureReason") else ""
        return JobFailedError(
            f"A task on {self._name} ended without a result: {at_aws.id} is {facts['status']}{reason}. "
            "Look at it in the console of Amazon Braket before running it again."
        )

    def _cancel_queued(self) -> int:
        """How many tasks AWS was asked to cancel; it gives up at the first request that fails."""
        cancelled = 0
        with suppress(Exception):  # what went wrong before is what the caller is told
            for task in self._submitted:
                if task is not None and task.state(use_cached_value=True) not in _ENDED and task.state() in _WAITING:
                    task.cancel()
                    cancelled += 1
        return cancelled


def naming(error: QnnError, job_ids: tuple[str, ...], n_tasks: int, further: str = "") -> QnnError:
    """The same error with ARNs: a few of them in its message, all of them as its attribute `job_ids`.

    Args:
        error: about tasks at AWS.
        job_ids: ARNs of the tasks that were submitted.
        n_tasks: how many were to be submitted.
        further: what to say about them.
    """
    cast(Any, error).job_ids = job_ids
    if not job_ids:
        error.args = (f"{error} No task was submitted.",)
        return error
    some = ", ".join(job_ids[:_NAMED]) + (", … (all in the error's `job_ids`)" if len(job_ids) > _NAMED else "")
    error.args = (f"{error} Submitted: {len(job_ids)} of {n_tasks} tasks: {some}. {further}".rstrip(),)
    return error
