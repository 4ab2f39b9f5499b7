"""The fake cloud's jobs, behind the port of the journal: one HTTP request for each question."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from typing import Any, cast
from urllib.parse import SplitResult, quote, urlsplit

import numpy as np

from qnn import errors
from qnn.backends.fakecloud.wire import unpacked
from qnn.errors import ArgumentError, BackendError, BackendUnavailableError, JobFailedError
from qnn.jobs.service import RemoteState, Service

TOKEN_VARIABLE = "QNN_FAKECLOUD_TOKEN"
#: Behind the URL of a service that draws shots by itself.
UNKEYED = "unkeyed"
_HOSTS = ("127.0.0.1", "localhost")
_STATES = ("queued", "running", "done", "failed", "cancelled")
_FAILED = ("failed", "cancelled")
_BY_STATUS: dict[int, tuple[type[BackendError], str]] = {
    400: (errors.CircuitRefusedError, "Change the circuit or the option that it names."),
    401: (errors.AuthenticationError, f"Set {TOKEN_VARIABLE} to the token that the service printed."),
    402: (errors.QuotaError, "Start a service with a larger --quota-s."),
    404: (errors.JobNotFoundError, "Check the job's id and the URL."),
    410: (JobFailedError, "Run it again, or look at the service's log."),
    429: (errors.RateLimitError, "Try again later, or when pending jobs are done."),
}
_LATER = "Try again later; start the service with `qnn fakecloud` if it does not run."


class Token:
    """A secret: not shown, not pickled, kept by copies within the process.

    Args:
        given: the token; None takes that of the environment whenever one is needed.

    Raises:
        ArgumentError: no text that HTTP can carry.
    """

    def __init__(self, given: str | None = None) -> None:
        if given is not None and not (isinstance(given, str) and given and all("!" <= x <= "~" for x in given)):
            raise ArgumentError(
                "`token` must be printable ASCII without blanks; got something else. Copy it as the service printed it."
            )
        self._given = given

    def header(self) -> dict[str, str]:
        """What shows it to the service.

        Raises:
            AuthenticationError: there is none.
        """
        found = self._given or Token(os.environ.get(TOKEN_VARIABLE) or None)._given
        if found is None:
            raise errors.AuthenticationError(
                f"The fake cloud needs a token, and none is set. Set {TOKEN_VARIABLE} to that which the service "
                "printed, or give `token`."
            )
        return {"Authorization": f"Bearer {found}"}

    def __repr__(self) -> str:
        """No secret."""
        return "Token()"

    def __deepcopy__(self, memo: Any) -> Token:
        """Itself: it never changes."""
        return self

    def __reduce__(self) -> Any:
        """Without the secret: another process takes that of its environment."""
        return Token, ()


def address(url: object) -> tuple[str, bool]:
    """Host and port of a URL on this machine, and whether the service honours sampling keys.

    Raises:
        ArgumentError: another one: what is sent, the token included, is not encrypted.
    """
    wrong = "something that is no URL"
    try:
        parts = urlsplit(cast(str, url))
        path = parts.path.strip("/")
        wrong = _wrong_in(parts, path)
    except (ValueError, AttributeError, TypeError):
        pass
    if wrong:  # never the URL itself, in which a token may have been written
        raise ArgumentError(
            f"`device` must be the URL of a service on this machine; got {wrong}. "
            "Write http://127.0.0.1:8137, as `qnn fakecloud` printed it."
        )
    return f"{parts.hostname}:{parts.port}", path != UNKEYED


def _wrong_in(parts: SplitResult, path: str) -> str:
    """What a URL has that it must not have, or nothing."""
    if parts.scheme != "http":
        return "one that does not begin with http://"
    if parts.username is not None or parts.query or parts.fragment:
        return "one with more than a host and a port"
    if parts.hostname not in _HOSTS:
        return "one of another machine"
    try:
        port = parts.port
    except ValueError:
        return "one whose port is no number from 1 to 65535"
    if not port:
        return "one without a port"
    return "" if path in ("", UNKEYED) else "one with a path"


class FakeCloudService(Service):
    """Jobs at a fake cloud.

    Args:
        url: of the service.
        token: that it asks for.
        poll_interval_s: seconds between two looks at a job.
        lookup_s: seconds that a submission may take to be found by its tag.
        max_parallel: jobs of one call under way at the same time; None: any number.
        request_timeout_s: seconds that an answer may take.
    """

    def __init__(
        self,
        url: str,
        token: Token,
        *,
        poll_interval_s: float = 0.05,
        lookup_s: float = 10.0,
        max_parallel: int | None = None,
        request_timeout_s: float = 30.0,
    ) -> None:
        self.name = f"fakecloud:{url}"
        self._address, _ = address(url)
        self._token = token
        self.poll_interval_s = poll_interval_s
        self.lookup_s = lookup_s
        self.max_parallel = max_parallel
        self._request_timeout_s = request_timeout_s

    def submit(self, payload: Any, tag: str) -> str:
        """Send one job; see `Service.submit`."""
        answer = self._asked("submit a job", "POST", "/jobs", {**payload, "tag": tag})
        with self._understood("the id of a job"):
            return _id(answer)

    def find(self, tag: str) -> str | None:
        """The oldest job of a tag that has not failed, else the oldest; see `Service.find`."""
        answer = self._asked("look up a job by its tag", "GET", f"/jobs?tag={quote(tag, safe='')}")
        with self._understood("the jobs of a tag"):
            found = [(_id(job), job["state"] in _FAILED) for job in answer["jobs"]]
        return min(found, key=lambda one: one[1], default=(None, True))[0]

    def state(self, remote_id: str) -> RemoteState:
        """How far the job is; see `Service.state`."""
        job = self._job(remote_id)
        with self._understood(f"the state of job {remote_id}"):
            return cast(RemoteState, _STATES[_STATES.index(job["state"])])

    def result(self, remote_id: str, form: Mapping[str, Any]) -> list[np.ndarray]:
        """Exact values (N, M), or counts (N, 2^k) for each setting; see `Service.result`.

        Raises:
            BackendUnavailableError: what came is damaged, or of another job.
            JobFailedError: it does not fit `form`.
        """
        answer = self._asked("get a result", "GET", f"{_path(remote_id)}/result")
        with self._understood(f"the result of job {remote_id}"):
            if answer["id"] != remote_id:
                raise BackendUnavailableError(
                    f"{self.name} sent the result of job {answer['id']} in place of {remote_id}; it was not used. "
                    f"{_LATER}"
                )
            arrays = [unpacked(block) for block in answer["arrays"]]
        found = [[array.dtype.name, list(array.shape)] for array in arrays]
        if found != list(form["arrays"]):
            raise JobFailedError(
                f"The result of job {remote_id} must be arrays {form['arrays']}; got {found}. Run it again."
            )
        return arrays

    def cancel(self, remote_id: str) -> None:
        """Ask that a job be cancelled; see `Service.cancel`."""
        self._asked("cancel a job", "POST", f"{_path(remote_id)}/cancel", {})

    def seconds_used(self, remote_id: str) -> float | None:
        """Billed seconds: 0.01 for a job and 0.0001 for each execution; None before it is done."""
        job = self._job(remote_id)
        with self._understood(f"the seconds of job {remote_id}"):
            return float(job["seconds"]) if job["state"] == "done" else None

    def why(self, remote_id: str) -> str:
        """What the service says about a job that failed."""
        job = self._job(remote_id)
        with self._understood(f"the reason of job {remote_id}"):
            return str(job["why"])

    def device(self) -> dict[str, Any]:
        """Limits of the service."""
        return self._asked("read the limits", "GET", "/device")

    def _job(self, remote_id: str) -> dict[str, Any]:
        return self._asked("look at a job", "GET", _path(remote_id))

    @contextmanager
    def _understood(self, what: str) -> Iterator[None]:
        """While an answer is read: one that is not what it should be came garbled, and can be asked for again."""
        try:
            yield
        except (LookupError, TypeError, ValueError) as error:
            told = f"{type(error).__name__}: {error}".rstrip(".")
            raise BackendUnavailableError(f"{self.name} sent something else than {what}: {told}. {_LATER}") from error

    def _asked(self, what: str, method: str, path: str, data: Any = None) -> dict[str, Any]:
        """The answer to one request.

        Raises:
            BackendError: see the table of statuses; no answer is `BackendUnavailableError`.
        """
        body = None if data is None else json.dumps(data)
        self._token.header()  # where there is none, nothing is sent, and nothing tried again
        try:
            status, answer = self._exchanged(method, path, body)
        except (OSError, HTTPException, ValueError) as error:
            told = f"{self.name} could not {what}: {type(error).__name__}: {error}"
            # without the frames of the client, whose variables hold the token
            raise BackendUnavailableError(f"{told}. {_LATER}") from error.with_traceback(None)
        if status == 200:
            return answer
        kind, advice = _BY_STATUS.get(status, (BackendUnavailableError, _LATER))
        raise kind(f"{self.name} could not {what}: {answer.get('error', status)} (status {status}). {advice}")

    def _exchanged(self, method: str, path: str, body: str | None) -> tuple[int, dict[str, Any]]:
        connection = HTTPConnection(self._address, timeout=self._request_timeout_s)
        try:
            connection.request(method, path, body, self._token.header())
            answer = connection.getresponse()
            found = json.loads(answer.read())
        finally:
            connection.close()
        if not isinstance(found, dict):
            raise ValueError("no JSON object was answered")
        return answer.status, found


def _id(job: Any) -> str:
    found = job["id"]
    if not isinstance(found, str):
        raise TypeError(f"`id` must be a string; got {found!r}.")
    return found


def _path(remote_id: str) -> str:
    return f"/jobs/{quote(remote_id, safe='')}"
