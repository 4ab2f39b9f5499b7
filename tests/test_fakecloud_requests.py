"""What the fake cloud answers: jobs, limits, and each of its faults, as a client sees them."""

import math
import time

import numpy as np
import pytest
from fakecloud_here import FORM, TOKEN, ended, payload, serving

from qnn.backends.fakecloud.service import FakeCloudService, Token
from qnn.errors import (
    BackendUnavailableError,
    CircuitRefusedError,
    JobFailedError,
    JobNotFoundError,
    QuotaError,
    RateLimitError,
)
from qnn.fakecloud.faults import FAULTS


@pytest.fixture(scope="module")
def cloud():
    with serving() as running:
        yield running


@pytest.fixture(autouse=True)
def calm(request):
    """Every test begins without faults."""
    yield
    if "cloud" in request.fixturenames:
        request.getfixturevalue("cloud").admin.set(
            faults=None, workers=1, tag_lag_s=0, id_lag_s=0, result_lag_s=0, latency_s=0, max_pending=None,
            max_submissions_per_s=None, down_s=0, outage="503", order="first", seconds_per_job=0, max_wires=24,
            max_executions=10_000_000, own_randomness=False,
        )  # fmt: skip


def last(cloud, method, path):
    return cloud.admin.log(method, path)[-1]


def test_a_job_from_submission_to_result(cloud):
    job = cloud.service.submit(payload(0.3), "plain tag/with ? & marks")
    assert cloud.service.find("plain tag/with ? & marks") == job
    assert cloud.service.find("another") is None
    assert ended(cloud.service, job) == "done"
    (values,) = cloud.service.result(job, FORM)
    np.testing.assert_allclose(values, [[math.cos(0.3)]], atol=1e-12)
    assert cloud.service.seconds_used(job) == pytest.approx(0.01 + 1e-4)
    assert cloud.admin.payload(job) == payload(0.3)
    for ask in (cloud.service.state, cloud.service.cancel, lambda job: cloud.service.result(job, FORM)):
        with pytest.raises(JobNotFoundError, match="no job 123"):
            ask("123")


@pytest.mark.parametrize(
    ("fault", "error", "status"),
    [
        ("submit_429", RateLimitError, 429),
        ("submit_500", BackendUnavailableError, 500),
        ("submit_503", BackendUnavailableError, 503),
        ("submit_lost", BackendUnavailableError, None),
    ],
)
def test_submissions_that_do_not_arrive(cloud, fault, error, status):
    cloud.admin.set(faults={fault: [1, 0]})
    with pytest.raises(error, match="could not submit a job"):
        cloud.service.submit(payload(), fault)
    assert cloud.service.find(fault) is None
    line = last(cloud, "POST", "/jobs")
    assert (line["status"], line["fault"], line["tag"]) == (status, fault, fault)
    assert cloud.service.submit(payload(), fault) == cloud.service.find(fault)


def test_a_submission_whose_answer_is_lost_has_arrived(cloud):
    cloud.admin.set(faults={"submit_answer_lost": [1]})
    with pytest.raises(BackendUnavailableError, match="RemoteDisconnected"):
        cloud.service.submit(payload(), "lost answer")
    found = cloud.service.find("lost answer")
    assert ended(cloud.service, found) == "done"
    assert cloud.admin.tags()["lost answer"] == 1


def test_nothing_is_recognised_by_its_tag(cloud):
    """A client that sends a job again has two; so has one whose submission arrives twice. The oldest is found."""
    first = cloud.service.submit(payload(), "sent again")
    assert cloud.service.submit(payload(), "sent again") != first
    assert cloud.service.find("sent again") == first
    cloud.admin.set(faults={"submit_twice": [1]})
    once = cloud.service.submit(payload(), "arrived twice")
    assert cloud.service.find("arrived twice") == once
    assert {cloud.admin.tags()[tag] for tag in ("sent again", "arrived twice")} == {2}


def test_lookups_lag_behind_submissions(cloud):
    cloud.admin.set(tag_lag_s=60, id_lag_s=60)
    job = cloud.service.submit(payload(), "seen later")
    assert cloud.service.find("seen later") is None
    with pytest.raises(JobNotFoundError, match=f"no job {job}"):
        cloud.service.state(job)
    cloud.admin.set(tag_lag_s=0.2, id_lag_s=0.2)
    time.sleep(0.2)
    assert cloud.service.find("seen later") == job
    assert ended(cloud.service, job) == "done"


def test_refusals_of_questions(cloud):
    cloud.admin.set(faults={"find_503": [1], "poll_503": [1], "poll_lost": [0, 0, 1], "cancel_503": [1]})
    job = cloud.service.submit(payload(), "asked")
    for what, ask in (
        ("look up a job by its tag", lambda: cloud.service.find("asked")),
        ("look at a job", lambda: cloud.service.state(job)),
        ("look at a job", lambda: cloud.service.state(job)),
        ("cancel a job", lambda: cloud.service.cancel(job)),
    ):
        with pytest.raises(BackendUnavailableError, match=f"could not {what}"):
            ask()
        ask()


def test_states_that_go_backwards(cloud):
    job = cloud.service.submit(payload(), "back")
    assert ended(cloud.service, job) == "done"
    cloud.admin.set(faults={"poll_backwards": [0, 1, 0]})
    assert [cloud.service.state(job) for _ in range(3)] == ["done", "running", "done"]


@pytest.mark.parametrize("fault", ["result_503", "result_lost", "result_cut"])
def test_results_that_do_not_come(cloud, fault):
    job = cloud.service.submit(payload(), fault)
    assert ended(cloud.service, job) == "done"
    cloud.admin.set(faults={fault: [1, 0]})
    with pytest.raises(BackendUnavailableError, match="could not get a result"):
        cloud.service.result(job, FORM)
    first, again = (cloud.service.result(job, FORM)[0] for _ in range(2))
    assert np.array_equal(first, again)


class Garbled(FakeCloudService):
    """A client whose way to the service changes what comes."""

    garble = staticmethod(lambda answer: answer)

    def _exchanged(self, *request):
        status, answer = super()._exchanged(*request)
        return status, self.garble(answer)


def garbled(cloud, change):
    """A client that receives other things: an answer, or a function of the right one."""
    service = Garbled(cloud.admin.url, Token(TOKEN))
    service.garble = change if callable(change) else lambda answer: change
    return service


def block(**change):
    return lambda answer: answer | {"arrays": [answer["arrays"][0] | change]}


@pytest.mark.parametrize(
    "change",
    [
        {},
        lambda answer: {"id": answer["id"]},
        lambda answer: answer | {"arrays": None},
        lambda answer: answer | {"arrays": [[]]},
        lambda answer: answer | {"arrays": [{"dtype": "float64"}]},
        block(data="AAAA"),
        block(data="not base 64"),
        block(data=None),
        block(dtype="object"),
        block(shape="x"),
    ],
)
def test_what_cannot_be_decoded_may_come_whole_another_time(cloud, change):
    job = cloud.service.submit(payload(), "garbled")
    assert ended(cloud.service, job) == "done"
    with pytest.raises(
        BackendUnavailableError, match=f"something else than the result of job {job}: .*Try again later"
    ):
        garbled(cloud, change).result(job, FORM)
    assert len(cloud.service.result(job, FORM)) == 1


def test_a_result_of_other_sizes_is_none(cloud):
    job = cloud.service.submit(payload(), "sizes")
    assert ended(cloud.service, job) == "done"
    with pytest.raises(JobFailedError, match=r"must be arrays .*'float64', \[2, 1\].*; got .*'float64', \[1, 1\]"):
        cloud.service.result(job, {"arrays": [["float64", [2, 1]]]})


@pytest.mark.parametrize(
    ("change", "ask", "told"),
    [
        ({"number": 1}, lambda service, job: service.submit(payload(), "odd"), "the id of a job: KeyError: 'id'"),
        ({"id": None}, lambda service, job: service.submit(payload(), "odd"), "the id of a job: TypeError: `id` must"),
        ({}, lambda service, job: service.find("odd"), "the jobs of a tag: KeyError: 'jobs'"),
        ({"jobs": None}, lambda service, job: service.find("odd"), "the jobs of a tag: TypeError"),
        ({"jobs": [{}]}, lambda service, job: service.find("odd"), "the jobs of a tag: KeyError: 'id'"),
        ({}, lambda service, job: service.state(job), "the state of job .*: KeyError: 'state'"),
        ({"state": "gone"}, lambda service, job: service.state(job), "the state of job .*: ValueError"),
        ({}, lambda service, job: service.why(job), "the reason of job .*: KeyError: 'why'"),
        ({"state": "done", "seconds": []}, lambda service, job: service.seconds_used(job), "the seconds of job .*Type"),
    ],
)
def test_odd_answers_may_come_whole_another_time(cloud, change, ask, told):
    job = cloud.service.submit(payload(), "odd")
    with pytest.raises(BackendUnavailableError, match=f"something else than {told}"):
        ask(garbled(cloud, change), job)


def test_the_result_of_another_job_is_not_taken(cloud):
    jobs = [cloud.service.submit(payload(angle), "swapped") for angle in (0.1, 0.2)]
    assert [ended(cloud.service, job) for job in jobs] == ["done"] * 2
    cloud.admin.set(faults={"result_swapped": [1, 0]})
    with pytest.raises(BackendUnavailableError, match=f"the result of job {jobs[1]} in place of {jobs[0]}"):
        cloud.service.result(jobs[0], FORM)
    np.testing.assert_allclose(cloud.service.result(jobs[0], FORM)[0], math.cos(0.1))


def test_results_that_come_late(cloud):
    cloud.admin.set(result_lag_s=60)
    job = cloud.service.submit(payload(), "late")
    assert ended(cloud.service, job) == "done"
    with pytest.raises(BackendUnavailableError, match="the result is not there yet"):
        cloud.service.result(job, FORM)
    cloud.admin.set(result_lag_s=0.2)
    time.sleep(0.2)
    assert len(cloud.service.result(job, FORM)) == 1


@pytest.mark.parametrize(("fault", "state"), [("job_fails", "failed"), ("job_cancelled", "cancelled")])
def test_jobs_that_end_badly(cloud, fault, state):
    cloud.admin.set(faults={fault: [0, 1]})
    good, bad = (cloud.service.submit(payload(), fault) for _ in range(2))
    assert (ended(cloud.service, good), ended(cloud.service, bad)) == ("done", state)
    assert cloud.service.why(bad) and not cloud.service.why(good)
    assert cloud.service.seconds_used(bad) is None
    with pytest.raises(JobFailedError, match=f"the job was {state}: "):
        cloud.service.result(bad, FORM)


def test_a_job_that_failed_is_found_only_where_no_other_has_its_tag(cloud):
    cloud.admin.set(faults={"job_fails": [1, 1]})
    bad = [cloud.service.submit(payload(), "pruned") for _ in range(2)]
    assert [ended(cloud.service, job) for job in bad] == ["failed"] * 2
    assert cloud.service.find("pruned") == bad[0]
    good = cloud.service.submit(payload(), "pruned")
    assert cloud.service.find("pruned") == good
    cloud.service.submit(payload(), "pruned")
    assert cloud.service.find("pruned") == good


def test_what_cannot_be_run_fails_with_the_reason(cloud):
    broken = payload() | {"rows": {"dtype": "float64", "shape": [1, 1], "data": "!"}}
    job = cloud.service.submit(broken, "broken")
    assert ended(cloud.service, job) == "failed"
    assert "`data` must be a packed array" in cloud.service.why(job)


def test_cancelling(cloud):
    cloud.admin.set(workers=0)
    waiting = cloud.service.submit(payload(), "waiting")
    cloud.service.cancel(waiting)
    assert cloud.service.state(waiting) == "cancelled"
    cloud.admin.set(workers=1, seconds_per_job=20)
    running = cloud.service.submit(payload(), "running")
    while cloud.service.state(running) == "queued":
        time.sleep(0.005)
    cloud.service.cancel(running)
    cloud.admin.set(seconds_per_job=0)
    done = cloud.service.submit(payload(), "done")  # the worker is free again
    assert ended(cloud.service, done) == "done"
    cloud.service.cancel(done)
    assert [cloud.service.state(job) for job in (waiting, running, done)] == ["cancelled", "cancelled", "done"]


def test_limits(cloud):
    cloud.admin.set(workers=0, max_pending=1, max_wires=2, max_executions=100)
    assert cloud.service.device()["max_executions"] == 100
    with pytest.raises(CircuitRefusedError, match="the circuit has 3 wires, and the machine 2"):
        cloud.service.submit(payload(n_wires=3), "wide")
    with pytest.raises(CircuitRefusedError, match="the job has 102 executions, of 100 at most"):
        cloud.service.submit(payload(n_rows=2, shots=51), "long")
    waiting = cloud.service.submit(payload(n_rows=2, shots=50), "pending")
    with pytest.raises(RateLimitError, match="code 3458: 1 jobs are pending"):
        cloud.service.submit(payload(), "too many")
    cloud.service.cancel(waiting)
    cloud.service.cancel(cloud.service.submit(payload(), "room again"))


def test_rate_limit(cloud):
    cloud.admin.set(max_submissions_per_s=2)
    with pytest.raises(RateLimitError, match="too many submissions"):
        for number in range(10):
            cloud.service.submit(payload(), f"quick {number}")
    assert number >= 2
    time.sleep(1.01)
    cloud.service.submit(payload(), "a second later")


def test_quota():
    """Room for two jobs of 0.02 seconds; one that was cancelled costs nothing."""
    with serving(quota_s=0.045, workers=0) as cloud:
        jobs = [cloud.service.submit(payload(shots=100), str(number)) for number in range(2)]
        with pytest.raises(QuotaError, match=r"the quota of 0\.045 seconds is used up"):
            cloud.service.submit(payload(shots=100), "2")
        cloud.service.cancel(jobs[0])
        cloud.service.submit(payload(shots=100), "2")


@pytest.mark.parametrize(("outage", "told"), [("503", "down for maintenance"), ("closed", "RemoteDisconnected")])
def test_down_for_a_while(cloud, outage, told):
    job = cloud.service.submit(payload(), "before")
    cloud.admin.set(down_s=60, outage=outage)
    with pytest.raises(BackendUnavailableError, match=told):
        cloud.service.state(job)
    assert last(cloud, "GET", f"/jobs/{job}")["fault"] == "down"
    cloud.admin.set(down_s=0.2)
    time.sleep(0.2)
    assert ended(cloud.service, job) == "done"


def test_latency_and_the_time_that_jobs_take(cloud):
    cloud.admin.set(latency_s=0.1, seconds_per_job=0.3)
    begun = time.monotonic()
    job = cloud.service.submit(payload(), "slow")
    assert time.monotonic() - begun >= 0.1
    assert ended(cloud.service, job) == "done"
    assert time.monotonic() - begun >= 0.4


def orders(cloud, order, seed=0):
    cloud.admin.set(workers=0, order=order, seed=seed)
    jobs = [cloud.service.submit(payload(), f"{order} {number}") for number in range(5)]
    cloud.admin.set(workers=1)
    assert [ended(cloud.service, job) for job in jobs] == ["done"] * 5
    at = {job["id"]: job["ended"] for job in cloud.admin.jobs()}
    return np.argsort([at[job] for job in jobs]).tolist()


def test_order_of_jobs(cloud):
    assert orders(cloud, "first") == [0, 1, 2, 3, 4]
    assert orders(cloud, "last") == [4, 3, 2, 1, 0]
    first, other, again = (orders(cloud, "random", seed) for seed in (1, 2, 1))
    assert first == again != other


def test_workers_run_side_by_side(cloud):
    cloud.admin.set(workers=2, seconds_per_job=60)
    jobs = [cloud.service.submit(payload(), f"beside {number}") for number in range(3)]
    while [cloud.service.state(job) for job in jobs] != ["running", "running", "queued"]:
        time.sleep(0.005)
    for job in jobs:
        cloud.service.cancel(job)


def test_own_randomness(cloud):
    """Without keys every job draws its own shots; a machine that draws by itself refuses keys."""
    keys = np.array([[3, 0, 0, 0, 0]])
    found = {}
    for tag, given in (("keyed", keys), ("keyed again", keys), ("own", None), ("own again", None)):
        job = cloud.service.submit(payload(1.5, shots=10_000, keys=given), tag)
        assert ended(cloud.service, job) == "done"
        found[tag] = cloud.service.result(job, {"arrays": [["int64", [1, 2]]]})[0].tolist()
    assert found["keyed"] == found["keyed again"]
    assert found["own"] != found["own again"]
    cloud.admin.set(own_randomness=True)
    assert cloud.service.device()["keyed"] is False
    with pytest.raises(CircuitRefusedError, match="sampling keys cannot be honoured"):
        cloud.service.submit(payload(shots=10, keys=keys), "keys")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"latency": 1}, 'No setting named "latency". Did you mean "latency_s"'),
        ({"latency_s": -1}, "`latency_s` must be a number from 0 up; got -1"),
        ({"workers": 1.5}, "`workers` must be a whole number from 0 up; got 1.5"),
        ({"own_randomness": 1}, "`own_randomness` must be true or false; got 1"),
        ({"order": "newest"}, 'No `order` named "newest"'),
        ({"faults": {"submit_428": 1}}, 'No fault named "submit_428". Did you mean "submit_429"'),
        ({"faults": {"submit_429": 2}}, "`submit_429` must be a probability, or a list of 0 and 1; got 2"),
        ({"faults": {"submit_429": [2]}}, "`submit_429` must be a probability, or a list of 0 and 1; got .2."),
    ],
)
def test_settings_that_cannot_be(cloud, change, message):
    before = cloud.admin.set()
    with pytest.raises(BackendUnavailableError, match=message):
        cloud.admin.set(**change)
    assert cloud.admin.set() == before


def test_every_fault_is_tested():
    with open(__file__) as file:
        text = file.read()
    assert [name for name in FAULTS if f'"{name}"' not in text] == []
