"""What pruning and quantisation of classical layers cost on digits: the tables of two pages of docs.

    python benchmarks/classical_compression.py [--seeds 3] [--tables pruning int8 angles] [--write]

Every seed is another split and other initial weights; each model is trained for 20 epochs, then compressed. Goals:
half the weights or fewer within one point of accuracy by structured pruning; int8 within half a point at a quarter of
the bytes, on models large enough that scales, biases and the header of the file weigh little. A point of 360 test rows
is 3.6 rows. With --write the tables in docs/pruning_classical.md and docs/quantisation.md are replaced.
"""

from __future__ import annotations

import argparse
import copy
import re
import statistics
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn

import qnn
from qnn._files import write_atomic
from qnn.compression.measurement.measuring import Measuring
from qnn.compression.measurement.report import CompressionReport
from qnn.compression.networks.pruning import prune_classical
from qnn.compression.quantisation.quantising import quantize
from qnn.compression.tuning import tune, tuning_config

DOCS = Path(__file__).parents[1] / "docs"
TUNED = {"fine_tune": 10, "rounds": 3, "device": None}
SMALL, LARGE = ("mlp", "cnn", "deep mlp"), ("wide mlp", "wide cnn", "cnn")
TIMES = ("ms before", "ms after")
GRIDS: tuple[dict[str, Any], ...] = ({"bits": 2}, {"angles": "clifford+t"}, {"bits": 4}, {"bits": 6})


def chain(*widths: int) -> nn.Sequential:
    """Linear layers with ReLU between."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(widths):
        layers += [nn.Linear(n_in, n_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def wide_cnn() -> nn.Sequential:
    """The baseline's CNN with four times its channels."""
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 128, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(2048, 10),
    )  # fmt: skip


def trained(name: str, seed: int) -> tuple[nn.Module, Any]:
    """A model and its task."""
    task = qnn.load_task("digits", seed=seed)
    torch.manual_seed(seed)
    if name in ("mlp", "cnn"):
        shape = task.image_shape
        model: nn.Module = qnn.build_baseline(name, n_inputs=64, n_outputs=10, image_shape=shape, seed=seed)
    elif name == "hybrid":
        model = qnn.QuantumNeuralNetwork(64, None, 10, n_qubits=6, n_layers=3, seed=seed)
    else:
        model = {"deep mlp": lambda: chain(64, 48, 48, 48, 10), "wide mlp": lambda: chain(64, 1024, 1024, 10)}.get(
            name, wide_cnn
        )()
    rate = 0.001 if name.startswith("wide") else 0.01
    qnn.fit(model, task, epochs=20, learning_rate=rate, seed=seed, progress=False)
    return model, task


def line(name: str, what: str, reports: list[CompressionReport], cost: str) -> list[str]:
    """Accuracies over the seeds, and what is left of a cost."""
    before, after = ([100 * (getattr(r, end).accuracy or 0) for r in reports] for end in ("before", "after"))
    change = [b - a for a, b in zip(before, after, strict=True)]
    left = statistics.mean(getattr(r.after, cost) / getattr(r.before, cost) for r in reports)
    return [
        name, what, f"{statistics.mean(before):.1f} %", f"{statistics.mean(after):.1f} %",
        f"{statistics.mean(change):+.1f}", f"{min(change):+.1f}", f"{100 * left:.1f} %",
    ]  # fmt: skip


def control(model: nn.Module, task: Any) -> CompressionReport:
    """The same training again, three times ten epochs, without pruning."""
    new = copy.deepcopy(model)
    for number in range(TUNED["rounds"]):
        tune(new, task, tuning_config(TUNED["fine_tune"], task, new), number)
    measuring = Measuring(task, device=None)
    for label, one in (("before", model), ("after", new)):
        measuring.add(label, one)
    return CompressionReport("control", measuring.finish())


def pruning(models: dict[str, list[tuple[nn.Module, Any]]]) -> list[list[str]]:
    """A line for each model and method."""
    cases: list[tuple[str, str, dict[str, Any]]] = []
    for name in ("mlp", "cnn"):
        size = sum(p.numel() for p in models[name][0][0].parameters())
        cases += [
            (name, "neuron, half the weights", {"method": "neuron", "target": size // 2, **TUNED}),
            (name, "neuron, a quarter", {"method": "neuron", "target": size // 4, **TUNED}),
            (name, "activation, half", {"method": "activation", "target": size // 2, **TUNED}),
            (name, "neuron, half, not tuned", {"method": "neuron", "target": size // 2, "device": None}),
            (name, "weight, 80 % zeros", {"method": "weight", "amount": 0.8, **TUNED}),
            (name, "l1, below 0.01", {"method": "l1", "fine_tune": 10, "device": None}),
        ]
    cases.append(
        ("deep mlp", "whole-layer, one", {"method": "whole-layer", "amount": 1, "fine_tune": 10, "device": None})
    )
    lines = [
        line(name, "nothing, tuned alike", [control(*pair) for pair in models[name]], "n_weights") for name in models
    ]
    for name, what, options in cases:
        reports = [prune_classical(model, task, **options)[1] for model, task in models[name]]
        row = line(name, what, reports, "n_weights")
        if "zero_weights" in reports[0].details:
            zeros = statistics.mean(r.details["zero_weights"] / r.details["weights_before"] for r in reports)
            row[-1] += f", {100 * zeros:.0f} % zero"
        lines.append(row)
    return lines


def int8(models: dict[str, list[tuple[nn.Module, Any]]]) -> list[list[str]]:
    """A line for each model and method; the last two columns are latencies in milliseconds for 32 rows."""
    lines = []
    for name in LARGE:
        for method in ("int8-weights", "int8-dynamic", "int8-static"):
            reports = [quantize(model, task, method=method, device=None)[1] for model, task in models[name]]
            times = [statistics.median(getattr(r, end).latency_ms for r in reports) for end in ("before", "after")]
            lines.append(line(name, method, reports, "bytes") + [f"{t:.2f}" for t in times])
    return lines


def angles(models: list[tuple[nn.Module, Any]]) -> list[list[str]]:
    """A line for each grid: nearest values, and trained through the rounding for five epochs."""
    lines = []
    for options in GRIDS:
        for epochs in (0, 5):
            reports = [
                quantize(m, task, method="angles", fine_tune=epochs, device=None, **options)[1] for m, task in models
            ]
            what = ", ".join(f"{key}={value!r}" for key, value in options.items())
            moved = statistics.mean(r.details["outputs_moved_on_average"] for r in reports)
            row = line(f"`{what}`", "trained" if epochs else "nearest", reports, "bytes")[:-1]
            lines.append([*row, f"{moved:.3f}"])
    return lines


def table(heads: list[str], lines: list[list[str]]) -> str:
    """Markdown, numbers on the right."""
    rule = ["---", "---"] + ["---:"] * (len(heads) - 2)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [heads, rule, *lines])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="splits and initial weights (default: 3)")
    parser.add_argument("--tables", nargs="+", choices=("pruning", "int8", "angles"), help="not all of them")
    parser.add_argument("--write", action="store_true", help="replace the tables in docs")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    def models(*names: str) -> dict[str, list[tuple[nn.Module, Any]]]:
        return {name: [trained(name, seed) for seed in range(arguments.seeds)] for name in names}

    scores = ["before", "after", "change", "worst"]
    made = {
        "pruning": (
            "pruning_classical.md",
            ["model", "pruned", *scores, "weights left"],
            lambda: pruning(models(*SMALL)),
        ),
        "int8": ("quantisation.md", ["model", "method", *scores, "bytes", *TIMES], lambda: int8(models(*LARGE))),
        "angles": (
            "quantisation.md",
            ["grid", "", *scores, "outputs moved"],
            lambda: angles(models("hybrid")["hybrid"]),
        ),
    }
    for name in arguments.tables or made:
        page, heads, lines = made[name]
        text = table(heads, lines())
        print(text, end="\n\n")
        if arguments.write:
            place = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
            old = (DOCS / page).read_text()
            write_atomic(DOCS / page, re.sub(place, lambda m, t=text: f"{m[1]}{t}\n{m[2]}", old, flags=re.S))


if __name__ == "__main__":
    main()
