"""The pictures of a study: accuracy with intervals, training curves, accuracy against training time.

Drawn without pyplot, so that nothing global changes and no display is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from qnn.comparison.palette import INK, QUIET, Look, looks
from qnn.comparison.quantities import count, percent, points
from qnn.comparison.summary import Panel, Row

_WIDTH = 9.6  # inches
_DPI = 150


def draw_figures(panels: Sequence[Panel]) -> dict[str, Figure]:
    """All figures of a study, by the name of their file without extension."""
    look = looks_of(panels)
    return {
        "accuracy": accuracy_figure(panels, look),
        "curves": curves_figure(panels, look),
        "cost": cost_figure(panels, look),
    }


def looks_of(panels: Sequence[Panel]) -> dict[str, Look]:
    """How each contestant looks, in all pictures and tables of the study."""
    return looks(contestant for panel in panels for contestant in panel.table.contestants)


def to_png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, facecolor="white")
    return buffer.getvalue()


def accuracy_figure(panels: Sequence[Panel], look: dict[str, Look]) -> Figure:
    """A row for each panel: accuracies on the left, differences from the reference on the right."""
    heights = [len(panel.rows) + 2.0 for panel in panels]
    figure = _canvas(_WIDTH, 0.34 * sum(heights) + 0.3)
    grid = figure.subplots(len(panels), 2, squeeze=False, height_ratios=heights, width_ratios=(1.15, 1))
    for panel, (left, right) in zip(panels, grid, strict=True):
        _forest_of_accuracies(left, panel, look)
        _forest_of_differences(right, panel, look)
    return figure


def _forest_of_accuracies(axes: Axes, panel: Panel, look: dict[str, Look]) -> None:
    axes.set_title(_title(panel), loc="left", fontsize=10.5, fontweight="bold", color=INK)
    for y, row in enumerate(panel.rows):
        _interval(axes, y, row.accuracy.estimate, row.accuracy.low, row.accuracy.high, look[row.name])
        label = percent(row.accuracy.estimate)
        axes.annotate(
            label, (100 * row.accuracy.high, y), (6, 0), textcoords="offset points", va="center", fontsize=8, color=INK
        )
    low = min(100 * row.accuracy.low for row in panel.rows)
    high = max(100 * row.accuracy.high for row in panel.rows)
    space = max(2.0, high - low)
    axes.set_xlim(max(-2.0, low - 0.06 * space), high + 0.24 * space)
    _rows(axes, panel, names=True)
    axes.set_xlabel("test accuracy in %, with 95 % interval", fontsize=9, color=INK)


def _forest_of_differences(axes: Axes, panel: Panel, look: dict[str, Look]) -> None:
    compared = [(y, row) for y, row in enumerate(panel.rows) if row.difference is not None]
    if not compared:
        axes.set_axis_off()
        return
    axes.axvline(0, color=INK, linewidth=1)
    for y, row in compared:
        assert row.difference is not None
        _interval(axes, y, row.difference.estimate, row.difference.low, row.difference.high, look[row.name])
        left = row.difference.estimate < 0  # away from the line at 0, which would cross the number
        axes.annotate(
            points(row.difference.estimate),
            (100 * (row.difference.low if left else row.difference.high), y),
            (-6 if left else 6, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center",
            fontsize=8,
            color=INK,
        )
    edges = [100 * edge for _, row in compared if row.difference for edge in (row.difference.low, row.difference.high)]
    low, high = min(*edges, 0), max(*edges, 0)
    axes.set_xlim(low - 0.2 * max(2.0, high - low), high + 0.2 * max(2.0, high - low))
    reference = next(y for y, row in enumerate(panel.rows) if row.name == panel.table.reference)
    axes.annotate("reference", (0, reference), (5, 0), textcoords="offset points", va="center", fontsize=8, color=QUIET)
    _rows(axes, panel, names=False)
    axes.set_xlabel(f"points above {panel.table.reference}, paired, with 95 % interval", fontsize=9, color=INK)


def _interval(axes: Axes, y: float, estimate: float, low: float, high: float, look: Look) -> None:
    axes.plot([100 * low, 100 * high], [y, y], color=look.colour, linewidth=2.2, solid_capstyle="butt")
    axes.plot([100 * estimate], [y], marker=look.marker, color=look.colour, markersize=6.5)


def _rows(axes: Axes, panel: Panel, names: bool) -> None:
    axes.set_ylim(len(panel.rows) - 0.4, -0.6)
    axes.set_yticks(range(len(panel.rows)), [_shown(row.name) for row in panel.rows] if names else [])
    axes.tick_params(axis="y", length=0, labelsize=9, labelcolor=INK)
    axes.grid(axis="x", color="#e4e4e4", linewidth=0.8)
    _quiet_frame(axes)


def curves_figure(panels: Sequence[Panel], look: dict[str, Look]) -> Figure:
    """Training loss and validation accuracy by epoch: mean of the seeds, band from lowest to highest."""
    figure = _canvas(_WIDTH, 2.9 * len(panels) + 0.3)
    grid = figure.subplots(len(panels), 2, squeeze=False)
    for panel, (left, right) in zip(panels, grid, strict=True):
        left.set_title(_title(panel), loc="left", fontsize=10.5, fontweight="bold", color=INK)
        for row in panel.rows:
            _curve(left, row, "train_loss", look[row.name], 1.0)
            _curve(right, row, "validation_accuracy", look[row.name], 100.0)
        left.set_ylabel("training loss in nats (log scale)", fontsize=9, color=INK)
        left.set_yscale("log")
        right.set_ylabel("validation accuracy in %", fontsize=9, color=INK)
        for axes in (left, right):
            axes.set_xlabel("epoch", fontsize=9, color=INK)
            axes.grid(color="#e4e4e4", linewidth=0.8)
            _quiet_frame(axes)
    _legend(figure, panels, look, lines=True)
    return figure


def _curve(axes: Axes, row: Row, column: str, look: Look, scale: float) -> None:
    values = scale * np.array([record.curves[column] for record in row.records])  # shape: (S, epochs)
    epochs = np.arange(1, values.shape[1] + 1)
    axes.fill_between(epochs, values.min(axis=0), values.max(axis=0), color=look.colour, alpha=0.13, linewidth=0)
    marker = look.marker if len(epochs) == 1 else ""
    axes.plot(epochs, values.mean(axis=0), color=look.colour, linestyle=look.line, linewidth=1.7, marker=marker)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def cost_figure(panels: Sequence[Panel], look: dict[str, Look]) -> Figure:
    """Accuracy against the time of one training, a plot for each panel."""
    columns = min(2, len(panels))
    lines = -(-len(panels) // columns)
    figure = _canvas(_WIDTH if columns == 2 else 0.72 * _WIDTH, 3.2 * lines + 0.3)
    grid = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, panel in zip(grid, panels, strict=False):
        axes.set_title(_title(panel), loc="left", fontsize=10.5, fontweight="bold", color=INK)
        for row in panel.rows:
            _cost_point(axes, row, look[row.name])
        axes.set_xscale("log")
        axes.set_xlabel("time of one training in seconds (log scale)", fontsize=9, color=INK)
        axes.set_ylabel("test accuracy in %", fontsize=9, color=INK)
        axes.margins(x=0.12, y=0.1)
        axes.grid(color="#e4e4e4", linewidth=0.8)
        times = [record.measured["wall_s"] for row in panel.rows for record in row.records]
        wide = max(times) > 50 * min(times)
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        _quiet_frame(axes)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    _legend(figure, panels, look, lines=False)
    return figure


def _cost_point(axes: Axes, row: Row, look: Look) -> None:
    times = [record.measured["wall_s"] for record in row.records]
    axes.plot([row.wall_s] * 2, [100 * row.accuracy.low, 100 * row.accuracy.high], color=look.colour, linewidth=2)
    axes.plot([min(times), max(times)], [100 * row.accuracy.estimate] * 2, color=look.colour, linewidth=2)
    axes.plot([row.wall_s], [100 * row.accuracy.estimate], marker=look.marker, color=look.colour, markersize=7)


def _legend(figure: Figure, panels: Sequence[Panel], look: dict[str, Look], *, lines: bool) -> None:
    """One legend for all plots, below them."""
    rows = sorted((row for panel in panels for row in panel.rows), key=lambda row: not row.contestant.quantum)
    names = list(dict.fromkeys(row.name for row in rows))
    handles = [
        Line2D([], [], color=look[name].colour, linewidth=1.9, linestyle=look[name].line)
        if lines
        else Line2D([], [], color=look[name].colour, linewidth=0, marker=look[name].marker, markersize=7)
        for name in names
    ]
    figure.legend(
        handles,
        [_shown(name) for name in names],
        loc="outside lower center",
        ncols=min(4, len(names)),
        frameon=False,
        fontsize=9,
        handlelength=2.6,
    )


def _canvas(width: float, height: float) -> Figure:
    """An empty figure, in inches, that makes room for its labels."""
    return Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08, hspace=0.06))


def _quiet_frame(axes: Axes) -> None:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(QUIET)
    axes.tick_params(colors=INK, labelsize=8.5)
    axes.set_axisbelow(True)


def _shown(name: str) -> str:
    """A name, with what is said of it below, as in the name of a mitigated contestant: together they are too wide."""
    return name.replace(" (", "\n(")


def _title(panel: Panel) -> str:
    return f"{panel.task}, {panel.table.name}: {count(panel.first.n_train)} training rows"
