"""`qnn train --dry-run` says what `qnn train` then uses; limits stop it, and a larger one goes on. docs/forecast.md."""

import json
import re
import shlex
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from table_samples import QUICK_WORDS, iris_frame

import qnn
from qnn import _run
from qnn.cli import main
from qnn.models.tables import TableModel

DOCUMENT = (Path(__file__).parent.parent / "docs" / "forecast.md").read_text()
QUICK = [word for word in QUICK_WORDS if word != "--quiet"]
TRAIN = ["train", "iris.csv", "--target", "species", *QUICK, "--epochs", "2"]
USED = ("jobs", "circuits", "shots")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    iris_frame().to_csv("iris.csv", index=False)
    return tmp_path


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--optimizer", "spsa", "--batch-size", "40", "--n-quantum", "2", "--validation-fraction", "0"],
        ["--gradient", "spsa", "--shots", "20", "--test-fraction", "0", "--metrics", "f1_score"],
    ],
)
def test_the_forecast_is_what_training_reports(options, capsys, folder):
    before = sorted(folder.iterdir())
    assert main([*TRAIN, *options, "--dry-run", "--json"]) == 0
    forecast = json.loads(capsys.readouterr().out)
    assert sorted(folder.iterdir()) == before
    assert main([*TRAIN, *options, "--json"]) == 0
    usage = json.loads(capsys.readouterr().out)["usage"]
    assert usage == {name: forecast[name] for name in USED}
    assert TableModel.load("iris.qnn").metrics["usage"] == usage
    assert forecast["afterwards"]["circuits"] == 150 * (1 + ("spsa" in options and "--n-quantum" in options))


@pytest.mark.parametrize(
    ("written", "stored", "scales"),
    [("readout", "readout", 1), ('{"readout": true, "zne": [1, 3]}', {"readout": True, "zne": [1, 3]}, 2)],
)
def test_mitigation_is_trained_forecast_and_stored(written, stored, scales, capsys):
    """Two circuits of a calibration, once; all others at every scale of the noise."""
    command = ["train", "iris.csv", "--target", "species", *QUICK, "--epochs", "1", "--shots", "20", "--json"]
    command += ["--backend", "aer", "--noise", "fake_manila"]
    assert main([*command, "--dry-run"]) == 0
    without = json.loads(capsys.readouterr().out)
    assert main([*command, "--mitigation", written, "--dry-run"]) == 0
    forecast = json.loads(capsys.readouterr().out)
    assert forecast["circuits"] == scales * without["circuits"] + 2
    assert main([*command, "--mitigation", written]) == 0
    assert json.loads(capsys.readouterr().out)["usage"] == {name: forecast[name] for name in USED}
    model = TableModel.load("iris.qnn")
    assert model.config["network"]["mitigation"] == stored
    assert model.model.quantum_layers[0].backend.specification()["mitigation"] == stored


def test_it_refuses_what_training_would_refuse(capsys):
    Path("iris.qnn").mkdir()
    Path("iris.qnn/there").touch()
    assert main([*TRAIN, "--dry-run"]) == 2
    assert "`out` must not be there yet" in capsys.readouterr().err
    assert main([*TRAIN, "--out", "other", "--dry-run", "--shots", "0"]) == 2


def test_a_limit_that_is_too_small_is_said_beforehand(capsys):
    assert main([*TRAIN, "--dry-run", "--max-jobs", "10", "--max-shots", "0", "--max-seconds", "5"]) == 0
    said = capsys.readouterr()
    assert "qnn: --max-jobs 10 would stop it: it needs 11." in said.err and "--max-shots" not in said.err
    assert "--max-seconds" not in said.err  # nobody bills them here


@pytest.mark.parametrize("first", [5, 10])
def test_a_limit_stops_it_and_a_larger_one_goes_on(first, capsys, monkeypatch):
    """Of 11 jobs: after 5 training is stopped in its second epoch; after 10, all that is left is the last score."""
    runs = []
    real = qnn.models.tables.train._describe
    monkeypatch.setattr(
        qnn.models.tables.train, "_describe", lambda run: [runs.append(_run.current_run().id), real(run)][1]
    )
    assert main([*TRAIN, "--quiet", "--max-jobs", str(first)]) == 2
    said = capsys.readouterr().err
    assert f"qnn: The budget of {first} jobs does not suffice" in said
    assert "the same command with a larger limit" in said
    assert not Path("iris.qnn").exists() and Path("iris.qnn.checkpoint").exists()
    assert main([*TRAIN, "--dry-run"]) == 0
    assert 'Training goes on from "iris.qnn.checkpoint"' in capsys.readouterr().out
    assert main([*TRAIN, "--quiet", "--max-jobs", "10"]) == 2  # what was used before counts
    assert main([*TRAIN, "--quiet", "--max-jobs", "11"]) == 0
    assert len(set(runs)) == 1  # scores, too, belong to the run that began first
    assert main([*TRAIN, "--quiet", "--out", "whole"]) == 0
    stopped, whole = TableModel.load("iris.qnn"), TableModel.load("whole")
    assert stopped.metrics["test"] == whole.metrics["test"] and stopped.metrics["usage"] == whole.metrics["usage"]
    weights = [model.model.state_dict() for model in (stopped, whole)]
    assert all((weights[0][name] == weights[1][name]).all() for name in weights[0])


def test_what_was_used_without_a_limit_counts(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(qnn.models.tables.train, "_describe", lambda run: (_ for _ in ()).throw(KeyboardInterrupt))
        assert main([*TRAIN, "--quiet"]) == 130
    assert main([*TRAIN, "--quiet", "--max-jobs", "8"]) == 2
    assert main([*TRAIN, "--quiet", "--max-jobs", "11"]) == 0


def test_a_limit_that_is_none(capsys):
    assert main([*TRAIN, "--quiet", "--max-jobs", "-1"]) == 2
    assert "`max_jobs` must be a whole number from 0 up" in capsys.readouterr().err


def test_the_commands_of_the_document(capsys):
    (block,) = re.findall(r"```console\n(.*?)```", DOCUMENT, re.DOTALL)
    sessions = [part.partition("\n") for part in block.split("$ ")[1:]]
    codes = []
    for command, _, printed in sessions:
        codes.append(main(shlex.split(command)[1:]))
        said = capsys.readouterr()
        assert printed.strip() == (said.out + said.err).strip()
    assert codes == [0, 2, 0]
    used = TableModel.load("iris.qnn").metrics["usage"]
    assert f"`Used: {', '.join(f'{used[name]:,} {name}' for name in USED)}.`" in DOCUMENT


def test_the_python_of_the_document():
    known: dict = {}
    blocks = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", DOCUMENT, re.DOTALL)
    assert len(blocks) == 2
    for code, printed in blocks:
        with redirect_stdout(StringIO()) as shown:
            exec(compile(code, "forecast.md", "exec"), known)
        assert shown.getvalue() == printed
