"""IBM's own exception objects become ours, with what to do, and without secrets."""

import pytest
from qiskit.providers.exceptions import QiskitBackendNotFoundError
from qiskit_ibm_runtime.accounts.exceptions import AccountNotFoundError, InvalidAccountError
from qiskit_ibm_runtime.api.exceptions import RequestsApiError
from qiskit_ibm_runtime.exceptions import (
    IBMInputValueError,
    IBMNotAuthorizedError,
    IBMRuntimeError,
    RuntimeJobFailureError,
    RuntimeJobMaxTimeoutError,
    RuntimeJobNotFound,
    RuntimeJobTimeoutError,
)
from requests.exceptions import ConnectionError as NoConnection

from qnn import errors
from qnn.backends.ibm_errors import translated


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (IBMNotAuthorizedError("401"), errors.AuthenticationError),
        (AccountNotFoundError("Unable to find account."), errors.AuthenticationError),
        (InvalidAccountError("Invalid `token` value."), errors.AuthenticationError),
        (RequestsApiError("401 Client Error: Unauthorized for url: https://…"), errors.AuthenticationError),
        (IBMRuntimeError("Failed to run program: 403 Client Error: Forbidden"), errors.AuthenticationError),
        (RequestsApiError("429 Client Error: Too Many Requests"), errors.RateLimitError),
        (IBMRuntimeError("Failed to run program: code 3458, pending jobs limit"), errors.RateLimitError),
        (IBMRuntimeError("Failed to run program: code 4317"), errors.QuotaError),
        (IBMRuntimeError("The instance has reached its quota"), errors.QuotaError),
        (RequestsApiError("503 Server Error: Service Unavailable"), errors.BackendUnavailableError),
        (NoConnection("Name or service not known"), errors.BackendUnavailableError),
        (IBMInputValueError("The circuit has 11 gates outside the target"), errors.CircuitRefusedError),
        (RuntimeJobFailureError("Job d1 failed: 1517"), errors.JobFailedError),
        (RuntimeJobTimeoutError("Timed out waiting for job d1"), errors.JobTimeoutError),
        (RuntimeJobMaxTimeoutError("Job d1 ran longer than maximum execution time"), errors.JobTimeoutError),
        (RuntimeJobNotFound("Job not found: d1"), errors.JobNotFoundError),
        (QiskitBackendNotFoundError("No backend matches the criteria."), errors.UnknownNameError),
        (RuntimeError("something else"), errors.BackendError),
    ],
)
def test_every_failure_has_its_class_and_its_advice(error, kind) -> None:
    found = translated(error, "submit a job to ibm_torino")
    assert type(found) is kind and isinstance(found, errors.QnnError)
    assert str(found).startswith("IBM Quantum could not submit a job to ibm_torino: ")
    assert str(found).endswith(".") and str(found).count(". ") >= 1


def test_tokens_do_not_get_into_messages() -> None:
    secret = "Zx81-abcdefghijklmnop_4711"
    for text in (f"apikey={secret} is wrong", f"header 'Authorization: Bearer {secret}'", f"token: '{secret}'"):
        assert secret not in str(translated(IBMRuntimeError(text), "submit a job"))
