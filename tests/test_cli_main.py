"""The command line itself: verbs, exit codes, speed."""

import importlib
import re
import subprocess
import sys
import time

import pytest

from qnn import __version__
from qnn.cli import VERBS, _parser, main
from qnn.errors import UnsupportedError

HEAVY = ("torch", "numpy", "pennylane", "qiskit", "matplotlib", "sklearn", "numba")


def test_version(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"qnn {__version__}\n"


def test_help_lists_every_verb_as_the_verb_describes_itself(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    shown = re.sub(r"\s+", " ", capsys.readouterr().out)
    for verb, summary in VERBS.items():
        assert f"{verb} {summary}" in shown
        own = _parser(verb)._subparsers._group_actions[0]._choices_actions
        assert {a.dest: a.help for a in own}[verb] == summary  # written twice so that --help imports nothing


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_module(verb, capsys):
    module = importlib.import_module(f"qnn.cli.{verb}")
    assert callable(module.add_parser) and callable(module.run)
    with pytest.raises(SystemExit, match="0"):
        main([verb, "--help"])
    assert f"usage: qnn {verb}" in capsys.readouterr().out


def test_help_is_quick_and_imports_nothing_heavy():
    code = (
        "import sys; sys.argv[0] = 'qnn'; import qnn.cli\n"
        "try: qnn.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        f"print('loaded:', [m for m in {HEAVY} if m in sys.modules])"
    )
    start = time.perf_counter()
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.endswith("loaded: []\n")
    assert time.perf_counter() - start < 5  # half a second where nothing else runs


def test_module_is_the_command():
    found = subprocess.run([sys.executable, "-m", "qnn", "--version"], capture_output=True, text=True, check=True)
    assert found.stdout == f"qnn {__version__}\n"


def test_misspelt_verb(capsys):
    assert main(["circiut", "draw"]) == 2
    assert capsys.readouterr().err == (
        f'qnn: No command named "circiut". Did you mean "circuit"? Known: {", ".join(sorted(VERBS))}.\n'
    )


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UnsupportedError("This cannot be done."), 2, "qnn: This cannot be done.\n"),
        (KeyboardInterrupt(), 130, "\nqnn: interrupted\n"),
    ],
)  # fmt: skip
def test_exit_codes(error, code, message, monkeypatch, capsys):
    def run(arguments):
        raise error

    monkeypatch.setattr("qnn.cli.doctor.run", run)
    assert main(["doctor"]) == code
    captured = capsys.readouterr()
    assert captured.err == message
    assert "Traceback" not in captured.err + captured.out


def test_other_errors_are_not_hidden(monkeypatch):
    def run(arguments):
        raise ZeroDivisionError

    monkeypatch.setattr("qnn.cli.doctor.run", run)
    with pytest.raises(ZeroDivisionError):
        main(["doctor"])


def test_a_closed_pipe_is_no_error():
    code = (
        "import sys; sys.argv[0] = 'qnn'; import qnn.cli, qnn.cli.doctor as doctor\n"  # which loads nothing heavy
        "doctor.run = lambda arguments: print('x' * 1_000_000) or 0\n"
        "sys.exit(qnn.cli.main(['doctor']))"
    )
    writer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    writer.stdout.close()
    assert writer.wait(timeout=60) == 141
    assert writer.stderr.read() == b""
    writer.stderr.close()
