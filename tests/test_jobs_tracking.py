"""Doubts about a submission: who waits, who is asked, what a budget keeps, and what others may do meanwhile."""

import socket
import threading
import time

import pytest
from job_services import Provider, arriving, request

from qnn import _meter, errors
from qnn.jobs import Journal, Policy, carry_out, give_up, retrying, run_scope
from qnn.jobs.owner import is_alive, this_process


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Requests that fail for now are repeated after short pauses."""
    monkeypatch.setattr(retrying, "_FIRST_PAUSE_S", 0.02)


@pytest.fixture
def policy(tmp_path):
    return Policy(journal=tmp_path / "jobs.sqlite3", retry_s=20.0)


def squares(service, policy, *values):
    with run_scope("r"):
        found = carry_out(service, [request(v, part=n) for n, v in enumerate(values)], policy)
    return [arrays[0].tolist() for arrays in found]


def test_while_nobody_can_be_asked_what_was_sent_may_be_on_its_way(policy):
    """The network is away for longer than a look-up lasts, and delivers what it held a little after it is back."""

    class Away(Provider):
        lookup_s = 0.3

        def submit(self, payload, tag):
            if "submit" not in self.calls:
                self.back = time.monotonic() + 0.5
                threading.Timer(0.65, super().submit, (payload, tag)).start()
                self.calls.append("submit")
                raise errors.BackendUnavailableError("no network")
            return super().submit(payload, tag)

        def find(self, tag):
            if time.monotonic() < self.back:
                raise errors.BackendUnavailableError("no network")
            return super().find(tag)

    service = Away()
    assert squares(service, policy, [3]) == [[9]]
    assert len(service.jobs) == 1


def test_a_budget_keeps_what_may_have_been_submitted(tmp_path):
    gone = errors.BackendUnavailableError
    service = Provider(submit=[arriving(gone("reset"))], find=[gone("down")] * 99)
    with _meter.budget(max_jobs=1) as left:
        with pytest.raises(gone, match="Whether a job was submitted is not known"):
            squares(service, Policy(journal=tmp_path / "j", retry_s=0.1), [3])
        assert left.used["jobs"] == 1
        with pytest.raises(errors.BudgetError, match="budget of 1 jobs does not suffice"):
            squares(service, Policy(journal=tmp_path / "j"), [4])
    assert len(service.jobs) == 1


def test_a_process_that_gave_up_leaves_its_job_to_others_although_it_lives(tmp_path):
    gone = errors.BackendUnavailableError
    service = Provider(submit=[arriving(gone("reset"))], find=[gone("down")] * 99)
    policy = Policy(journal=tmp_path / "j", retry_s=0.1)
    with pytest.raises(gone):
        squares(service, policy, [3])
    (job,) = Journal(policy.journal).jobs()
    assert job.state == "prepared" and not is_alive(job.owner, job.spoke_at)
    service.faults.clear()
    assert give_up(Journal(policy.journal), job, service).state == "done"  # found, and it came first


def test_a_run_that_starts_while_its_job_is_given_up_waits_and_is_told(policy):
    journal = Journal(policy.journal)
    job, _ = journal.claim(request([3]), "r", "provider", None, "elsewhere/1/2")
    with journal._writing() as connection:
        connection.execute("UPDATE jobs SET spoke_at = spoke_at - 1000")
    told = []

    class Asked(Provider):
        def find(self, tag):
            if "find" not in self.calls:
                self.thread = threading.Thread(target=self.run)
                self.thread.start()
                time.sleep(0.2)
            return super().find(tag)

        def run(self):
            with pytest.raises(errors.JobFailedError, match="submitted, was cancelled"):
                squares(self, policy, [3])
            told.append(True)

    service = Asked()
    assert give_up(journal, job, service).state == "cancelled"
    service.thread.join()
    assert told and not service.jobs
    assert squares(service, policy, [3]) == [[9]] and len(service.jobs) == 1
    assert [row.state for row in journal.jobs()] == ["cancelled", "done"]


def test_a_job_whose_id_the_provider_does_not_know_yet_is_not_taken_for_cancelled(policy):
    journal = Journal(policy.journal)
    job, _ = journal.claim(request([3]), "r", "provider", None, this_process())

    class LateId(Provider):
        def cancel(self, remote_id):
            if self.calls.count("cancel") < 1:
                self.calls.append("cancel")
                raise errors.JobNotFoundError("no job of that id")
            super().cancel(remote_id)

    service = LateId()
    service.submit([3.0], job.tag)
    service.states["job-1"] = "running"
    journal.submitted(job, "job-1")
    assert give_up(journal, job, service).state == "cancelled"
    assert service.states["job-1"] == "cancelled"


def test_after_a_refusal_nothing_more_is_sent(policy, monkeypatch):
    speak, first = Journal.speak, threading.Lock()

    def slowly(*arguments):
        if not first.acquire(blocking=False):
            time.sleep(0.3)
        return speak(*arguments)

    monkeypatch.setattr(Journal, "speak", slowly)
    service = Provider(submit=[errors.QuotaError("nothing left.")])
    with pytest.raises(errors.QuotaError, match=r"nothing left\. No job was submitted"):
        squares(service, policy, [1], [2], [3], [4])
    assert not service.jobs


def test_a_process_of_another_container_is_judged_by_when_it_last_spoke():
    """Containers may share a host name, a journal and numbers of processes."""
    space, pid, started = this_process().rsplit("/", 2)
    assert space.startswith(f"{socket.gethostname()}:pid:[")
    other = f"{space[:-1]}0]/{pid}/{started}"
    assert is_alive(other, time.time() - 60) and not is_alive(other, time.time() - 3600)
    assert is_alive(this_process(), None) and not is_alive(f"{space}/{2**22 + 1}/{started}", time.time())
    assert not is_alive("", time.time())
