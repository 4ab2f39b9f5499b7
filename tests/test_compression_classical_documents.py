"""The examples of the pages on pruning classical layers and on quantisation run as printed."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"


@pytest.mark.parametrize("page", ["pruning_classical.md", "quantisation.md"])
def test_the_examples_run(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    known: dict = {}
    for code in re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL):
        exec(compile(code, page, "exec"), known)
    shown = capsys.readouterr().out
    assert "widths" in shown if page.startswith("pruning") else "8 of 8" in shown
