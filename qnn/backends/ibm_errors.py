"""IBM's failures in qnn's words: which of them are worth another try, and what to do about the others.

Matched by the names of the error classes and the codes in their messages, so that a version of the client which moves
its classes is still understood.
"""

from __future__ import annotations

import re

from qnn import errors
from qnn.errors import BackendError

_BY_NAME = {
    "IBMNotAuthorizedError": (errors.AuthenticationError, "Save a valid token with QiskitRuntimeService.save_account."),
    "AccountNotFoundError": (
        errors.AuthenticationError,
        "Save an account once with QiskitRuntimeService.save_account(token=..., instance=...), "
        "or set QISKIT_IBM_TOKEN and QISKIT_IBM_INSTANCE.",
    ),
    "InvalidAccountError": (errors.AuthenticationError, "Check token and instance on the page of your account."),
    "CloudResourceNameResolutionError": (
        errors.AuthenticationError,
        "Check the name of the instance, or give its CRN.",
    ),
    "RuntimeJobNotFound": (errors.JobNotFoundError, "Check the job id and the instance."),
    "RuntimeJobTimeoutError": (
        errors.JobTimeoutError,
        "The job goes on at IBM; give a longer `timeout`, or look it up later.",
    ),
    "RuntimeJobMaxTimeoutError": (
        errors.JobTimeoutError,
        "Give `max_execution_time` more seconds, or send fewer rows at a time.",
    ),
    "RuntimeJobFailureError": (errors.JobFailedError, "Look at the job on IBM's page; its id is in the message."),
    "RuntimeInvalidStateError": (errors.JobFailedError, "Look at the job on IBM's page; its id is in the message."),
    "QiskitBackendNotFoundError": (
        errors.UnknownNameError,
        "List what the instance may use with QiskitRuntimeService().backends().",
    ),
    "IBMInputValueError": (errors.CircuitRefusedError, "Change the circuit or the option that it names."),
    "ConnectionError": (errors.BackendUnavailableError, "Check the network, and try again later."),
    "RequestException": (errors.BackendUnavailableError, "Check the network, and try again later."),
}
# Codes of IBM's service; https://quantum.cloud.ibm.com/docs/errors
_PENDING_JOBS, _USAGE_LIMIT = "3458", ("4317", "8001")
_STATUS = re.compile(r"\b(4\d\d|5\d\d)\b(?: (?:Client|Server) Error)?")


def translated(error: Exception, what: str) -> BackendError | errors.UnknownNameError:
    """The error of qnn for a failure at IBM.

    Args:
        error: as the client raised it.
        what: what was being done, such as "submit a job to ibm_torino".
    """
    kind, advice = _kind(error)
    told = " ".join(str(getattr(error, "message", error)).split())
    return kind(f"IBM Quantum could not {what}: {_without_secrets(told).rstrip('.')}. {advice}")


def _kind(error: Exception) -> tuple[type, str]:
    text = str(error)
    codes = set(re.findall(r"\b\d{4}\b", text))
    if _PENDING_JOBS in codes:
        return errors.RateLimitError, "Wait until pending jobs are done, or cancel some."
    if codes & set(_USAGE_LIMIT) or "quota" in text.lower():
        return errors.QuotaError, "Wait for the next period of the plan, or use another instance."
    status = _STATUS.search(text)
    number = int(status.group(1)) if status else 0
    if number == 429:
        return errors.RateLimitError, "Try again in a minute."
    if number in (401, 403):
        return _BY_NAME["IBMNotAuthorizedError"]
    if number >= 500:
        return _BY_NAME["ConnectionError"]
    for cls in type(error).__mro__:
        if cls.__name__ in _BY_NAME:
            return _BY_NAME[cls.__name__]
    return BackendError, "Check the backend's options; `qnn doctor` shows what is missing."


def _without_secrets(text: str) -> str:
    """The text without what looks like a token."""
    return re.sub(r"(?i)(bearer |apikey[ =:]+|token[ =:]+['\"]?)[\w.~+/-]{8,}", r"\1…", text)
