"""IBM's failures in qnn's words: which of them are worth another try, and what to do about the others.

Matched by the names of the error classes and the codes in their messages, so that a version of the client which moves
its classes is still understood.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress

from qnn import errors
from qnn._optional import require
from qnn.backends.foreign_errors import Translated, chain
from qnn.errors import BackendError, QnnError

_BY_NAME: dict[str, tuple[type[QnnError], str]] = {
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
        "The job goes on at IBM; give a longer `timeout_s`, or look it up later.",
    ),
    "RuntimeJobMaxTimeoutError": (
        errors.JobTimeoutError,
        "Give `max_execution_time_s` more seconds, or send fewer rows at a time.",
    ),
    "RuntimeJobFailureError": (errors.JobFailedError, "Look at the job on IBM's page; its id is in the message."),
    "RuntimeInvalidStateError": (errors.JobFailedError, "Look at the job on IBM's page; its id is in the message."),
    "QiskitBackendNotFoundError": (
        errors.UnknownNameError,
        "List what the instance may use with QiskitRuntimeService().backends().",
    ),
    "IBMInputValueError": (errors.CircuitRefusedError, "Change the circuit or the option that it names."),
    "ConnectionError": (errors.BackendUnavailableError, "Check the network, and try again later."),
}
# Of `requests`, with no answer at all: the client wraps them in errors that do not say so.
_NO_ANSWER = ("ConnectionError", "Timeout", "RetryError", "ChunkedEncodingError", "ContentDecodingError")
_NO_JOB_TOLD = ("KeyError('id')", "KeyError('backend')")  # an answer to a submission, which may have arrived
# Classes that say where something went wrong, and not what: their messages and codes say that.
_BY_CODE = {
    "1202": "rate",
    "3458": "pending",
    "4317": "usage",
    "8001": "usage",
}  # https://quantum.cloud.ibm.com/docs/errors
_CODE = re.compile(r"(?i)\bcode[\"']?[ :=]*(\d{4})\b")
_STATUS = re.compile(r"\b(\d{3}) (?:Client|Server) Error\b")
_SECRET = re.compile(r"(?i)((?:bearer|apikey)\s+|(?:api[_-]?key|token)[\"']?\s*[:=]\s*[\"']?)[\w.~+/-]{8,}")
_ACCESS_TOKEN = re.compile(r"\beyJ[\w-]{8,}(?:\.[\w-]+){1,2}")  # a JSON web token

_held: set[str | None] = set()


def failures(what: str, job_ids: Sequence[str] = (), *, reading: bool = False) -> Translated:
    """A context in which what IBM's client raises becomes errors of qnn.

    Args:
        what: what is being done, such as "submit a job to ibm_torino".
        job_ids: jobs that are under way.
        reading: whether only an answer is read: one that cannot be understood is then asked for again.
    """

    def translate(error: Exception) -> tuple[QnnError, bool]:
        found = translated(error, what, job_ids, reading=reading)
        told = " ".join(str(each) for each in (error, *chain(error)))
        return found, isinstance(found, errors.AuthenticationError) or without_secrets(told) != told

    return Translated(translate)


def translated(error: Exception, what: str, job_ids: Sequence[str] = (), *, reading: bool = False) -> QnnError:
    """The error of qnn for a failure at IBM; arguments as for `failures`."""
    kind, advice = _kind(error, reading)
    told = " ".join(str(getattr(error, "message", error)).split())
    under_way = ""
    if job_ids:
        under_way = f" Submitted before and not cancelled: {', '.join(job_ids[:5])}{', …' * (len(job_ids) > 5)}."
    found = kind(f"IBM Quantum could not {what}: {without_secrets(told).rstrip('.')}.{under_way} {advice}")
    if isinstance(found, BackendError):
        found.job_ids = tuple(job_ids)
    return found


def _kind(error: Exception, reading: bool) -> tuple[type[QnnError], str]:
    text = str(error)
    below = chain(error)
    no_answer = any(cls.__name__ in _NO_ANSWER for cause in below for cls in type(cause).__mro__)
    if no_answer and type(error).__name__ in ("InvalidAccountError", "QiskitBackendNotFoundError"):
        return _BY_NAME["ConnectionError"]  # what the client makes of any failure to list what there is
    for cls in type(error).__mro__:
        if cls.__name__ in _BY_NAME:
            return _BY_NAME[cls.__name__]
    code = _CODE.search(text)
    meaning = _BY_CODE.get(code.group(1) if code else "")
    if meaning == "pending":
        return errors.RateLimitError, "Wait until pending jobs are done, or cancel some."
    if meaning == "usage" or "quota" in text.lower():
        return errors.QuotaError, "Wait for the next period of the plan, or use another instance."
    status = _STATUS.search(text)
    numbers = (getattr(cause, "status_code", -1) for cause in (error, *below))  # -1 where the client did not note it
    number = next((found for found in numbers if isinstance(found, int) and found > 0), -1)
    if number < 0 and status:
        number = int(status.group(1))
    if number == 409:  # "Usage exceeds instance limit", where a job is submitted
        return errors.QuotaError, "Wait for the next period of the plan, or use another instance."
    if number == 429 or meaning == "rate":
        return errors.RateLimitError, "Try again in a minute."
    if number == 404 and "/jobs/" in text:
        return _BY_NAME["RuntimeJobNotFound"]
    if number in (401, 403):
        return _BY_NAME["IBMNotAuthorizedError"]
    if 500 <= number < 600 or (number < 0 and no_answer):
        return _BY_NAME["ConnectionError"]
    if number < 0 and (reading or type(error).__name__ == "JSONDecodeError" or repr(error) in _NO_JOB_TOLD):
        return errors.BackendUnavailableError, "The answer was not understood; try again later."
    return BackendError, "Check the backend's options; `qnn doctor` shows what is missing."


def without_secrets(text: str) -> str:
    """The text without what is, or looks like, a token."""
    for secret in _known_secrets():
        text = text.replace(secret, "…")
    return _ACCESS_TOKEN.sub("…", _SECRET.sub(r"\1…", text))


def keep_out_of_messages(service: object) -> None:
    """Remember, in this process only, the token with which a ``QiskitRuntimeService`` was made."""
    with suppress(Exception):  # a service of another kind
        _held.add(service.active_account()["token"])  # type: ignore[attr-defined]


def _known_secrets() -> set[str]:
    """Tokens of the environment, of saved accounts and of services that were used."""
    found = {os.environ.get("QISKIT_IBM_TOKEN"), *_held}
    with suppress(Exception):  # no file, or a damaged one
        runtime = require("qiskit_ibm_runtime", extra="ibm", purpose="IBM Quantum")
        found |= {account.get("token") for account in runtime.QiskitRuntimeService.saved_accounts().values()}
    return {secret for secret in found if isinstance(secret, str) and len(secret) >= 8}
