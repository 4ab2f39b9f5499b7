"""Bundles of `qnn train`: rows prepared as they say, and what they say about the predictions of their model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from qnn._integers import whole
from qnn.compression.tuning import training_rows
from qnn.errors import ArgumentError, TableError
from qnn.models.bundle import Bundle
from qnn.models.quantum_neural_network import QuantumNeuralNetwork
from qnn.models.tables import TableModel
from qnn.models.tables.predict import majority_class, predict_values, profile_of_predictions, score_part
from qnn.models.tables.table_model import KIND
from qnn.tasks.data import Part
from qnn.tasks.tables import prepare_builtin, read_table
from qnn.training.isolation import same_samples

_TEST_SHARE = 0.25


@dataclass(frozen=True)
class SplitRows:
    """Rows to fine-tune and calibrate on, and rows to report on."""

    train: Part
    test: Part
    validation: Part | None = None


def table_of(bundle: Bundle) -> TableModel | None:
    """What a bundle of `qnn train` holds; None for other bundles.

    Raises:
        BundleError: it says that it is one, and is not.
    """
    is_table = (bundle.task or {}).get("kind") == KIND and isinstance(bundle.model, QuantumNeuralNetwork)
    return TableModel.of(bundle) if is_table else None


def rows_of_table(model: TableModel, data: Any, seed: int) -> SplitRows:
    """The rows of a table with the columns and the target of `model`; a quarter, drawn by `seed`, is for the report.

    Raises:
        TableError: it has other columns, or rows that cannot be predicted.
    """
    table = read_table(data)
    prepared = model.preparation(table)
    y, missing, outside = model.target.values(table)
    problems = [line for found in (prepared.missing, prepared.unseen, missing, outside) for line in found.lines()]
    if problems:
        raise TableError(
            f"`data` must have values and known categories in every row; {table.source} has not: "
            f"{'; '.join(problems[:3])}. Drop or mend these rows."
        )
    if model.target.task == "regression":
        y = ((y - model.target.mean) / model.target.deviation).astype("float32")
    x, labels = torch.as_tensor(prepared.x, dtype=torch.float32), torch.as_tensor(y)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    n_test = max(1, round(_TEST_SHARE * len(x)))
    test, train = order[:n_test], order[n_test:]
    return SplitRows(Part(x[train], labels[train]), Part(x[test], labels[test]))


def rows_of_builtin(model: TableModel, name: str) -> SplitRows:
    """The parts of a built-in task, prepared as `model` prepares rows, and split as it was when trained on the task.

    Raises:
        ArgumentError: the task has other classes.
        TableError: it has other columns.
    """
    settings = model.config.get("table") if model.config.get("data") == name else None
    seed = whole(settings.get("split_seed")) if isinstance(settings, dict) else None
    made = prepare_builtin(name, split_seed=seed or 0)
    if made.target.classes != model.target.classes:
        classes = ", ".join(model.target.classes[:5]) or "none"
        raise ArgumentError(
            f'`data` must have the classes of the bundle, {classes}; got the task "{name}", which has others. '
            "Give the data of its training."
        )
    x = torch.as_tensor(model.preparation(made.table).x, dtype=torch.float32)
    labels = torch.as_tensor(model.target.values(made.table)[0])
    split = made.split
    train, validation, test = (Part(x[rows], labels[rows]) for rows in (split.train, split.validation, split.test))
    return SplitRows(train, test, validation)


def predictions_of(
    table: TableModel, model: torch.nn.Module, rows: Any
) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """How the predictions of another model of the same table are distributed, and their scores by part; plain data.

    Without rows nothing is known of either.
    """
    if rows is None:
        return None, {}
    x, y = training_rows(rows.test)
    with same_samples(model):
        values, _ = predict_values(model, table.target, x, seed=0)
    scores = score_part(table.target, y, values, majority_class(table))
    held_out = rows.test is not rows.train
    return profile_of_predictions(table.target, values).to_json(), {"test" if held_out else "train": scores.as_dict()}
