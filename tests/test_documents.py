"""What documents say is run: docstring examples, the README's example, links between files."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import qnn

ROOT = Path(__file__).parent.parent
MODULES = sorted(
    module.name for module in pkgutil.walk_packages(qnn.__path__, "qnn.") if not module.name.endswith("__main__")
)
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("circuits/*.md")])


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.slow
def test_the_readme_example_runs_as_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    exec(compile(code, "README.md", "exec"), {"__name__": "__main__"})
    printed = capsys.readouterr().out
    assert "gradient" in printed
    assert "mlp-matched" in printed


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text()):
        assert (document.parent / target).exists(), f"{document.name} links to {target}"


@pytest.mark.parametrize("document", sorted(ROOT.glob("docs/providers/*.md")), ids=lambda path: path.name)
def test_the_examples_of_providers_run(document):
    """Block after block in one program; what needs an account is compiled only."""
    known: dict = {}
    for code in re.findall(r"```python\n(.*?)```", document.read_text(), re.DOTALL):
        program = compile(code, document.name, "exec")
        if not code.startswith("# needs an account"):
            exec(program, known)


def test_the_examples_of_training_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    known: dict = {}
    for code in re.findall(r"```python\n(.*?)```", (ROOT / "docs/training.md").read_text(), re.DOTALL):
        exec(compile(code, "training.md", "exec"), known)
    assert 0 < known["history"].epochs[-1]["validation_f1_score"] <= 1
    assert len((tmp_path / "runs/digits/log.jsonl").read_text().splitlines()) == 3
