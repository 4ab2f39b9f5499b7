"""A run that was started again and does something else says so once; one that only goes on says nothing."""

import time
import warnings

import pytest
import torch
from fakecloud_here import serving
from job_services import Provider, request
from test_jobs_trainings import X, Y, network, place

import qnn
from qnn import _seeding, errors
from qnn._run import Run
from qnn.jobs import Journal, Policy, carry_out, changes, run_scope
from qnn.training import fit
from qnn.training.callbacks import Callback

STEP = (7, 3, 0)  # a call within a training
WORDS = r'Run "{}" has jobs of an earlier start on provider that do not fit .*: {}, call 0, the {} of job job-1 are'


@pytest.fixture
def policy(tmp_path):
    return Policy(journal=tmp_path / "jobs.sqlite3")


def start_anew(policy, alive=False):
    """As if what the journal has came from another process, which is at an end."""
    with Journal(policy.journal)._writing() as connection:
        owner = "'elsewhere/1/2', spoke_at = spoke_at" + ("" if alive else " - 1000")
        connection.execute(f"UPDATE jobs SET owner = {owner}")
    changes._start_anew()


def asked(policy, *wanted, run="r", repeats=True, service=None):
    """Carry out calls one after the other; how many jobs were submitted."""
    service = service or Provider()
    with run_scope(Run(run, repeats=repeats)):
        for one in wanted:
            carry_out(service, [one], policy)
    return len(service.jobs)


@pytest.mark.parametrize(
    ("call", "shots", "where"),
    [(STEP, 10, "at step 3"), (STEP, 0, "at step 3"), ((7, -1, 0), 10, "outside a training")],
)
@pytest.mark.parametrize(
    ("values", "change", "what"),
    [([2], {}, "angles"), ([1], {"options": "p"}, "options"), ([2], {"circuit": "d"}, "circuit and angles")],
)
def test_what_was_changed_is_told_once(policy, call, shots, where, values, change, what):
    asked(policy, request([1], call=call, shots=shots))
    start_anew(policy)
    with pytest.warns(errors.ChangedRunWarning, match=WORDS.format("r", where, what)) as told:
        later = (call[0], call[1], 1)
        made = asked(policy, *(request(values, call=c, shots=shots, **change) for c in (call, later)))
    assert len(told) == 1 and made == 2
    assert "paid for, anew. Stop it and bring back the code" in str(told[0].message)


def test_as_an_error_it_stops_before_anything_is_submitted(policy):
    """Which is what pytest makes of it."""
    asked(policy, request([1], call=STEP))
    start_anew(policy)
    service = Provider()
    for _ in range(2):  # as often as it is asked for
        with pytest.raises(errors.ChangedRunWarning):
            asked(policy, request([2], call=STEP), service=service)
    assert not service.jobs
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert asked(policy, request([2], call=STEP), service=service) == len(told) == 1


def exact(value, **changes):
    return request([value], shots=0, call=(0, 3, 0), **changes)


@pytest.mark.parametrize(
    ("before", "after", "new"),
    [
        ([request([1], call=STEP)], [request([1], call=STEP), request([2], call=(7, 4, 0))], 1),
        ([request([1], call=STEP), request([2], call=STEP)], [request([n], call=STEP) for n in (1, 2, 3)], 1),
        ([exact(1), exact(2)], [exact(n) for n in (1, 2, 3)], 1),
        ([exact(1), exact(1, part=1)], [exact(1), exact(2, part=2)], 1),
        ([exact(1)], [exact(1), request([1], shots=0, call=(0, 4, 0))], 1),
        ([request([1], call=(7, -5, 0))], [request([2], call=(7, -5, 0))], 1),
        ([request([1], shots=0, call=(0, -1, 0))], [request([n], shots=0, call=(0, -1, 0)) for n in (2, 1)], 1),
    ],
    ids=[
        "next step",
        "several circuits of a call",
        "exact",
        "parts",
        "exact, next step",
        "evaluation",
        "script, exact",
    ],
)
def test_a_run_that_goes_on_says_nothing(policy, before, after, new):
    """Warnings are errors here."""
    asked(policy, *before)
    start_anew(policy)
    assert asked(policy, *after) == new


def test_other_processes_trainings_and_jobs_that_failed_say_nothing(policy):
    one, other = request([1], call=STEP), request([2], call=STEP)
    with pytest.raises(errors.CircuitRefusedError):
        asked(policy, one, service=Provider(submit=[errors.CircuitRefusedError("too deep")]))
    start_anew(policy)
    assert asked(policy, other) == 1  # of one that failed nothing is lost
    assert asked(policy, request([3], call=STEP)) == 1  # by this process
    assert asked(policy, request([4], call=STEP), run="q") == 1
    start_anew(policy)
    assert asked(policy, request([5], call=STEP), repeats=False) == 1
    start_anew(policy, alive=True)
    with Journal(policy.journal)._writing() as connection:
        connection.execute("UPDATE jobs SET spoke_at = spoke_at + 5000")
    assert asked(policy, request([6], call=STEP)) == 1  # two processes at once


def drawn():
    """The root of a layer without a seed."""
    return _seeding.draw_root(None)


@pytest.mark.parametrize("step", [-1, 3])
def test_a_script_without_a_seed_hears_of_it_once(policy, step):
    """In a training too, where the run is one that was named; a first start, and evaluations, are told nothing."""
    assert asked(policy, *(request([n], call=(drawn(), step, 0)) for n in (1, 2)), repeats=False) == 2
    start_anew(policy)
    assert asked(policy, request([1], call=(drawn(), -3, 0)), request([1], call=(drawn(), step, 4)), repeats=False) == 2
    words = (
        r'Run "r" has .* not used: .*, call 0, job job-[12] differs by its seed, .* Give `seed=`, .*torch.manual_seed'
    )
    with pytest.warns(errors.ChangedRunWarning, match=words) as told:
        new = [request([n], call=(drawn(), step, 0)) for n in (1, 2)]
        assert asked(policy, *new, repeats=False) == 2
    assert len(told) == 1


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([5], [5, 6]),
        ([5, None], [5, None, None]),
        ([5], [6]),
        ([None], [6]),
    ],
    ids=["two layers", "two layers that torch seeds", "a seed that was changed", "a seed that was given since"],
)
def test_other_seeds_say_nothing(policy, before, after):
    """A script with several layers was killed before the second one, or gives a seed of its own."""

    def roots(seeds):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return [request([n], call=(_seeding.draw_root(seed), -1, 0)) for n, seed in enumerate(seeds)]

    asked(policy, *roots(before))
    start_anew(policy)
    assert asked(policy, *roots(after)) == 1


def test_other_circuits_and_shots_of_a_script_without_a_seed_say_nothing(policy):
    asked(policy, request([1], call=(drawn(), -1, 0)))
    start_anew(policy)
    new = [request([1], call=(drawn(), -1, 0), **other) for other in ({"circuit": "d"}, {"shots": 11}, {"part": 1})]
    assert asked(policy, *new) == 3


def test_threads_wait_for_what_becomes_of_the_warning(policy, monkeypatch):
    """As an error it stops all jobs of a call, also those whose threads come while it is being raised."""
    parts = [request([n], part=n, call=STEP) for n in range(8)]
    with run_scope(Run("r", repeats=True)):
        carry_out(Provider(), parts, policy)
    start_anew(policy)
    warn = warnings.warn
    monkeypatch.setattr(warnings, "warn", lambda *a, **options: (time.sleep(0.05), warn(*a, **options))[1])
    service = Provider()
    with run_scope(Run("r", repeats=True)), pytest.raises(errors.ChangedRunWarning):
        carry_out(service, [request([n + 10], part=n, call=STEP) for n in range(8)], policy)
    assert not service.jobs


class Scaled(torch.nn.Module):
    """Code of which a checkpoint knows nothing."""

    factor = 1.0

    def forward(self, x):
        return self.factor * x


class StopsOnce(Callback):
    """An interruption four steps behind the last checkpoint."""

    done = False

    def on_step_end(self, state):
        if state.step == 3 and not StopsOnce.done:
            StopsOnce.done = True
            raise errors.TrainingError("stopped")


@pytest.mark.parametrize("shots", [10, None])
@pytest.mark.parametrize("factor", [1.0, 1.5])
def test_a_training_that_goes_on(tmp_path, monkeypatch, factor, shots):
    """With the code of before it says nothing and finds its jobs, else it says so once and pays again."""
    monkeypatch.setattr(StopsOnce, "done", False)
    with serving() as cloud:

        def train():
            model = network(place(cloud, tmp_path), shots=shots, gradient="parameter-shift")
            second = qnn.QuantumLayer(2, 1, seed=3, backend=place(cloud, tmp_path), shots=shots)  # of the same seed
            model = torch.nn.Sequential(Scaled(), model[0], model[1], second, model[2])
            options = {"epochs": 2, "batch_size": 2, "progress": False, "restore_best": False}
            fit(model, (X, Y), callbacks=[StopsOnce()], checkpoint=tmp_path / "run", **options)

        with pytest.raises(errors.TrainingError):
            train()
        before = len(cloud.admin.tags())
        start_anew(Policy(journal=tmp_path / "jobs.sqlite3"))
        monkeypatch.setattr(Scaled, "factor", factor)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", errors.QnnWarning)
            train()
        told = [str(one.message) for one in told if issubclass(one.category, errors.ChangedRunWarning)]
        assert before == 4 * 2
        n_jobs = len(cloud.admin.tags())
        assert n_jobs == 16 if factor == 1.0 else n_jobs > 20  # few shots may give the second layer the same inputs
        assert len(told) == (factor != 1.0) and all("at step 0, call 0, the angles of job" in text for text in told)


def test_the_second_training_of_a_script_is_not_taken_for_the_first(tmp_path):
    """The first is over by its checkpoint, and asks for nothing; the second makes the same steps."""
    with serving() as cloud:

        def script(*rows):
            with run_scope("script"):
                for number, x in enumerate(rows):
                    options = {
                        "epochs": 1,
                        "progress": False,
                        "restore_best": False,
                        "checkpoint": tmp_path / f"{number}",
                    }
                    fit(network(place(cloud, tmp_path)), (x, Y), **options)

        script(X)
        start_anew(Policy(journal=tmp_path / "jobs.sqlite3"))
        script(X, X + 1)
        assert len(cloud.admin.tags()) == 2
        start_anew(Policy(journal=tmp_path / "jobs.sqlite3"))
        with run_scope("script"):  # which leaves out what is finished
            fit(network(place(cloud, tmp_path)), (X + 2, Y), epochs=1, progress=False, restore_best=False)
        assert len(cloud.admin.tags()) == 3
