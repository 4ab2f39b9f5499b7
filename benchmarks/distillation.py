"""Students beside their teachers, and a circuit beside its surrogate, on digits: the tables of docs/distillation.md
and docs/surrogate.md.

    python benchmarks/distillation.py [--seeds 5] [--write]

The teachers are trained by the labels, each student twice with one budget: by the labels alone, and by labels and
teacher with the default temperature and weight, which did best on the validation rows among five pairs. The test rows
are used for the report alone. With --write the tables in the two documents are replaced.
"""

from __future__ import annotations

import argparse
import re
import statistics
from pathlib import Path

import torch

import qnn
from qnn._files import write_atomic
from qnn.compression.distillation.distilling import distill
from qnn.compression.measurement.report import CompressionReport
from qnn.compression.surrogates.series import surrogate

DOCS = Path(__file__).parents[1] / "docs"
BUDGET = {"epochs": 60, "learning_rate": 0.01, "scheduler": "cosine", "progress": False}
RATE_OF_HYBRIDS = 0.03
DIGITS = qnn.load_task("digits")


def small_cnn(seed: int) -> torch.nn.Module:
    """830 weights: two convolutions to 6 and 8 channels, pooled, and a linear layer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return torch.nn.Sequential(
            torch.nn.Unflatten(1, (1, 8, 8)),
            torch.nn.Conv2d(1, 6, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.MaxPool2d(2),
            torch.nn.Conv2d(6, 8, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.MaxPool2d(2),
            torch.nn.Flatten(),
            torch.nn.Linear(32, 10),
        )


def hybrid(n_qubits: int, n_layers: int, n_hidden: int | None = None, **options) -> torch.nn.Module:
    """64 features to angles, a circuit, 10 logits."""
    return qnn.QuantumNeuralNetwork(64, n_hidden, 10, n_qubits=n_qubits, n_layers=n_layers, seed=0, **options)


def baseline(name: str, **options) -> torch.nn.Module:
    return qnn.build_baseline(name, n_inputs=64, n_outputs=10, image_shape=(1, 8, 8), **options)


def trained(model: torch.nn.Module, **options) -> torch.nn.Module:
    qnn.fit(model, DIGITS, **{**BUDGET, **options})
    return model


def students_of_a_cnn(teacher: torch.nn.Module, seeds: int) -> tuple[str, CompressionReport]:
    """The same student from several starts."""
    reports = [distill(teacher, small_cnn(seed), DIGITS, **BUDGET)[1] for seed in range(seeds)]
    lines = [f"{'start':<8}{'teacher':>9}{'alone':>9}{'distilled':>11}   test accuracy, %"]
    columns = [[100 * m.accuracy for m in report.measurements] for report in reports]
    rows = [*enumerate(columns), ("mean", [statistics.mean(column) for column in zip(*columns, strict=True)])]
    lines += [f"{start!s:<8}{row[0]:>9.1f}{row[1]:>9.1f}{row[2]:>11.1f}" for start, row in rows]
    before, after = reports[0].before, reports[0].after
    lines += [
        "",
        f"size of the student: {after.bytes:,} of {before.bytes:,} bytes, {after.bytes / before.bytes:.1%}; "
        f"distilled - teacher: {rows[-1][1][2] - rows[-1][1][0]:+.1f} points; "
        f"distilled - alone: {rows[-1][1][2] - rows[-1][1][1]:+.1f} points",
    ]
    return "\n".join(lines), reports[0]


def directions(cnn: torch.nn.Module) -> dict[str, CompressionReport]:
    """One report for each direction with a circuit at one of its ends."""
    large = trained(hybrid(6, 4), learning_rate=RATE_OF_HYBRIDS)
    pairs = {
        "CNN to hybrid": (cnn, hybrid(6, 2, n_hidden=10)),
        "hybrid to MLP": (large, baseline("mlp-matched", n_weights=322)),
        "large circuit to small": (large, hybrid(6, 1)),
    }
    budget = {**BUDGET, "learning_rate": RATE_OF_HYBRIDS}
    return {name: distill(teacher, student, DIGITS, **budget)[1] for name, (teacher, student) in pairs.items()}


def surrogates() -> str:
    """A hybrid in float64 beside its exact surrogate, and the ways with fewer queries."""
    model = trained(hybrid(4, 3, reupload=True, dtype=torch.float64), learning_rate=RATE_OF_HYBRIDS)
    new, report = surrogate(model, DIGITS)
    x = DIGITS.test.x.double()
    apart = float((new(x) - model(x)).detach().abs().max())
    lines = [str(report), f"largest difference of a logit on {len(x)} test rows: {apart:.1e}"]
    for n_queries in (250, 1000):
        _, fitted = surrogate(model, DIGITS, method="random", n_frequencies=n_queries // 4, n_queries=n_queries)
        lines += ["", str(fitted)]
    return "\n".join(lines)


def replace(page: str, text: str) -> None:
    """Put `text` in the place of the block that follows the marker."""
    path = DOCS / page
    marker = "<!-- printed by benchmarks/distillation.py -->\n"
    block = re.escape(marker) + r"```\n.*?```\n"
    write_atomic(path, re.sub(block, lambda _: f"{marker}```\n{text}\n```\n", path.read_text(), flags=re.DOTALL))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="starts of the student of the CNN")
    parser.add_argument("--write", action="store_true", help="replace the tables in the documents")
    given = parser.parse_args()
    cnn = trained(baseline("cnn"), epochs=30, learning_rate=0.003, scheduler=None)
    starts, first = students_of_a_cnn(cnn, given.seeds)
    parts = [f"CNN to small CNN\n{starts}\n\nfrom start 0:\n{first.table()}"]
    parts += [f"{name}\n{report.table()}" for name, report in directions(cnn).items()]
    distilled, series = "\n\n".join(parts), surrogates()
    print(distilled, series, sep="\n\n")
    if given.write:
        replace("distillation.md", distilled)
        replace("surrogate.md", series)


if __name__ == "__main__":
    main()
