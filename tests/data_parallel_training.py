"""The same trainings in one process and in two: prints what came out as JSON.

python tests/data_parallel_training.py FOLDER
"""

import json
import os
import sys
from pathlib import Path

import torch
from ranks import in_processes

import qnn
from qnn.gradients import QUANTUM_OPTIMIZERS
from qnn.training import Callback, Checkpoint, fit
from qnn.training.callbacks import RunBudget

CASES = {
    "adam": {},
    "shots": {"shots": 20},
    "calibration": {"shots": 20, "mitigation": "readout"},
    "spsa of the layer": {"gradient": "spsa"},
    "lbfgs": {"optimizer": "lbfgs", "batch_size": None, "learning_rate": 0.5},
    "weights": {"sample_weight": torch.arange(41.0), "l2_penalty": 0.01, "max_gradient_norm": 0.1},
    "unused": {"frozen": True, "l1_penalty": 0.01},
    "natural-gradient": {},
    "rotosolve": {"shots": 20},
    "spsa": {"shots": 20},
}  # those with the name of a quantum optimizer use it


class Gradients(Callback):
    """The gradient of the first step, of the whole batch."""

    def on_backward_end(self, state):
        if state.step == 0:
            self.first = [p.grad.reshape(-1).tolist() for p in state.model.parameters() if p.grad is not None]


class Network(torch.nn.Module):
    def __init__(self, shots, unused, gradient, mitigation):
        super().__init__()
        layer = qnn.QuantumLayer(
            2, 1, shots=shots, gradient=gradient, mitigation=mitigation, dtype=torch.float64
        )  # its seed: each process draws its own
        self.network = torch.nn.Sequential(torch.nn.Linear(4, 2), layer, torch.nn.Linear(2, 2)).double()
        self.unused = torch.nn.Linear(1, 1) if unused else None

    def forward(self, x):
        return self.network(x)


def train(case, folder, epochs=2):
    options = {"batch_size": 20, **CASES[case]}
    rank = int(os.environ.get("RANK", "0"))
    torch.manual_seed(rank)  # processes differ in their weights and roots, until `fit` makes them alike
    given = {"shots": None, "frozen": False, "gradient": "auto", "mitigation": None}
    model = Network(*(options.pop(name, default) for name, default in given.items()))
    if case in QUANTUM_OPTIMIZERS:
        options["optimizer"] = QUANTUM_OPTIMIZERS[case](model, 0.1, 0)
    x = torch.randn(41, 4, generator=torch.Generator().manual_seed(0)).double()  # batches of 20, 20 and 1 row
    y = (x.sum(1) > 0).long()
    gradients = Gradients()
    with qnn.budget(max_circuits=10**9) as left:
        history = fit(
            model, (x, y, x[:21], y[:21]), epochs=epochs, progress=False, callbacks=[gradients, RunBudget(left)],
            metrics=["f1_score"], checkpoint=None if folder is None else Checkpoint(folder, every_steps=1), **options,
        )  # fmt: skip
    return {
        "gradients": gradients.first if hasattr(gradients, "first") else None,
        "weights": [p.detach().reshape(-1).tolist() for p in model.parameters()],
        "epochs": [{k: v for k, v in e.items() if k not in ("wall_s", "jobs")} for e in history.epochs],
        "circuits": history.usage.circuits,
        "counted by the budget": left.used["circuits"],
    }


def trainings(folder):
    """What came out of all of them."""
    results = {case: train(case, None) for case in CASES}
    train("adam", folder / "resumed", epochs=1)
    results["resumed"] = train("adam", folder / "resumed")
    return results


def main(folder):
    torch.set_num_threads(1)
    two = in_processes(2, lambda: trainings(folder / "two"))[0]
    print(json.dumps([trainings(folder / "one"), two]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
