"""Trainings at a provider on a bad day: same weights, no job twice, no result of another job, no secret out."""

import contextlib
import io
import json
import threading
import traceback

import pytest
import torch
from fakecloud_here import TOKEN, serving

import qnn
from qnn import errors
from qnn.backends import FakeCloud
from qnn.cli import main
from qnn.jobs import Journal, retrying, run_scope
from qnn.training import BudgetGuard, CSVLog, JSONLog, fit

torch.manual_seed(0)
X = torch.randn(7, 2)
Y = (X[:, 0] * X[:, 1] > 0).long()


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Requests that fail for now are repeated after short pauses."""
    monkeypatch.setattr(retrying, "_FIRST_PAUSE_S", 0.02)


def place(cloud, tmp_path, **options):
    options = {"journal": tmp_path / "jobs.sqlite3", "poll_interval_s": 0.005, "lookup_s": 0.2, **options}
    return FakeCloud(cloud.admin.url, TOKEN, **options)


def network(backend="statevector", seed=3, **options):
    torch.manual_seed(seed)
    layer = qnn.QuantumLayer(2, 1, seed=seed, backend=backend, **{"shots": 10, **options})
    return torch.nn.Sequential(torch.nn.Linear(2, 2), layer, torch.nn.Linear(layer.n_outputs, 2))


def trained(model, **options):
    options = {"epochs": 2, "batch_size": 4, "progress": False, "learning_rate": 0.05, **options}
    history = fit(model, (X, Y), **options)
    return torch.cat([w.detach().reshape(-1) for w in model.parameters()]).tolist(), history


EXPECTED, _ = trained(network(gradient="parameter-shift"))


@pytest.mark.parametrize(
    "bad_day",
    [
        {"faults": {"submit_429": [1, 1, 0, 1], "submit_503": [0, 1], "submit_500": [0, 0, 1]}},
        {"faults": {"submit_answer_lost": [1, 0, 1], "find_503": [1]}, "tag_lag_s": 0.05},
        {"faults": {"submit_lost": [1, 0, 1]}},
        {"faults": {"poll_503": [1, 0, 1], "poll_lost": [0, 1], "poll_backwards": [0, 0, 1, 1]}, "id_lag_s": 0.05},
        {"faults": {"result_503": [1, 1], "result_lost": [0, 0, 1], "result_cut": [0, 0, 0, 1]}, "result_lag_s": 0.05},
        {"faults": {"result_swapped": [0, 1, 0, 1]}},
        {"order": "last", "workers": 1, "seconds_per_job": 0.01, "max_pending": 2},
        {"down_s": 1.0, "outage": "closed"},
    ],
    ids=["submit", "answer lost", "never arrived", "poll", "result late", "swapped", "other order", "down"],
)
def test_a_bad_day_changes_nothing(bad_day, tmp_path):
    with serving() as cloud:
        backend = place(cloud, tmp_path, max_executions=150)  # several jobs a call
        cloud.admin.set(**bad_day)
        weights, history = trained(network(backend))
        assert weights == EXPECTED
        rows = Journal(backend.policy.journal).jobs()
        assert {job.state for job in rows} == {"done"}
        assert cloud.admin.tags() == {job.tag: 1 for job in rows}
        assert history.usage.jobs == len(rows) > len(history.epochs) * 3


def test_submissions_that_arrive_twice_are_used_once(tmp_path):
    """The service does not tell copies apart, as real ones do not: what the second costs, nobody here can save."""
    with serving(faults={"submit_twice": [1, 0, 1], "submit_answer_lost": [0, 0, 1]}) as cloud:
        weights, history = trained(network(place(cloud, tmp_path)))
        rows = Journal(tmp_path / "jobs.sqlite3").jobs()
        assert weights == EXPECTED and history.usage.jobs == len(rows)
        assert {job.state for job in rows} == {"done"} and set(cloud.admin.tags()) == {job.tag for job in rows}
        assert max(cloud.admin.tags().values()) == 2


def test_a_job_that_fails_ends_training_and_the_same_run_goes_on(tmp_path):
    with serving(faults={"job_fails": [0, 0, 1]}) as cloud:
        options = {"checkpoint": tmp_path / "run"}
        with pytest.raises(errors.JobFailedError, match=r"Submitted: 1 of 1 jobs.*"):
            trained(network(place(cloud, tmp_path)), **options)
        assert trained(network(place(cloud, tmp_path, timeout_s=60.0)), **options)[0] == EXPECTED
        states = [job.state for job in Journal(tmp_path / "jobs.sqlite3").jobs()]
        assert states.count("failed") == 1 and set(states) == {"failed", "done"}
        assert set(cloud.admin.tags().values()) == {1}


def test_a_timeout_keeps_what_is_paid_for(tmp_path):
    with serving(workers=0) as cloud:
        options = {"checkpoint": tmp_path / "run"}
        with pytest.raises(errors.JobTimeoutError, match="They go on and are paid for; the same run finds them again"):
            trained(network(place(cloud, tmp_path, timeout_s=0.2)), **options)
        cloud.admin.set(workers=1)
        assert trained(network(place(cloud, tmp_path)), **options)[0] == EXPECTED
        assert set(cloud.admin.tags().values()) == {1}


def test_a_script_finds_its_jobs_by_the_name_of_its_run(tmp_path):
    with serving() as cloud:
        for _ in range(2):
            with run_scope("my script"):
                assert trained(network(place(cloud, tmp_path)))[0] == EXPECTED
        n_jobs = len(cloud.admin.tags())
        trained(network(place(cloud, tmp_path)))  # another run
        assert len(cloud.admin.tags()) == 2 * n_jobs


def test_trainings_that_share_a_journal_do_not_cross(tmp_path):
    """Two at once, alike in all but their seeds, in threads; processes are in killed_jobs.py."""
    with serving(workers=2, seconds_per_job=0.002) as cloud:
        found, models = {}, {seed: network(place(cloud, tmp_path), seed=seed) for seed in (3, 4)}

        def work(seed):
            found[seed] = trained(models[seed])[0]

        threads = [threading.Thread(target=work, args=(seed,)) for seed in (3, 4)]
        alone = trained(network(gradient="parameter-shift", seed=4))[0]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == {3: EXPECTED, 4: alone}
        runs = {job.run for job in Journal(tmp_path / "jobs.sqlite3").jobs()}
        assert len(runs) == 2


@pytest.mark.parametrize(
    ("layer", "data"),
    [
        ({"shots": None, "gradient": "parameter-shift"}, {}),
        ({"gradient": "parameter-shift"}, {"n_validation": 3}),
        ({"gradient": "spsa"}, {"restore_best": False}),
        ({"gradient": "parameter-shift", "observables": "basis"}, {"batch_size": 3}),
        ({"gradient": "finite-difference", "place": {"max_executions": 100}}, {}),
    ],
    ids=["exact", "parameter-shift", "spsa", "several bases", "several jobs a call"],
)
def test_the_forecast_is_what_the_journal_then_counts(layer, data, tmp_path):
    import pennylane as qml

    layer, data = dict(layer), dict(data)
    if layer.get("observables"):
        layer["observables"] = [qml.Z(0), qml.X(0) @ qml.Y(1), qml.Z(1)]
    held_out = data.pop("n_validation", 0)
    options = {"epochs": 2, "batch_size": 4, "progress": False, **data}
    with serving() as cloud:
        model = network(place(cloud, tmp_path, **layer.pop("place", {})), **layer)
        told = qnn.forecast(model, len(X), n_validation=held_out, **options)
        assert not cloud.admin.tags()
        rows = (X, Y, X[:held_out], Y[:held_out]) if held_out else (X, Y)
        fit(model, rows, **options)
        jobs = Journal(tmp_path / "jobs.sqlite3").jobs()
        assert (told.jobs, told.circuits, told.shots) == (
            len(jobs), sum(j.n_circuits for j in jobs), sum(j.shots for j in jobs),
        )  # fmt: skip
        assert told.qpu_seconds == pytest.approx(sum(j.seconds for j in jobs), rel=1e-12)
        assert told.qpu_seconds == pytest.approx(sum(j.seconds_used for j in jobs), rel=1e-9)


@pytest.mark.parametrize("limit", ["max_jobs", "max_shots", "max_seconds"])
def test_a_budget_stops_before_the_job_that_would_exceed_it(limit, tmp_path):
    with serving() as cloud:
        told = qnn.forecast(network(place(cloud, tmp_path)), len(X), 2, 4)
        amount = {"max_jobs": told.jobs, "max_shots": told.shots, "max_seconds": told.qpu_seconds}[limit]
        with qnn.budget(**{limit: amount * 1.000001 if limit == "max_seconds" else amount}):
            assert trained(network(place(cloud, tmp_path)))[0] == EXPECTED  # exactly enough
        accepted = len(cloud.admin.tags())
        less = amount * 0.999 if limit == "max_seconds" else amount - 1
        told_so = pytest.raises(errors.BudgetError, match="Nothing of it was submitted")
        with told_so if limit == "max_seconds" else contextlib.nullcontext():  # the others are known a step before
            guard = BudgetGuard(**{limit: less})
            trained(network(place(cloud, tmp_path)), callbacks=[guard], checkpoint=tmp_path / "r")
        assert len(cloud.admin.tags()) == accepted + told.jobs - 1
        assert trained(network(place(cloud, tmp_path)), checkpoint=tmp_path / "r")[0] == EXPECTED
        assert len(cloud.admin.tags()) == accepted + told.jobs


def test_no_token_gets_out(tmp_path, capsys, monkeypatch):
    """Planted, then looked for in every file, message, traceback with local variables, and printed line."""
    monkeypatch.setenv("QNN_FAKECLOUD_TOKEN", TOKEN)
    said = []
    faults = {"submit_503": [1], "poll_lost": [1], "job_fails": [0, 0, 0, 1], "submit_429": [0, 0, 1]}
    with serving(faults=faults) as cloud:
        backend = FakeCloud(cloud.admin.url, journal=tmp_path / "jobs.sqlite3", poll_interval_s=0.005, lookup_s=0.2)
        model = network(backend)
        logs = [CSVLog(tmp_path / "log.csv"), JSONLog(tmp_path / "log.jsonl")]
        for failure in range(3):
            try:
                trained(model, callbacks=logs, checkpoint=tmp_path / "run")
            except errors.QnnError as error:
                told = traceback.TracebackException.from_exception(error, capture_locals=True)
                said += ["".join(told.format()), repr(error), str(error)]
            if failure == 0:
                cloud.admin.set(faults=None, quota_s=0.05)
            if failure == 1:
                cloud.admin.set(quota_s=None)
        assert len(said) == 6 and "quota" in said[-1]
        qnn.save(model, tmp_path / "bundle")
        said += [repr(model), str(model[1].explain()), json.dumps(model[1].backend.specification())]
        journal = ["--journal", str(tmp_path / "jobs.sqlite3")]
        for words in (
            ["list"],
            ["list", "--json"],
            ["export"],
            ["wait"],
            ["prune", "--results-only", "--older-than", "0"],
        ):
            assert main(["jobs", *words, *journal]) == 0
        wrong = FakeCloud(cloud.admin.url, "a-wrong-secret", journal=tmp_path / "jobs.sqlite3")
        with pytest.raises(errors.AuthenticationError) as caught:
            network(wrong)(X)
        told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        said.append("".join(told.format()))
    printed = capsys.readouterr()
    said += [printed.out, printed.err]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 5
    for secret in (TOKEN, "a-wrong-secret"):
        assert not [path for path in files if secret.encode() in path.read_bytes()]
        found = [text for text in said if secret in text]
        assert not found, found[0][-3000:]


def test_the_command_line_shows_awaits_and_cancels(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("QNN_FAKECLOUD_TOKEN", TOKEN)
    monkeypatch.setenv("QNN_JOURNAL", str(tmp_path / "jobs.sqlite3"))
    with serving(workers=0) as cloud:
        backend = FakeCloud(cloud.admin.url, timeout_s=0.1, poll_interval_s=0.01, lookup_s=0.1)
        for name in ("a", "b", "c"):
            with run_scope(name), pytest.raises(errors.JobTimeoutError):
                network(backend)(X)
        first, second, _ = Journal().jobs()

        def said(*words, code=0):
            assert main(["jobs", *words]) == code
            printed = capsys.readouterr()
            return printed.out + printed.err

        assert said("list").splitlines()[-1] == "3 jobs (3 submitted), 189 circuits, 1,890 shots"
        assert said("list", "--run", "a").count("submitted") == 2
        assert first.remote_id in said("show", first.id[:8])
        assert json.loads(said("show", first.id, "--json"))[0]["tag"] == first.tag
        assert "Name jobs, or give --run" in said("cancel", code=2)
        assert said("cancel", second.id).split() == [second.id[:10], "cancelled"]
        assert said("cancel", "--run", "typo").startswith("No such jobs in")
        assert '`ID` must be the id of a job, or how it begins; got "".' in said("cancel", "", code=2)
        for option in ("--run", "--backend"):
            assert f'`{option}` must be how something begins; got "".' in said("cancel", option, "", code=2)
        told = said("export", "--out", str(tmp_path), code=2)
        assert f'`--out` must be a file; got the folder "{tmp_path}". Write {tmp_path / "jobs.csv"}.' in told
        assert cloud.service.state(second.remote_id) == "cancelled"
        assert "`timeout_s` must be long enough" in said("wait", "--timeout-s", "0.1", code=2)
        cloud.admin.set(workers=1)
        assert said("wait").splitlines()[-1] == "2 jobs were under way."
        assert "int64 (63, 4)" in said("show", first.id)
        assert said("cancel", "--run", "c") == "None of these jobs was under way.\n"
        assert [job.state for job in Journal().jobs()] == ["done", "cancelled", "done"]
        assert 'no job in "' in said("show", "ffff", code=2)
        assert 'No state named "don"' in said("list", "--state", "don", code=2)
        lines = said("export").splitlines()
        assert len(lines) == 4 and lines[0].startswith("id,attempt,tag,run")
        assert said("export", "--out", str(tmp_path / "jobs.jsonl")).startswith("3 jobs in")
        assert len((tmp_path / "jobs.jsonl").read_text().splitlines()) == 3
        assert "`--out` must end in .csv or .jsonl, or come with --format; got" in said(
            "export", "--out", "a.parquet", code=2
        )
        assert said("export", "--format", "csv", "--out", str(tmp_path / "jobs.txt")).startswith("3 jobs in")
        with run_scope("a"):  # its result is there
            assert network(backend)(X).shape == (7, 2)
        assert len(cloud.admin.tags()) == 3
        assert said("prune", "--older-than", "1") == "0 jobs forgotten.\n"
        assert "`ID` or `--older-than` must be given to prune" in said("prune", code=2)
        assert said("prune", "--run", "a", "--run", "a") == "1 jobs forgotten.\n"
        assert said("prune", "--backend", "fakecloud") == "2 jobs forgotten.\n"
        assert "there is no file" in said("list", "--journal", str(tmp_path / "typo"), code=2)
        assert not (tmp_path / "typo").exists()
        assert "`journal` must be a file; got the folder" in said("list", "--journal", str(tmp_path), code=2)
        assert said("list").startswith("No such jobs")


def test_a_job_is_given_up_only_on_request(tmp_path, monkeypatch):
    """What a provider does not know any more is not submitted anew by itself."""
    monkeypatch.setenv("QNN_JOURNAL", str(tmp_path / "jobs.sqlite3"))
    with serving(workers=0) as cloud, run_scope("a"), pytest.raises(errors.JobTimeoutError):
        network(FakeCloud(cloud.admin.url, TOKEN, timeout_s=0.1, lookup_s=0.1))(X)
        port = cloud.port
    port = int(cloud.admin.url.rsplit(":", 1)[1])
    with serving(port=port) as cloud:  # it lost its memory
        backend = FakeCloud(cloud.admin.url, TOKEN, lookup_s=0.1)
        with run_scope("a"), pytest.raises(errors.JobNotFoundError, match=r"`qnn jobs cancel [0-9a-f]{24}`"):
            network(backend)(X)
        assert not cloud.admin.tags()
        monkeypatch.setenv("QNN_FAKECLOUD_TOKEN", TOKEN)
        with contextlib.redirect_stdout(io.StringIO()):
            assert main(["jobs", "cancel", "--run", "a"]) == 0
        with run_scope("a"):
            network(backend)(X)
        assert len(cloud.admin.tags()) == 1
