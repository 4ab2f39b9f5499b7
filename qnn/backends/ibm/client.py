"""IBM's client: how a machine is found, and that each request about jobs is sent once.

By itself it sends a request that fails with a 5xx up to five times again, POST included, and behind a proxy also one
whose answer was lost: two jobs may come of one submission. Whether a submission is sent again is for `qnn.jobs` to
decide, which first looks whether it arrived.
"""

from __future__ import annotations

from typing import Any

from qnn._optional import require
from qnn.backends.ibm.errors import failures
from qnn.errors import BackendUnavailableError, unknown_name

_ANSWER_S = 120.0  # for an answer to begin, where the client itself would wait without an end
_THREADS = 32  # that may ask at the same time


def machine(name: str, *, account: str | None, instance: str | None) -> Any:
    """The ``IBMBackend`` of a machine.

    Args:
        name: such as "ibm_torino".
        account: name of the saved account; None is the default one, or that of the environment.
        instance: CRN or name; None is that of the account.

    Raises:
        MissingDependencyError: qiskit-ibm-runtime is not installed.
        AuthenticationError: no account, or a wrong one.
        UnknownNameError: the instance has no such machine.
        BackendUnavailableError: IBM is out of reach, or lists no device.
    """
    runtime = require("qiskit_ibm_runtime", extra="ibm", purpose=f'`backend="ibm:{name}"`')
    with failures(f"connect to find {name}"):
        service = runtime.QiskitRuntimeService(name=account, instance=instance)
        known = {device.name: device for device in service.backends()}
    if not known:  # as when the list could not be had: the client passes over failures there
        raise BackendUnavailableError(
            f"IBM Quantum lists no device, so that {name} was not found. Try again later; if it stays so, check that "
            "the instance has devices."
        )
    if name not in known:
        raise unknown_name("IBM device", name, known)
    return known[name]


def send_once(device: Any) -> bool:
    """Switch off the client's own retries below ``/jobs``, for the instance of an ``IBMBackend``; others stay.

    Returns:
        Whether it could: a version of the client that keeps its session elsewhere goes on as before. Then
        `IBMService.submit` looks for a second job by the tag.
    """
    session = getattr(getattr(device, "_api_client", None), "_session", None)
    base = getattr(session, "base_url", None)
    if session is None or base is None:
        return False
    adapters: Any = require("requests.adapters", extra="ibm", purpose="IBM Quantum")

    class Once(adapters.HTTPAdapter):
        """Sends a request once, and does not wait for an answer without an end."""

        def send(self, request: Any, stream: bool = False, timeout: Any = None, **options: Any) -> Any:
            """See ``requests.adapters.HTTPAdapter``; `timeout` is (connect, read)."""
            if isinstance(timeout, tuple) and timeout[1] is None:
                timeout = (timeout[0], _ANSWER_S)
            return super().send(request, stream=stream, timeout=timeout, **options)

    session.mount(f"{base}/jobs", Once(max_retries=0, pool_maxsize=_THREADS))  # the longest prefix wins
    return True
