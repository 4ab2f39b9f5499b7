"""One parameter-shift step with shots on Aer, beside the raw `AerSimulator.run` that it contains.

    python benchmarks/shot_step_perf.py [--repeat 5] [--batch 32] [--shots 1024] [--measured]

Circuit: 4 qubits, RX(x) on every wire, 3 layers of H, RX(w) and a CNOT ring, <Z> on every wire. One step of batch 32
is 32 rows and, for each of 4 inputs and 12 weights, two shifted copies of each: 32 x 33 = 1,056 circuits of
1,024 shots. Goals: a step well below 1 s, and at most 1.3 times the raw run inside it. With --measured the same
step is also run once with shots that Aer draws itself.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import qiskit_aer
import torch
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, depolarizing_error

from qnn import _seeding
from qnn.backends import Aer, Angles
from qnn.circuits.circuit import Circuit, Operation, Slot
from qnn.circuits.observables import z_on_every_wire

GOAL_SECONDS = 1.0
GOAL_RATIO = 1.3


def layered_circuit(n_qubits: int = 4, n_layers: int = 3) -> Circuit:
    """The h_rx_cnot circuit with every angle in the rows block, since shifted copies differ in each."""
    wires = range(n_qubits)
    operations = [Operation("RX", (w,), Slot("rows", w)) for w in wires]
    for layer in range(n_layers):
        operations += [Operation("Hadamard", (w,)) for w in wires]
        operations += [Operation("RX", (w,), Slot("rows", n_qubits * (layer + 1) + w)) for w in wires]
        operations += [Operation("CNOT", (w, (w + 1) % n_qubits)) for w in wires]
    return Circuit(n_qubits, tuple(operations), z_on_every_wire(n_qubits), 0, n_qubits * (n_layers + 1))


def shifted_rows(circuit: Circuit, batch: int, seed: int = 0) -> tuple[Angles, torch.Tensor]:
    """The batch followed by its two-term shifts of every angle, and a sampling key for each row."""
    rng = np.random.default_rng(seed)
    base = torch.tensor(rng.uniform(0, 2 * np.pi, (batch, circuit.n_rows)))
    shifts = torch.eye(circuit.n_rows, dtype=torch.float64) * (np.pi / 2)
    rows = torch.cat([base, *(base + sign * shift for shift in shifts for sign in (1, -1))])
    keys = _seeding.row_keys(seed, batch, 0).repeat(1 + 2 * circuit.n_rows, 1)
    keys[:, 4] = torch.arange(1 + 2 * circuit.n_rows).repeat_interleave(batch)
    return Angles(torch.zeros(0, dtype=torch.float64), rows), keys


def depolarizing() -> NoiseModel:
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(0.001, 1), ["h", "rx"])
    model.add_all_qubit_quantum_error(depolarizing_error(0.01, 2), "cx")
    return model


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=5, help="timed steps per line; the median is shown")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--shots", type=int, default=1024)
    parser.add_argument("--measured", action="store_true", help="also time Aer's own shots, once (slow)")
    options = parser.parse_args()

    circuit = layered_circuit()
    angles, keys = shifted_rows(circuit, options.batch)
    print(
        f"{angles.n_rows} circuits of {options.shots} shots; qiskit-aer {qiskit_aer.__version__}; "
        f"{os.cpu_count()} CPUs, {torch.get_num_threads()} threads"
    )
    print(f"goals: step < {GOAL_SECONDS:g} s, step / raw run <= {GOAL_RATIO:g}\n")
    print(f"{'noise':<16}{'compile s':>10}{'step s':>9}{'raw run s':>11}{'ratio':>7}  goals")
    for name, noise in (("none", None), ("depolarizing", depolarizing()), ("fake_manila", "fake_manila")):
        backend = Aer(noise=noise)
        start = time.perf_counter()
        executable = backend.compile(circuit)
        compiling = time.perf_counter() - start
        executable.run(angles, shots=options.shots, keys=keys)  # warm-up
        timings = [
            timed_raw(lambda e=executable: e.run(angles, shots=options.shots, keys=keys)) for _ in range(options.repeat)
        ]
        step = statistics.median(total for total, _ in timings)
        raw = statistics.median(inside for _, inside in timings)
        ratio = statistics.median(total / inside for total, inside in timings)
        met = "met" if step < GOAL_SECONDS and ratio <= GOAL_RATIO else "MISSED"
        print(f"{name:<16}{compiling:>10.3f}{step:>9.3f}{raw:>11.3f}{ratio:>7.2f}  {met}")
        if options.measured:
            own = Aer(noise=noise, sampler="aer").compile(circuit)
            total, inside = timed_raw(lambda e=own: e.run(angles, shots=options.shots, keys=keys))
            print(f"{'  own shots':<26}{total:>9.3f}{inside:>11.3f}{total / inside:>7.2f}")


if __name__ == "__main__":
    main()
