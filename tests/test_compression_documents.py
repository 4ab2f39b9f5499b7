"""The examples of the pages about compression, distillation, surrogates and pruned circuits run."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("page", ["compression.md", "distillation.md", "surrogate.md", "pruning_circuits.md"])
def test_the_examples_run(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    known: dict = {}
    for code in re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL):
        exec(compile(code, page, "exec"), known)
    assert known["report"].details
    printed = capsys.readouterr().out
    for told in re.findall(r"print\(.*usage.circuits\)  # ([\d,]+)", (DOCS / page).read_text()):
        assert told.replace(",", "") in printed.split()
