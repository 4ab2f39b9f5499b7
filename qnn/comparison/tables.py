"""The tables of a study, as columns of text that Markdown and HTML both show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qnn.comparison.quantities import count, memory, percent, percent_range, points, points_range, seconds
from qnn.comparison.summary import Panel, Row
from qnn.comparison.verdict import Verdict


@dataclass(frozen=True)
class Column:
    """A heading and what stands under it for each row; numbers are aligned to the right."""

    heading: str
    cell: Callable[[Row], str]
    number: bool = True


def result_columns(panel: Panel) -> list[Column]:
    """What came out."""
    columns = [
        Column("model", lambda row: row.name, number=False),
        Column("test accuracy", lambda row: percent(row.accuracy.estimate)),
        Column("95 % interval", lambda row: percent_range(row.accuracy)),
    ]
    if any(row.difference is not None for row in panel.rows):
        columns += [
            Column(f"points above {panel.table.reference}", _difference),
            Column("95 % interval, paired", _difference_range),
        ]
    return [
        *columns,
        Column("training accuracy", lambda row: percent(row.train_accuracy)),
        Column("test loss (nats)", lambda row: f"{row.test_loss:.3f}"),
    ]


def cost_columns() -> list[Column]:
    """What it took: means over the seeds for one training."""
    return [
        Column("weights", lambda row: count(row.records[0].n_weights)),
        Column("of these, gate angles", lambda row: count(row.records[0].n_quantum_weights)),
        Column("learning rate", lambda row: f"{row.records[0].learning_rate:g}"),
        Column("training time", lambda row: seconds(row.wall_s)),
        Column("peak memory", lambda row: memory(row.peak_memory_bytes)),
        Column("circuits", lambda row: count(row.circuits)),
        Column("shots", lambda row: count(row.shots)),
        Column("jobs", lambda row: count(row.jobs)),
    ]


def budget_line(panel: Panel) -> str:
    """The budget that every row of the panel had, in words."""
    first, budget = panel.first, panel.table.budget
    train, validation, test = (count(number) for number in (first.n_train, first.n_validation, first.n_test))
    rates = ", ".join(f"{rate:g}" for rate in budget.learning_rates)
    batch = f"batches of {budget.batch_size}"
    return (
        f"{train} training, {validation} validation and {test} test rows; "
        f"{_plural(budget.epochs, 'epoch')} in {batch} with {budget.optimizer.capitalize()}; "
        f"{_plural(budget.tuning_trials, 'tuning trial')} (learning rate {rates}); "
        f"{_plural(len(panel.rows[0].records), 'seed')}."
    )


def to_markdown(panels: Sequence[Panel], verdicts: Sequence[Verdict], command: str) -> str:
    """The content of table.md: verdicts, then one table for each budget and task."""
    parts = ["# Comparison", *(f"**{verdict.sentence}**" for verdict in verdicts)]
    for panel, verdict in zip(panels, verdicts, strict=True):
        columns = result_columns(panel) + cost_columns()
        parts += [f"## {panel.task}: {panel.table.name}", budget_line(panel), _markdown_table(panel, columns)]
        parts += list(verdict.further)
    parts += ["Times, circuits, shots and jobs are means over seeds for one training.", f"```sh\n{command}\n```"]
    return "\n\n".join(parts) + "\n"


def _markdown_table(panel: Panel, columns: Sequence[Column]) -> str:
    lines = [
        "| " + " | ".join(column.heading for column in columns) + " |",
        "|" + "|".join("--:" if column.number else ":--" for column in columns) + "|",
    ]
    lines += ["| " + " | ".join(column.cell(row) for column in columns) + " |" for row in panel.rows]
    return "\n".join(lines)


def _difference(row: Row) -> str:
    return "reference" if row.difference is None else points(row.difference.estimate)


def _difference_range(row: Row) -> str:
    return "" if row.difference is None else points_range(row.difference)


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
