"""What a second process gains: `qnn train` on digits, alone and by torchrun, one thread in each process.

    python benchmarks/data_parallel_perf.py

Goal: wall time per epoch at most 0.6 of one process, on a case bound by computing. Runs alternate; the median epoch of
each is compared, the first left out. Loss curves are compared as well.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

TRAIN = [
    "train",
    "digits",
    "--n-qubits",
    "8",
    "--n-layers",
    "12",
    "--gradient",
    "parameter-shift",
    "--batch-size",
    "all",
    "--seed",
    "0",
    "--quiet",
]
ALONE = [sys.executable, "-m", "qnn"]
TWO = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "qnn"]


def epochs_of(command, folder, epochs):
    """The log of one training, an entry for each epoch."""
    out = folder / "model.qnn"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, *TRAIN, "--epochs", str(epochs), "--out", str(out)], check=True, env=environment)
    return [json.loads(line) for line in Path(f"{out}.log.jsonl").read_text().splitlines()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=8)
    arguments = parser.parse_args()
    times, curves = {"one process": [], "two processes": []}, {}
    for _ in range(arguments.rounds):
        for name, command in (("one process", ALONE), ("two processes", TWO)):
            with tempfile.TemporaryDirectory() as folder:
                log = epochs_of(command, Path(folder), arguments.epochs)
            times[name] += [epoch["wall_s"] for epoch in log[1:]]
            curves[name] = [epoch["train_loss"] for epoch in log]
    for name, seen in times.items():
        print(f"{name:14} {statistics.median(seen):.3f} s an epoch, best {min(seen):.3f} s, {len(seen)} epochs")
    one, two = (statistics.median(seen) for seen in times.values())
    apart = max(abs(a - b) for a, b in zip(*curves.values(), strict=True))
    print(f"ratio {two / one:.2f} (goal: at most 0.6); loss curves at most {apart:.1e} apart")


if __name__ == "__main__":
    main()
