"""Starting the service in a process of its own, and changing it from tests and notebooks."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from qnn._worker_process import ONE_THREAD
from qnn.errors import BackendUnavailableError
from qnn.fakecloud.command import TOKEN_VARIABLE

_GRACE_S = 5.0


class Admin:
    """The service as its operator sees it.

    Attributes:
        url: where clients find it.
        token: what they must show.
    """

    def __init__(self, url: str, token: str, process: subprocess.Popen | None = None) -> None:
        self.url = url
        self.token = token
        self._process = process

    @property
    def name(self) -> str:
        """Of the backend, as in the registry."""
        return f"fakecloud:{self.url}"

    def set(self, **changes: Any) -> dict[str, Any]:
        """Change settings and faults from now on; returns all of them.

        Args:
            **changes: settings by name; ``faults={"submit_429": [1, 0]}`` for faults, ``faults=None`` to end all.
        """
        return self._asked("POST", "/faults", changes)

    def log(self, method: str = "", path: str = "") -> list[dict[str, Any]]:
        """Requests as received, with what was answered: all, or those of a method and the beginning of a path."""
        requests = self._asked("GET", "/log")["requests"]
        return [line for line in requests if line["method"].startswith(method) and line["path"].startswith(path)]

    def tags(self) -> dict[str, int]:
        """How many jobs were accepted for each tag."""
        return self._asked("GET", "/tags")

    def jobs(self) -> list[dict[str, Any]]:
        """All jobs that are listed, oldest first."""
        return self._asked("GET", "/jobs")["jobs"]

    def payload(self, job_id: str) -> dict[str, Any]:
        """What was received for a job."""
        return self._asked("GET", f"/jobs/{job_id}/payload")

    def kill(self) -> None:
        """End the process at once, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _asked(self, method: str, path: str, data: Any = None) -> Any:
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=60)
        try:
            headers = {"Authorization": f"Bearer {self.token}"}
            connection.request(method, path, None if data is None else json.dumps(data), headers)
            answer = connection.getresponse()
            body = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status != 200:
            raise BackendUnavailableError(f"The service refused {method} {path}: {body['error']}. Correct the request.")
        return body

    def __repr__(self) -> str:
        """The URL, without the token."""
        return f"<fake cloud at {self.url}>"


@contextmanager
def start(
    *, port: int = 0, token: str | None = None, store: str | Path | None = None, **settings: Any
) -> Iterator[Admin]:
    """Run the service in a process of its own while the block runs.

    Args:
        port: 0 takes a free one.
        token: what clients must show; None draws one.
        store: a file that keeps jobs, for a service that ends and comes back on the same port.
        **settings: see `qnn.fakecloud.settings.Settings`, and ``faults``.

    Raises:
        BackendUnavailableError: it did not start; the message has its words.

    Example:
        >>> from qnn import fakecloud
        >>> with fakecloud.start(workers=2) as cloud:  # doctest: +SKIP
        ...     layer = QuantumLayer(4, 2, backend=FakeCloud(cloud.url, token=cloud.token), shots=100)
    """
    token = token or secrets.token_urlsafe(24)
    words = ["--port", str(port), "--end-with-parent", *(("--store", str(store)) if store is not None else ())]
    environment = {**os.environ, **ONE_THREAD, TOKEN_VARIABLE: token}
    process = subprocess.Popen(
        [sys.executable, "-m", "qnn.fakecloud", *words],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    try:
        url = process.stdout.readline().strip()
        if not url:
            raise BackendUnavailableError(f"The fake cloud did not start: {process.stderr.read().strip()}")
        admin = Admin(url, token, process)
        if settings:
            admin.set(**settings)
        yield admin
    finally:
        process.terminate()
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
        process.stderr.close()
