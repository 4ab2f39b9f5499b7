"""The picture of a compression report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qnn.compression.measuring import Measurement

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PANELS = {
    "bytes": "size at rest (bytes)",
    "latency_ms": "latency (ms per batch)",
    "two_qubit_gates": "two-qubit gates on the device",
    "circuits_per_step": "circuits per training step",
}


def draw(measurements: Sequence[Measurement], title: str) -> Figure:
    """Accuracy with its 95 % interval (or the loss) against what a model costs, a panel for each cost that differs."""
    from matplotlib.figure import Figure

    costs = [name for name in _PANELS if len({getattr(m, name) for m in measurements} - {None, 0}) > 0]
    figure = Figure(figsize=(3.4 * max(1, len(costs)) + 0.4, 3.6), layout="constrained")
    axes = figure.subplots(1, max(1, len(costs)), sharey=True, squeeze=False)[0]
    scored = all(m.accuracy is not None for m in measurements)
    for panel, cost in zip(axes, costs, strict=False):
        for number, m in enumerate(measurements):
            x = getattr(m, cost)
            if not x:
                continue
            y = (m.accuracy if scored else m.loss) or 0.0
            bounds = [[y - (m.accuracy_low or 0.0)], [(m.accuracy_high or 0.0) - y]] if scored else None
            panel.errorbar([x], [y], yerr=bounds, fmt="o", capsize=3, color=f"C{number}", label=m.label)
        panel.set_xlabel(_PANELS[cost])
        panel.set_xscale("log")
        panel.grid(alpha=0.3)
    axes[0].set_ylabel("test accuracy, 95 % interval" if scored else "test loss")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, max(1, len(labels))), fontsize="small")
    figure.suptitle(title, fontsize="medium")
    return figure
