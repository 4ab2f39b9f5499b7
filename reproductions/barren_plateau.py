"""Barren plateau of a product of RX gates (Cerezo et al. 2021): variance of the gradient for a global and a local cost.

    python reproductions/barren_plateau.py [--quick]

The gradients are qnn's; the interval around each published variance follows from the gradient's fourth moment.
"""

from __future__ import annotations

import math
import sys

import numpy as np
import pennylane as qml
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator
from reproduction import Claim, Record, Table, command

from qnn import QuantumLayer
from qnn.comparison.palette import INK, QUIET

WIDTHS = range(2, 9)
N_DRAWS, N_QUICK, CHUNK = 400_000, 20_000, 20_000
SIGMAS = 4.0
SEED = 0
SAYS = """For U = Π RX(θᵢ) on |0…0⟩ with random angles the variance of the derivative by one angle is (1/8)(3/8)^(n-1)
for the global cost 1 - Π cos²(θᵢ/2) and 1/(8n²) for the local cost 1 - (1/n) Σ cos²(θᵢ/2)."""
COLOURS = {"global": "#d55e00", "local": "#0072b2"}


def published(kind: str, n: int) -> float:
    """Variance of the derivative by one angle, angles uniform: (1/8)(3/8)^(n-1) and 1/(8n²)."""
    return (1 / 8) * (3 / 8) ** (n - 1) if kind == "global" else 1 / (8 * n**2)


def standard_error(kind: str, n: int, draws: int) -> float:
    """Of the mean square of `draws` independent derivatives: √((m₄ - m₂²) / draws).

    The derivatives are (1/2) sin θ₁ Π cos²(θᵢ/2) and (1/2n) sin θ₁, and E sin⁴θ = 3/8, E cos⁸(θ/2) = 35/128.
    """
    fourth = (3 / 128) * (35 / 128) ** (n - 1) if kind == "global" else (3 / 128) / n**4
    return math.sqrt((fourth - published(kind, n) ** 2) / draws)


def cost_layer(kind: str, n: int) -> QuantumLayer:
    """Projector on |0...0> (global) or on |0> of each wire (local) after RX of every angle, (N, n) ↦ (N, M)."""

    def function(inputs):
        for wire in range(n):
            qml.RX(inputs[wire], wires=wire)
        words = [range(n)] if kind == "global" else [[wire] for wire in range(n)]
        return [qml.expval(qml.Projector([0] * len(wires), wires=wires)) for wires in words]

    return QuantumLayer.from_pennylane(function, n_inputs=n, weight_shapes={}, dtype=torch.float64)


def derivatives(kind: str, n: int, draws: int) -> np.ndarray:
    """∂C/∂θ₁ at uniform random angles, C being 1 minus the mean of the projectors.

    Returns:
        Shape (draws,).
    """
    layer, generator = cost_layer(kind, n), torch.Generator().manual_seed(SEED)
    found = []
    for begin in range(0, draws, CHUNK):
        rows = min(CHUNK, draws - begin)
        angles = 2 * math.pi * torch.rand(rows, n, generator=generator, dtype=torch.float64)
        costs = 1 - layer(angles.requires_grad_()).mean(dim=1)
        (gradients,) = torch.autograd.grad(costs.sum(), angles)
        found.append(gradients[:, 0].numpy())
    return np.concatenate(found)


def reproduce(quick: bool) -> Record:
    """Measure all variances; quick: 2 to 5 qubits, fewer draws."""
    draws, widths = (N_QUICK, range(2, 6)) if quick else (N_DRAWS, WIDTHS)
    claims, rows, data = [], [], {"widths": list(widths), "global": [], "local": []}
    for kind in ("global", "local"):
        for n in widths:
            sample = derivatives(kind, n, draws)
            variance, error = float(np.mean(sample**2)), standard_error(kind, n, draws)
            claims.append(Claim(f"{kind} cost, {n} qubits", published(kind, n), variance, SIGMAS * error, ".3e"))
            away = (variance - published(kind, n)) / error
            mean = sample.mean() / math.sqrt(published(kind, n) / draws)
            rows.append([f"{kind}, {n}", f"{error:.1e}", f"{away:+.2f}", f"{mean:+.2f}"])
            data[kind].append(variance)
    factor = math.exp(np.polyfit(widths, np.log(data["global"]), 1)[0])
    power = float(np.polyfit(np.log(widths), np.log(data["local"]), 1)[0])
    return Record(
        name="barren_plateau",
        title="A global cost has a barren plateau, a local cost has none",
        paper="Cerezo, Sone, Volkoff, Cincio, Coles, Nature Communications 12, 1791 (2021)",
        doi="10.1038/s41467-021-21728-w",
        says=SAYS,
        done=[
            f"{draws:,} rows of angles, uniform in [0, 2π) (seed {SEED}), are the inputs of a `QuantumLayer` that "
            "measures the projectors; the derivative by the first angle comes from its adjoint gradient. The mean is 0 "
            f"by symmetry, so the variance is the mean square. Allowed are {SIGMAS:g} standard errors √((m₄ - m₂²)/N), "
            "with the moments of the closed form."
        ],
        claims=claims,
        tables=[
            Table(
                "Distance of the variance from the published one, and of the mean from 0, in standard errors:",
                ["cost, qubits", "standard error of the variance", "variance", "mean"],
                rows,
            )
        ],
        remarks=[
            f"From the slope over n = {widths[0]} to {widths[-1]}, the global variance shrinks by a factor of "
            f"{factor:.3f} for each qubit (published: 3/8 = 0.375), the local one as n to the power of {power:.2f} "
            "(published: -2)."
        ],
        caption="Variance of the gradient against the number of qubits, global and local cost: published and ours",
        data=data,
    )


def draw(data: dict) -> Figure:
    """Variances on a logarithmic axis: lines are the formulas, dots are ours."""
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes, widths = figure.subplots(), data["widths"]
    fine = np.linspace(widths[0], widths[-1], 200)
    for kind, formula in (("local", "1/(8n²)"), ("global", "(1/8)(3/8)ⁿ⁻¹")):
        colour = COLOURS[kind]
        axes.plot(
            fine,
            [published(kind, n) for n in fine],
            color=colour,
            linewidth=1.2,
            label=f"{kind} cost, published: {formula}",
        )
        axes.plot(widths, data[kind], "o", color=colour, markersize=5.5, label=f"{kind} cost, ours")
    axes.set_yscale("log")
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(widths)
    axes.set_xlabel("qubits n", fontsize=9, color=INK)
    axes.set_ylabel("variance of ∂C/∂θ₁", fontsize=9, color=INK)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.tick_params(labelsize=8.5, colors=QUIET)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8.5, loc="lower left")
    return figure


if __name__ == "__main__":
    sys.exit(command(__doc__, reproduce, draw))
