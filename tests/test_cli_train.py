"""`qnn train`: what it prints and writes; options reach the training; interrupted, it goes on."""

import json
import os
import re
import shlex
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from table_samples import QUICK_WORDS, houses_frame, iris_frame

import qnn.models.tables.train
from qnn.cli import main
from qnn.cli.train import _FIT, _NETWORK, _TABLE
from qnn.errors import ChangedRunWarning, NoEffectWarning
from qnn.models.tables import TableModel
from qnn.training.callbacks import RunBudget

DOCUMENT = (Path(__file__).parent.parent / "docs" / "train_predict.md").read_text()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    iris_frame().to_csv("iris.csv", index=False)
    iris_frame().sample(40, random_state=0).to_csv("new.csv", index=False)
    return tmp_path


def train(*words):
    return main(["train", *words, *QUICK_WORDS])


def test_what_it_prints(capsys):
    words = [word for word in QUICK_WORDS if word != "--quiet"]
    assert main(["train", "iris.csv", "--target", "species", *words, "--epochs", "30"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Trained on 96 rows of iris.csv: species (3 classes) from 4 columns (4 features); ")
    assert re.search(r"\ntest: accuracy [01]\.\d+ \[0\.\d+, [01]\.\d+\], majority 0\.333 \[.*\] \(30 rows\)\n", out)
    assert out.endswith("Bundle: iris.qnn\n")
    assert TableModel.load("iris.qnn").config["data"] == "iris.csv"


def test_json(capsys):
    words = [word for word in QUICK_WORDS if word != "--quiet"]
    assert main(["train", "iris.csv", "--target", "species", "--test-fraction", "0", *words, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["bundle"] == "iris.qnn" and facts["target"]["classes"] == ["setosa", "versicolor", "virginica"]
    assert set(facts["scores"]) == {"train", "validation"}


def test_every_option_reaches_the_training(monkeypatch):
    """What is parsed arrives by its name; that each changes the model is tested there."""
    seen = {}

    def train_table(data, target, **options):
        seen.update(options, target=target)
        raise KeyboardInterrupt

    monkeypatch.setattr("qnn.models.tables.train_table", train_table)
    words, expected = [], {}
    for name, (kind, _, _) in {**_TABLE, **_NETWORK, **_FIT}.items():
        written = {int: "3", float: "0.3"}.get(kind, "a")
        words += [f"--{name.replace('_', '-')}", written]
        expected[name] = kind(written)
    lists = {name: ["a", "b"] for name in ("features", "categorical", "classes", "metrics")}
    for name in lists:
        words += [f"--{name}", "a, b"]
    words += ["--n-hidden", "8,4", "--batch-size", "all", "--reupload", "--scaling", "angle", "--missing", "fill"]
    words += ["--task", "regression", "--out", "o.zip", "--overwrite", "--checkpoint", "c", "--target", "t", "--quiet"]
    expected |= {**lists, "n_hidden": [8, 4], "batch_size": None, "reupload": True, "scaling": "angle"}
    expected |= {"missing": "fill", "task": "regression", "out": Path("o.zip"), "overwrite": True, "checkpoint": "c"}
    assert main(["train", "x.csv", *words]) == 130
    (budget,) = seen.pop("callbacks")
    assert type(budget) is RunBudget
    assert seen == expected | {"target": "t", "progress": False}


def test_a_run_that_pays_anew_says_so_at_once(capsys, monkeypatch):
    """Other warnings come with the summary."""

    def train_table(data, target, **options):
        warnings.warn("Run a has jobs", ChangedRunWarning, stacklevel=1)
        warnings.warn("by the way", NoEffectWarning, stacklevel=1)
        raise KeyboardInterrupt("stopped")

    monkeypatch.setattr("qnn.models.tables.train_table", train_table)
    assert main(["train", "iris.csv", "--target", "species", "--quiet", "--no-checkpoint"]) == 130
    assert capsys.readouterr().err == "\nqnn: Run a has jobs\n\nstopped\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["iris.csv", "--target", "specie"], 'Did you mean "species"'),
        (["iris.csv"], "`target` must name the column"),
        (["irs.csv", "--target", "species"], 'must be a file that can be read; got "irs.csv": No such file'),
        (["digitz"], 'Did you mean "digits"'),
        (
            ["iris.csv", "--target", "species", "--backend", "aer", "--mitigation", "readot"],
            'No mitigation named "readot"',
        ),
        (["iris.csv", "--target", "species", "--mitigation", "{zne: 1}"], "`mitigation` must be JSON after a brace"),
        (["iris.csv", "--target", "species", "--n-hidden", "a"], '`--n-hidden` must be whole numbers; got "a"'),
        (
            ["iris.csv", "--target", "species", "--batch-size", "half"],
            '`--batch-size` must be whole numbers; got "half"',
        ),
        (
            ["iris.csv", "--target", "species", "--task", "regression"],
            'numbers for a regression; got "setosa" in row 1',
        ),
        (
            ["iris.csv", "--target", "petal_width", "--task", "classification"],
            "got the real number 0.2 in row 1 (line 2)",
        ),
    ],
)
def test_errors(words, message, capsys):
    assert main(["train", *words, "--quiet"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("qnn: ") and message in err


def test_notes_and_warnings_are_said(capsys):
    frame = houses_frame()
    frame.loc[3, "size"] = None
    frame.to_csv("houses.csv", index=False)
    words = [word for word in QUICK_WORDS if word != "--quiet"]
    command = ["train", "houses.csv", "--target", "price", "--missing", "drop", "--momentum", "0.5"]
    assert main([*command, *words, "--epochs", "1"]) == 0
    err = capsys.readouterr().err
    assert 'qnn: Left out 1 of 90 rows with missing values: row 4 (line 5), column "size": no value' in err
    assert 'qnn: `momentum`=0.5 has no effect with optimizer="adam"' in err


def test_interrupted_it_goes_on(monkeypatch, capsys):
    command = ["train", "iris.csv", "--target", "species", "--out", "a b.qnn", *QUICK_WORDS]
    real = qnn.models.tables.train.fit

    def interrupted(*arguments, callbacks, **options):
        class Stop(qnn.training.Callback):
            def on_epoch_end(self, state):
                if state.epoch == 3:
                    raise KeyboardInterrupt

        return real(*arguments, callbacks=[*callbacks, Stop()], **options)

    with monkeypatch.context() as patch:
        patch.setattr(qnn.models.tables.train, "fit", interrupted)
        assert main(command) == 130
    assert f"Go on with:\n  qnn {shlex.join(command)}\n" in capsys.readouterr().err
    assert main(command) == 0
    assert main([*command[:5], "whole", *QUICK_WORDS]) == 0
    resumed, whole = TableModel.load("a b.qnn"), TableModel.load("whole")
    assert resumed.metrics["test"] == whole.metrics["test"]
    weights = [model.model.state_dict() for model in (resumed, whole)]
    assert all((weights[0][name] == weights[1][name]).all() for name in weights[0])


@pytest.mark.slow
def test_two_processes_train_digits_as_one(folder):
    """Gradients and losses to 1e-6, with shares of 575 and 574 rows; only the first process writes.

    With plain gradient descent on all rows and rate 1, weights move by the sum of the gradients.
    """
    words = ["digits", "--optimizer", "sgd", "--learning-rate", "1", "--batch-size", "all", "--seed", "0", "--json"]
    words += ["--epochs", "3"]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "qnn"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    found = subprocess.run(
        [*command, "train", *words, "--out", "two"], capture_output=True, text=True, env=environment, check=True
    )
    assert json.loads(found.stdout)["bundle"] == "two"
    assert main(["train", *words, "--out", "one"]) == 0
    logs = [Path(f"{name}.log.jsonl").read_text().splitlines() for name in ("one", "two")]
    one, two = ([json.loads(line)["train_loss"] for line in log] for log in logs)
    assert len(one) == 3 and one == pytest.approx(two, abs=1e-6)
    one, two = (TableModel.load(name).model.state_dict() for name in ("one", "two"))
    assert max((one[name] - two[name]).abs().max() for name in one) < 1e-6


@pytest.mark.filterwarnings("default::qnn.errors.QnnWarning")
def test_the_document(capsys, monkeypatch):
    """The commands of docs/train_predict.md run and print what they say; so does its Python."""
    (block,) = re.findall(r"```console\n(.*?)```", DOCUMENT, re.DOTALL)
    sessions = [part.partition("\n") for part in block.split("$ ")[1:]]
    assert len(sessions) == 3
    for command, _, printed in sessions:
        assert main(shlex.split(command)[1:]) == 0
        shown = capsys.readouterr().out
        assert shown.startswith(printed) if printed else True
    assert "No drift found." in shown and "Score: accuracy 0.9" in shown
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    exec(code, {})
    assert capsys.readouterr().out.rstrip().endswith("[]")
