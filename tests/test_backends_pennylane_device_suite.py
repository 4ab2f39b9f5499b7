"""PennyLane's own device tests on `qnn.statevector`, on default.qubit for comparison, and on `qnn.aer`."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pennylane as qml
import pytest

SUITE = Path(qml.__file__).parent / "devices" / "tests"
SHOTS = "1000000"  # as many as the suite itself proposes: its tolerance of 0.05 is too tight for few
MODES = {"exact": ["--shots=None"], "shots": [f"--shots={SHOTS}", "--device-kwargs", "seed=1"]}
# What default.qubit passes and skips, by PennyLane's version and mode; of another version it is counted anew.
DEFAULT_QUBIT = {
    ("0.45.1", "exact"): {"passed": 382, "failed": 0, "skipped": 52, "error": 0, "xfailed": 9},
    ("0.45.1", "shots"): {"passed": 374, "failed": 0, "skipped": 60, "error": 0, "xfailed": 9},
}
# Each run is a process forked from one that has loaded everything, and prints to a file of its own.
PROGRAM = """
import json, os, sys
import pennylane, pytest, torch, qnn.backends.aer, qnn.backends.pennylane_device
for place, words in json.loads(sys.argv[1]).items():
    child = os.fork()
    if child == 0:
        os.dup2(os.open(place, os.O_WRONLY | os.O_CREAT), 1)
        code = pytest.main(words)
        sys.stdout.flush()
        os._exit(code)
    os.waitpid(child, 0)
"""


def reports(runs: dict[tuple[str, str], list[str]], folder: Path) -> dict[tuple[str, str], list[str]]:
    """The lines that pytest prints, by device and mode."""
    command = ["-q", "-rf", "-p", "no:cacheprovider", "--no-flaky-report", str(SUITE)]
    places = {run: folder / " ".join(run) for run in runs}
    wanted = {str(places[run]): [*command, f"--device={run[0]}", *options] for run, options in runs.items()}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(wanted)],
        capture_output=True,
        text=True,
        timeout=600,
        env=os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "400"},  # lines of the report in full
    )
    found = {run: place.read_text().strip().splitlines() for run, place in places.items() if place.exists()}
    for run in runs:
        assert "passed" in (found.get(run) or [""])[-1], (run, found.get(run), done.stdout, done.stderr)
    return found


def counts(lines: list[str]) -> dict[str, int]:
    """How many tests passed, failed, were skipped."""
    found = re.findall(r"(\d+) (passed|failed|skipped|error|xfailed)", lines[-1])
    return dict.fromkeys(("failed", "skipped", "error", "xfailed"), 0) | {word: int(number) for number, word in found}


@pytest.mark.slow
def test_the_suite_passes_and_skips_no_more_than_on_default_qubit(tmp_path):
    """Exactly and with shots; on Aer it fails only where a state or a sparse matrix is asked for."""
    runs = {("qnn.statevector", mode): options for mode, options in MODES.items()}
    runs |= {("default.qubit", mode): MODES[mode] for mode in MODES if (qml.version(), mode) not in DEFAULT_QUBIT}
    found = reports(runs | {("qnn.aer", "exact"): MODES["exact"]}, tmp_path)
    for mode in MODES:
        theirs = DEFAULT_QUBIT.get((qml.version(), mode)) or counts(found["default.qubit", mode])
        ours = counts(found["qnn.statevector", mode])
        assert ours["failed"] == ours["error"] == 0, (mode, found["qnn.statevector", mode])
        assert sum(ours.values()) == sum(theirs.values())  # the same tests: the counts are not of another suite
        assert ours["passed"] >= theirs["passed"]
        assert ours["skipped"] <= theirs["skipped"]
    assert counts(found["qnn.statevector", "exact"])["passed"] >= 382
    lines = found["qnn.aer", "exact"]
    failures = [line for line in lines if line.startswith("FAILED")]
    assert 0 < len(failures) <= 10
    assert all("DeviceError: Measurement" in line for line in failures), failures
    assert counts(lines)["passed"] >= 379
