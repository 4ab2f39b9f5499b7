"""The Fourier spectrum of a model ends at the number of its encodings (Schuld, Sweke, Meyer 2021), in float64.

    python reproductions/fourier_spectrum.py [--quick]

L gates RX(x), one after the other on one qubit or side by side on L qubits, between random trainable unitaries.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable

import numpy as np
import pennylane as qml
import torch
from matplotlib.figure import Figure
from reproduction import Claim, Record, Table, command

from qnn import QuantumLayer
from qnn.comparison.palette import INK, QUIET
from qnn.errors import InertParameterWarning

DEPTHS, N_DRAWS, N_QUICK = range(1, 9), 50, 5
N_POINTS = 64  # of one period, so that frequencies up to 31 stand apart
TOLERANCE = 1e-12
SEED = 0
COLOURS = {"serial": "#0072b2", "parallel": "#d55e00"}
SAYS = """A model whose input enters by L Pauli rotations RX(x) between trainable unitaries is a Fourier series of
integer frequencies from -L to L: repeating the encoding in sequence or in parallel extends the spectrum alike."""


def built(function: Callable, shapes: dict, seed: int) -> QuantumLayer:
    """The layer, without the warning that rotations about Z at both ends are idle: unitaries are to be general here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InertParameterWarning)
        return QuantumLayer.from_pennylane(function, n_inputs=1, weight_shapes=shapes, seed=seed, dtype=torch.float64)


def serial(n_encodings: int, seed: int) -> QuantumLayer:
    """One qubit: a rotation, then RX(x) and another rotation L times; <Z>."""

    def function(inputs, weights):
        qml.Rot(*weights[0], wires=0)
        for repetition in range(n_encodings):
            qml.RX(inputs[0], wires=0)
            qml.Rot(*weights[repetition + 1], wires=0)
        return qml.expval(qml.Z(0))

    return built(function, {"weights": (n_encodings + 1, 3)}, seed)


def parallel(n_encodings: int, seed: int) -> QuantumLayer:
    """L qubits: two strongly entangling layers, RX(x) on every qubit, two more; <Z> of the first qubit."""
    wires = range(n_encodings)

    def function(inputs, before, after):
        qml.StronglyEntanglingLayers(before, wires=wires)
        for wire in wires:
            qml.RX(inputs[0], wires=wire)
        qml.StronglyEntanglingLayers(after, wires=wires)
        return qml.expval(qml.Z(0))

    return built(function, {"before": (2, n_encodings, 3), "after": (2, n_encodings, 3)}, seed)


FAMILIES = {"serial": serial, "parallel": parallel}


def coefficients(layer: QuantumLayer) -> np.ndarray:
    """|c₀| to |c₃₁| of f(x) = Σ c_k exp(ikx), from values at equal distances of one period."""
    points = torch.arange(N_POINTS, dtype=torch.float64) * (2 * math.pi / N_POINTS)
    with torch.no_grad():
        values = layer(points[:, None])[:, 0].numpy()
    return np.abs(np.fft.rfft(values) / N_POINTS)[: N_POINTS // 2]


def largest(family: str, n_encodings: int, draws: int) -> np.ndarray:
    """The largest |c_k| of each frequency over random weights, uniform in [0, 2π)."""
    layer = FAMILIES[family](n_encodings, SEED)
    generator = torch.Generator().manual_seed(SEED)
    found = []
    for _ in range(draws):
        with torch.no_grad():
            for weight in layer.parameters():
                weight.copy_(2 * math.pi * torch.rand(weight.shape, generator=generator, dtype=torch.float64))
        found.append(coefficients(layer))
    return np.max(found, axis=0)


def reproduce(quick: bool) -> Record:
    """Spectra of both families; quick: at most 3 encodings, fewer weights."""
    draws, depths = (N_QUICK, range(1, 4)) if quick else (N_DRAWS, DEPTHS)
    ends, beyond, rows = [], [], []
    data: dict = {"depths": list(depths), "serial": [], "parallel": []}
    for family in FAMILIES:
        for depth in depths:
            sizes = largest(family, depth, draws)
            end = int(np.flatnonzero(sizes > TOLERANCE).max())
            ends.append(Claim(f"{family}, L = {depth}: last frequency", depth, end, 0, ".0f"))
            rows.append([f"{family}, {depth}", f"{sizes[depth]:.1e}", f"{sizes[depth + 1 :].max():.1e}"])
            data[family].append(sizes.tolist())
        rest = max(max(sizes[depth + 1 :]) for depth, sizes in zip(depths, data[family], strict=True))
        words = f"{family}, L = 1 to {depths[-1]}: largest coefficient beyond L"
        beyond.append(Claim(words, 0.0, rest, TOLERANCE, ".1e"))
    return Record(
        name="fourier_spectrum",
        title="The Fourier spectrum of a model ends at the number of its encodings",
        paper="Schuld, Sweke, Meyer, Physical Review A 103, 032430 (2021)",
        doi="10.1103/PhysRevA.103.032430",
        says=SAYS,
        done=[
            f"L gates RX(x), one after the other on one qubit (serial) or one on each of L qubits (parallel), {draws} "
            f"sets of weights uniform in [0, 2π) (seed {SEED}); coefficients by a discrete Fourier transform of "
            f"{N_POINTS} values of one period, float64. The last frequency is the largest k with a |c_k| above "
            f"{TOLERANCE:g}."
        ],
        claims=ends + beyond,
        tables=[
            Table(
                "The largest |c_k| over the weights, of frequency L and of all beyond it:",
                ["family, L", "frequency L", "beyond L"],
                rows,
            )
        ],
        caption="Largest Fourier coefficient of each frequency, serial and parallel encodings: the spectrum ends at L",
        data=data,
    )


def draw(data: dict) -> Figure:
    """A panel a family: log |c_k| against k, a line for each L."""
    shown = [depth for depth in data["depths"] if depth in (1, 2, 4, 8)]
    figure = Figure(figsize=(9.6, 3.8), layout="constrained")
    for axes, family in zip(figure.subplots(1, 2, sharey=True), FAMILIES, strict=True):
        for depth in shown:
            sizes = np.maximum(data[family][data["depths"].index(depth)], 1e-18)
            shade = 0.3 + 0.7 * shown.index(depth) / max(1, len(shown) - 1)
            axes.plot(sizes[:17], "o-", color=COLOURS[family], alpha=shade, markersize=3.5, linewidth=1)
            axes.annotate(
                f"L = {depth}",
                (depth + 0.5, 1e-7),
                (4, 0),
                textcoords="offset points",
                rotation=90,
                va="center",
                fontsize=8.5,
                color=INK,
            )
        axes.axhline(TOLERANCE, color=QUIET, linewidth=0.9, linestyle=(0, (4, 2)))
        axes.annotate(f"{TOLERANCE:g}", (16, TOLERANCE), (0, 4), textcoords="offset points", ha="right", fontsize=8.5)
        axes.set_yscale("log")
        axes.set_title(f"{family} encodings", loc="left", fontsize=10.5, fontweight="bold", color=INK)
        axes.set_xlabel("frequency k", fontsize=9, color=INK)
        axes.set_xticks(range(0, 17, 2))
        axes.tick_params(labelsize=8.5, colors=QUIET)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("largest |c_k| over random weights", fontsize=9, color=INK)
    return figure


if __name__ == "__main__":
    sys.exit(command(__doc__, reproduce, draw))
