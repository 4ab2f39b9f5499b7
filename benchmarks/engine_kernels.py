"""Kernel against kernel: qnn's engine on NumPy arrays beside the circuit by hand in C, in one process, interleaved.

    OMP_NUM_THREADS=1 python benchmarks/engine_kernels.py [--threads 1] [--rounds 15] [--points "8,3,32 12,3,32"]

A quick look while working on the engine; `engine_perf.py` is the benchmark. Columns: milliseconds of forward + backward
(median and least), and how many times longer qnn takes than the C kernel that knows the circuit ("best") and than
the one that runs it gate by gate ("gates").
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from engine.contestants import CONTESTANTS, Step
from engine.workload import FIGURES, Point, data_of

NAMES = {"qnn": "qnn-kernel", "best": "c-best-kernel", "gates": "c-gates-kernel"}


def milliseconds(step: Step, repeat: int) -> float:
    start = time.perf_counter()
    for _ in range(repeat):
        step()
    return 1e3 * (time.perf_counter() - start) / repeat


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--points", help='as "n,L,N n,L,N"; the six of the figures table by default')
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    points = [tuple(map(int, p.split(","))) for p in options.points.split()] if options.points else FIGURES
    columns = [
        *(f"{name} {what}" for name in NAMES for what in ("ms", "min")),
        "qnn/best",
        "qnn/gates",
        "by min",
        "by min",
    ]
    print(f"{'(qubits, layers, batch)':<24}" + "".join(f"{column:>10}" for column in columns))
    for point in (Point(*p) for p in points):
        steps = [CONTESTANTS[name].build(point, data_of(point), options.threads)[0] for name in NAMES.values()]
        repeats = []
        for step in steps:  # warm, and find how many fit into 10 ms
            step()
            repeats.append(max(1, int(10 / max(milliseconds(step, 1), 1e-3))))
        rounds = [[milliseconds(s, r) for s, r in zip(steps, repeats, strict=True)] for _ in range(options.rounds)]
        found = [(statistics.median(times), min(times)) for times in zip(*rounds, strict=True)]
        ratios = [found[0][i] / other[i] for i in (0, 1) for other in found[1:]]
        print(
            f"{point!s:<24}"
            + "".join(f"{value:>10.3f}" for pair in found for value in pair)
            + "".join(f"{value:>10.2f}" for value in ratios),
            flush=True,
        )


if __name__ == "__main__":
    main()
