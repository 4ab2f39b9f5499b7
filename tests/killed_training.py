"""A training that is killed with SIGKILL at random moments and started again each time, beside one left alone.

    python tests/killed_training.py --kills 50

Each attempt runs in a process of its own, forked from one that has imported everything, so that most of the time is
training. Prints one line a case; ends with 1 if weights or history differ in a single bit, if an attempt fails by
itself, or if most kills came before the first step.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

import torch

import qnn
from qnn.training import Checkpoint, fit
from qnn.training.state_file import read_state

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


def in_child(case, folder, result, kill_after=None, train=train):
    """Train in a forked process; kill it after so many seconds. Whether it came to its end, and how long it took."""
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            result.write_text(json.dumps(train(case, folder)))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    while True:
        if kill_after is not None and time.monotonic() - started > kill_after:
            os.kill(child, signal.SIGKILL)
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            assert status == 0 or os.WIFSIGNALED(status), f"{case}: an attempt failed by itself"
            return status == 0, time.monotonic() - started
        time.sleep(0.0005)


def torture(case, kills, seed=0):
    """Kill runs `kills` times: kills, how many of them after the first step, and whether all ends are the same."""
    moments, done, within, attempts = random.Random(seed), 0, 0, 0
    with tempfile.TemporaryDirectory() as scratch:
        result = Path(scratch) / "alone.json"
        assert in_child(case, None, result)[0]
        alone = json.loads(result.read_text())
        result = Path(scratch) / "first.json"
        whole = Path(scratch) / "whole"
        took = in_child(case, whole, result)[1]
        assert json.loads(result.read_text()) == alone, f"{case}: saving changes what is trained"
        while done < kills:
            folder, result = Path(scratch) / f"run{attempts}", Path(scratch) / f"run{attempts}.json"
            finished = False
            while not finished:
                attempts += 1
                limit = moments.uniform(0, 0.6 * took) if done < kills else None
                finished, _ = in_child(case, folder, result, limit)
                done += not finished
                within += not finished and steps_saved(folder) > 0
            if json.loads(result.read_text()) != alone or best_of(folder) != best_of(whole):
                return done, within, False
    return done, within, True


def best_of(folder):
    """Epoch and weights of the best checkpoint of a run."""
    best = read_state(folder / "best.safetensors")
    return best["epoch"], {name: weight.tolist() for name, weight in best["model"].items()}


def steps_saved(folder):
    """Steps that a run has behind it, by its folder."""
    last = folder / "last.safetensors"
    return read_state(last)["step"] if last.exists() else 0


def main(words=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(words)
    share, failed, total = -(-arguments.kills // len(CASES)), False, 0
    for options in CASES.values():  # transpiled once, before any fork; nothing is run here, so no thread is started
        qnn.QuantumLayer(2, 2, **{k: v for k, v in options.items() if k != "optimizer"}).explain()
    for case in CASES:
        done, within, same = torture(case, share, arguments.seed)
        told = f"killed {done} times, {within} of them after the first step"
        print(f"{case}: {told}: {'identical' if same else 'DIFFERENT'}", flush=True)
        failed |= not same
        total += within
    return int(failed or 2 * total < arguments.kills)


if __name__ == "__main__":
    sys.exit(main())
