"""Failures at Amazon Braket in qnn's words: which are worth another try, and what to do about the others.

Matched by the codes of AWS and the names of botocore's error classes, so that neither is needed here.
"""

from __future__ import annotations

import re

from qnn import errors
from qnn.backends.foreign_errors import Translated, chain
from qnn.errors import BackendError

_CREDENTIALS = (
    "Set them by AWS's own means: `aws configure`, `aws sso login`, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
)
_REFRESH = f"{_CREDENTIALS}, and allow them Amazon Braket (policy AmazonBraketFullAccess)."
_LATER = "Try again later."
_FOLDER = "Give `s3_folder` a bucket of yours whose name begins with amazon-braket-, in the device's region."

# Codes of AWS's answers.
_CODES: dict[str, tuple[type, str]] = (
    dict.fromkeys(
        (
            "AccessDenied",
            "AccessDeniedException",
            "ExpiredToken",
            "ExpiredTokenException",
            "IncompleteSignature",
            "InvalidAccessKeyId",
            "InvalidClientTokenId",
            "InvalidSignatureException",
            "InvalidToken",
            "MissingAuthenticationToken",
            "OptInRequired",
            "RequestExpired",
            "SignatureDoesNotMatch",
            "UnauthorizedException",
            "UnrecognizedClientException",
        ),
        (errors.AuthenticationError, _REFRESH),
    )
    | dict.fromkeys(
        (
            "RequestLimitExceeded",
            "SlowDown",
            "ThrottledException",
            "Throttling",
            "ThrottlingException",
            "TooManyRequestsException",
        ),
        (errors.RateLimitError, "Try again in a minute, or give a smaller `max_parallel`."),
    )
    | dict.fromkeys(
        ("InternalServiceException", "InternalFailure", "InternalError", "RequestTimeout", "ServiceUnavailable"),
        (errors.BackendUnavailableError, _LATER),
    )
    | {
        "ServiceQuotaExceededException": (
            errors.QuotaError,
            "Wait until other tasks are done, give a smaller `max_parallel`, or ask AWS for a higher quota.",
        ),
        "DeviceOfflineException": (errors.BackendUnavailableError, "Try again when it is online, or use another one."),
        "DeviceRetiredException": (errors.UnsupportedError, "Use another device."),
        "ValidationException": (errors.CircuitRefusedError, "Change what it names."),
        "NoSuchBucket": (errors.ArgumentError, _FOLDER),
        "NoSuchKey": (errors.JobFailedError, "Look whether the results were deleted from the bucket."),
    }
)
# Names of botocore's classes; for a subclass the nearest base counts.
_NAMES: dict[str, tuple[type, str]] = (
    dict.fromkeys(
        (
            "NoCredentialsError",
            "PartialCredentialsError",
            "CredentialRetrievalError",
            "SSOError",
            "LoginError",
            "NoAuthTokenError",
            "TokenRetrievalError",
            "ProfileNotFound",
            "InvalidConfigError",
        ),
        (errors.AuthenticationError, f"{_CREDENTIALS}."),
    )
    | dict.fromkeys(
        ("NoRegionError", "InvalidRegionError"),
        (errors.AuthenticationError, "Set AWS_DEFAULT_REGION to a region of Amazon Braket, such as us-east-1."),
    )
    | dict.fromkeys(
        ("HTTPClientError", "ConnectionError", "IncompleteReadError", "ResponseParserError"),
        (errors.BackendUnavailableError, "Check the network, and try again later."),
    )
    | {"ParamValidationError": (errors.ArgumentError, "Correct what it names.")}
)
_SECRETS = re.compile(r"\b(?:A[KS]IA[A-Z0-9]{12,}|[A-Za-z0-9/+=]{40,})")


def translated(error: Exception, what: str, *, reading: bool = False) -> errors.QnnError:
    """The error of qnn for a failure at AWS.

    Args:
        error: as botocore or Braket's SDK raised it.
        what: what was being done, such as "submit to braket:sv1".
        reading: whether only an answer is read: one that cannot be understood is then asked for again.
    """
    code = _code(error)
    kind, advice = _kind(error, code, reading)
    named = code or type(error).__name__
    if kind is errors.AuthenticationError:  # AWS quotes the signed request there, session token included
        return kind(f"Amazon Braket could not {what}: {named}. {advice}")
    told = without_secrets(_message(error))
    return kind(f"Amazon Braket could not {what}: {named}: {told}. {advice}")


def without_secrets(text: str) -> str:
    """What AWS says, on one line, without its last full stop and without anything that looks like a key or a token."""
    return _SECRETS.sub("…", " ".join(text.split())).rstrip(".")


def failures(what: str, *, reading: bool = False) -> Translated:
    """A context in which failures become errors of qnn; see `translated`."""

    def translate(error: Exception) -> tuple[errors.QnnError, bool]:
        ours = translated(error, what, reading=reading)
        quotes = any(_SECRETS.search(str(each)) for each in (error, *chain(error)))
        return ours, isinstance(ours, errors.AuthenticationError) or quotes

    return Translated(translate)


def _code(error: Exception) -> str | None:
    response = getattr(error, "response", None)
    return response.get("Error", {}).get("Code") if isinstance(response, dict) else None


def _message(error: Exception) -> str:
    response = getattr(error, "response", None)
    told = response.get("Error", {}).get("Message") if isinstance(response, dict) else None
    return told or str(error)


def _kind(error: Exception, code: str | None, reading: bool) -> tuple[type, str]:
    told = _message(error)
    if code == "ResourceNotFoundException":
        if getattr(error, "operation_name", "") in ("GetQuantumTask", "CancelQuantumTask"):
            return errors.JobNotFoundError, "Check the task's ARN and its region."
        return errors.UnknownNameError, "Check the device's ARN and the region."
    if isinstance(error, ValueError) and code is None and re.search(r"(Simulator|QPU|arn:\S+).* not found", told):
        return errors.UnknownNameError, "Check the device's ARN and the region."  # so AwsDevice says it
    if code == "ValidationException" and "spending limit" in told.lower():
        return errors.QuotaError, "Raise the device's spending limit in Amazon Braket, or wait for its next period."
    if code in _CODES:
        return _CODES[code]
    for cls in type(error).__mro__:
        if cls.__name__ in _NAMES:
            return _NAMES[cls.__name__]
    response = getattr(error, "response", None)
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) if isinstance(response, dict) else 0
    if status == 429:
        return _CODES["ThrottlingException"]
    if status >= 500:
        return errors.BackendUnavailableError, _LATER
    if (reading and response is None) or repr(error) == "KeyError('quantumTaskArn')":
        return errors.BackendUnavailableError, "The answer was not understood; try again later."
    return BackendError, "Check the backend's options; `qnn doctor` shows what is missing."
