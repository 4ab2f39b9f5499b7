"""report.html and its companions: a pure function of the study and its stored records."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from qnn._files import write_atomic
from qnn.comparison.figures import draw_figures, looks_of, to_png
from qnn.comparison.palette import Look
from qnn.comparison.records import Record
from qnn.comparison.study import Contestant, Study
from qnn.comparison.summary import Panel, summarise
from qnn.comparison.tables import Column, budget_line, cost_columns, result_columns, to_markdown
from qnn.comparison.verdict import Verdict, judge

_CAPTIONS = {
    "accuracy": (
        "Left: test accuracy. Right: difference from the reference on the same test rows and seeds; "
        "an interval that crosses the line at 0 does not decide. Circles are quantum, squares classical."
    ),
    "curves": "Mean of the seeds; the band goes from the lowest to the highest seed.",
    "cost": (
        "Upward bars: 95 % interval of the accuracy. Sideways bars: fastest to slowest seed. "
        "Times were measured while other cells ran on the same machine."
    ),
}


class Report:
    """Everything that is shown of a study.

    Args:
        study: what was compared.
        records: one for every cell.
        out: the run folder, as it is named in the command that reproduces the study.

    Attributes:
        panels: one for each table and task.
        verdicts: one for each panel.
    """

    def __init__(self, study: Study, records: Sequence[Record], out: str | Path = "runs/NAME") -> None:
        self.study, self.records = study, tuple(records)
        self.command = f"{study.command} --out {out}"
        self.panels: list[Panel] = summarise(study, self.records)
        self.verdicts: list[Verdict] = [judge(study, panel) for panel in self.panels]

    @cached_property
    def figures(self) -> dict[str, Figure]:
        """Matplotlib figures: "accuracy", "curves", "cost"."""
        return draw_figures(self.panels)

    @cached_property
    def pictures(self) -> dict[str, bytes]:
        """The figures as PNG files."""
        return {name: to_png(figure) for name, figure in self.figures.items()}

    @property
    def headline(self) -> str:
        """The verdict of the first table, for each task."""
        first = self.study.tables[0].name
        return " ".join(verdict.sentence for verdict in self.verdicts if verdict.table == first)

    def markdown(self) -> str:
        """The tables as Markdown."""
        return to_markdown(self.panels, self.verdicts, self.command)

    def html(self) -> str:
        """One page that needs nothing else: style and pictures are inside."""
        environment = Environment(
            loader=PackageLoader("qnn.comparison", "."),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        look = looks_of(self.panels)
        return environment.get_template("report.html").render(
            study=self.study,
            headline=self.headline,
            sections=[_section(p, verdict, look) for p, verdict in zip(self.panels, self.verdicts, strict=True)],
            verdicts=self.verdicts,
            figures=[(name, _data_uri(picture), _CAPTIONS[name]) for name, picture in self.pictures.items()],
            contestants=_contestants(self.panels),
            devices=_devices(self.records),
            gpu=any(record.measured["device"].startswith("cuda") for record in self.records),
            versions=_versions(self.records),
            command=self.command,
            n_records=len(self.records),
            one_seed=len(self.study.seeds) == 1,
        )

    def embedded(self) -> str:
        """The page inside a frame of its own, for notebooks: its style stays inside."""
        page = escape(self.html(), quote=True)
        return f'<iframe srcdoc="{page}" style="width: 100%; height: 720px; border: 0"></iframe>'

    def write(self, folder: str | Path) -> None:
        """Write table.md, the pictures and report.html.

        Raises:
            StorageError: a file could not be written; earlier ones of that name are untouched.
        """
        path = Path(folder)
        write_atomic(path / "table.md", self.markdown())
        for name, picture in self.pictures.items():
            write_atomic(path / f"{name}.png", picture)
        write_atomic(path / "report.html", self.html())


def _section(panel: Panel, verdict: Verdict, look: dict[str, Look]) -> dict[str, Any]:
    results = result_columns(panel)
    costs = [results[0], *cost_columns()]
    return {
        "title": f"{panel.task}: {panel.table.name}",
        "verdict": verdict,
        "budget": budget_line(panel),
        "tables": [_grid(panel, columns, look) for columns in (results, costs)],
    }


def _grid(panel: Panel, columns: Sequence[Column], look: dict[str, Look]) -> dict[str, Any]:
    rows = [
        {
            "colour": look[row.name].colour,
            "quantum": row.contestant.quantum,
            "cells": [(column.cell(row), column.number) for column in columns],
        }
        for row in panel.rows
    ]
    return {"headings": [(column.heading, column.number) for column in columns], "rows": rows}


def _contestants(panels: Sequence[Panel]) -> list[tuple[str, str]]:
    """Each contestant once, with what it is."""
    found: dict[str, str] = {}
    for panel in panels:
        for row in panel.rows:
            weights = {
                record.n_weights for other in panels for r in other.rows if r.name == row.name for record in r.records
            }
            found.setdefault(row.name, describe(row.contestant, sorted(weights)))
    quantum = {row.name for panel in panels for row in panel.rows if row.contestant.quantum}
    return sorted(found.items(), key=lambda item: item[0] not in quantum)


_OBSERVABLES = {"Z": "⟨Z⟩ of every qubit", "probs": "the probabilities of all outcomes"}


def describe(contestant: Contestant, n_weights: Sequence[int]) -> str:
    """What a contestant is, in a sentence or two."""
    size = f"{' / '.join(map(str, n_weights))} trainable numbers."
    if not contestant.quantum:
        known = {
            "logistic": "Multinomial logistic regression: one linear layer.",
            "mlp": "Multilayer perceptron.",
            "mlp-matched": "Multilayer perceptron with as nearly as possible as many trainable numbers as the hybrid.",
            "cnn": "Small convolutional network for images.",
        }
        return f"{known.get(contestant.name, 'Classical model.')} {size}"
    measured = _OBSERVABLES[contestant.observables or "Z"]
    shape = (
        f"Linear input layer, quantum layer of {contestant.n_qubits} qubits and {contestant.n_layers} layers with "
        f"{measured} as outputs, linear output layer; {size}"
    )
    if contestant.shots is None and contestant.noise is None:
        return f'{shape} Exact values on the backend "{contestant.backend}".'
    noise = f' with the noise model of "{contestant.noise}", readout error included' if contestant.noise else ""
    mitigated = f"; errors mitigated by {contestant.mitigation}" if contestant.mitigation else ""
    return (
        f'{shape} {contestant.shots} shots per circuit on the backend "{contestant.backend}"{noise}{mitigated}; '
        f"gradient by {contestant.gradient}."
    )


def _devices(records: Iterable[Record]) -> list[tuple[str, str]]:
    """Which device each kind of model was trained on, as found when it ran."""
    found = {("quantum" if r.backend else "classical", r.measured["device"]) for r in records}
    return sorted(found)


def _versions(records: Iterable[Record]) -> list[tuple[str, str]]:
    """Package versions; several of one package when the study was resumed with others."""
    found: dict[str, list[str]] = {}
    for record in records:
        for package, version in record.measured["versions"].items():
            if version not in found.setdefault(package, []):
                found[package].append(version)
    return [(package, ", ".join(versions)) for package, versions in found.items()]


def _data_uri(picture: bytes) -> str:
    return f"data:image/png;base64,{b64encode(picture).decode('ascii')}"
