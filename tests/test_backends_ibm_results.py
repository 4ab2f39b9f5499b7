"""Arrays from IBM's own containers of results."""

import numpy as np
import pytest
from qiskit.primitives.containers import BitArray, DataBin, PrimitiveResult, PubResult

from qnn.backends.ibm.results import arrays_of, estimator_form, histograms, sampler_form
from qnn.errors import BackendUnavailableError, JobFailedError


def sampled(*bools):
    """A Sampler's result from bits (N, shots, k), the first of which is the least significant."""
    pubs = [DataBin(c=BitArray.from_bool_array(b, order="little"), shape=b.shape[:1]) for b in bools]
    return PrimitiveResult([PubResult(pub) for pub in pubs])


def test_counts_of_more_bits_than_a_byte():
    bits = np.zeros((2, 3, 10), dtype=bool)
    bits[0, 0, 9] = bits[0, 1, 0] = bits[1, 2, 8] = True
    wide, narrow = arrays_of(sampled(bits, bits[:, :, 8:]), sampler_form([1024, 4], 2), "d1")
    assert wide.dtype == np.int64 and wide.sum(axis=1).tolist() == [3, 3]
    assert (wide[0, 512], wide[0, 1], wide[0, 0], wide[1, 256]) == (1, 1, 1, 1)
    assert narrow.tolist() == [[2, 0, 1, 0], [2, 1, 0, 0]]
    assert np.array_equal(histograms(np.array([[[3], [3]]], dtype=np.uint8), 4), [[0, 0, 0, 2]])


def test_values_and_their_errors():
    data = DataBin(evs=np.ones((2, 3)), stds=np.full((2, 3), 0.1), shape=(2, 3))
    values, errors = arrays_of(PrimitiveResult([PubResult(data)]), estimator_form(3, 2), "d1")
    assert values.shape == errors.shape == (2, 3) and values.dtype == np.float64 and errors[0, 0] == 0.1


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (sampler_form([4], 3), r"Job d1 .* must have arrays of shapes \[\(3, 4\)\]; got \[\(2, 4\)\]"),
        (sampler_form([4, 4], 2), "Job d1 .* is not of this circuit .*ValueError"),
        (sampler_form([2], 2), "Job d1 .* is not of this circuit .*ValueError"),
    ],
)
def test_a_result_of_something_else(form, message):
    with pytest.raises(JobFailedError, match=message):
        arrays_of(sampled(np.ones((2, 5, 2), dtype=bool)), form, "d1")


@pytest.mark.parametrize(
    ("result", "form"),
    [
        (sampled(np.zeros((2, 5, 2), dtype=bool)), estimator_form(1, 2)),
        ({}, estimator_form(1, 2)),
        ("<html>", sampler_form([4], 2)),
        ({"errors": []}, sampler_form([4], 2)),
    ],
)
def test_what_is_no_result_at_all_may_come_whole_another_time(result, form):
    with pytest.raises(BackendUnavailableError, match=r"something else than the result of job d1 \(.*Try again later"):
        arrays_of(result, form, "d1")
