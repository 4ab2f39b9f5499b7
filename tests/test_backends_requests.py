"""What makes two requests the same job."""

import numpy as np
import pytest
import torch
from fakecloud_here import TOKEN, ended, serving

import qnn
from qnn import _meter
from qnn._run import run_scope
from qnn.backends import FakeCloud
from qnn.backends.requests import call_of, counted_if_it_ends, digest, joined
from qnn.errors import JobTimeoutError
from qnn.jobs import PATIENCE, Journal


def test_a_digest_tells_numbers_shapes_and_dtypes_apart():
    arrays = [
        np.zeros(4),
        np.zeros((2, 2)),
        np.zeros(4, dtype=np.float32),
        np.array([0, 0, 0, 1.0]),
        None,
        -np.zeros(4),
    ]
    assert len({digest(a) for a in arrays}) == len(arrays)
    assert digest(np.zeros(2), np.zeros(2)) != digest(np.zeros(4))
    assert digest(np.arange(6).reshape(2, 3).T) == digest(np.arange(6).reshape(2, 3).T.copy())


def test_the_call_comes_from_the_keys_or_from_the_open_step():
    assert call_of(torch.tensor([[7, 3, 2, 0, 0], [7, 3, 2, 1, 0]])) == (7, 3, 2)
    assert call_of(None) == call_of(torch.zeros(0, 5, dtype=torch.int64)) == (0, -1, 0)
    with qnn._seeding.step_scope(5):
        assert call_of(None) == (0, 5, 0)


def test_calls_that_sample_without_keys_are_different_calls():
    with run_scope("some run"):
        assert call_of(None, sampled=True) != call_of(None, sampled=True)
    with run_scope("another run"):
        assert call_of(None, sampled=True) == (0, -1, 1)  # counted by run, so that a script finds its calls again


def test_a_call_without_keys_that_failed_is_the_same_call_when_it_is_made_again():
    def failing(*meanwhile):
        with pytest.raises(ZeroDivisionError), counted_if_it_ends(None, sampled=True) as call:
            for _ in meanwhile:
                call_of(None, sampled=True)
            1 / 0  # noqa: B018
        return call[2]

    with run_scope("a failing run"):
        assert [failing(), failing(), failing("another thread's"), failing()] == [1, 1, 1, 3]


def test_a_call_that_timed_out_finds_its_job_when_it_is_made_again(tmp_path):
    with serving(seconds_per_job=0.3) as cloud:
        backend = FakeCloud(cloud.admin.url, TOKEN, journal=tmp_path / "jobs.sqlite3", timeout_s=0.05)
        layer = qnn.QuantumLayer(1, 1, backend=backend, shots=10, seed=1)
        with pytest.raises(JobTimeoutError, match="the same run finds them again"), torch.no_grad():
            layer(torch.zeros(1, 1))
        (job,) = Journal(tmp_path / "jobs.sqlite3").jobs()
        ended(cloud.service, job.remote_id)
        with torch.no_grad():
            layer(torch.zeros(1, 1))
        assert len(cloud.admin.tags()) == 1


def test_rows_of_several_jobs_come_together():
    found = joined([[np.array([1, 2]), np.array([[1], [2]])], [np.array([3]), np.array([[3]])]])
    assert [a.tolist() for a in found] == [[1, 2, 3], [[1], [2], [3]]]


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"timeout_s": 50.0, "retry_s": 5.0, "poll_interval_s": 0.004, "lookup_s": 0.3}, True),
        ({"shots": 11}, False),
        ({"seed": 2}, False),
        ({"angle": 0.2}, False),
        ({"n_layers": 2}, False),
        ({"run": "b"}, False),
        ({"dtype": torch.float64}, False),
    ],
    ids=lambda value: str(value),
)
def test_what_changes_results_changes_the_job_and_nothing_else_does(change, same, tmp_path):
    options = {"shots": 10, "seed": 1, "angle": 0.1, "n_layers": 1, "run": "a", "dtype": torch.float32}

    def call(shots, seed, angle, n_layers, run, dtype, **patience):
        patience = {"poll_interval_s": 0.005, **patience}
        backend = FakeCloud(cloud.admin.url, TOKEN, journal=tmp_path / "jobs.sqlite3", **patience)
        assert set(patience) <= PATIENCE
        layer = qnn.QuantumLayer(2, n_layers, backend=backend, shots=shots, seed=seed, init="zeros")
        with run_scope(run), torch.no_grad():
            layer(torch.full((3, 2), angle, dtype=dtype))

    with serving() as cloud, _meter.measure() as usage:
        call(**options)
        call(**options | change)
        assert len(cloud.admin.tags()) == len(Journal(tmp_path / "jobs.sqlite3").jobs()) == 2 - same
        assert usage.jobs == 2  # what the journal answers counts, too
