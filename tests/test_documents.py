"""What documents say is run: docstring examples, the README's example, links between files."""

import doctest
import importlib
import pkgutil
import re
import subprocess
import sys
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
def test_the_readme_example_runs_as_printed(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    script = tmp_path / "example.py"
    script.write_text(code)
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "gradient" in done.stdout
    assert "mlp-matched" in done.stdout


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
