"""One parameter-shift training step with shots on Aer, beside the raw `AerSimulator.run` that it contains.

    python benchmarks/shot_step_perf.py [--repeat 5] [--batch 32] [--shots 1024] [--measured] [--workers 2]

A step is one forward and one backward pass of `QuantumLayer(4, 3, backend="aer", shots=1024)`: 32 rows and, for each of
4 inputs and 12 weights, two shifted copies of each, 32 x 33 = 1,056 circuits of 1,024 shots. Goals: a step well below
1 s, and at most 1.3 times the raw run inside it. With --measured the step is also run once with shots that Aer
draws itself, as other packages have it. With --workers the rows of a step are also spread over so many processes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import qiskit_aer
import torch
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, depolarizing_error

from qnn import QuantumLayer
from qnn.backends import Aer, Backend, Workers

GOAL_SECONDS = 1.0
GOAL_RATIO = 1.3


def depolarizing() -> NoiseModel:
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(0.001, 1), ["h", "rx"])
    model.add_all_qubit_quantum_error(depolarizing_error(0.01, 2), "cx")
    return model


def step_of(backend: Backend, batch: int, shots: int) -> Callable[[], None]:
    """A training step of the layer: forward and backward, gradients of inputs and weights."""
    layer = QuantumLayer(4, 3, backend=backend, shots=shots, seed=0)
    inputs = torch.rand(batch, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    return lambda: layer(inputs).sum().backward()


def timed_raw(action: Callable[[], Any]) -> tuple[float, float]:
    """Seconds of `action`, and of the `AerSimulator.run` calls within it, results included."""
    raw = 0.0
    run = AerSimulator.run

    def measured(self: AerSimulator, *args: Any, **kwargs: Any) -> Any:
        nonlocal raw
        start = time.perf_counter()
        job = run(self, *args, **kwargs)
        job.result()
        raw += time.perf_counter() - start
        return job

    AerSimulator.run = measured
    try:
        start = time.perf_counter()
        action()
        return time.perf_counter() - start, raw
    finally:
        AerSimulator.run = run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=5, help="timed steps per line; the median is shown")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--shots", type=int, default=1024)
    parser.add_argument("--measured", action="store_true", help="also time Aer's own shots, once (slow)")
    parser.add_argument("--workers", type=int, help="also time steps whose rows are spread over so many processes")
    options = parser.parse_args()

    print(
        f"{options.batch * 33:,} circuits of {options.shots:,} shots; qiskit-aer {qiskit_aer.__version__}; "
        f"{os.cpu_count()} CPUs, {torch.get_num_threads()} threads"
    )
    missed = False
    print(f"goals: step < {GOAL_SECONDS:g} s, step / raw run <= {GOAL_RATIO:g}\n")
    print(f"{'noise':<16}{'first s':>9}{'step s':>9}{'raw run s':>11}{'ratio':>7}  goals")
    for name, noise in (("none", None), ("depolarizing", depolarizing()), ("fake_manila", "fake_manila")):
        step = step_of(Aer(noise=noise), options.batch, options.shots)
        first, _ = timed_raw(step)  # compiles
        timings = [timed_raw(step) for _ in range(options.repeat)]
        total = statistics.median(seconds for seconds, _ in timings)
        raw = statistics.median(inside for _, inside in timings)
        ratio = statistics.median(seconds / inside for seconds, inside in timings)
        met = "met" if total < GOAL_SECONDS and ratio <= GOAL_RATIO else "MISSED"
        missed |= met == "MISSED"
        print(f"{name:<16}{first:>9.3f}{total:>9.3f}{raw:>11.3f}{ratio:>7.2f}  {met}")
        if options.workers:
            spread = step_of(Workers(Aer(noise=noise), options.workers), options.batch, options.shots)
            first, _ = timed_raw(spread)  # starts the processes, which compile
            total = statistics.median(timed_raw(spread)[0] for _ in range(options.repeat))
            print(f"{f'  {options.workers} processes':<16}{first:>9.3f}{total:>9.3f}")
        if options.measured:
            own = step_of(Aer(noise=noise, sampler="aer"), options.batch, options.shots)
            total, inside = timed_raw(own)
            print(f"{'  own shots':<25}{total:>9.3f}{inside:>11.3f}{total / inside:>7.2f}")

    return int(missed)


if __name__ == "__main__":
    raise SystemExit(main())
