"""A training that is killed again and again is the one that never stopped, and pays as much."""

import subprocess
import sys
from pathlib import Path

import pytest

BOTH = """
import sys, killed_training, killed_jobs
sys.exit(killed_training.main(["--kills", "10"]) or killed_jobs.main(["--kills", "10", "--down-s", "2"]))
"""


@pytest.mark.slow
def test_ten_kills_change_neither_weights_nor_history_nor_what_is_paid():
    """First on this machine, then at a provider; in a process that forks, which one with threads must not."""
    found = subprocess.run(
        [sys.executable, "-c", BOTH],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=Path(__file__).parent,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    here, lines = found.stdout.splitlines()[:4], found.stdout.splitlines()[4:]
    assert all(line.endswith("identical") for line in here)
    assert len(lines) == 6 and all("each submitted once" in line for line in lines[:4])
    assert lines[4].endswith("of its writes and requests: the same results, each job once")
    assert lines[5] == "provider away for 2 s: the same weights and jobs"
