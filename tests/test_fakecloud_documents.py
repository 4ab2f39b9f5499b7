"""The page on the fake cloud: its example runs, and its tables are those of the code."""

import re
from contextlib import contextmanager
from pathlib import Path

from fakecloud_here import serving

from qnn import fakecloud
from qnn.fakecloud.faults import FAULTS
from qnn.fakecloud.settings import Settings

PAGE = (Path(__file__).parent.parent / "docs/fakecloud.md").read_text()


def test_tables():
    for name, what in FAULTS.items():
        assert f"| `{name}` | {what} |" in PAGE
    for name, default in Settings().as_json().items():
        text = Settings.__dataclass_fields__[name].metadata["text"]
        shown = "none" if default is None else str(default).lower()
        assert f"| `{name}` | {text} | {shown} |" in PAGE
    assert len(re.findall(r"(?m)^\| `", PAGE)) == len(FAULTS) + len(Settings().as_json())


def test_the_example(tmp_path, monkeypatch):
    """With the service in a thread of this process, which has loaded the simulator."""

    @contextmanager
    def here(**settings):
        with serving(**settings) as cloud:
            yield cloud.admin

    monkeypatch.setattr(fakecloud, "start", here)
    monkeypatch.chdir(tmp_path)
    known: dict = {}
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(code, "fakecloud.md", "exec"), known)
    assert known["submissions"] == ["submit_429", "submit_answer_lost"]
    assert list(known["jobs"].values()) == [1]
    assert known["values"].shape == (1, 2)
