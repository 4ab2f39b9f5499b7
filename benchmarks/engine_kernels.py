"""Kernel against kernel: qnn's engine on NumPy arrays beside the circuit by hand in C, in one process, interleaved.

    OMP_NUM_THREADS=1 python benchmarks/engine_kernels.py [--threads 1] [--rounds 15] [--points "8,3,32 12,3,32"]

A quick look while working on the engine; `engine_perf.py` is the benchmark. Columns: milliseconds of forward + backward
(medians), and how many times longer qnn takes than the C kernel that knows the circuit ("best") and the one
that runs it gate by gate ("gates").
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from engine.kernel import CKernel
from engine.workload import FIGURES, Data, Point, data_of

from qnn import QuantumLayer
from qnn.simulation.engine import Engine
from qnn.simulation.program import words_program

Pass = Callable[[], object]


def engine_passes(point: Point, data: Data) -> tuple[Pass, Pass]:
    """Forward and backward of qnn's engine. A row's gradients come back by rotation, (N, K)."""
    program = words_program(QuantumLayer(point.n_qubits, point.n_layers).circuit)
    engine = Engine(program)
    shared, kept = data.weights.ravel(), []
    wanted = np.ones(len(program.rotations), dtype=bool)

    def forward() -> None:
        kept[:] = engine.forward(shared, data.inputs, keep=True)

    return forward, lambda: engine.backward(shared, data.inputs, kept[1], data.cotangent, wanted)


def c_passes(point: Point, data: Data, kind: str, threads: int) -> tuple[Pass, Pass]:
    kernel, kept = CKernel(point.n_qubits, point.n_layers, threads=threads, kind=kind), []

    def forward() -> None:
        kept[:] = kernel.forward(data.inputs, data.weights, keep=True)

    return forward, lambda: kernel.backward(data.inputs, data.weights, data.cotangent, kept[1])


def seconds(action: Pass, repeat: int) -> float:
    start = time.perf_counter()
    for _ in range(repeat):
        action()
    return (time.perf_counter() - start) / repeat


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--points", help='as "n,L,N n,L,N"; the six of the figures table by default')
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    points = [tuple(map(int, p.split(","))) for p in options.points.split()] if options.points else FIGURES
    columns = "qnn fwd", "bwd", "best fwd", "bwd", "gates fwd", "bwd", "qnn/best", "qnn/gates"
    print(f"{'(qubits, layers, batch)':<24}" + "".join(f"{column:>11}" for column in columns))
    for point in (Point(*p) for p in points):
        data = data_of(point)
        contestants = [
            engine_passes(point, data),
            *(c_passes(point, data, k, options.threads) for k in ("best", "gates")),
        ]
        actions = [action for pair in contestants for action in pair]
        repeats = []
        for action in actions:  # warm, compile, and find how many fit into 5 ms
            action()
            repeats.append(max(1, int(0.005 / max(seconds(action, 1), 1e-6))))
        times = [[seconds(a, r) for a, r in zip(actions, repeats, strict=True)] for _ in range(options.rounds)]
        ms = [1e3 * statistics.median(column) for column in zip(*times, strict=True)]
        total = [ms[0] + ms[1], ms[2] + ms[3], ms[4] + ms[5]]
        print(
            f"{point!s:<24}"
            + "".join(f"{value:>11.3f}" for value in ms)
            + f"{total[0] / total[1]:>11.2f}{total[0] / total[2]:>11.2f}"
        )


if __name__ == "__main__":
    main()
