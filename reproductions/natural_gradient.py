"""Natural gradient needs fewer steps than gradient descent (Stokes et al. 2020), where a closed form says why.

    python reproductions/natural_gradient.py [--quick]

One qubit RZ(φ) RY(θ)|0>, to be turned into a target near the pole, where φ hardly moves the state.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

import numpy as np
import pennylane as qml
import torch
from matplotlib.figure import Figure
from reproduction import Claim, Record, Table, command

from qnn import QuantumLayer
from qnn.comparison.palette import INK, QUIET
from qnn.gradients.optimizers import NaturalGradient

TARGETS = (60, 30, 15, 8)  # polar angles in degrees
SGD_RATE, NATURAL_RATE = 0.8, 0.2  # alike in θ: the metric there is 1/4
GOAL, MOST = 1e-12, 20_000
OFF = (0.3, 0.6)  # where to start: this far from the target's θ and φ
ALLOWED = 1e-3
COLOURS = {"SGD": "#d55e00", "natural gradient": "#0072b2"}
SAYS = """Natural gradient descent, θ ← θ - η g⁻¹ ∇C with the Fubini-Study metric g, takes fewer steps than gradient
descent, because it follows the steepest descent of the state, however the circuit is parametrised."""
DONE = f"""The figures beside ours are not the paper's: on one qubit its metric says in closed form what a step does.
RZ(φ) RY(θ)|0⟩ has the metric diag(1, sin²θ)/4, and the infidelity C with a target of polar angle t has the Hessian
diag(1, sin²t)/2 at its minimum, twice the metric. Near the target a step of rate η therefore leaves of the way a factor
of 1 - 2η (natural gradient, in all directions) or of 1 - η sin²t/2 (gradient descent, in φ): near the pole gradient
descent stalls. Rates are {SGD_RATE:g} for `torch.optim.SGD` and {NATURAL_RATE:g} for `NaturalGradient`, which is the
same step in θ; both start {OFF[0]:g} rad in θ and {OFF[1]:g} rad in φ away from the target and stop at
C ≤ {GOAL:g}."""

Optimizer = Callable[[QuantumLayer, float], torch.optim.Optimizer]
OPTIMIZERS: dict[str, Optimizer] = {
    "SGD": lambda layer, rate: torch.optim.SGD(layer.parameters(), lr=rate),
    "natural gradient": lambda layer, rate: NaturalGradient(layer, lr=rate, damping=0),
}
RATES = {"SGD": SGD_RATE, "natural gradient": NATURAL_RATE}


def theory(name: str, degrees: float) -> float:
    """By what factor one step shrinks the way that is left, near the target."""
    if name == "natural gradient":
        return 1 - 2 * NATURAL_RATE
    return 1 - SGD_RATE * math.sin(math.radians(degrees)) ** 2 / 2


def best_rate(name: str, degrees: float) -> float:
    """The rate of the smallest factor: 1/2 is Newton's step, 2 over the sum of the Hessian's eigenvalues is SGD's."""
    return 0.5 if name == "natural gradient" else 4 / (1 + math.sin(math.radians(degrees)) ** 2)


def target_layer(degrees: float) -> QuantumLayer:
    """RZ(φ) RY(θ)|0> measured along the target's axis: a value of 1 is the target; weights [θ, φ] start off it."""
    polar = math.radians(degrees)

    def function(weights):
        qml.RY(weights[0], wires=0)
        qml.RZ(weights[1], wires=0)
        return qml.expval(math.sin(polar) * qml.X(0) + math.cos(polar) * qml.Z(0))

    start = torch.tensor([polar + OFF[0], OFF[1]], dtype=torch.float64)
    return QuantumLayer.from_pennylane(
        function, n_inputs=0, weight_shapes={"weights": 2}, dtype=torch.float64, init=lambda shape, generator: start
    )


def descent(name: str, degrees: float, rate: float) -> list[float]:
    """Infidelities C = (1 - <target>)/2 before each step, until the goal is reached."""
    layer = target_layer(degrees)
    optimizer, costs = OPTIMIZERS[name](layer, rate), []
    while len(costs) < MOST:
        optimizer.zero_grad()
        cost = (1 - layer()[..., 0]) / 2
        costs.append(cost.item())
        if costs[-1] <= GOAL:
            break
        cost.backward()
        optimizer.step()
    return costs


def contraction(costs: list[float]) -> float:
    """How a step shrank the way, the root of the cost, over the part of the descent between 1e-6 and the goal."""
    last = [math.sqrt(cost) for cost in costs if GOAL * 10 < cost < 1e-6]
    return (last[-1] / last[0]) ** (1 / (len(last) - 1))


def reproduce(quick: bool) -> Record:
    """Descend to each target by both; quick: the two targets farthest from the pole."""
    targets = TARGETS[:2] if quick else TARGETS
    costs = {name: [descent(name, degrees, RATES[name]) for degrees in targets] for name in OPTIMIZERS}
    claims = [
        Claim(
            f"{name}, target at {degrees}°: factor of a step", theory(name, degrees), contraction(path), ALLOWED, ".4f"
        )
        for name, paths in costs.items()
        for degrees, path in zip(targets, paths, strict=True)
    ]
    steps = {name: [len(path) - 1 for path in paths] for name, paths in costs.items()}
    best = {
        name: [len(descent(name, degrees, best_rate(name, degrees))) - 1 for degrees in targets] for name in OPTIMIZERS
    }
    claims += [
        Claim(f"target at {degrees}°: steps, fewer than SGD's", slow, fast, 0, ",.0f", relation="below")
        for degrees, slow, fast in zip(targets, steps["SGD"], steps["natural gradient"], strict=True)
    ]
    return Record(
        name="natural_gradient",
        title="Natural gradient needs fewer steps than gradient descent",
        paper="Stokes, Izaac, Killoran, Carleo, Quantum 4, 269 (2020)",
        doi="10.22331/q-2020-05-25-269",
        says=SAYS,
        done=[DONE],
        claims=claims,
        tables=[
            Table(
                f"Steps to an infidelity of {GOAL:g}, with the rates above and with the rates that are best in theory, "
                "1/2 for natural gradient (Newton's step) and 4/(1 + sin²t) for gradient descent:",
                ["target", "SGD", "natural gradient", "SGD, best rate", "natural gradient, best rate"],
                [
                    [f"{degrees}°", *(f"{count:,}" for count in counts)]
                    for degrees, *counts in zip(targets, *steps.values(), *best.values(), strict=True)
                ],
            )
        ],
        caption="Infidelity against steps, SGD and natural gradient, for targets at four polar angles t",
        source="theory",
        data={
            "targets": list(targets),
            "costs": {
                name: [[float(f"{cost:.4g}") for cost in path] for path in paths] for name, paths in costs.items()
            },
        },
    )


def draw(data: dict) -> Figure:
    """Infidelity against steps, both on logarithmic axes; the nearer the target to the pole, the darker the line."""
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes, targets = figure.subplots(), data["targets"]
    for name, paths in data["costs"].items():
        for number, (degrees, path) in enumerate(zip(targets, paths, strict=True)):
            shade = 0.35 + 0.65 * number / max(1, len(targets) - 1)
            label = name if number == len(targets) - 1 else None
            axes.plot(np.arange(1, len(path) + 1), path, color=COLOURS[name], alpha=shade, linewidth=1.4, label=label)
            if name == "SGD":
                axes.annotate(
                    f"t = {degrees}°",
                    (len(path), path[-1]),
                    (0, -10),
                    textcoords="offset points",
                    ha="center",
                    fontsize=8,
                )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(GOAL / 30, 1)
    axes.set_xlabel("step", fontsize=9, color=INK)
    axes.set_ylabel("infidelity with the target", fontsize=9, color=INK)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.tick_params(labelsize=8.5, colors=QUIET)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8.5, loc="lower left")
    return figure


if __name__ == "__main__":
    sys.exit(command(__doc__, reproduce, draw))
