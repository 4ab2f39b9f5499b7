"""Compiled code on disk is that of the sources: Numba alone does not see a change in a function that is called."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import qnn.simulation

CALL = """
import numpy as np
from simulation import kernels
cos, sin = np.empty(1), np.empty(1)
kernels.cos_and_sin(np.array([0.5]), 1.0, cos, sin)
print(cos[0], sum(kernels.cos_and_sin.stats.cache_hits.values()))
"""


@pytest.mark.slow
def test_a_change_of_any_source_of_the_room_compiles_anew(tmp_path: Path) -> None:
    folder = tmp_path / "simulation"
    shutil.copytree(Path(qnn.simulation.__file__).parent, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("kernels.py", "compiling.py"):
        path = folder / name
        path.write_text(path.read_text().replace("qnn.simulation", "simulation"))

    def hits() -> str:
        found = subprocess.run([sys.executable, "-c", CALL], cwd=tmp_path, capture_output=True, text=True, check=True)
        return found.stdout.split()[1]

    assert (hits(), hits()) == ("0", "1")
    (folder / "gf2.py").write_text("# changed")
    assert hits() == "0"
