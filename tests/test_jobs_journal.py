"""The journal: what it keeps, and what it does on a full, read-only, shared or damaged disk."""

import multiprocessing
import os
import sqlite3
import stat
import threading
import time

import numpy as np
import pytest
from job_services import Provider, request

from qnn import errors
from qnn.jobs import Journal, Policy, carry_out, default_path, run_scope
from qnn.jobs.arrays import from_bytes, to_bytes


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "deep" / "jobs.sqlite3")


def carried_out(service, journal, *values, run="r"):
    with run_scope(run):
        requests = [request(v, part=n) for n, v in enumerate(values)]
        return [found[0].tolist() for found in carry_out(service, requests, Policy(journal=journal.path, retry_s=5.0))]


def test_a_row_is_there_before_the_job_is_sent_and_its_id_before_it_is_waited_for(journal):
    seen = []

    class Watched(Provider):
        def submit(self, payload, tag):
            seen.append([(job.state, job.remote_id, job.tag) for job in journal.jobs()])
            return super().submit(payload, tag)

        def state(self, remote_id):
            seen.append([(job.state, job.remote_id) for job in journal.jobs()])
            return super().state(remote_id)

    service = Watched()
    carried_out(service, journal, [2])
    assert seen == [[("prepared", None, service.tags[0])], [("submitted", "job-1")]]
    (row,) = journal.jobs()
    assert (row.state, row.remote_id, row.run, row.shots, row.n_circuits) == ("done", "job-1", "r", 10, 1)
    assert row.prepared_at <= row.submitted_at <= row.finished_at


def test_where_it_is(monkeypatch, tmp_path):
    monkeypatch.setenv("QNN_JOURNAL", str(tmp_path / "here.sqlite3"))
    assert default_path() == tmp_path / "here.sqlite3" == Journal().path
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Journal("~/x").path == tmp_path / "x" and Policy(journal="~/x").journal == str(tmp_path / "x")
    monkeypatch.delenv("QNN_JOURNAL")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_path() == tmp_path / "qnn" / "jobs.sqlite3"
    assert not default_path().parent.exists()  # nothing is made before something is written


def test_reading_a_journal_that_is_not_there_makes_no_file(journal):
    assert journal.jobs() == []
    assert not journal.path.exists()


@pytest.mark.parametrize("arrays", [[], [np.zeros((0, 4))], [np.arange(6).reshape(2, 3), np.float32([1.5])]])
def test_arrays_come_back_as_they_were(arrays):
    found = from_bytes(to_bytes(arrays))
    assert [(a.dtype, a.tolist()) for a in found] == [(a.dtype, a.tolist()) for a in arrays]


def test_bytes_that_are_not_arrays_are_no_result():
    data = to_bytes([np.arange(100)])
    assert from_bytes(b"") is None and from_bytes(data[:-1]) is None
    for place in (0, 10, 50, len(data) - 1):
        broken = bytearray(data)
        broken[place] ^= 4
        found = from_bytes(bytes(broken))
        assert found is None or place < 8  # a longer bound of the length changes nothing


@pytest.mark.parametrize("size", [64 * 1024, 100 * 1024])
def test_a_disk_that_is_full_stops_before_the_submission_or_names_the_job(tmp_path, size):
    """SQLite's own limit of pages stands for the disk: it fails in the same way, at the same places."""
    journal = Journal(tmp_path / "jobs.sqlite3")
    opened = Journal._check

    def full(self, connection, path):
        opened(self, connection, path)
        connection.execute(f"PRAGMA max_page_count = {size // 4096}")

    patch = pytest.MonkeyPatch()
    with patch.context() as patched:
        patched.setattr(Journal, "_check", full)
        service = Provider()
        with pytest.raises(errors.JournalError, match=r"is not: database or disk is full. Free some space") as caught:
            for number in range(1000):
                carried_out(service, journal, np.random.default_rng(number).random(500))
    rows = journal.jobs()
    under_way = [job for job in rows if job.state != "done"]
    assert caught.value.job_ids in ((), (f"job-{len(service.jobs)}",))
    number = len(rows) - bool(under_way)
    before = len(service.jobs)
    assert carried_out(service, journal, np.random.default_rng(number).random(500))  # with space, it goes on
    assert len(service.jobs) == before + (not under_way)
    assert len(set(service.tags)) == len(service.jobs)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_stops_before_the_submission_as_user(tmp_path):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    service = Provider()
    with pytest.raises(errors.JournalError, match="make the file and its folder writable"):
        carried_out(service, Journal(tmp_path / "jobs.sqlite3"), [1])
    assert not service.jobs


def test_a_read_only_journal_stops_before_the_submission(tmp_path):
    """Opened read-only by SQLite, as from a read-only disk, which also root meets."""
    path = tmp_path / "jobs.sqlite3"
    carried_out(Provider(), Journal(path), [1])
    connect, service = sqlite3.connect, Provider()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sqlite3, "connect", lambda p, **o: connect(f"file:{p}?mode=ro", uri=True, **o))
        with pytest.raises(errors.JournalError, match="attempt to write a readonly database") as caught:
            carried_out(service, Journal(path), [2])
        assert len(Journal(path).jobs()) == 1  # reading works
    assert not service.jobs and caught.value.job_ids == ()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"no database at all, but long enough to be read as the header of one" * 20, "not a database.*recover"),
        (None, "malformed.*pays again for jobs of this run"),
    ],
)
def test_a_damaged_journal_is_refused_before_anything_is_submitted_and_left_as_it_is(journal, content, told):
    carried_out(Provider(), journal, *[[n] for n in range(12)])
    if content is None:
        data = bytearray(journal.path.read_bytes())
        data[4096:] = b"\x5a" * (len(data) - 4096)
        content = bytes(data)
    journal.path.write_bytes(content)
    service = Provider()
    with pytest.raises(errors.JournalError, match=told):
        carried_out(service, journal, [1])
    assert not service.jobs
    assert journal.path.read_bytes() == content


def test_another_database_or_version_is_refused(tmp_path):
    other = tmp_path / "other.sqlite3"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE t (x)")
    with pytest.raises(errors.JournalError, match=r'"[^"]*other.sqlite3" is another database. Give another path'):
        Journal(other).jobs()
    journal = Journal(tmp_path / "jobs.sqlite3")
    carried_out(Provider(), journal, [1])
    with sqlite3.connect(journal.path) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(errors.JournalError, match="is a journal of version 99"):
        journal.jobs()


def test_a_folder_is_refused(tmp_path):
    service = Provider()
    for use in (Journal(tmp_path).jobs, lambda: carried_out(service, Journal(tmp_path), [1])):
        with pytest.raises(errors.JournalError, match=r"`journal` must be a file; got the folder .*/jobs.sqlite3\"\."):
            use()
    assert not service.jobs


def test_threads_share_a_journal(journal):
    services = [Provider() for _ in range(4)]
    found = [None] * 4

    def work(n):
        found[n] = carried_out(services[n], journal, *[[10 * n + k] for k in range(5)], run=f"r{n}")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[[float((10 * n + k) ** 2)] for k in range(5)] for n in range(4)]
    assert len(journal.jobs()) == 20
    assert all(len(journal.jobs(run=f"r{n}", state="done")) == 5 for n in range(4))


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of threads, which are what is tested
def test_a_fork_while_a_thread_writes_leaves_the_child_a_journal_that_it_can_use(journal):
    """SQLite in a child takes its parent's locks for those of another connection, and says "locked" for good."""
    journal.claim(request(1), "r", "provider", None, "x")
    inside, end = threading.Event(), threading.Event()

    def write():
        with journal._writing():
            inside.set()
            end.wait(60)

    writer = threading.Thread(target=write)
    writer.start()
    assert inside.wait(60)
    threading.Timer(0.05, end.set).start()
    if (child := os.fork()) == 0:
        threading.Timer(20, os._exit, (3,)).start()
        os._exit(0 if journal.claim(request(2), "r", "provider", None, "y")[1] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    writer.join()
    assert len(journal.jobs()) == 2


def test_a_commit_is_on_the_disk_before_the_next_thing_happens(journal):
    """Under FULL, SQLite's own default, a power cut after a commit may take it back; see its manual on EXTRA."""
    with journal._writing() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (3,)


def test_threads_that_make_the_file_at_the_same_moment(tmp_path):
    for attempt in range(10):
        journal, ready, wrong = Journal(tmp_path / f"{attempt}.sqlite3"), threading.Barrier(8), []

        def claim(n, journal=journal, ready=ready, wrong=wrong):
            ready.wait()
            try:
                journal.claim(request([n], part=n), "r", "provider", None, "me")
            except errors.JournalError as error:
                wrong.append(error)

        threads = [threading.Thread(target=claim, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong and len(journal.jobs()) == 8


def test_filters_and_pruning_keep_what_may_still_run(journal):
    service = Provider(state=["failed"])
    with pytest.raises(errors.JobFailedError):
        carried_out(service, journal, [1])
    carried_out(service, journal, [2])
    journal.claim(request([3]), "r", "provider", None, "elsewhere/1/2")
    assert [job.state for job in journal.jobs()] == ["failed", "done", "prepared"]
    done = journal.jobs(state=["done"])[0]
    assert journal.jobs(id=done.id[:6]) == [done]
    with pytest.raises(errors.ArgumentError, match="`colour` must be one of id, run, state"):
        journal.jobs(colour="red")
    assert journal.prune(journal.jobs(), results_only=True) == 2
    assert journal.result(done) is None and len(journal.jobs()) == 3
    assert journal.prune(journal.jobs()) == 2
    assert [job.state for job in journal.jobs()] == ["prepared"]


class Shared(Provider):
    """What processes share is a file of what was sent."""

    def __init__(self, sent):
        super().__init__()
        self.sent = sent

    def submit(self, payload, tag):
        with self.sent.open("a") as file:
            file.write(f"{tag}\n")
        time.sleep(0.05)
        self.jobs[f"job-{tag}"] = (payload, tag)
        return f"job-{tag}"

    def state(self, remote_id):
        return "done"

    def result(self, remote_id, form):
        return [np.float64([len(remote_id)])]


def one_run(path, sent, pipe):
    """What a process does; both wait for each other before they begin."""
    pipe.send("ready")
    pipe.recv()
    with run_scope("one run"):
        requests = [request([n], part=n) for n in range(6)]
        found = carry_out(Shared(sent), requests, Policy(journal=path))
    pipe.send([arrays[0].tolist() for arrays in found])


def test_two_processes_of_one_run_submit_each_job_once(tmp_path):
    """Started twice by mistake, say: the second waits for what the first submits."""
    context = multiprocessing.get_context("fork")
    pipes = [context.Pipe() for _ in range(2)]
    both = [context.Process(target=one_run, args=(tmp_path / "j", tmp_path / "sent", there)) for _, there in pipes]
    for process in both:
        process.start()
    assert all(here.poll(60) and here.recv() == "ready" for here, _ in pipes)
    for here, _ in pipes:
        here.send("go")
    assert all(here.poll(60) for here, _ in pipes)
    found = [here.recv() for here, _ in pipes]
    for process in both:
        process.join(60)
    assert [process.exitcode for process in both] == [0, 0] and found[0] == found[1]
    sent = (tmp_path / "sent").read_text().split()
    assert len(sent) == len(set(sent)) == 6
