"""Each job of a call is submitted once, whatever the provider does."""

import threading
import time

import numpy as np
import pytest
from job_services import Provider, arriving, request

from qnn import _meter, errors
from qnn.jobs import Journal, Policy, carry_out, give_up, retrying, run_scope
from qnn.jobs.owner import this_process


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Requests that fail for now are repeated after short pauses."""
    monkeypatch.setattr(retrying, "_FIRST_PAUSE_S", 0.02)


@pytest.fixture
def policy(tmp_path):
    return Policy(journal=tmp_path / "jobs.sqlite3", retry_s=20.0)


def squares(service, policy, *values, run="r", **changes):
    with run_scope(run):
        found = carry_out(service, [request(v, part=n, **changes) for n, v in enumerate(values)], policy)
    return [arrays[0].tolist() for arrays in found]


def states(policy):
    return [job.state for job in Journal(policy.journal).jobs()]


def test_results_come_in_the_order_of_the_requests_and_count_in_the_meter(policy):
    service = Provider()
    with _meter.measure() as usage:
        assert squares(service, policy, [1, 2], [3], [4]) == [[1, 4], [9], [16]]
    assert usage.as_dict() == {"circuits": 4, "shots": 40, "jobs": 3}
    assert states(policy) == ["done"] * 3


def test_the_same_run_gets_its_results_from_the_journal_and_counts_them_again(policy):
    service = Provider()
    squares(service, policy, [1], [2])
    with _meter.measure() as usage:
        assert squares(Provider(submit=[AssertionError("sent")]), policy, [1], [2]) == [[1], [4]]
    assert usage.jobs == 2


@pytest.mark.parametrize("change", [{"run": "other"}, {"call": (0, 1, 0)}, {"options": "p"}, {"circuit": "d"}])
def test_whatever_is_another_run_call_or_circuit_is_submitted(policy, change):
    service = Provider()
    squares(service, policy, [1])
    squares(service, policy, [1], **change)
    assert len(service.jobs) == 2
    assert len(set(service.tags)) == 2


@pytest.mark.parametrize("kind", [errors.RateLimitError, errors.BackendUnavailableError])
def test_a_request_that_fails_for_now_is_repeated(policy, kind):
    service = Provider(submit=[kind("busy"), kind("busy")], state=[kind("busy")], result=[kind("busy")])
    assert squares(service, policy, [3]) == [[9]]
    assert len(service.jobs) == 1


def test_a_lost_answer_is_looked_up_by_its_tag_and_not_sent_again(policy):
    service = Provider(submit=[arriving(errors.BackendUnavailableError("reset"))], find=["late", "late"])
    service.lookup_s = 1.0
    assert squares(service, policy, [3]) == [[9]]
    assert len(service.jobs) == 1
    assert service.calls.count("submit") == 1


def test_a_request_that_never_arrived_is_sent_again_after_the_provider_had_time_to_list_it(policy):
    service = Provider(submit=[errors.BackendUnavailableError("reset")])
    service.lookup_s = 0.5
    assert squares(service, policy, [3]) == [[9]]
    assert service.calls.count("submit") == 2
    assert service.calls.count("find") >= 2


def test_an_error_that_repeats_is_raised_at_once_and_the_job_may_be_submitted_anew(policy):
    service = Provider(submit=[errors.CircuitRefusedError("too deep.")])
    with pytest.raises(errors.CircuitRefusedError, match=r"too deep\. No job was submitted") as caught:
        squares(service, policy, [3])
    assert caught.value.job_ids == ()
    assert service.calls == ["submit"]
    assert squares(service, policy, [3]) == [[9]]
    assert states(policy) == ["failed", "done"]


def test_patience_ends(tmp_path):
    service = Provider(submit=[errors.RateLimitError("busy")] * 50)
    with pytest.raises(errors.RateLimitError, match="busy"):
        squares(service, Policy(journal=tmp_path / "j", retry_s=0.0), [3])
    assert service.calls.count("submit") == 1


def test_a_job_that_fails_is_named_and_its_successor_is_another_attempt(policy):
    service = Provider(state=["failed"])
    with pytest.raises(errors.JobFailedError, match=r"Job job-1 on provider was failed.*Submitted: 1 of 1 jobs: job-1"):
        squares(service, policy, [3])
    assert squares(service, policy, [3]) == [[9]]
    assert len(service.jobs) == 2
    assert len(set(service.tags)) == 2


class FailsLast(Provider):
    """Its first job fails once all three are there; the others wait in the queue."""

    def state(self, remote_id):
        found = super().state(remote_id)
        if len(self.jobs) <= 3 and found == "done":
            return "failed" if remote_id == "job-1" and len(self.jobs) == 3 else "queued"
        return found

    def cancel(self, remote_id):
        self.states[remote_id] = "cancelled"


def test_when_a_job_fails_those_still_queued_are_cancelled_and_submitted_by_the_next_run(policy):
    service = FailsLast()
    with pytest.raises(errors.JobFailedError, match="2 of them, still queued, were cancelled") as caught:
        squares(service, policy, [1], [2], [3])
    assert len(caught.value.job_ids) == 3
    service.jobs["other"] = ([], "")
    assert squares(service, policy, [1], [2], [3]) == [[1], [4], [9]]
    assert sorted(states(policy)) == ["cancelled"] * 2 + ["done"] * 3 + ["failed"]


def test_a_job_that_takes_too_long_goes_on_and_is_found_again(tmp_path):
    path = tmp_path / "j"
    service = Provider(state=["running"] * 1000)
    with pytest.raises(errors.JobTimeoutError, match=r"`timeout_s` must be long enough.*got 0\.1 s.*job-1") as caught:
        squares(service, Policy(journal=path, timeout_s=0.1), [3])
    assert caught.value.job_ids == ("job-1",)
    service.faults.clear()
    assert squares(service, Policy(journal=path), [3]) == [[9]]
    assert service.calls.count("submit") == 1


def test_a_job_that_the_provider_forgot_is_never_submitted_again_by_itself(tmp_path):
    policy = Policy(journal=tmp_path / "j", timeout_s=0.05)
    service = Provider(state=["running"] * 1000)
    with pytest.raises(errors.JobTimeoutError):
        squares(service, policy, [3])
    service.faults.clear()
    service.jobs.clear()
    service.lookup_s = 0.0
    with pytest.raises(errors.JobNotFoundError, match=r"`qnn jobs cancel [0-9a-f]{24} --journal \S+` gives it up"):
        squares(service, policy, [3])
    assert service.calls.count("submit") == 1


def test_two_threads_with_the_same_job_submit_it_once(policy):
    service = Provider(submit=[None], state=["running"] * 20)
    found = []
    threads = [threading.Thread(target=lambda: found.append(squares(service, policy, [5]))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[[25]]] * 4
    assert len(service.jobs) == 1


def test_a_job_that_a_dead_process_had_prepared_is_looked_up_before_it_is_sent(policy):
    journal = Journal(policy.journal)
    journal.claim(request([3]), "r", "provider", None, "elsewhere/1/2")
    with journal._writing() as connection:
        connection.execute("UPDATE jobs SET prepared_at = prepared_at - 1000, spoke_at = spoke_at - 1000")
    service = Provider()
    service.submit([3], journal.jobs()[0].tag)
    assert squares(service, policy, [3]) == [[9]]
    assert service.calls.count("submit") == 1


def test_what_a_dead_process_sent_last_may_be_listed_after_its_job_was_taken_over(policy):
    """When it sent is unknown: the row may have been written long before, on a slow disk or by another clock."""
    for give_it_up in (False, True):
        journal = Journal(policy.journal)
        job, _ = journal.claim(request([3]), "r", "provider", None, "elsewhere/1/2")
        with journal._writing() as connection:
            connection.execute("UPDATE jobs SET prepared_at = prepared_at - 1000, spoke_at = spoke_at - 1000")
        service = Provider(find=["late", "late"])
        service.lookup_s = 1.0
        service.submit([3], job.tag)
        if give_it_up:
            assert give_up(journal, job, service).state == "done"
        else:
            assert squares(service, policy, [3]) == [[9]]
        assert service.calls.count("submit") == 1
        journal.path.unlink()


def test_exact_results_of_other_runs_are_used_on_request_only_and_never_with_shots(tmp_path):
    service = Provider()
    path = tmp_path / "j"
    for shots, reuse, jobs in ((0, False, 1), (0, False, 2), (0, True, 2), (10, True, 3), (10, True, 4)):
        squares(service, Policy(journal=path, reuse_exact=reuse), [3], run=f"{shots}{reuse}{jobs}", shots=shots)
        assert len(service.jobs) == jobs


def test_a_stored_result_with_a_flipped_bit_is_fetched_again(policy):
    service = Provider()
    squares(service, policy, [3])
    journal = Journal(policy.journal)
    with journal._writing() as connection:
        data = bytearray(connection.execute("SELECT result FROM jobs").fetchone()[0])
        data[-1] ^= 1
        connection.execute("UPDATE jobs SET result = ?", (bytes(data),))
    assert squares(service, policy, [3]) == [[9]]
    assert service.calls.count("result") == 2
    assert service.calls.count("submit") == 1
    np.testing.assert_array_equal(journal.result(journal.jobs()[0])[0], [9.0])


def test_an_interrupt_says_which_jobs_are_under_way(policy):
    service = Provider(state=[KeyboardInterrupt()])
    with pytest.raises(KeyboardInterrupt) as caught:
        squares(service, policy, [3])
    assert "job-1" in caught.value.__notes__[0]
    assert 'Run "r" finds them again' in caught.value.__notes__[0]
    assert squares(service, policy, [3]) == [[9]]
    assert len(service.jobs) == 1


def test_a_result_that_cannot_be_read_ends_the_attempt(policy):
    service = Provider(result=[errors.JobFailedError("3 of 5 circuits failed.")])
    with pytest.raises(errors.JobFailedError, match=r"3 of 5 circuits failed. Submitted: 1 of 1 jobs: job-1"):
        squares(service, policy, [3])
    assert states(policy) == ["failed"]
    assert squares(service, policy, [3]) == [[9]]


def test_repeating_ends_with_the_deadline(tmp_path):
    service = Provider(state=[errors.BackendUnavailableError("down")] * 1000)
    started = time.monotonic()
    with pytest.raises(errors.JobTimeoutError, match=r"got 0\.3 s, after which it said: down.*They go on"):
        squares(service, Policy(journal=tmp_path / "j", timeout_s=0.3, retry_s=600.0), [3])
    assert time.monotonic() - started < 5
    service.faults.clear()
    assert squares(service, Policy(journal=tmp_path / "j"), [3]) == [[9]]
    assert service.calls.count("submit") == 1


class Slow(Provider):
    """The first answer is lost late, and the job listed later still."""

    lookup_s = 0.4

    def submit(self, payload, tag):
        first, remote_id = not self.jobs, super().submit(payload, tag)
        if first:
            time.sleep(0.6)  # longer than it may take to list a job
            self.listed_at = time.monotonic() + 0.2
            raise errors.BackendUnavailableError("the answer did not come")
        return remote_id

    def find(self, tag):
        return super().find(tag) if time.monotonic() >= self.listed_at else None


def test_an_answer_that_is_lost_late_is_waited_for_from_then_on(policy):
    service = Slow()
    assert squares(service, policy, [3]) == [[9]]
    assert len(service.jobs) == 1


def test_a_look_that_takes_long_shows_how_things_stood_when_it_began(policy):
    """What is not found then is looked for once more, since its time to be listed ended only meanwhile."""

    class SlowLook(Provider):
        def find(self, tag):
            found = None if "find" not in self.calls else super().find(tag)
            if found is None:
                self.calls.append("find")
                time.sleep(0.3)
            return found

    service = SlowLook(submit=[arriving(errors.BackendUnavailableError("reset"))])
    assert squares(service, policy, [3]) == [[9]]
    assert len(service.jobs) == 1


def test_a_job_that_a_live_process_submits_is_not_given_up_and_one_that_goes_on_stays_submitted(policy):
    journal = Journal(policy.journal)
    job, _ = journal.claim(request([3]), "r", "provider", None, this_process())
    for service in (Provider(), None):
        with pytest.raises(
            errors.ArgumentError, match=r"must be a job that no process is submitting.*End that process"
        ):
            give_up(journal, job, service)
    assert journal.jobs()[0].state == "prepared"

    class Stubborn(Provider):
        def cancel(self, remote_id):
            self.calls.append("cancel")

    service = Stubborn()
    service.submit([3.0], job.tag)
    service.states["job-1"] = "running"
    journal.submitted(job, "job-1")
    assert give_up(journal, job, service).state == "submitted" and "cancel" in service.calls
    service.states["job-1"] = "cancelled"
    assert give_up(journal, job, service).state == "cancelled"


def test_whoever_lost_the_row_does_not_submit(policy):
    """Another process took a row over that was silent for too long: the first one waits for it."""
    journal = Journal(policy.journal)

    class Taken(Provider):
        def find(self, tag):
            if "find" not in self.calls:
                with journal._writing() as connection:
                    connection.execute("UPDATE jobs SET owner = 'elsewhere/1/2'")
            return super().find(tag)

    service = Taken(submit=[errors.BackendUnavailableError("reset")])
    patience = Policy(journal=policy.journal, timeout_s=1.5)
    with pytest.raises(errors.JobTimeoutError, match="submitted by another process"):
        squares(service, patience, [3])
    assert service.calls.count("submit") == 1


def test_queued_jobs_are_left_alone_when_the_provider_is_away_for_long(tmp_path):
    service = FailsLast(submit=[None, None, *[errors.BackendUnavailableError("down")] * 50])
    service.lookup_s = 0.0
    with pytest.raises(errors.BackendUnavailableError, match=r"down.*They go on; the same run finds them again"):
        squares(service, Policy(journal=tmp_path / "j", retry_s=0.3), [1], [2], [3])
    assert "cancel" not in service.calls and "cancelled" not in service.states.values()


def test_a_budget_gets_back_what_was_not_submitted(policy):
    service = Provider(submit=[errors.CircuitRefusedError("too deep")] * 3)
    with _meter.budget(max_jobs=1) as left:
        for _ in range(3):
            with pytest.raises(errors.CircuitRefusedError):
                squares(service, policy, [3])
        assert left.used["jobs"] == 0
        assert squares(service, policy, [3]) == [[9]]
        with pytest.raises(errors.BudgetError, match="budget of 1 jobs does not suffice"):
            squares(service, policy, [4])
