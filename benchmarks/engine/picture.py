"""The log-log picture: milliseconds of a step against qubits, batch and depth."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from engine.points import lines
from engine.workload import Point

INK, QUIET = "#222222", "#6b6b6b"
# Okabe and Ito's colours, which colour-blind readers can tell apart; marker and label repeat what the colour says.
LOOKS = {
    "qnn": ("qnn", "#0072b2", "o", 2.4),
    "c-best": ("C, best", "#8c8c8c", "x", 1.2),
    "c-gates": ("C, gate by gate", "#b8b8b8", "+", 1.2),
    "tensorcircuit": ("TensorCircuit-NG", "#d55e00", "s", 1.4),
    "deepquantum": ("DeepQuantum", "#009e73", "^", 1.4),
    "pennylane": ("default.qubit", "#cc79a7", "D", 1.4),
    "lightning": ("lightning.qubit", "#e69f00", "v", 1.4),
}
AXES = {"qubits": "n_qubits", "batch": "batch", "depth": "n_layers"}
TITLES = {
    "qubits": "{p.n_layers} layers, batch {p.batch}",
    "batch": "{p.n_qubits} qubits, {p.n_layers} layers",
    "depth": "{p.n_qubits} qubits, batch {p.batch}",
}


def _series(
    records: dict[Point, dict], points: tuple[Point, ...], name: str, attribute: str
) -> list[tuple[int, float]]:
    found = [(point, records[point]["results"].get(name)) for point in points if point in records]
    return [(getattr(point, attribute), 1e3 * result["median_s"]) for point, result in found if result]


def _spread(heights: list[float], gap: float, top: float) -> list[float]:
    """Positions near the heights, in their order, at least `gap` apart (log10 units), none above the top."""
    order = sorted(range(len(heights)), key=heights.__getitem__)
    placed = [heights[i] for i in order]
    for _ in range(200):
        for low in range(len(placed) - 1):
            lack = gap - (placed[low + 1] - placed[low])
            if lack > 1e-9:
                placed[low] -= lack / 2
                placed[low + 1] += lack / 2
        placed[-1] = min(placed[-1], top)
    return [placed[order.index(i)] for i in range(len(heights))]


def _label_ends(axes: Axes, ends: dict[str, tuple[int, float]]) -> None:
    """Names to the right of the panel, level with the lines' ends and led to them where they end early."""
    import math

    low, high = map(math.log10, axes.get_ylim())
    right = axes.get_xlim()[1]
    names = list(ends)
    heights = _spread([math.log10(ends[name][1]) for name in names], 0.052 * (high - low), high)
    for name, height in zip(names, heights, strict=True):
        label, colour, _, width = LOOKS[name]
        axes.annotate(
            label,
            xy=ends[name],
            xytext=(right * (right / axes.get_xlim()[0]) ** 0.03, 10**height),
            color=colour if name not in ("c-best", "c-gates") else QUIET,
            fontsize=8.5,
            fontweight="bold" if width > 2 else "normal",
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.6, "alpha": 0.6, "shrinkA": 1, "shrinkB": 3},
        )


def _panel(axes: Axes, axis: str, points: tuple[Point, ...], records: dict[Point, dict]) -> None:
    ends = {}
    for name, (_, colour, marker, width) in LOOKS.items():
        series = _series(records, points, name, AXES[axis])
        if series:
            xs, ys = zip(*series, strict=True)
            axes.plot(xs, ys, color=colour, marker=marker, markersize=4.5, lw=width, zorder=3 if name == "qnn" else 2)
            ends[name] = series[-1]
    ticks = sorted({getattr(point, AXES[axis]) for point in points})
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(ticks[0] * 0.88, ticks[-1] * 1.14)
    axes.xaxis.set_major_locator(
        matplotlib.ticker.FixedLocator([t for t in ticks if t not in (10, 14, 18) or axis != "qubits"])
    )
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel({"qubits": "qubits", "batch": "rows in the batch", "depth": "layers"}[axis])
    axes.set_title(TITLES[axis].format(p=points[0]), fontsize=10, color=INK, loc="left")
    axes.grid(which="major", color="#e6e6e6", lw=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if ends:
        _label_ends(axes, ends)


def draw(sweep: dict, path: Path) -> None:
    """Three panels from the first line of each axis; `sweep` is that preset's part of the records."""
    records = {Point(**record["point"]): record for record in sweep["records"]}
    chosen = {}
    for line in lines():
        chosen.setdefault(line.axis, line.points)
    figure, panels = plt.subplots(1, 3, figsize=(14.5, 4.6))
    for axes, axis in zip(panels, AXES, strict=True):
        _panel(axes, axis, chosen[axis], records)
    panels[0].set_ylabel("ms for one forward and backward pass")
    threads = sweep["machine"]["threads"]
    figure.suptitle(
        f"A training step of one quantum layer, {threads} thread{'s' if threads > 1 else ''}, float32; lower is faster",
        x=0.055,
        ha="left",
        fontsize=11.5,
        color=INK,
    )
    figure.subplots_adjust(left=0.055, right=0.905, bottom=0.12, top=0.84, wspace=0.62)
    figure.savefig(path, dpi=150, facecolor="white", bbox_inches="tight", pad_inches=0.12)
    plt.close(figure)
