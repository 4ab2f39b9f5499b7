"""IBM's own exception objects become ours, with what to do, and without secrets."""

import traceback

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
from requests.exceptions import ReadTimeout, RetryError

from qnn import errors
from qnn.backends.ibm.errors import failures, translated


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
        (IBMInputValueError("The circuit has 512 gates"), errors.CircuitRefusedError),
        (RuntimeJobFailureError("Job d1 failed on qubit 429"), errors.JobFailedError),
        (IBMRuntimeError("too many shots 8001"), errors.BackendError),
        (RequestsApiError("refused", status_code=503), errors.BackendUnavailableError),
    ],
)
def test_every_failure_has_its_class_and_its_advice(error, kind) -> None:
    found = translated(error, "submit a job to ibm_torino")
    assert type(found) is kind and isinstance(found, errors.QnnError)
    assert str(found).startswith("IBM Quantum could not submit a job to ibm_torino: ")
    assert str(found).endswith(".") and str(found).count(". ") >= 1


def caused(error, cause):
    """As raised while another was handled, and told to hide it: what IBM's client does."""
    try:
        try:
            raise cause
        except type(cause):
            raise error from None
    except type(error) as found:
        return found


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (caused(IBMRuntimeError("Failed to run program"), NoConnection("reset")), errors.BackendUnavailableError),
        (caused(RequestsApiError("Read timed out"), ReadTimeout("120 s")), errors.BackendUnavailableError),
        (caused(RequestsApiError("too many 502 error responses"), RetryError("502")), errors.BackendUnavailableError),
        (caused(InvalidAccountError("Unable to retrieve"), NoConnection("down")), errors.BackendUnavailableError),
        (caused(IBMRuntimeError("Failed: no"), RequestsApiError("no", status_code=429)), errors.RateLimitError),
        (IBMRuntimeError("Failed to run program: Too many requests, Error code: 1202."), errors.RateLimitError),
        (RequestsApiError("409 Client Error: Conflict", 409), errors.QuotaError),
        (RequestsApiError("404 Client Error: for url: https://q/api/v1/jobs/d1", 404), errors.JobNotFoundError),
        (RequestsApiError("404 Client Error: for url: https://q/api/v1/backends", 404), errors.BackendError),
        (caused(RuntimeError("a bug"), errors.BackendUnavailableError("before")), errors.BackendError),
    ],
)
def test_what_the_client_hides_counts(error, kind) -> None:
    assert type(translated(error, "submit a job")) is kind


def test_tokens_do_not_get_into_messages() -> None:
    secret = "Zx81-abcdefghijklmnop_4711"
    places = ("apikey={}", "header 'Authorization: Bearer {}'", "token: '{}'", '{{"token": "{}"}}', "?api_key={}")
    for place in places:
        with pytest.raises(errors.BackendError) as caught, failures("submit a job"):
            raise IBMRuntimeError(place.format(secret))
        assert secret not in "".join(traceback.format_exception(caught.value))


def test_causes_are_kept_where_there_is_nothing_to_hide() -> None:
    with pytest.raises(errors.JobFailedError) as caught, failures("return a result", ["d1", "d2"]):
        raise RuntimeJobFailureError("Job d1 failed: 1517")
    assert isinstance(caught.value.__cause__, RuntimeJobFailureError)
    assert caught.value.job_ids == ("d1", "d2") and "d1, d2" in str(caught.value)
