"""A forecast as data and as a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from qnn.backends.counting import Amount

_SHOWN = ("jobs", "circuits", "shots", "qpu_seconds")


@dataclass(frozen=True)
class LayerForecast:
    """One quantum layer.

    Attributes:
        name: in the model.
        backend: where it runs.
        gradient: its gradient method.
        per_step: what it uses in a step with a full batch.
        total: in the whole training.
    """

    name: str
    backend: str
    gradient: str
    per_step: Amount
    total: Amount


@dataclass(frozen=True)
class Forecast:
    """What a training is going to use, printable.

    Attributes:
        n_samples: rows for training.
        n_validation: rows for validation.
        epochs: passes over the training rows.
        steps_per_epoch: optimisation steps in each.
        batch_size: rows of a full batch.
        layers: each quantum layer.
        per_step: all layers together, in a step with a full batch.
        per_epoch: with a smaller last batch, and the evaluation at the end.
        beforehand: what is executed once before the first step, as for a calibration.
        afterwards: what is evaluated once the training is over.
        total: `epochs` times `per_epoch`, `beforehand` and `afterwards`.
        at_most: whether the optimizer may need fewer evaluations than are counted here.
        notes: what else to know.
    """

    n_samples: int
    n_validation: int
    epochs: int
    steps_per_epoch: int
    batch_size: int
    layers: tuple[LayerForecast, ...]
    per_step: Amount
    per_epoch: Amount
    beforehand: Amount
    afterwards: Amount
    total: Amount
    at_most: bool = False
    notes: tuple[str, ...] = ()

    @property
    def jobs(self) -> int:
        """Calls to simulators, and jobs at providers, in all."""
        return self.total.jobs

    @property
    def circuits(self) -> int:
        """Executed circuits in all."""
        return self.total.circuits

    @property
    def shots(self) -> int:
        """Shots of all circuits; 0 when exact."""
        return self.total.shots

    @property
    def qpu_seconds(self) -> float | None:
        """Estimated seconds on machines that bill them; None where no backend, or not every one of them, estimates."""
        return self.total.qpu_seconds

    def plus(self, afterwards: Mapping[str, Amount], *notes: str) -> Forecast:
        """With what each layer is asked for after the training, and further notes."""
        layers = tuple(replace(row, total=row.total + afterwards[row.name]) for row in self.layers)
        more = total_of(afterwards.values())
        return replace(
            self,
            layers=layers,
            afterwards=self.afterwards + more,
            total=self.total + more,
            notes=(*self.notes, *notes),
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain data that `json.dumps` takes."""
        names = ("n_samples", "n_validation", "epochs", "steps_per_epoch", "batch_size", "at_most")
        amounts = ("per_step", "per_epoch", "beforehand", "afterwards")
        return {
            **_plain(self.total),
            **{name: getattr(self, name) for name in names},
            **{name: _plain(getattr(self, name)) for name in amounts},
            "layers": [
                {
                    "name": row.name,
                    "backend": row.backend,
                    "gradient": row.gradient,
                    "per_step": _plain(row.per_step),
                    "total": _plain(row.total),
                }
                for row in self.layers
            ],
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        """Aligned tables: the data, each layer's step, and sums."""
        held = f", {self.n_validation:,} for validation" if self.n_validation else ""
        steps = "1 step" if self.steps_per_epoch == 1 else f"{self.steps_per_epoch:,} steps"
        facts = [
            ["rows", f"{self.n_samples:,} for training in batches of {self.batch_size:,}{held}"],
            ["epochs", f"{self.epochs:,} of {steps}"],
        ]
        per_layer = [["layer", "backend", "gradient", *(f"{name}/step" for name in _SHOWN[:3])]]
        per_layer += [[r.name, r.backend, r.gradient, *_numbers(r.per_step)[:3]] for r in self.layers]
        sums = [["", "jobs", "circuits", "shots", "QPU seconds"]]
        sums += [["step", *_numbers(self.per_step)], ["epoch", *_numbers(self.per_epoch)]]
        for name in ("beforehand", "afterwards"):
            if getattr(self, name) != Amount():
                sums.append([name, *_numbers(getattr(self, name))])
        sums.append(["at most" if self.at_most else "in all", *_numbers(self.total)])
        blocks = [_table(facts, 2), _table(per_layer, 3), _table(sums, 1)]
        return "\n\n".join([*blocks, *self.notes])


def total_of(amounts: Iterable[Amount]) -> Amount:
    """Their sum."""
    return sum(amounts, Amount())


def _plain(amount: Amount) -> dict[str, Any]:
    return {name: getattr(amount, name) for name in _SHOWN}


def _numbers(amount: Amount) -> list[str]:
    seconds = amount.qpu_seconds
    return [*(f"{getattr(amount, name):,}" for name in _SHOWN[:3]), "-" if seconds is None else f"{seconds:,.1f}"]


def _table(lines: Sequence[Sequence[str]], n_left: int) -> str:
    """Lines of cells, of which the first `n_left` stand left."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    shown = [
        "  ".join(
            cell.ljust(w) if i < n_left else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    return "\n".join(line.rstrip() for line in shown)
