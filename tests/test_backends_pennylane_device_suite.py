"""PennyLane's own device tests on `qnn.statevector`, on default.qubit for comparison, and on `qnn.aer`."""

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


def report(device: str, *options: str) -> list[str]:
    """The lines that pytest prints."""
    command = [sys.executable, "-m", "pytest", "-q", "-rf", "-p", "no:cacheprovider", "--no-flaky-report", str(SUITE)]
    done = subprocess.run(
        [*command, f"--device={device}", *options],
        capture_output=True,
        text=True,
        timeout=600,
        env=os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "400"},  # lines of the report in full
    )
    lines = done.stdout.strip().splitlines()
    assert lines and "passed" in lines[-1], done.stdout + done.stderr
    return lines


def counts(device: str, *options: str) -> dict[str, int]:
    """How many tests passed, failed, were skipped."""
    found = re.findall(r"(\d+) (passed|failed|skipped|error|xfailed)", report(device, *options)[-1])
    return dict.fromkeys(("failed", "skipped", "error", "xfailed"), 0) | {word: int(number) for number, word in found}


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_the_suite_passes_and_skips_no_more_than_on_default_qubit(mode):
    theirs = DEFAULT_QUBIT.get((qml.version(), mode)) or counts("default.qubit", *MODES[mode])
    ours = counts("qnn.statevector", *MODES[mode])
    assert ours["failed"] == ours["error"] == 0
    assert sum(ours.values()) == sum(theirs.values())  # the same tests: the counts are not of another suite
    assert ours["passed"] >= theirs["passed"]
    assert ours["skipped"] <= theirs["skipped"]
    if mode == "exact":
        assert ours["passed"] >= 382


@pytest.mark.slow
def test_aer_fails_only_where_a_state_or_a_sparse_matrix_is_asked_for():
    lines = report("qnn.aer", *MODES["exact"])
    failures = [line for line in lines if line.startswith("FAILED")]
    assert 0 < len(failures) <= 10
    assert all("DeviceError: Measurement" in line for line in failures), failures
    assert int(re.findall(r"(\d+) passed", lines[-1])[0]) >= 379
