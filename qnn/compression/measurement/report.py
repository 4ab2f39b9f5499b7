"""Before and after, on the same task: a table and a figure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qnn._files import write_atomic
from qnn.compression.measurement.measuring import Measurement

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class CompressionReport:
    """What a method did to a model.

    Attributes:
        method: in a few words.
        measurements: the model before, those on the way where there are any, and the one after; none where no data
            were given.
        details: further facts by name, plain data.
    """

    method: str
    measurements: tuple[Measurement, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def before(self) -> Measurement:
        """The first measurement."""
        return self.measurements[0]

    @property
    def after(self) -> Measurement:
        """The last one."""
        return self.measurements[-1]

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "method": self.method,
            "measurements": [m.as_dict() for m in self.measurements],
            "details": self.details,
        }

    def table(self) -> str:
        """An aligned table, one row a model; columns that no model has are left out."""
        return table(self.measurements)

    def figure(self) -> Figure:
        """Accuracy with its interval against size, latency and circuits, one point a model."""
        from qnn.compression.measurement.figures import draw

        return draw(self.measurements, self.method)

    def save(self, folder: str | Path) -> Path:
        """Write ``report.json``, ``table.txt`` and ``report.png`` into a folder."""
        from io import BytesIO

        folder = Path(folder)
        write_atomic(folder / "report.json", json.dumps(self.as_dict(), indent=2) + "\n")
        write_atomic(folder / "table.txt", str(self) + "\n")
        if self.measurements:
            picture = BytesIO()
            self.figure().savefig(picture, format="png", dpi=150)
            write_atomic(folder / "report.png", picture.getvalue())
        return folder

    def __str__(self) -> str:
        """Method, table and details."""
        details = self.details
        if self.measurements and self.after.part != "test":
            details = {"measured on": _PARTS.get(self.after.part, self.after.part)} | details
        width = max((len(name) for name in details), default=0)
        shown = {k: f"{v:.4g}" if isinstance(v, float) else v for k, v in details.items()}
        facts = [f"{name:<{width}}  {value}" for name, value in shown.items()]
        return "\n".join([self.method, *([self.table()] if self.measurements else []), *facts])


_PARTS = {
    "validation": "validation rows",
    "train": "training rows",
    "data": "the rows given, on which the model may have been trained",
}
_HEADS = {
    "label": "model",
    "accuracy": "accuracy",
    "loss": "loss",
    "n_weights": "weights",
    "bytes": "bytes",
    "latency_ms": "ms/batch",
    "gates": "gates",
    "depth": "depth",
    "two_qubit_gates": "2-qubit",
    "circuits_per_step": "circuits/step",
    "shots_per_step": "shots/step",
}


def table(measurements: Sequence[Measurement]) -> str:
    """Measurements as an aligned table; the accuracy with its interval."""
    lines = [list(_HEADS.values()), *([_cell(m, name) for name in _HEADS] for m in measurements)]
    kept = [i for i in range(len(_HEADS)) if any(line[i] not in ("", "0") for line in lines[1:])]
    widths = {i: max(len(line[i]) for line in lines) for i in kept}
    return "\n".join(
        "  ".join(line[i].ljust(widths[i]) if i == 0 else line[i].rjust(widths[i]) for i in kept).rstrip()
        for line in lines
    )


def _cell(measurement: Measurement, name: str) -> str:
    value = getattr(measurement, name)
    if value is None:
        return ""
    if name == "accuracy":
        low, high = measurement.accuracy_low or 0.0, measurement.accuracy_high or 0.0
        return f"{100 * value:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"
    if isinstance(value, float):
        return f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
