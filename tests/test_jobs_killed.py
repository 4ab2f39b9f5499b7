"""A training that is killed again and again is the one that never stopped, and pays as much."""

import subprocess
import sys
from pathlib import Path

import pytest

# At the provider most of the time is waiting.
BOTH = """
import os, sys, killed_training, killed_jobs
child = os.fork()
if child == 0:
    sys.exit(killed_training.main(["--kills", "10"]))
code = killed_jobs.main(["--kills", "10", "--down-s", "1"])
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) or code)
"""


@pytest.mark.slow
def test_ten_kills_change_neither_weights_nor_history_nor_what_is_paid():
    """On this machine, and at a provider; in a process that forks, which one with threads must not."""
    found = subprocess.run(
        [sys.executable, "-c", BOTH],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=Path(__file__).parent,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    here = [line for line in found.stdout.splitlines() if line.endswith("step: identical")]
    lines = [line for line in found.stdout.splitlines() if line not in here]
    assert len(here) == 4
    assert len(lines) == 6 and all("each submitted once" in line for line in lines[:4])
    assert lines[4].endswith("of its writes and requests: the same results, each job once")
    assert lines[5] == "provider away for 1 s: the same weights and jobs"
