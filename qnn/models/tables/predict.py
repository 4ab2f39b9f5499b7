"""From a bundle and new rows to predictions, scores and drift."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from qnn._files import write_atomic
from qnn._integers import checked_seed
from qnn.errors import ArgumentError, TableError, unknown_name
from qnn.models.outputs import outputs_of
from qnn.models.tables.drift import DriftReport, measure_drift
from qnn.models.tables.profile import CategoryProfile, NumberProfile, Profile
from qnn.models.tables.scores import Scores, score_classes, score_numbers
from qnn.models.tables.table_model import PREDICTED, TableModel
from qnn.tasks.tables import Table, Target, read_table

BAD_ROWS = ("error", "skip")
FORMATS = (".csv", ".parquet")
_NOT_COMPARED = "Predictions are not compared: the bundle has no distribution of its model's."


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions for the rows of a table.

    Attributes:
        rows: (N,) numbers of the rows, from 1.
        predicted: (N,) object: a class's name or a float; None for rows that were skipped.
        probabilities: (N, C) float64, NaN in rows that were skipped; None for a regression.
        classes: names of the C classes.
        kept: columns of the input to be shown beside, by name, (N,) object.
        skipped: why rows were skipped, one line an entry; the first few, and a count.
        scores: against the target, if asked for.
        drift: against training, if asked for.
    """

    rows: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray | None
    classes: tuple[str, ...]
    kept: dict[str, np.ndarray]
    skipped: tuple[str, ...] = ()
    scores: Scores | None = None
    drift: DriftReport | None = None

    def columns(self) -> dict[str, list[Any]]:
        """Columns by name: row, those kept, prediction, and the probability of each class; None where skipped.

        A kept column whose name is taken has "input " in front.
        """
        shares = [f"probability {name}" for name in self.classes]
        found: dict[str, list[Any]] = {"row": self.rows.tolist()}
        for name, values in self.kept.items():
            shown = name
            while shown in ("row", "prediction", *shares) or (shown != name and shown in self.kept):
                shown = f"input {shown}"
            found[shown] = values.tolist()
        found["prediction"] = self.predicted.tolist()
        for index, name in enumerate(shares):
            assert self.probabilities is not None
            found[name] = [None if p != p else p for p in self.probabilities[:, index].tolist()]
        return found

    def to_csv(self) -> str:
        """CSV, numbers with six digits, or nine for predicted values."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        columns = self.columns()
        writer.writerow(columns)
        for row in zip(*columns.values(), strict=True):
            writer.writerow([_cell(value, 6 if self.classes else 9) for value in row])
        return text.getvalue()

    def write(self, path: str | Path) -> Path:
        """Write a .csv or .parquet file."""
        target = check_output(path)
        if target.suffix.lower() == ".csv":
            return write_atomic(target, self.to_csv())
        buffer = io.BytesIO()
        pq.write_table(pa.table(self.columns()), buffer)
        return write_atomic(target, buffer.getvalue())


def predict_table(
    model: TableModel | str | Path,
    data: Any,
    *,
    bad_rows: str = "error",
    keep: Sequence[str] = (),
    score: bool = False,
    monitor: bool = False,
    alpha: float = 0.05,
    min_psi: float = 0.1,
    seed: int = 0,
    **options: Any,
) -> Predictions:
    """Predict the rows of a table, and on request score the predictions and look for drift.

    Args:
        model: a `TableModel`, or the bundle that `train_table` wrote.
        data: a file, a DataFrame or a dictionary with the columns of training, by name; others do not matter.
        bad_rows: rows with missing values (unless the model fills them) or unseen categories: "error" names them,
            "skip" leaves their prediction empty, and those of the others as they are.
        keep: columns of the input to show beside the predictions.
        score: compare with the target's column, which `data` must then have.
        monitor: measure drift of each column and of the predictions against training.
        alpha, min_psi: what counts as drift; see `measure_drift`.
        seed: number of the evaluation, for models that sample: different numbers, independent shots.
        **options: with a bundle, as for `qnn.load`: `backend`, `shots`, ….

    Raises:
        TableError: missing columns, bad rows, labels outside the classes; by row and column.
        BundleError: `model` is not a bundle of a table.
    """
    seed = checked_seed(seed) or 0
    if bad_rows not in BAD_ROWS:
        raise unknown_name("`bad_rows`", bad_rows, BAD_ROWS)
    if not isinstance(model, TableModel):
        model = TableModel.load(model, **options)
    elif options:
        raise ArgumentError(f"`{next(iter(options))}` is for a bundle that is read. Use model.model.to_backend first.")
    table = read_table(data)
    prepared = model.preparation(table)
    lines: list[str] = []
    bad = np.union1d(prepared.missing.rows, prepared.unseen.rows)
    if len(bad):
        lines = [*prepared.missing.lines(), *prepared.unseen.lines()]
        count = prepared.missing.count + prepared.unseen.count
        if bad_rows == "error":
            raise TableError(
                f"{table.source} must have values and known categories in the columns of the model; got {count} "
                f'others: {"; ".join(lines)}. Correct them, or skip these rows with bad_rows="skip" (--bad-rows skip).'
            )
    good = np.setdiff1d(np.arange(table.n_rows), bad)
    if len(good) == 0:
        raise TableError(f"{table.source} must have a row that can be predicted; got none: {'; '.join(lines)}.")
    x = torch.as_tensor(prepared.x[good], dtype=torch.float32)
    values, shares = predict_values(model.model, model.target, x, seed=seed, positions=torch.from_numpy(good))
    classes = model.target.classes
    named = np.array(classes, dtype=object)[values] if classes else values.astype(object)
    predicted = np.full(table.n_rows, None, dtype=object)
    predicted[good] = named
    probabilities = None
    if classes:
        probabilities = np.full((table.n_rows, len(classes)), np.nan)
        probabilities[good] = shares
    return Predictions(
        rows=np.arange(1, table.n_rows + 1),
        predicted=predicted,
        probabilities=probabilities,
        classes=classes,
        kept={name: table.column(name).labels() for name in keep},
        skipped=tuple(lines),
        scores=_score(model, table, good, values) if score else None,
        drift=_drift(model, table, named, alpha, min_psi) if monitor else None,
    )


def predict_values(
    network: torch.nn.Module, target: Target, x: torch.Tensor, *, seed: int, positions: torch.Tensor | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Predictions for features (N, D): class numbers (N,) and probabilities (N, C), or values (N,) and nothing.

    Shots depend on `positions` (N,), the rows' numbers in their table; None counts from 0.
    """
    outputs = outputs_of(network, x, seed=seed, positions=positions).double()
    if target.task == "regression":
        return outputs.reshape(-1).numpy() * target.deviation + target.mean, np.zeros((len(x), 0))
    return outputs.argmax(dim=-1).numpy(), outputs.softmax(dim=-1).numpy()


def profile_of_predictions(target: Target, values: np.ndarray) -> Profile:
    """The distribution of what `predict_values` gave."""
    if target.task == "regression":
        return NumberProfile.of(PREDICTED, values)
    return CategoryProfile.of(PREDICTED, np.array(target.classes, dtype=object)[values])


def score_part(target: Target, y: torch.Tensor, values: np.ndarray, majority: int) -> Scores:
    """Scores of what `predict_values` gave, against class numbers or scaled values (N,); `majority` is a class."""
    if target.task == "regression":
        return score_numbers(y.double().numpy() * target.deviation + target.mean, values)
    return score_classes(y.numpy(), values, majority)


def majority_class(model: TableModel) -> int:
    """The number of the most frequent class in training; 0 for a regression."""
    counts = model.labels.counts if isinstance(model.labels, CategoryProfile) else {}
    return int(np.argmax([counts.get(name, 0) for name in model.target.classes or ("",)]))


def check_output(path: str | Path) -> Path:
    """`path`, if predictions can be written in a format of that name."""
    target = Path(path)
    if target.suffix.lower() not in FORMATS:
        raise ArgumentError(f'`path` must end in {" or ".join(FORMATS)}; got "{target}". Use for example out.csv.')
    return target


def _score(model: TableModel, table: Table, good: np.ndarray, values: np.ndarray) -> Scores:
    """Scores on the rows that were predicted."""
    y, missing, outside = model.target.values(table)
    if missing.count or outside.count:
        wanted = f"one of {', '.join(model.target.classes[:10])}" if model.target.classes else "a finite number"
        raise TableError(
            f'The target "{model.target.name}" of {table.source} must be {wanted} in every row to score predictions; '
            f"got {missing.count + outside.count} others: {'; '.join([*missing.lines(), *outside.lines()])}. "
            "Correct them, or predict without a score."
        )
    if model.target.task == "regression":
        return score_numbers(y[good], values)
    return score_classes(y[good], values, majority_class(model))


def _drift(model: TableModel, table: Table, named: np.ndarray, alpha: float, min_psi: float) -> DriftReport:
    """Drift of all columns, and of the rows that were predicted."""
    values = named if model.target.classes else named.astype(np.float64)
    pairs = [(profile, model.values(table, profile)) for profile in model.profiles]
    if model.predicted is None:
        report = measure_drift(pairs, table.n_rows, alpha=alpha, min_psi=min_psi)
        return replace(report, remark=_NOT_COMPARED)
    return measure_drift([*pairs, (model.predicted, values)], table.n_rows, alpha=alpha, min_psi=min_psi)


def _cell(value: Any, digits: int) -> Any:
    if value is None:
        return ""
    return f"{value:.{digits}g}" if isinstance(value, float) else value
