"""Running studies for real, with classical contestants: same bytes always, no interruption loses or repeats work."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import qnn
from qnn.comparison import Comparison, compare, runner
from qnn.comparison.define import define_study
from qnn.comparison.folder import RunFolder
from qnn.comparison.records import Record, read_records
from qnn.errors import ArgumentError, BudgetError, RecordError, StorageError, StudyError, TrainingError

SMALL = {"task": "iris,moons", "models": "logistic,mlp", "seeds": 2, "epochs": 3, "tuning_trials": 2}
LONG = "compare --task digits --models logistic,mlp --seeds 3 --epochs 12 --tuning-trials 2"
LONG_STUDY = define_study("digits", "logistic,mlp", seeds=3, epochs=12, tuning_trials=2)
# A process started in the background by a shell ignores interrupts, and so would its children.
PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from qnn.cli import main
sys.exit(main())
"""


def run_small(out: Path | None, **options) -> Comparison:
    return compare(**{**SMALL, "out": out, "jobs": 0, "progress": False, **options})


def run_without_report(out: Path, jobs: int | None = 0, **options) -> list[Record]:
    study = define_study(**{**SMALL, **options})
    with RunFolder(out).open(study) as folder:
        return runner.run_study(study, folder, jobs=jobs, progress=False)


def unmeasured(path: Path) -> str:
    """The bytes of records.jsonl or trials.jsonl without what was measured."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        (row.get("record") or row).pop("measured")
    return "\n".join(map(json.dumps, rows))


def start(line: str, out: Path, n_workers: int) -> subprocess.Popen:
    command = [sys.executable, "-c", PROGRAM, *line.split(), "--out", str(out), "--jobs", str(n_workers), "--quiet"]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)


def wait_for_lines(path: Path, n: int, process: subprocess.Popen) -> None:
    """Until the file has so many lines; the process must still be running then."""
    deadline = time.monotonic() + 120
    while not path.exists() or path.read_bytes().count(b"\n") < n:
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Comparison:
    return run_small(tmp_path_factory.mktemp("study") / "run")


@pytest.fixture(scope="module")
def long_reference(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("long") / "run"
    with RunFolder(out).open(LONG_STUDY) as folder:
        runner.run_study(LONG_STUDY, folder, jobs=0, progress=False)
    return out


def test_every_cell_has_its_record_in_canonical_order(finished):
    records = read_records(finished.out / "records.jsonl")
    assert [record.cell for record in records] == [cell.id for cell in finished.study.cells()]
    assert records == finished.records
    first = records[0]
    assert (first.task, first.model, first.seed, first.epochs, first.n_train) == ("iris", "logistic", 0, 3, 96)
    assert first.steps == 3 * 3 and first.circuits == 0 and first.n_quantum_weights == 0
    assert first.n_weights == 4 * 3 + 3
    assert len(first.curves["train_loss"]) == 3


def test_two_runs_give_the_same_bytes(finished, tmp_path):
    out = tmp_path / "run"
    run_without_report(out)
    for name in ("records.jsonl", "trials.jsonl"):
        assert unmeasured(out / name) == unmeasured(finished.out / name)
    assert (out / "study.json").read_bytes() == (finished.out / "study.json").read_bytes()


def test_seeds_differ(finished):
    mlp = [record for record in finished.records if record.model == "mlp" and record.task == "moons"]
    assert mlp[0].curves != mlp[1].curves


def test_all_models_see_the_same_test_rows(finished):
    """The chance accuracy and the numbers of rows are those of the split, whatever the model and the seed."""
    for task in finished.study.tasks:
        found = {(r.n_train, r.n_test, r.split_seed, r.chance_accuracy) for r in finished.records if r.task == task}
        assert len(found) == 1


def test_a_finished_study_is_not_run_again(finished, monkeypatch):
    monkeypatch.setattr(runner, "run_cell", None)
    before = {path.name: path.stat().st_mtime_ns for path in finished.out.iterdir() if path.suffix == ".jsonl"}
    assert run_without_report(finished.out) == finished.records
    assert before == {path.name: path.stat().st_mtime_ns for path in finished.out.iterdir() if path.suffix == ".jsonl"}


def test_loading_gives_the_same_comparison(finished):
    loaded = Comparison.load(finished.out)
    assert loaded.records == finished.records
    assert loaded.verdict == finished.verdict
    assert loaded.table() == finished.table()


def test_the_learning_rate_is_the_best_on_validation_and_the_same_for_all_seeds(finished):
    trials = [json.loads(line) for line in (finished.out / "trials.jsonl").read_text().splitlines()]
    assert len(trials) == 2 * 2 * 2
    for task in ("iris", "moons"):
        for model in ("logistic", "mlp"):
            mine = [t["record"] for t in trials if (t["record"]["task"], t["record"]["model"]) == (task, model)]
            assert {record["learning_rate"] for record in mine} == {0.01, 0.03}
            best = min(mine, key=lambda r: (-r["validation_accuracy"], r["validation_loss"]))
            records = [r for r in finished.records if (r.task, r.model) == (task, model)]
            assert {record.learning_rate for record in records} == {best["learning_rate"]}
            assert records[0].as_dict() == best


def test_only_what_is_missing_is_run(finished, tmp_path, monkeypatch):
    out = shutil.copytree(finished.out, tmp_path / "run")
    lines = (out / "records.jsonl").read_text().splitlines(keepends=True)
    (out / "records.jsonl").write_text("".join(lines[:3] + lines[4:6]) + lines[6][:40])  # 3 and 6 gone, 7 torn off
    ran, runs, real = [], set(), runner.run_cell

    def watched(cell, rate, jobs):
        ran.append(cell.id)
        runs.add(jobs)
        return real(cell, rate, jobs)

    monkeypatch.setattr(runner, "run_cell", watched)
    run_without_report(out)
    cells = [cell.id for cell in finished.study.cells()]
    assert len(runs) == 2
    folder = (finished.out / ".run").read_text()
    assert all(run.startswith(f"{folder}/") for run in runs)  # what was paid for before the crash is found again
    assert sorted(ran) == sorted([cells[3], cells[7]])  # 6 is a first seed: its trial is kept
    assert unmeasured(out / "records.jsonl") == unmeasured(finished.out / "records.jsonl")


def test_sigkill_then_resume_gives_the_same_bytes(long_reference, tmp_path):
    out = tmp_path / "run"
    process = start(LONG, out, n_workers=1)  # two are interrupted below
    wait_for_lines(out / "trials.jsonl", 2, process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = (out / "trials.jsonl").read_text()
    deadline = time.monotonic() + 30
    while True:  # the worker notices within a second that its parent is gone
        try:
            with RunFolder(out).open(LONG_STUDY):
                break
        except StudyError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    with RunFolder(out).open(LONG_STUDY) as folder:
        runner.run_study(LONG_STUDY, folder, jobs=0, progress=False)
    assert all(
        line in (out / "trials.jsonl").read_text() for line in kept.splitlines()
    )  # measured blocks too: not rerun
    for name in ("records.jsonl", "trials.jsonl"):
        assert unmeasured(out / name) == unmeasured(long_reference / name)


def test_ctrl_c_leaves_a_study_that_says_how_to_go_on(long_reference, tmp_path):
    """Ctrl-C reaches the whole process group, as in a terminal; what two workers did is as good as what none did."""
    out = tmp_path / "run"
    process = start(LONG, out, n_workers=2)
    wait_for_lines(out / "trials.jsonl", 1, process)
    os.killpg(process.pid, signal.SIGINT)
    _, shown = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Interrupted. What is done is kept; go on with:" in shown
    assert "qnn compare --task digits --models logistic,mlp --seeds 3 --epochs 12" in shown
    assert f"--out {out}" in shown
    assert "Traceback" not in shown
    assert not (out / "report.html").exists()
    with pytest.raises(StudyError, match=r"cells are missing \(first: .*\). Go on with: qnn compare"):
        Comparison.load(out)
    with RunFolder(out).open(LONG_STUDY) as folder:
        runner.run_study(LONG_STUDY, folder, jobs=0, progress=False)
    for name in ("records.jsonl", "trials.jsonl"):
        assert unmeasured(out / name) == unmeasured(long_reference / name)


def test_a_folder_of_another_study_is_refused_before_anything_is_trained(finished, monkeypatch):
    monkeypatch.setattr(runner, "run_cell", None)
    with pytest.raises(StudyError, match="`seeds` is 0, 1 there and 0, 1, 2 here"):
        run_small(finished.out, seeds=3)


def test_a_full_disk_stops_the_study_and_leaves_it_resumable(finished, tmp_path, monkeypatch):
    out = tmp_path / "run"
    real, written = os.write, []

    def small_disk(descriptor, data):
        if b'"cell"' in data and len(written) == 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(real(descriptor, data))
        return written[-1]

    with monkeypatch.context() as patch:
        patch.setattr("qnn.comparison.lines.os.write", small_disk)
        with pytest.raises(StorageError, match=r"appending to .* failed: No space left on device. Free some space"):
            run_small(out)
    assert not (out / "report.html").exists()
    run_without_report(out)
    assert unmeasured(out / "records.jsonl") == unmeasured(finished.out / "records.jsonl")


def test_a_diverging_trial_is_not_chosen_but_a_diverging_cell_stops(tmp_path, monkeypatch):
    real = runner.run_cell

    def fragile(cell, rate, jobs):
        if rate > 0.02:
            raise TrainingError("The loss must stay finite; got nan.")
        return real(cell, rate, jobs)

    monkeypatch.setattr(runner, "run_cell", fragile)
    records = run_without_report(tmp_path / "run", task="iris")
    assert {record.learning_rate for record in records} == {0.01}
    trials = [json.loads(line) for line in (tmp_path / "run" / "trials.jsonl").read_text().splitlines()]
    assert {(t["learning_rate"], t["failure"]) for t in trials} == {
        (0.01, None),
        (0.03, "The loss must stay finite; got nan."),
    }

    def broken(cell, rate, jobs):
        raise TrainingError("The loss must stay finite; got nan.")

    monkeypatch.setattr(runner, "run_cell", broken)
    with pytest.raises(StudyError, match="all 2 failed for logistic · iris · full data · seed 0"):
        run_without_report(tmp_path / "other")


def test_a_spoilt_trial_is_refused_by_line(finished, tmp_path):
    out = shutil.copytree(finished.out, tmp_path / "run")
    lines = (out / "trials.jsonl").read_text().splitlines(keepends=True)
    row = json.loads(lines[1])
    row["record"]["steps"] = "many"
    (out / "trials.jsonl").write_text(lines[0] + json.dumps(row) + "\n")
    with pytest.raises(RecordError, match=r"line 2 of .*trials.jsonl.* field `steps` must be int; got 'many'"):
        run_small(out)


@pytest.mark.parametrize("jobs", [-1, 1.5, True])
def test_jobs_must_be_a_number_of_processes(tmp_path, jobs):
    with pytest.raises(ArgumentError, match="`jobs` must be a number of processes"):
        run_small(tmp_path / "run", jobs=jobs)
    assert not (tmp_path / "run").exists()


def test_without_a_name_the_folder_is_named_after_the_content(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = {"models": "logistic", "task": "iris", "seeds": 1, "tuning_trials": 1}
    first, again = run_small(None, **options), run_small(None, **options)
    assert first.out == again.out
    assert first.out.parent == Path("runs") and first.out.name.startswith("iris-")
    assert run_small(None, **{**options, "epochs": 1}).out != first.out


def test_progress_shows_cells_and_is_silent_when_asked(tmp_path, capsys):
    options = {"models": "logistic", "task": "iris", "seeds": 1, "tuning_trials": 1}
    run_small(tmp_path / "a", progress=True, **options)
    shown = capsys.readouterr().err
    assert "1/1" in shown and "logistic · iris" in shown
    run_small(tmp_path / "b", **options)
    assert capsys.readouterr().err == ""


def test_a_record_of_a_cell_does_not_depend_on_the_other_contestants(finished, tmp_path):
    alone = run_without_report(tmp_path / "run", models="mlp", task="moons")
    mine = [r for r in finished.records if (r.model, r.task) == ("mlp", "moons")]
    assert [r.test_correct for r in alone] == [r.test_correct for r in mine]
    assert [r.cell for r in alone] == [r.cell for r in mine]


def test_a_budget_holds_in_a_comparison_and_workers_are_refused_under_it(tmp_path):
    options = {"task": "iris", "models": "hybrid@statevector"}
    for jobs in (None, 0):
        with qnn.budget(max_circuits=5), pytest.raises(BudgetError):
            run_without_report(tmp_path / "run", jobs=jobs, **options)
    with qnn.budget(max_circuits=5), pytest.raises(ArgumentError, match="`jobs` must be 0 under a budget"):
        run_without_report(tmp_path / "run", jobs=2, **options)
