"""Compiled code on disk is that of the sources: Numba alone does not see a change in a function that is called."""

import gc
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import qnn.simulation
from qnn.simulation import compiling

CALL = """
import numpy as np
from simulation import measuring
values = np.empty((1, 2))
measuring.measure_outcomes(np.ones((4, 1)), np.arange(2), values)
print(values[0, 0], sum(measuring.measure_outcomes.stats.cache_hits.values()))
"""


@pytest.mark.slow
def test_a_change_of_any_source_of_the_room_compiles_anew(tmp_path: Path) -> None:
    folder = tmp_path / "simulation"
    shutil.copytree(Path(qnn.simulation.__file__).parent, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for path in folder.glob("*.py"):
        path.write_text(path.read_text().replace("qnn.simulation", "simulation"))

    def hits() -> str:
        found = subprocess.run([sys.executable, "-c", CALL], cwd=tmp_path, capture_output=True, text=True, check=True)
        return found.stdout.split()[1]

    assert (hits(), hits()) == ("0", "1")
    with (folder / "kernels.py").open("a") as within:
        within.write("# changed")
    assert hits() == "0"


def test_the_cyclic_collector_is_back_after_a_kernel_was_compiled() -> None:
    made = compiling.entry(_doubled)
    assert gc.isenabled()
    assert made(2) == 4
    assert gc.isenabled()
    gc.disable()
    try:
        assert made(2.0) == 4
        assert not gc.isenabled()
    finally:
        gc.enable()


def _doubled(x):
    return 2 * x
