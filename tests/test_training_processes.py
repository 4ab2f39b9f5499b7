"""Several processes train one model as one process does, whatever their shares."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from qnn.training.processes import ALONE, World, join_world

SCRIPT = Path(__file__).with_name("data_parallel_training.py")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    command = [sys.executable, str(SCRIPT), str(tmp_path_factory.mktemp("trainings"))]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


def flat(rows):
    return torch.tensor([number for row in rows for number in row], dtype=torch.float64)


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", ["adam", "shots", "calibration", "lbfgs", "weights", "unused", "natural-gradient", "rotosolve", "spsa"]
)
def test_two_processes_compute_what_one_does(results, case):
    one, two = (result[case] for result in results)
    scale = 1e-6 if case != "lbfgs" else 1e-4  # a line search amplifies the last digit
    assert torch.allclose(flat(one["gradients"] or []), flat(two["gradients"] or []), rtol=0, atol=1e-12)
    assert torch.allclose(flat(one["weights"]), flat(two["weights"]), rtol=0, atol=scale)
    assert one["circuits"] == two["circuits"] == two["counted by the budget"] == one["counted by the budget"]
    for a, b in zip(one["epochs"], two["epochs"], strict=True):
        assert a == pytest.approx(b, abs=scale)


@pytest.mark.slow
def test_a_run_of_several_processes_resumes(results):
    _, two = results
    assert two["resumed"]["weights"] == two["adam"]["weights"]
    assert two["resumed"]["epochs"] == two["adam"]["epochs"]


def test_shares_are_contiguous_and_differ_by_one_row_at_most():
    rows = torch.arange(7)
    shares = [World(rank, 3).share(rows).tolist() for rank in range(3)]
    assert shares == [[0, 1, 2], [3, 4], [5, 6]]
    assert [len(World(rank, 3).share(rows[:1])) for rank in range(3)] == [1, 0, 0]


def test_one_process_is_alone():
    assert join_world(True, torch.device("cpu")) is ALONE
    assert join_world(False, torch.device("cpu")) is ALONE
