"""What is compared: a study is tables × tasks × contestants × seeds, all of it plain frozen data.

Each cell of a study has a content id, the fingerprint of everything that decides its result, so
that a cell that exists is never run again and a changed study never reuses a stale one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from qnn._fingerprint import fingerprint
from qnn.comparison.budget import Budget

SCHEMA = 1  # of study.json and of a cell's content id; raised when the meaning of a cell changes


@dataclass(frozen=True)
class Contestant:
    """One model under comparison, described by data alone.

    Attributes:
        name: as typed by the user, such as "hybrid@aer+fake_manila" or "mlp"; where it is mitigated, this is said.
        family: "hybrid" or "classical".
        backend: where circuits run; None for a classical model.
        noise: name of the noise model, or None.
        shots: shots per executed circuit; None means exact.
        gradient: gradient method of the quantum layer; None for a classical model.
        n_qubits: wires of the quantum layer, also of the one that "mlp-matched" is matched to.
        n_layers: layers of the ansatz, as above.
        observables: what the quantum layer measures, as above.
        mitigation: of errors, as `qnn.backends.mitigation.written` has it as text; None is none.
    """

    name: str
    family: str
    backend: str | None = None
    noise: str | None = None
    shots: int | None = None
    gradient: str | None = None
    n_qubits: int | None = None
    n_layers: int | None = None
    observables: str | None = None
    mitigation: str | None = None

    @property
    def quantum(self) -> bool:
        """True when a part of the model is a quantum circuit."""
        return self.family == "hybrid"

    @property
    def sampled(self) -> bool:
        """True when its outputs are estimated from shots or carry device noise."""
        return self.shots is not None or self.noise is not None


@dataclass(frozen=True)
class Table:
    """Contestants with one budget: only rows of one table may be compared.

    Attributes:
        name: "full data" or "shots and noise".
        contestants: in the order in which they are shown.
        budget: the same for all of them.
        primary: the quantum contestant that the verdict is about, named before anything is run.
        reference: the classical contestant it is compared with, named before anything is run.
    """

    name: str
    contestants: tuple[Contestant, ...]
    budget: Budget
    primary: str | None = None
    reference: str | None = None

    def contestant(self, name: str) -> Contestant:
        """The contestant of that name."""
        return next(contestant for contestant in self.contestants if contestant.name == name)


@dataclass(frozen=True)
class Cell:
    """One training run whose result counts: a contestant on a task with one seed under a table's budget."""

    table: str
    task: str
    contestant: Contestant
    seed: int
    budget: Budget
    split_seed: int
    shuffle_labels: bool

    @cached_property
    def id(self) -> str:
        """Content id: equal exactly for cells that must give the same result."""
        return fingerprint({"schema": SCHEMA, **asdict(self, dict_factory=_plain)})

    @property
    def label(self) -> str:
        """A short name for progress displays and errors."""
        return f"{self.contestant.name} · {self.task} · {self.table} · seed {self.seed}"

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Cell:
        """The cell that `dataclasses.asdict` described, by way of JSON or not."""
        return cls(
            **{**data, "contestant": Contestant(**data["contestant"]), "budget": _budget_from_dict(data["budget"])}
        )


@dataclass(frozen=True)
class Study:
    """Everything that a run folder holds the results of.

    Attributes:
        tasks: names of data sets.
        tables: each with its contestants and its budget.
        seeds: weights and data order; the first one is also used for tuning.
        split_seed: fixes the train, validation and test rows of every cell.
        shuffle_labels: the control in which nothing can be learnt.
        command: the shell command that makes this study (without --out).
    """

    tasks: tuple[str, ...]
    tables: tuple[Table, ...]
    seeds: tuple[int, ...]
    split_seed: int = 0
    shuffle_labels: bool = False
    command: str = ""

    @cached_property
    def id(self) -> str:
        """Content id of the definition; the command's wording does not matter."""
        return fingerprint(self.definition())

    def definition(self) -> dict[str, Any]:
        """All that decides results, as plain data."""
        data = asdict(self, dict_factory=_plain)
        del data["command"]
        return {"schema": SCHEMA, **data}

    def groups(self) -> Iterator[tuple[Table, str, Contestant]]:
        """Every (table, task, contestant), in canonical order; a group shares its tuning."""
        for table in self.tables:
            for task in self.tasks:
                for contestant in table.contestants:
                    yield table, task, contestant

    def cell(self, table: Table, task: str, contestant: Contestant, seed: int) -> Cell:
        """The cell of one group and seed.

        In the control, each seed has a split and a permutation of the labels of its own: whether a
        permutation happens to agree with the classes is chance that would be shared otherwise.
        """
        split_seed = self.split_seed + seed if self.shuffle_labels else self.split_seed
        return Cell(table.name, task, contestant, seed, table.budget, split_seed, self.shuffle_labels)

    def cells(self) -> list[Cell]:
        """All cells in canonical order."""
        return [self.cell(*group, seed) for group in self.groups() for seed in self.seeds]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for study.json."""
        return {"id": self.id, "command": self.command, **self.definition()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Study:
        """The study that `as_dict` described.

        Raises:
            KeyError, TypeError, ValueError: `data` is not the description of a study.
        """
        if data["schema"] != SCHEMA:
            raise ValueError(f"schema {data['schema']!r} instead of {SCHEMA}")
        return cls(
            tasks=tuple(data["tasks"]),
            tables=tuple(_table_from_dict(table) for table in data["tables"]),
            seeds=tuple(data["seeds"]),
            split_seed=data["split_seed"],
            shuffle_labels=data["shuffle_labels"],
            command=data["command"],
        )


def _plain(items: list[tuple[str, Any]]) -> dict[str, Any]:
    """A dataclass as plain data; nothing about mitigation where there is none, as before there was any."""
    return {name: value for name, value in items if name != "mitigation" or value is not None}


def _table_from_dict(data: dict[str, Any]) -> Table:
    contestants = tuple(Contestant(**contestant) for contestant in data["contestants"])
    return Table(**{**data, "contestants": contestants, "budget": _budget_from_dict(data["budget"])})


def _budget_from_dict(data: dict[str, Any]) -> Budget:
    return Budget(**{**data, "learning_rates": tuple(data["learning_rates"])})
