"""A training at a provider that is killed again and again is the one that never stopped, and pays as much."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_ten_kills_change_neither_weights_nor_history_nor_what_is_paid():
    """In a process of its own: it forks, which a test process with threads must not."""
    script = Path(__file__).with_name("killed_jobs.py")
    found = subprocess.run(
        [sys.executable, str(script), "--kills", "10", "--down-s", "2"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    lines = found.stdout.splitlines()
    assert len(lines) == 5 and all("each submitted once" in line for line in lines[:4])
    assert lines[4] == "provider away for 2 s: the same weights and jobs"
