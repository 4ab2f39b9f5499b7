"""The result of one cell: its schema, and reading it back with every field checked.

Everything in a record but its `measured` block is a function of the cell alone.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from qnn.comparison.lines import JsonLines
from qnn.errors import RecordError

CURVES = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")


@dataclass(frozen=True)
class Record:
    """What one trained contestant did; fields as in records.jsonl.

    Attributes:
        cell: content id of the cell.
        table, task, model: where it belongs; `model` is the contestant's name.
        backend, shots, noise, gradient: of the quantum part, None for a classical model; `shots` None is exact.
        mitigation: of errors of the quantum part, as text; None is none, also where the line does not have it.
        seed, split_seed, shuffle_labels: what was random.
        n_train, n_validation, n_test: rows of each part.
        epochs, batch_size, learning_rate, tuning_trials: the budget, and the rate that tuning chose.
        steps: optimisation steps done.
        best_epoch: the epoch whose weights were kept.
        test_accuracy, train_accuracy, validation_accuracy: fractions, with the weights that were kept.
        chance_accuracy: test accuracy of always answering the most frequent training label.
        test_loss, validation_loss: mean cross-entropy in nats.
        n_weights, n_quantum_weights: trainable scalars, and those of them that are gate angles.
        circuits, total_shots, jobs: executed during training, validation passes included.
        test_correct: one character a test row in the order of the task, "1" where it was right.
        curves: per epoch, the columns named in `CURVES`.
        measured: device, wall_s of training, peak_memory_bytes of training above its start, versions.
    """

    cell: str
    table: str
    task: str
    model: str
    backend: str | None
    shots: int | None
    noise: str | None
    mitigation: str | None = field(default=None, kw_only=True)
    gradient: str | None
    seed: int
    split_seed: int
    shuffle_labels: bool
    n_train: int
    n_validation: int
    n_test: int
    n_classes: int
    epochs: int
    batch_size: int
    learning_rate: float
    tuning_trials: int
    steps: int
    best_epoch: int
    test_accuracy: float
    train_accuracy: float
    validation_accuracy: float
    chance_accuracy: float
    test_loss: float
    validation_loss: float
    n_weights: int
    n_quantum_weights: int
    circuits: int
    total_shots: int
    jobs: int
    test_correct: str
    curves: dict[str, list[float]] = field(repr=False)
    measured: dict[str, Any] = field(repr=False)

    @property
    def correct(self) -> np.ndarray:
        """Shape (T,), 1.0 where the test row was classified correctly."""
        return (np.frombuffer(self.test_correct.encode("ascii"), dtype=np.uint8) == ord("1")).astype(float)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, in the order of the fields."""
        return asdict(self)


_KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "dict": (dict,),
    "None": (type(None),),
}
_LATER = ("mitigation",)  # fields that records of earlier versions do not have
_MEASURED: dict[str, tuple[type, ...]] = {
    "device": (str,),
    "wall_s": (int, float),
    "peak_memory_bytes": (int,),
    "versions": (dict,),
}


def record_from_dict(data: Any, where: str = "record") -> Record:
    """The record that a JSON object describes.

    Raises:
        RecordError: a field is missing, unknown, of the wrong type or contradicts another one.
    """
    if not isinstance(data, dict):
        raise _bad(where, "must be a JSON object", f"got {type(data).__name__}")
    known = {item.name: str(item.type) for item in fields(Record)}
    for name in known:
        if name not in data and name not in _LATER:
            raise _bad(where, f"must have the field `{name}`", "it is missing")
    for name, value in data.items():
        if name not in known:
            raise _bad(where, "must have only known fields", f"got `{name}`")
        _check_type(where, name, value, known[name])
    for name, kind in _MEASURED.items():
        if not isinstance(data["measured"].get(name), kind):
            raise _bad(where, f"must have `measured.{name}`", f"got {data['measured'].get(name)!r}")
    record = Record(**data)
    _check_values(where, record)
    return record


def _check_type(where: str, name: str, value: Any, annotation: str) -> None:
    kinds = tuple(kind for part in annotation.split("|") for kind in _KINDS[part.split("[")[0].strip()])
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise _bad(where, f"field `{name}` must be {annotation}", f"got {value!r}")


def _check_values(where: str, record: Record) -> None:
    if len(record.test_correct) != record.n_test or set(record.test_correct) - {"0", "1"}:
        raise _bad(
            where, f"`test_correct` must be {record.n_test} characters 0 or 1", f"got {record.test_correct[:20]!r}"
        )
    share = record.test_correct.count("1") / record.n_test if record.n_test else 0.0
    if abs(share - record.test_accuracy) > 1e-9:
        raise _bad(
            where, f"`test_accuracy` must be the share of 1 in `test_correct`, {share}", f"got {record.test_accuracy}"
        )
    if set(record.curves) != set(CURVES):
        raise _bad(where, f"`curves` must have the columns {', '.join(CURVES)}", f"got {', '.join(record.curves)}")


def _bad(where: str, requirement: str, fact: str) -> RecordError:
    return RecordError(f"{where} {requirement}; {fact}. Move the file away and run the study again.")


def read_records(path: str | Path) -> list[Record]:
    """The records of a records.jsonl, checked; a torn last line is left out.

    Raises:
        RecordError: a line cannot be read as a record.
    """
    lines = JsonLines(path).read()
    return [record_from_dict(row, f'line {number} of "{path}"') for number, row in enumerate(lines, start=1)]
