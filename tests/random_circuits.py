"""Random asymmetric circuits over the whole gate table, the same on every machine."""

import numpy as np
import torch

from qnn.backends.base import Angles
from qnn.circuits.circuit import Circuit, Operation, Slot
from qnn.circuits.gates import GATES
from qnn.circuits.observables import Expectation, Measurement, PauliSum, Probabilities, pauli


def random_measurements(n_wires: int, rng: np.random.Generator) -> tuple[Measurement, ...]:
    """One word of each letter, a sum with a constant, and probabilities in an odd order of wires."""
    wires = [int(w) for w in rng.permutation(n_wires)]
    first, last = wires[0], wires[-1]
    words = tuple(Expectation(pauli(((first, letter),))) for letter in "XYZ")
    mixed = ((0.7, ((last, "X"),)), (-1.3, tuple(sorted({first: "Z", last: "Y"}.items()))), (0.25, ()))
    return (*words, Expectation(PauliSum(mixed)), Probabilities(tuple(wires[: max(1, n_wires - 1)])))


def random_circuit(
    seed: int,
    n_wires: int,
    n_operations: int = 12,
    *,
    gates: tuple[str, ...] = tuple(GATES),
    measurements: tuple[Measurement, ...] | None = None,
    blocks: tuple[str, ...] = ("shared", "rows"),
) -> Circuit:
    """A circuit whose angles are slots of both blocks, in shuffled order, and constants."""
    rng = np.random.default_rng(seed)
    fitting = [g for g in gates if (GATES[g].n_wires or 1) <= n_wires]
    operations, slots = [], {"shared": 0, "rows": 0}
    for _ in range(n_operations):
        name = fitting[rng.integers(len(fitting))]
        k = GATES[name].n_wires or int(rng.integers(1, n_wires + 1))
        wires = tuple(int(w) for w in rng.permutation(n_wires)[:k])
        angle: Slot | float | None = None
        if GATES[name].is_parametric:
            block = (*blocks, "constant")[rng.integers(len(blocks) + 1)]
            if block == "constant":
                angle = float(rng.uniform(-np.pi, np.pi))
            else:
                angle = Slot(block, slots[block])
                slots[block] += 1
        operations.append(Operation(name, wires, angle))
    if measurements is None:
        measurements = random_measurements(n_wires, rng)
    return Circuit(n_wires, tuple(operations), measurements, slots["shared"], slots["rows"])


def every_gate(n_wires: int = 4, seed: int = 0) -> Circuit:
    """Every gate of the table once, between rotations that leave no wire in an eigenstate."""
    rng = np.random.default_rng(seed)
    operations = []
    n_rows = 0
    for wire in range(n_wires):
        operations.append(Operation("RY", (wire,), 0.4 + 0.3 * wire))
    for name, gate in GATES.items():
        wires = tuple(int(w) for w in rng.permutation(n_wires)[: gate.n_wires or 3])
        angle = None
        if gate.is_parametric:
            angle = Slot("rows", n_rows)
            n_rows += 1
        operations.append(Operation(name, wires, angle))
        operations.append(Operation("RX", (wires[0],), float(rng.uniform(0.2, 1.2))))
    return Circuit(n_wires, tuple(operations), random_measurements(n_wires, rng), 0, n_rows)


def random_angles(circuit: Circuit, n_rows: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Angles:
    """Angles over several turns."""
    rng = np.random.default_rng(seed)
    shared = torch.tensor(rng.uniform(-7, 7, circuit.n_shared), dtype=dtype)
    rows = torch.tensor(rng.uniform(-7, 7, (n_rows, circuit.n_rows)), dtype=dtype)
    return Angles(shared, rows)
