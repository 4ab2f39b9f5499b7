"""The page about bundles: its examples run."""

import re
from pathlib import Path

import pytest

from qnn.models.bundle.kinds import KINDS

PAGE = Path(__file__).parent.parent / "docs" / "bundle.md"


@pytest.mark.filterwarnings("ignore::qnn.errors.InertParameterWarning")
def test_the_examples_run(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = dict(KINDS)
    known: dict = {"__name__": "page"}
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(compile(code, PAGE.name, "exec"), known)
    for name in set(KINDS) - set(before):
        del KINDS[name]
