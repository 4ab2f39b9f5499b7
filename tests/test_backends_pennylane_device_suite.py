"""PennyLane's own device tests on `qnn.statevector`, and on default.qubit for comparison."""

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


def counts(device: str, *options: str) -> dict[str, int]:
    """How many tests passed, failed, were skipped, by the last line of the report."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-flaky-report", str(SUITE)]
    done = subprocess.run(
        [*command, f"--device={device}", *options],
        capture_output=True,
        text=True,
        timeout=600,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    last = done.stdout.strip().splitlines()[-1]
    found = {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|skipped|error)", last)}
    assert "passed" in found, done.stdout + done.stderr
    return {"failed": 0, "skipped": 0, "error": 0} | found


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_the_suite_passes_and_skips_no_more_than_on_default_qubit(mode):
    theirs = counts("default.qubit", *MODES[mode])
    ours = counts("qnn.statevector", *MODES[mode])
    assert ours["failed"] == ours["error"] == 0
    assert ours["passed"] >= theirs["passed"]
    assert ours["skipped"] <= theirs["skipped"]
    if mode == "exact":
        assert ours["passed"] >= 382
