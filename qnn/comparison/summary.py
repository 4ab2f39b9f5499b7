"""What the records say, table by table: the numbers that verdict, tables, figures and report all show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qnn.comparison.records import Record
from qnn.comparison.statistics import Interval, accuracy_interval, difference_interval, independent_interval
from qnn.comparison.study import Contestant, Study, Table


@dataclass(frozen=True)
class Row:
    """One contestant in one table on one task; costs are means over its seeds, for one training.

    Attributes:
        contestant: who.
        records: one per seed, in the order of seeds.
        accuracy: on the test part.
        difference: its accuracy less that of the table's reference, paired; None for the reference.
        train_accuracy: fraction.
        test_loss: nats.
        wall_s: of training.
        peak_memory_bytes: the highest of all seeds.
        circuits, shots, jobs: executed in training.
    """

    contestant: Contestant
    records: tuple[Record, ...]
    accuracy: Interval
    difference: Interval | None
    train_accuracy: float
    test_loss: float
    wall_s: float
    peak_memory_bytes: int
    circuits: float
    shots: float
    jobs: float

    @property
    def name(self) -> str:
        """The contestant's name."""
        return self.contestant.name

    @property
    def correct(self) -> np.ndarray:
        """Shape (S, T): which seed got which test row right."""
        return _correct(self.records)


@dataclass(frozen=True)
class Panel:
    """One table on one task: rows with one budget, and nothing else to compare with."""

    table: Table
    task: str
    rows: tuple[Row, ...]

    def row(self, name: str | None) -> Row | None:
        """The row of the contestant of that name, or None."""
        return next((row for row in self.rows if row.name == name), None)

    @property
    def primary(self) -> Row | None:
        """The quantum contestant that the verdict is about."""
        return self.row(self.table.primary)

    @property
    def reference(self) -> Row | None:
        """The classical contestant that it is compared with."""
        return self.row(self.table.reference)

    @property
    def classical(self) -> list[Row]:
        """The rows of classical contestants."""
        return [row for row in self.rows if not row.contestant.quantum]

    @property
    def first(self) -> Record:
        """A record from which to read what all of them share (numbers of rows, classes)."""
        return self.rows[0].records[0]


def summarise(study: Study, records: Sequence[Record]) -> list[Panel]:
    """Panels in the order of the study.

    Args:
        study: what was compared.
        records: one for every cell.

    Raises:
        KeyError: a cell has no record.
    """
    by_cell = {record.cell: record for record in records}
    panels = []
    for table in study.tables:
        for task in study.tasks:
            found = {
                contestant.name: tuple(by_cell[study.cell(table, task, contestant, s).id] for s in study.seeds)
                for contestant in table.contestants
            }
            panels.append(Panel(table, task, tuple(_row(c, found, table, study) for c in table.contestants)))
    return panels


def _row(contestant: Contestant, found: dict[str, tuple[Record, ...]], table: Table, study: Study) -> Row:
    records = found[contestant.name]
    correct, reference = _correct(records), table.reference
    own_splits = study.shuffle_labels and len(study.seeds) > 1
    difference = None
    if reference is not None and reference != contestant.name and not study.shuffle_labels:
        difference = difference_interval(correct, _correct(found[reference]))
    return Row(
        contestant=contestant,
        records=records,
        accuracy=independent_interval(correct) if own_splits else accuracy_interval(correct),
        difference=difference,
        train_accuracy=_mean([record.train_accuracy for record in records]),
        test_loss=_mean([record.test_loss for record in records]),
        wall_s=_mean([record.measured["wall_s"] for record in records]),
        peak_memory_bytes=max(record.measured["peak_memory_bytes"] for record in records),
        circuits=_mean([record.circuits for record in records]),
        shots=_mean([record.total_shots for record in records]),
        jobs=_mean([record.jobs for record in records]),
    )


def _correct(records: Sequence[Record]) -> np.ndarray:
    return np.stack([record.correct for record in records])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
