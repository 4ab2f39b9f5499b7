"""The picture of a compression report."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING

from qnn.compression.measurement.measuring import Measurement

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PANELS = {
    "bytes": "size at rest (bytes)",
    "latency_ms": "latency (s per batch)",
    "gates": "gates {}",
    "depth": "depth {}",
    "two_qubit_gates": "two-qubit gates {}",
    "circuits_per_step": "circuits per training step",
}
_PARTS = {"test": "test {}", "validation": "validation {}", "train": "training {}", "data": "{} on the rows given"}
_BESIDE = 4  # panels in one row at most
_WIDE = 8  # from largest to smallest, beyond which a scale is logarithmic
_ROOM = 1.15  # of an axis that starts at nothing, beyond the largest value


def draw(measurements: Sequence[Measurement], title: str) -> Figure:
    """Accuracy with its 95 % interval (or the loss) against what a model costs, a panel for each cost that differs."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter, MaxNLocator, NullFormatter

    costs = [name for name in _PANELS if len({getattr(m, name) for m in measurements} - {None, 0}) > 1] or ["bytes"]
    lines = -(-len(costs) // _BESIDE)
    columns = -(-len(costs) // lines)
    figure = Figure(figsize=(3.0 * columns + 0.9, 2.8 * lines + 0.8), layout="constrained")
    panels = figure.subplots(lines, columns, sharey=True, squeeze=False)
    axes = panels.flatten()
    for panel in axes[len(costs) :]:
        panel.remove()
    as_written = any(m.device is None and m.depth is not None for m in measurements)
    scored = all(m.accuracy is not None for m in measurements)
    for panel, cost in zip(axes, costs, strict=False):
        for number, m in enumerate(measurements):
            x = _value(m, cost)
            if not x:
                continue
            y = (m.accuracy if scored else m.loss) or 0.0
            bounds = [[y - (m.accuracy_low or 0.0)], [(m.accuracy_high or 0.0) - y]] if scored else None
            panel.errorbar([x], [y], yerr=bounds, fmt="o", capsize=3, color=f"C{number}", label=m.label)
        panel.set_xlabel(_PANELS[cost].format("as written" if as_written else "on the device"))
        values = [_value(m, cost) for m in measurements if _value(m, cost)]
        if max(values, default=1) > _WIDE * min(values, default=1):
            panel.set_xscale("log")
            panel.xaxis.set_minor_formatter(NullFormatter())
            panel.margins(x=0.15)
        else:  # from nothing, else noise would look like a difference
            panel.set_xlim(0.0, _ROOM * max(values, default=1))
            panel.xaxis.set_major_locator(MaxNLocator(4))
        panel.xaxis.set_major_formatter(EngFormatter(sep=""))
        panel.grid(alpha=0.3)
    losses = [] if scored else [m.loss for m in measurements if m.loss and isfinite(m.loss)]
    if losses:
        axes[0].set_ylim(0.0, _ROOM * max(losses))
    parts = {m.part for m in measurements}
    named = _PARTS.get(parts.pop(), "{}") if len(parts) == 1 else "{}"
    for first in panels[:, 0]:
        first.set_ylabel(named.format("accuracy") + ",\n95 % interval" if scored else named.format("loss"))
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, max(1, len(labels))), fontsize="small")
    figure.suptitle(title, fontsize="medium")
    return figure


def _value(measurement: Measurement, cost: str) -> float:
    """In the unit of its axis."""
    value = getattr(measurement, cost) or 0
    return 1e-3 * value if cost == "latency_ms" else value
