"""Hybrids on the digits, trained, pruned and fine-tuned: gates before and after, as written and on a heavy-hex device.

    python benchmarks/prune_circuit.py

Goal: a circuit loses 30 % of its gates or more, with an accuracy inside the interval of the unpruned one. Two hybrids
on 4 qubits: of one, rotations of a strongly entangling circuit leave by Fisher information; of the other, layers of
a hardware-efficient circuit leave as a whole. Exits with 1 where the goal is missed. About a minute on one core.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

import torch

import qnn
from qnn.compression import CompressionReport
from qnn.compression.pruning import prune
from qnn.errors import InertParameterWarning

GOAL = 0.30
SHOTS = 1000
HYBRIDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "rotations by Fisher information": (
        {"n_layers": 6, "ansatz": "strongly_entangling"},
        {"method": "fisher", "amount": 0.5, "rounds": 4},
    ),
    "layers as a whole": (
        {"n_layers": 6, "ansatz": "hardware_efficient"},
        {"method": "layer", "amount": 2, "rounds": 2},
    ),
}


def pruned(
    task: Any, circuit: dict[str, Any], options: dict[str, Any], epochs: int, device: str | None = "fake_sherbrooke"
) -> tuple[torch.nn.Module, torch.nn.Module, CompressionReport]:
    """Train a hybrid, prune and fine-tune it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InertParameterWarning)  # of RZ before CNOTs at the end
        model = qnn.QuantumNeuralNetwork(task.train.x.shape[1], None, 10, n_qubits=4, seed=0, **circuit)
    qnn.fit(model, task, epochs=epochs, learning_rate=0.02, progress=False)
    tuning = qnn.FitConfig(epochs=max(1, epochs // 2), learning_rate=0.01, progress=False)
    return model, *prune(model, task, fine_tune=tuning, device=device, **options)


def lost(report: CompressionReport) -> float:
    """The share of the gates as written that left."""
    before, after = map(int, report.details["gates as written"].split(" -> "))
    return 1 - after / before


def reached(report: CompressionReport) -> bool:
    """Whether the goal is."""
    before, after = report.before, report.after
    return lost(report) >= GOAL and before.accuracy_low <= after.accuracy <= before.accuracy_high


def circuits_with_shots(model: torch.nn.Module) -> int:
    """Circuits of a training step of 32 rows, were the model trained with shots."""
    layer = next(part for part in model.modules() if isinstance(part, qnn.QuantumLayer))
    with layer.using(shots=SHOTS, gradient="parameter-shift"):
        return layer.explain(32).circuits_per_step


def main() -> int:
    """Print both tables; 1 where the goal is missed."""
    torch.set_num_threads(1)
    task, good = qnn.load_task("digits"), True
    for name, (circuit, options) in HYBRIDS.items():
        model, smaller, report = pruned(task, circuit, options, epochs=40)
        before, after = (circuits_with_shots(part) for part in (model, smaller))
        good &= reached(report)
        print(f"{name}: {circuit}, then {options}\n{report}")
        shots = f"{before * SHOTS:,} -> {after * SHOTS:,} shots"
        print(f"circuits a step with {SHOTS} shots  {before:,} -> {after:,} ({shots})")
        print(f"{lost(report):.0%} of the gates as written left; goal {'reached' if reached(report) else 'MISSED'}\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
