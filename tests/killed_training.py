"""A training that is killed with SIGKILL at random moments and started again each time, beside one left alone.

    python tests/killed_training.py --kills 50

Each attempt runs in a process of its own, forked from one that has imported everything, so that most of the time is
training. Prints one line a case; ends with 1 if weights or history differ in a single bit.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import torch

import qnn
from qnn.training import Checkpoint, fit

CASES = {
    "exact": {},
    "shots": {"shots": 30},
    "aer, shots": {"backend": "aer", "shots": 20},
    "exact, L-BFGS": {"optimizer": "lbfgs"},
}


def train(case, folder=None, epochs=6):
    """Weights as bytes, and the history without times."""
    torch.set_num_threads(1)
    options = dict(CASES[case])
    optimizer = options.pop("optimizer", "adam")
    torch.manual_seed(0)
    x = torch.randn(48, 3)
    y = (x[:, 0] * x[:, 1] > 0).long()
    model = torch.nn.Sequential(
        torch.nn.Linear(3, 2), torch.nn.Dropout(0.1), qnn.QuantumLayer(2, 2, seed=3, **options), torch.nn.Linear(2, 2)
    )
    checkpoint = None if folder is None else Checkpoint(folder, every_steps=1)
    history = fit(
        model, (x, y, x[:20], y[:20]), epochs=epochs, batch_size=8, learning_rate=0.05, optimizer=optimizer,
        scheduler="cosine", scheduler_step="step", progress=False, checkpoint=checkpoint,
    )  # fmt: skip
    weights = torch.cat([weight.detach().reshape(-1) for weight in model.parameters()]).numpy().tobytes().hex()
    told = history.as_dict()
    for epoch in told["epochs"]:
        del epoch["wall_s"]
    return {"weights": weights, "history": told}


def in_child(case, folder, result, kill_after=None):
    """Train in a forked process; kill it after so many seconds. Whether it came to its end, and how long it took."""
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            result.write_text(json.dumps(train(case, folder)))
        finally:
            os._exit(0)
    while True:
        if os.waitpid(child, os.WNOHANG)[0]:
            return result.exists(), time.monotonic() - started
        if kill_after is not None and time.monotonic() - started > kill_after:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return False, time.monotonic() - started
        time.sleep(0.0005)


def torture(case, kills, seed=0):
    """Kill a run `kills` times; kills, steps seen in the folder at each, and whether the end is the same."""
    moments, done, attempts = random.Random(seed), 0, 0
    with tempfile.TemporaryDirectory() as scratch:
        result = Path(scratch) / "alone.json"
        assert in_child(case, None, result)[0]
        alone = json.loads(result.read_text())
        result = Path(scratch) / "first.json"
        took = in_child(case, Path(scratch) / "whole", result)[1]
        assert json.loads(result.read_text()) == alone, f"{case}: saving changes what is trained"
        while done < kills:
            folder, result = Path(scratch) / f"run{attempts}", Path(scratch) / f"run{attempts}.json"
            finished = False
            while not finished:
                attempts += 1
                limit = moments.uniform(0, 0.6 * took) if done < kills else None
                finished, _ = in_child(case, folder, result, limit)
                done += not finished
            if json.loads(result.read_text()) != alone:
                return done, attempts, False
    return done, attempts, True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    share, failed = -(-arguments.kills // len(CASES)), False
    for case in CASES:
        done, attempts, same = torture(case, share, arguments.seed)
        print(f"{case}: killed {done} times in {attempts} attempts, {'identical' if same else 'DIFFERENT'}", flush=True)
        failed |= not same
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
