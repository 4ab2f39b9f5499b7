"""Failures at AWS in qnn's words, from botocore's own error objects."""

import botocore.exceptions as aws
import pytest

from qnn import errors
from qnn.backends.braket.errors import failures, translated

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
KEY_ID = "ASIAIOSFODNN7EXAMPLE"


def client_error(code, message="because", operation="CreateQuantumTask", status=400):
    response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return aws.ClientError(response, operation)


@pytest.mark.parametrize(
    ("code", "expected", "advice"),
    [
        ("AccessDeniedException", errors.AuthenticationError, "AmazonBraketFullAccess"),
        ("UnrecognizedClientException", errors.AuthenticationError, "aws configure"),
        ("ExpiredTokenException", errors.AuthenticationError, "aws sso login"),
        ("InvalidSignatureException", errors.AuthenticationError, "AWS_ACCESS_KEY_ID"),
        ("ServiceQuotaExceededException", errors.QuotaError, "ask AWS for a higher quota"),
        ("ThrottlingException", errors.RateLimitError, "smaller `max_parallel`"),
        ("DeviceOfflineException", errors.BackendUnavailableError, "Try again when it is online"),
        ("DeviceRetiredException", errors.UnsupportedError, "Use another device"),
        ("InternalServiceException", errors.BackendUnavailableError, "Try again later"),
        ("ValidationException", errors.CircuitRefusedError, "Change what it names"),
        ("NoSuchBucket", errors.ArgumentError, "Give `s3_folder` a bucket"),
        ("ConflictException", errors.BackendError, "qnn doctor"),
    ],
)
def test_codes_of_aws(code, expected, advice):
    error = translated(client_error(code), "submit to braket:sv1")
    assert type(error) is expected
    assert str(error).startswith(f"Amazon Braket could not submit to braket:sv1: {code}") and advice in str(error)


@pytest.mark.parametrize(
    ("error", "expected", "advice"),
    [
        (aws.NoCredentialsError(), errors.AuthenticationError, "aws configure"),
        (
            aws.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"),
            errors.AuthenticationError,
            "AWS_SECRET_ACCESS_KEY",
        ),
        (aws.ProfileNotFound(profile="nobody"), errors.AuthenticationError, "aws configure"),
        (aws.UnauthorizedSSOTokenError(), errors.AuthenticationError, "aws sso login"),
        (aws.NoRegionError(), errors.AuthenticationError, "Set AWS_DEFAULT_REGION"),
        (aws.EndpointConnectionError(endpoint_url="https://x"), errors.BackendUnavailableError, "Check the network"),
        (
            aws.ReadTimeoutError(endpoint_url="https://x", error="slow"),
            errors.BackendUnavailableError,
            "Check the network",
        ),
        (aws.ParamValidationError(report="bad name"), errors.ArgumentError, "bad name. Correct what it names"),
        (ValueError("'arn:aws:braket:x' not found"), errors.UnknownNameError, "Check the device's ARN"),
        (ValueError("Simulator 'sv9' not found in 'eu-west-2'"), errors.UnknownNameError, "Check the device's ARN"),
        (RuntimeError("odd"), errors.BackendError, "RuntimeError: odd"),
    ],
)
def test_errors_without_a_code(error, expected, advice):
    ours = translated(error, "connect to braket:sv1")
    assert type(ours) is expected and advice in str(ours)


def test_what_depends_on_more_than_the_code():
    lost = client_error("ResourceNotFoundException", operation="GetQuantumTask")
    assert type(translated(lost, "wait")) is errors.JobNotFoundError
    unknown = client_error("ResourceNotFoundException", operation="GetDevice")
    assert type(translated(unknown, "connect")) is errors.UnknownNameError
    spent = client_error("ValidationException", "The task exceeds your Spending limit for this device")
    assert type(translated(spent, "submit")) is errors.QuotaError
    assert type(translated(client_error("Odd", status=503), "submit")) is errors.BackendUnavailableError


def test_secrets_never_get_into_a_message():
    quoting = f"Canonical string: x-amz-security-token:{SECRET * 4} for {KEY_ID}"
    for code in ("SignatureDoesNotMatch", "ValidationException", "Odd"):
        text = str(translated(client_error(code, quoting), "submit"))
        assert SECRET not in text and KEY_ID not in text
    arn = "arn:aws:braket:us-east-1:123456789012:quantum-task/0b2d6f3e-9c1a-4f27-8a51-6f2f6f3f9b11"
    assert arn in str(translated(client_error("ConflictException", f"{arn} is done"), "submit"))


def test_failures_are_chained_unless_they_may_quote_a_token():
    with pytest.raises(errors.RateLimitError) as caught, failures("submit"):
        raise client_error("ThrottlingException")
    assert isinstance(caught.value.__cause__, aws.ClientError)
    with pytest.raises(errors.AuthenticationError) as caught, failures("submit"):
        raise client_error("SignatureDoesNotMatch", SECRET)
    assert caught.value.__suppress_context__ and caught.value.__cause__ is None
    with pytest.raises(errors.ShapeError, match=r"^ours$"), failures("submit"):
        raise errors.ShapeError("ours")
