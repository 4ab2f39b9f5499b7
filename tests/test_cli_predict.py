"""`qnn predict`: predictions on stdout or in a file, exit codes, drift, JSON."""

import json
from pathlib import Path

import pandas as pd
import pytest
from table_samples import QUICK, iris_frame

from qnn.cli import main
from qnn.models.tables import train_table


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("predict")
    frame = iris_frame()
    frame.to_csv(folder / "iris.csv", index=False)
    frame[frame.species == "virginica"].to_parquet(folder / "virginica.parquet")
    frame[:3].assign(petal_width=[0.2, None, 0.2]).drop(columns="species").to_csv(folder / "gap.csv", index=False)
    train_table(frame, "species", out=folder / "iris.qnn", **QUICK | {"epochs": 30})
    return folder


@pytest.fixture(autouse=True)
def inside(folder, monkeypatch):
    monkeypatch.chdir(folder)


def test_predictions_on_stdout_the_rest_on_stderr(capsys):
    assert main(["predict", "iris.qnn", "iris.csv", "--monitor", "--score"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "row,prediction,probability setosa,probability versicolor,probability virginica"
    assert len(lines) == 151 and lines[1].startswith("1,setosa,")
    assert "Score: accuracy" in err and "No drift found." in err


def test_drift_has_an_exit_code_of_its_own(capsys):
    words = ["predict", "iris.qnn", "virginica.parquet", "-o", "p.parquet", "--keep", "species"]
    assert main([*words, "--monitor"]) == 3
    out = capsys.readouterr().out
    assert out.startswith("Predicted: 50 rows in p.parquet\ncolumn") and "Drift in " in out and ": petal_" in out
    assert list(pd.read_parquet("p.parquet"))[:3] == ["row", "species", "prediction"]
    assert main([*words, "--monitor", "--min-psi", "99"]) == 0
    assert main([*words, "--monitor", "--alpha", "0"]) == 0
    assert main(words) == 0


def test_json(capsys):
    assert main(["predict", "iris.qnn", "virginica.parquet", "--monitor", "--score", "--json"]) == 3
    facts = json.loads(capsys.readouterr().out)
    assert facts["n_rows"] == len(facts["predictions"]["prediction"]) == 50
    assert "prediction" in facts["drift"]["drifted"] and "Holm" in facts["drift"]["note"]
    assert facts["drift"]["columns"][0]["p_adjusted"] < 1e-6 and facts["scores"]["accuracy"]["value"] > 0.6
    assert main(["predict", "iris.qnn", "iris.csv", "--json", "-o", "p.csv"]) == 0
    assert json.loads(capsys.readouterr().out) == {"out": "p.csv", "n_rows": 150, "skipped": []}


def test_bad_rows(capsys):
    assert main(["predict", "iris.qnn", "gap.csv"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and 'row 2 (line 3), column "petal_width": no value' in err
    assert main(["predict", "iris.qnn", "gap.csv", "--bad-rows", "skip"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[2] == "2,,,," and "Skipped: row 2 (line 3)" in err


def test_shots(capsys):
    printed = []
    for seed in ("0", "0", "1"):
        command = ["predict", "iris.qnn", "iris.csv", "--backend", "statevector", "--shots", "50"]
        assert main([*command, "--seed", seed]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] != printed[2]


def test_limits(capsys):
    """Those of qnn train: what would exceed them is not begun, and nothing is written."""
    place = ["--backend", "statevector", "--shots", "2"]
    command = ["predict", "iris.qnn", "virginica.parquet", "-o", "within.csv", *place]
    for limit in (["--max-jobs", "0"], ["--max-shots", "99"]):
        assert main([*command, *limit]) == 2
        assert f"Give a larger `max_{limit[0].removeprefix('--max-')}`." in capsys.readouterr().err
        assert not Path("within.csv").exists()
    assert main([*command, "--max-jobs", "1", "--max-shots", "100", "--max-seconds", "0"]) == 0
    assert Path("within.csv").exists()


@pytest.mark.parametrize("written", ["readout", '{"zne": [1, 3]}'])
def test_mitigation(written, capsys):
    command = ["predict", "iris.qnn", "iris.csv", "--backend", "aer", "--noise", "fake_manila"]
    assert main(command) == 0
    without = capsys.readouterr().out
    assert main([*command, "--mitigation", written]) == 0
    assert capsys.readouterr().out != without


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.qnn", "iris.csv"], "none.qnn"),
        (["iris.qnn", "none.csv"], "No such file"),
        (["iris.qnn", "iris.csv", "-o", "p.xlsx"], "must end in .csv or .parquet"),
        (["iris.qnn", "gap.csv", "--score", "--bad-rows", "skip"], 'named "species"'),
        (["iris.qnn", "iris.csv", "--keep", "specie"], 'Did you mean "species"'),
        (["iris.qnn", "iris.csv", "--shots", "100"], "`shots` must be given with `backend`"),
        (["iris.qnn", "iris.csv", "--mitigation", "readout"], "`mitigation` must be given with `backend`"),
        (["iris.csv", "iris.csv"], "iris.csv"),
    ],
)
def test_errors(words, message, capsys):
    assert main(["predict", *words]) == 2
    assert message in capsys.readouterr().err
