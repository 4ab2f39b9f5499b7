"""Stages in two processes train what one process trains."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pipeline_training import CASES, trained

from qnn.errors import ArgumentError, DtypeError
from qnn.training import Pipeline


class Scaled(torch.nn.Sequential):
    def forward(self, x):
        return super().forward(x) * 2 + 1


@pytest.mark.slow
def test_two_stages_end_with_the_weights_and_losses_of_one_process():
    script = Path(__file__).with_name("pipeline_training.py")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    for case in CASES:
        alone = trained(case, staged=False)
        for part in ("weights", "losses"):
            torch.testing.assert_close(torch.tensor(found[case][part]), torch.tensor(alone[part]), rtol=0, atol=1e-12)


def test_what_cannot_be_a_pipeline_is_refused():
    with pytest.raises(DtypeError, match=r"`model` must be a torch.nn.Sequential; got Linear"):
        Pipeline(torch.nn.Linear(2, 2))
    with pytest.raises(DtypeError, match="got Scaled with a `forward` of its own"):
        Pipeline(Scaled(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)))
    with pytest.raises(ArgumentError, match="`microbatches` must be a whole number above 0; got 0"):
        Pipeline(torch.nn.Sequential(torch.nn.Linear(2, 2)), microbatches=0)
    with pytest.raises(ArgumentError, match=r"must have two processes or more.*got 1. Start the program by torchrun"):
        Pipeline(torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)))
