"""Jobs outlive the service: done ones with their results, others in the queue again."""

import numpy as np
import pytest
from fakecloud_here import FORM, TOKEN, ended, payload, serving

from qnn.backends.fakecloud.service import FakeCloudService, Token
from qnn.errors import BackendUnavailableError, StorageError
from qnn.fakecloud.store import Store


def test_jobs_outlive_the_service(tmp_path):
    """On the same port, with jobs that are done, cancelled, waiting, or about to fail."""
    store = tmp_path / "jobs.jsonl"
    with serving(store) as cloud:
        done = cloud.service.submit(payload(0.7), "done")
        assert ended(cloud.service, done) == "done"
        cloud.admin.set(workers=0)
        cancelled, waiting = (cloud.service.submit(payload(), tag) for tag in ("cancelled", "waiting"))
        cloud.service.cancel(cancelled)
        cloud.admin.set(faults={"job_fails": 1})
        doomed = cloud.service.submit(payload(), "doomed")
        result = cloud.service.result(done, FORM)
        port = cloud.port
    away = FakeCloudService(f"http://127.0.0.1:{port}", Token(TOKEN))
    with pytest.raises(BackendUnavailableError, match="ConnectionRefusedError"):
        away.state(done)
    with serving(store, port=port):
        assert [ended(away, job) for job in (done, cancelled, waiting, doomed)] == [
            "done", "cancelled", "done", "failed",
        ]  # fmt: skip
        assert np.array_equal(away.result(done, FORM), result)
        assert away.find("waiting") == waiting
    with serving(None, port=port) as empty:
        assert empty.admin.tags() == {}


def test_half_a_line_is_cut_off(tmp_path):
    """A service that was killed while it wrote: what it had not answered for is gone, and lines go on behind."""
    path = tmp_path / "jobs.jsonl"
    path.write_text('{"a": 1}\n{"b": ')
    store = Store(path)
    assert list(store.events()) == [{"a": 1}] and list(store.events()) == []
    store.append({"c": 3})
    assert path.read_text() == '{"a": 1}\n{"c": 3}\n'


def test_a_file_that_cannot_be_written(tmp_path):
    with pytest.raises(StorageError, match=r"`store` must be a file that can be written to; .* cannot: Is a directory"):
        Store(tmp_path)


def test_a_file_of_something_else_is_left_alone(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("not jobs\n")
    with pytest.raises(
        StorageError, match=r"`store` must be a file of jobs; .* is another or a damaged one: Expecting"
    ):
        Store(path)
    assert path.read_text() == "not jobs\n"
