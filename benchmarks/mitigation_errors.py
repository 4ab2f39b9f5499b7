"""Errors of mitigated values, and of what is trained on them: the tables of docs/mitigation.md.

    python benchmarks/mitigation_errors.py [--seeds 5] [--write]

Values: <Z> on every wire of `QuantumLayer(4, 2)` for random weights and 16 random inputs, with the noise of the fake
device fake_manila. Errors in exact arithmetic are what no number of shots removes; standard errors are those that 1,000
shots of each circuit leave. Training: a layer learns the outputs of another one through detectors of different quality,
from 400 shots a circuit. With --write the tables in docs/mitigation.md are replaced.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import torch
from qiskit_aer.noise import NoiseModel, ReadoutError

from qnn import QuantumLayer, _seeding
from qnn._files import write_atomic
from qnn.backends import Aer

PAGE = Path(__file__).parents[1] / "docs" / "mitigation.md"
OPTIONS = (
    None,
    "readout",
    "zne",
    "readout+zne",
    {"readout": True, "zne": [1, 3]},
    {"readout": True, "zne": [1, 3, 5], "extrapolation": "linear"},
    {"readout": True, "zne": [1, 3], "extrapolation": "exponential"},
    {"readout": True, "zne": [1, 3, 5], "folding": "global"},
)
SHOTS = 1000
STEPS = 80


def errors(seeds: int) -> list[list[str]]:
    """A line for each way to mitigate."""
    lines, first = [], 0.0
    for mitigation in OPTIONS:
        bias, spread, circuits = 0.0, 0.0, 0
        for seed in range(seeds):
            inputs = 3 * torch.rand(16, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
            truth = QuantumLayer(4, 2, seed=seed, dtype=torch.float64)(inputs)
            layer = QuantumLayer(4, 2, seed=seed, dtype=torch.float64, backend="aer", noise="fake_manila")
            with torch.no_grad(), layer.using(mitigation=mitigation):
                bias += float((layer(inputs) - truth).pow(2).mean()) / seeds
                with layer.using(shots=SHOTS):
                    variance = layer.estimate(inputs).variance
                    assert variance is not None
                    spread += float(variance.mean()) / seeds
                    circuits = layer.plan.differentiator.executable.circuits_per_row(SHOTS)
        first = first or bias
        name = "none" if mitigation is None else f"`{mitigation!r}`".replace("'", '"')
        ratio = "" if mitigation is None else f"{(first / bias) ** 0.5:.1f}"
        lines.append([name, f"{bias**0.5:.4f}", ratio, f"{spread**0.5:.3f}", str(circuits)])
    return lines


def detectors() -> NoiseModel:
    """Perfect gates, and detectors of which each has errors of its own."""
    model = NoiseModel()
    for qubit, (e0, e1) in enumerate([(0.02, 0.08), (0.05, 0.12)]):
        model.add_readout_error(ReadoutError([[1 - e0, e0], [e1, 1 - e1]]), [qubit])
    return model


def trained(seed: int, mitigation: str | None, backend: Aer) -> float:
    """Exact loss, on inputs that were not trained on, of what a layer learnt."""
    generator = torch.Generator().manual_seed(seed)
    inputs, others = 3 * torch.rand(2, 24, 2, dtype=torch.float64, generator=generator)
    teacher = QuantumLayer(2, 1, seed=seed, dtype=torch.float64)
    student = QuantumLayer(2, 1, seed=seed, dtype=torch.float64, backend=backend, mitigation=mitigation, shots=400)
    with torch.no_grad():
        student.weights.add_(0.4)
        targets = teacher(inputs)
    optimizer = torch.optim.Adam(student.parameters(), lr=0.1)
    for step in range(STEPS):
        with _seeding.step_scope(step):
            loss = (student(inputs) - targets).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad(), student.using("statevector"):
        return float((student(others) - teacher(others)).pow(2).mean())


def trainings(seeds: int) -> list[list[str]]:
    """A line for each seed."""
    backend = Aer(noise=detectors())
    lines = []
    for seed in range(seeds):
        without, within = (trained(seed, mitigation, backend) for mitigation in (None, "readout"))
        lines.append([str(seed), f"{without:.1e}", f"{within:.1e}"])
    return lines


def table(heads: list[str], lines: list[list[str]]) -> str:
    """Markdown, numbers on the right."""
    return "\n".join("| " + " | ".join(line) + " |" for line in [heads, ["---"] + ["---:"] * (len(heads) - 1), *lines])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="weights and inputs (default: 5)")
    parser.add_argument("--write", action="store_true", help="replace the tables in docs/mitigation.md")
    arguments = parser.parse_args()
    heads = ["`mitigation`", "error", "times smaller", f"standard error, {SHOTS:,} shots", "circuits a row"]
    tables = {
        "values": table(heads, errors(arguments.seeds)),
        "training": table(["seed", "loss without", 'loss with `"readout"`'], trainings(arguments.seeds)),
    }
    page = PAGE.read_text() if arguments.write else ""
    for name, text in tables.items():
        print(text, end="\n\n")
        page = re.sub(
            rf"(<!-- {name} -->\n).*?(<!-- end -->)", lambda m, t=text: f"{m[1]}{t}\n{m[2]}", page, flags=re.S
        )
    if arguments.write:
        write_atomic(PAGE, page)


if __name__ == "__main__":
    main()
