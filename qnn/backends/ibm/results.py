"""What comes back from IBM's primitives, as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qnn.errors import BackendUnavailableError, JobFailedError


def sampler_form(sizes: Sequence[int], n_rows: int) -> dict[str, Any]:
    """Plain data by which the counts of a Sampler's job are read: outcomes of each setting, and rows."""
    return {"primitive": "sampler", "sizes": list(sizes), "rows": n_rows}


def estimator_form(n_outputs: int, n_rows: int) -> dict[str, Any]:
    """Plain data by which the values of an Estimator's job are read."""
    return {"primitive": "estimator", "outputs": n_outputs, "rows": n_rows}


def arrays_of(result: Any, form: Mapping[str, Any], job_id: str) -> list[np.ndarray]:
    """The arrays of a job.

    Args:
        result: IBM's ``PrimitiveResult``.
        form: of `sampler_form` or `estimator_form`.
        job_id: for the message.

    Returns:
        The Sampler's counts for each setting, shape (N, 2^k), int64. The Estimator's values and standard errors,
        shape (N, M), float64.

    Raises:
        BackendUnavailableError: what came is no such result; it may come whole another time.
        JobFailedError: the result has other sizes.
    """
    n_rows = form["rows"]
    estimated = form["primitive"] == "estimator"
    try:
        if estimated:
            data = result[0].data
            arrays = [np.array(part, dtype=np.float64) for part in (data.evs, data.stds)]
        else:
            packed = [np.asarray(pub.data.c.array) for pub in result]
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise BackendUnavailableError(
            f"IBM Quantum sent something else than the result of job {job_id} ({type(error).__name__}: {error}). "
            "Try again later; if it stays so, look at the job on IBM's page."
        ) from error
    if estimated:
        shapes = [(n_rows, form["outputs"])] * 2
    else:
        shapes = [(n_rows, size) for size in form["sizes"]]
        try:
            arrays = [histograms(bits, size) for bits, size in zip(packed, form["sizes"], strict=True)]
        except (IndexError, TypeError, ValueError) as error:
            raise JobFailedError(
                f"Job {job_id} at IBM Quantum has a result that is not of this circuit ({type(error).__name__}: "
                f"{error}). Look at the job on IBM's page."
            ) from error
    if [array.shape for array in arrays] != shapes:
        raise JobFailedError(
            f"Job {job_id} at IBM Quantum must have arrays of shapes {shapes}; got {[a.shape for a in arrays]}. "
            "Look at the job on IBM's page."
        )
    return arrays


def histograms(bits: np.ndarray, size: int) -> np.ndarray:
    """Counts (N, size) from packed shots (N, shots, bytes), the most significant byte first."""
    outcomes = np.zeros(bits.shape[:2], dtype=np.int64)
    for byte in range(bits.shape[2]):
        outcomes = (outcomes << 8) | bits[:, :, byte]
    n_rows = len(outcomes)
    flat = (outcomes + np.arange(n_rows)[:, None] * size).ravel()
    return np.bincount(flat, minlength=n_rows * size).reshape(n_rows, size)
