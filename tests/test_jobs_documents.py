"""The example of docs/jobs.md runs, and the same program again goes on."""

import re
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"


def test_the_example_runs_twice(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / "jobs.md").read_text(), re.DOTALL)
    weights = []
    for _ in range(2):
        known: dict = {}
        exec(compile("import torch; torch.manual_seed(0)\n" + code, "jobs.md", "exec"), known)
        weights.append(known["model"].weights.tolist())
    assert weights[0] == weights[1] and any((tmp_path / "runs/mine").iterdir())
