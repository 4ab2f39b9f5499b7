"""`qnn doctor` tells what is here and how to get the rest, and never fails."""

import json
import os

import pytest
import torch

from qnn.cli import doctor, main


def test_facts(capsys):
    assert main(["doctor", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    versions = {p["name"]: p["version"] for p in facts["packages"]}
    assert versions["torch"] == torch.__version__
    assert versions["qnn"] is not None
    extras = {p["extra"] for p in facts["packages"]}
    assert {None, "ibm", "braket"} <= extras
    assert "test" not in extras
    usable = {b["name"]: b["usable"] for b in facts["backends"]}
    assert usable["statevector"] and usable["aer"] and usable["pennylane:default.qubit"]
    assert "cpu" in facts["torch"]["devices"]
    assert len(facts["torch"]["devices"]) == 1 + torch.cuda.device_count()
    assert "density_matrix" in facts["aer"]["methods"]
    assert "CPU" in facts["aer"]["devices"]
    assert facts["threads"]["cores"] == len(os.sched_getaffinity(0))


def test_text(capsys):
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    for title in ("Python", "Packages", "Backends usable here", "Devices of torch", "Qiskit Aer", "Threads"):
        assert f"{title}\n" in text
    if not torch.cuda.is_available():
        assert "no CUDA device: classical models run on CPU" in text


def test_columns_are_aligned(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    section = doctor._section("Title", [("a", "yes  " + "word " * 40), ("longer", "no   short")])
    lines = section.split("\n")
    assert lines[0] == "Title"
    assert {len(line) - len(line.lstrip()) for line in lines[2:-1]} == {len("  longer  yes  ")}
    assert lines[-1] == "  longer  no   short"
    assert max(map(len, lines)) <= 100


def test_what_is_missing_is_shown_with_the_way_to_get_it(monkeypatch):
    monkeypatch.setattr(doctor, "_version", lambda name: None)
    text = doctor.describe(doctor.survey())
    assert 'missing    get it with: pip install "qnn[ibm]"' in text
    assert "missing    get it with: pip install qnn" in text


@pytest.mark.parametrize("module", ["qiskit_aer", "qnn.backends.registry"])
def test_a_package_that_cannot_be_imported(module, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert ("cannot be imported" if module == "qiskit_aer" else "a package is missing") in text


def test_numba_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "new" / "folder"))
    assert doctor._numba_cache() == {"folder": str(tmp_path / "new" / "folder"), "writable": True}
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/proc/nowhere")
    facts = doctor._numba_cache()
    assert facts == {"folder": "/proc/nowhere", "writable": False}
    assert "Set NUMBA_CACHE_DIR" in doctor._writable_note(False)
