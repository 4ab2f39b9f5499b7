"""A study by every engine: same bytes, also when a worker is killed in the middle; what travels; what is refused."""

import atexit
import contextlib
import functools
import importlib
import json
import os
import shutil
import sys
import tempfile
import threading
import types
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

import qnn
from qnn.cli import main
from qnn.comparison import compare, runner
from qnn.comparison.define import define_study
from qnn.comparison.engines.crew import hire
from qnn.comparison.engines.engine import Engine
from qnn.comparison.engines.messages import request, response, serve
from qnn.comparison.folder import RunFolder
from qnn.comparison.study import Cell
from qnn.errors import (
    ArgumentError,
    EngineError,
    MissingDependencyError,
    StudyError,
    TrainingError,
    UnknownNameError,
    WorkerLostWarning,
)

OPTIONS = {"seeds": 4, "epochs": 1, "n_train": 24, "tuning_trials": 2, "n_qubits": 2, "n_layers": 1}
STUDY = define_study("moons,iris", "hybrid@statevector,logistic,mlp", **OPTIONS)  # 24 cells, 30 trainings


def run(out: Path, engine: str, *, jobs: int | None = 2, study=STUDY) -> Path:
    with RunFolder(out).open(study) as folder:
        runner.run_study(study, folder, jobs=jobs, engine=Engine.parse(engine), progress=False)
    return out


def unmeasured(out: Path) -> dict[str, str]:
    """The bytes of both files without what was measured."""
    found = {}
    for name in ("records.jsonl", "trials.jsonl"):
        rows = [json.loads(line) for line in (out / name).read_text().splitlines()]
        for row in rows:
            (row.get("record") or row).pop("measured")
        found[name] = "\n".join(map(json.dumps, rows))
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> dict[str, str]:
    """The 24 cells, trained in this process."""
    files = unmeasured(run(tmp_path_factory.mktemp("here") / "run", "local", jobs=0))
    assert files["records.jsonl"].count("\n") == 23 and files["trials.jsonl"].count("\n") == 11
    return files


@functools.cache
def scratch() -> str:
    """A folder for this process: Spark's Java process stays, and keeps to the first that it is given.

    Its name is short: Ray's sockets are in it, whose paths may have 107 bytes.
    """
    folder = tempfile.mkdtemp(prefix="q")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@pytest.fixture
def private_folders(monkeypatch) -> None:
    """What Ray and Spark write outside the run folder goes where it is cleaned up; nothing is sent anywhere."""
    folder = scratch()
    for name, value in {
        "RAY_TMPDIR": folder,
        "RAY_USAGE_STATS_ENABLED": "0",
        "SPARK_LOCAL_DIRS": folder,
        "SPARK_LOCAL_IP": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.chdir(folder)


def need(engine: str) -> None:
    """Skip where `make test-all` has not installed the engine."""
    pytest.importorskip({"local": "joblib", "ray": "ray", "spark": "joblibspark"}[engine])
    if engine == "spark" and not (shutil.which("java") or "JAVA_HOME" in os.environ):
        pytest.skip("Spark needs Java")


def local_worker(process: psutil.Process) -> bool:
    return "loky" in " ".join(process.cmdline()) and "resource_tracker" not in " ".join(process.cmdline())


def ray_worker(process: psutil.Process) -> bool:
    return process.cmdline()[:1] == ["ray::serve"]


def spark_worker(process: psutil.Process) -> bool:
    return all("pyspark.daemon" in one.cmdline() for one in (process, process.parent()))


def alive(process: psutil.Process, is_worker: Callable[[psutil.Process], bool]) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and is_worker(process)
    except psutil.Error:  # gone meanwhile
        return False


def kill_one(out: Path, is_worker: Callable[[psutil.Process], bool], seen: list, over: threading.Event) -> None:
    """When some records are there, kill workers of this process until one was lost with its cell."""
    while not any(one.category is WorkerLostWarning for one in seen) and not over.wait(0.005):
        if (out / "records.jsonl").exists() and (out / "records.jsonl").read_bytes().count(b"\n") >= 5:
            for process in psutil.Process().children(recursive=True):
                try:
                    if is_worker(process):
                        process.kill()
                        break
                except psutil.Error:
                    continue
            else:
                continue
            over.wait(1.0)  # for the loss to be noticed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "is_worker"),
    [
        pytest.param("local", local_worker),
        pytest.param("ray", ray_worker, marks=pytest.mark.ray),
        pytest.param("spark", spark_worker, marks=pytest.mark.spark),
    ],
)
def test_a_worker_killed_in_the_middle_changes_nothing(
    undisturbed, private_folders, tmp_path, monkeypatch, engine, is_worker
):
    """24 cells by each engine, one of its workers killed: no record is lost, doubled or different."""
    need(engine)
    out = tmp_path / "run"
    with pytest.warns(WorkerLostWarning, match=r"lost while it ran .* · seed \d .*attempt [23] of 3") as seen:
        over = threading.Event()
        killer = threading.Thread(target=kill_one, args=(out, is_worker, seen, over), daemon=True)
        killer.start()
        try:
            run(out, engine)
        finally:
            over.set()
            killer.join()
    assert unmeasured(out) == undisturbed
    assert not any(alive(p, is_worker) for p in psutil.Process().children(recursive=True))


def test_a_worker_lost_again_and_again_is_an_error_that_names_the_cell(tmp_path):
    study = define_study("iris", "logistic", seeds=1, epochs=1, tuning_trials=1)
    over = threading.Event()

    def kill_all() -> None:
        while not over.wait(0.02):
            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    if local_worker(process):
                        process.kill()

    killer = threading.Thread(target=kill_all, daemon=True)
    killer.start()
    try:
        with (
            pytest.warns(WorkerLostWarning, match=r"ran logistic · iris · .*attempt [23] of 3"),
            pytest.raises(EngineError, match=r"not be lost 3 times; it was, for logistic · iris · .* try fewer jobs"),
        ):
            run(tmp_path / "run", "local", jobs=1, study=study)
    finally:
        over.set()
        killer.join()
    run(tmp_path / "run", "local", jobs=0, study=study)
    assert (tmp_path / "run" / "records.jsonl").read_text().count("\n") == 1


@pytest.mark.slow
@pytest.mark.ray
def test_a_connected_ray_is_used_and_left_as_it_was(private_folders):
    ray = pytest.importorskip("ray")
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="error")
    try:
        with hire(Engine("ray"), None, 5) as crew:
            assert crew.slots == 1  # the CPUs of that cluster
        assert ray.is_initialized()
        with pytest.raises(ArgumentError, match=r'connected already; got "ray://host:1". Give engine="ray"'):
            hire(Engine("ray", "ray://host:1"), None, 5).__enter__()
    finally:
        ray.shutdown()


@pytest.mark.slow
@pytest.mark.spark
def test_an_active_spark_session_is_used_and_left_as_it_was(private_folders):
    need("spark")
    sql = importlib.import_module("pyspark.sql")
    session = sql.SparkSession.builder.master("local[3]").getOrCreate()
    try:
        with hire(Engine("spark"), None, 5) as crew:
            assert crew.slots == 3
        assert sql.SparkSession.getActiveSession() is session
        with pytest.raises(ArgumentError, match=r'connected already; got "spark://host:1". Give engine="spark"'):
            hire(Engine("spark", "spark://host:1"), None, 5).__enter__()
    finally:
        session.stop()


@pytest.mark.parametrize(("jobs", "needed", "slots"), [(1, 5, 1), (3, 5, 3), (9, 5, 5)])
def test_as_many_workers_as_asked_for_and_needed(jobs, needed, slots):
    with hire(Engine("local"), jobs, needed) as crew:
        assert crew.slots == slots


def test_a_request_is_plain_data_and_describes_the_cell():
    cell = STUDY.cells()[0]
    wanted = json.loads(request(cell, 0.03))
    assert set(wanted) == {"qnn", "cell", "learning_rate", "run"}
    assert Cell.from_dict(wanted["cell"]) == cell and Cell.from_dict(wanted["cell"]).id == cell.id


def test_what_goes_wrong_in_a_worker_comes_back_by_class_and_message():
    cell = next(cell for cell in STUDY.cells() if cell.contestant.name == "logistic")
    wanted = json.loads(request(cell, 0.03))

    def answer(**changes):
        return response(serve(json.dumps({**wanted, **changes})), cell.label)

    longer = {**wanted["cell"], "budget": {**wanted["cell"]["budget"], "epochs": 4}}
    assert isinstance(answer(learning_rate=1e37, cell=longer), TrainingError)
    with pytest.raises(UnknownNameError, match='No task named "irys"') as raised:
        answer(cell={**wanted["cell"], "task": "irys"})
    assert "In the worker:\nTraceback" in raised.value.__notes__[0]
    with pytest.raises(StudyError, match=r"logistic · moons · .* must train; it failed: TypeError"):
        answer(cell={**wanted["cell"], "n_rows": 3})
    with pytest.raises(StudyError, match=f"same qnn as the process that runs the study, 0.0; it has {qnn.__version__}"):
        answer(qnn="0.0")


@pytest.mark.parametrize(("kind", "package"), [("ray", "ray"), ("spark", "joblibspark"), ("dask", "distributed")])
def test_a_missing_package_is_named_with_its_extra(monkeypatch, kind, package):
    monkeypatch.setitem(sys.modules, package, None)  # as Python marks what cannot be imported
    if kind == "spark":
        pytest.importorskip("pyspark")
    with pytest.raises(MissingDependencyError, match=rf'engine="{kind}" needs .*pip install "qnn\[{kind}\]"'):
        Engine.parse(f"{kind}://host:1")


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("rey", UnknownNameError, 'No engine named "rey". Did you mean "ray"'),
        ("local://host", ArgumentError, 'with its address; got "local://host"'),
        ("ray://", ArgumentError, 'with its address; got "ray://"'),
        (2, ArgumentError, "`engine` must be a name; got 2"),
    ],
)
def test_names_that_are_no_engine(name, error, message):
    with pytest.raises(error, match=message):
        compare("iris", "logistic", engine=name)


def test_an_address_of_dask_is_its_schedulers(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", types.ModuleType("distributed"))
    engine = Engine.parse("dask://host:8786")
    assert engine.address == "tcp://host:8786" and str(engine) == "dask://host:8786"


def test_the_command_line_hands_on_the_engine(tmp_path, capsys):
    assert main(["compare", "--task", "iris", "--models", "logistic", "--engine", "rey", "--out", str(tmp_path)]) == 2
    assert 'No engine named "rey"' in capsys.readouterr().err


def test_no_workers_and_a_cluster_contradict_each_other(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", types.ModuleType("ray"))
    with pytest.raises(ArgumentError, match='`jobs` must be 1 or more with engine="ray"; got 0'):
        compare("iris", "logistic", engine="ray", jobs=0)
