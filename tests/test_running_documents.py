"""docs/running.md and the README's section on `qnn.run` print what they say."""

import doctest
import re
import shlex
from pathlib import Path

import pytest

import qnn
from qnn.cli import main

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "running.md").read_text()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    (tmp_path / "circuits").symlink_to(ROOT / "circuits")
    monkeypatch.chdir(tmp_path)


def test_examples():
    examples = re.findall(r"```pycon\n(.*?)```", TEXT, re.DOTALL)
    assert len(examples) == 5
    parsed = doctest.DocTestParser().get_doctest("\n".join(examples), {}, "running.md", "running.md", 0)
    assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(parsed).failed == 0
    assert Path("bell.png").read_bytes().startswith(b"\x89PNG")


def test_the_readme():
    (example,) = re.findall(r"```pycon\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    parsed = doctest.DocTestParser().get_doctest(example, {"qnn": qnn}, "README.md", "README.md", 0)
    assert doctest.DocTestRunner().run(parsed).failed == 0


def test_commands(capsys):
    (block,) = re.findall(r"```console\n(.*?)```", TEXT, re.DOTALL)
    sessions = [part.partition("\n") for part in block.split("$ ")[1:]]
    assert len(sessions) == 3
    for command, _, printed in sessions:
        assert main(shlex.split(command)[1:]) == 0
        shown = capsys.readouterr().out
        if printed:  # the last one is shown without its JSON
            assert shown == printed
    assert Path("bell.png").read_bytes().startswith(b"\x89PNG")
