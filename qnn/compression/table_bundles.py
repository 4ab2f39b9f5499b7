"""Bundles of `qnn train`: rows prepared as they say, and what they say about the predictions of their model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from qnn._integers import whole
from qnn.compression.tuning import training_rows
from qnn.errors import ArgumentError, BundleError, TableError
from qnn.models.bundle import Bundle
from qnn.models.quantum_neural_network import QuantumNeuralNetwork
from qnn.models.tables import TableModel
from qnn.models.tables.predict import majority_class, predict_values, profile_of_predictions, score_part
from qnn.models.tables.table_model import KIND
from qnn.tasks.data import Part
from qnn.tasks.split import Split
from qnn.tasks.tables import Table, prepare_builtin, read_table
from qnn.tasks.tables.parts import split_table
from qnn.tasks.tables.task import TEST_FRACTION, VALIDATION_FRACTION, without_gaps
from qnn.training.isolation import same_samples

_TEST_SHARE = 0.25
_MOST = {"table": 2**63 - 1, "task": 2**32 - 1}  # seeds of NumPy's generators, and of scikit-learn's splits


@dataclass(frozen=True)
class SplitRows:
    """Rows to fine-tune and calibrate on, and rows to report on.

    Attributes:
        train, validation, test: the parts.
        called: what `test` is: the part of that name of the model's training, or "data", of which nobody knows whether
            the model was trained on it.
    """

    train: Part
    test: Part
    validation: Part | None = None
    called: str = "test"


def table_of(bundle: Bundle) -> TableModel | None:
    """What a bundle of `qnn train` holds; None for other bundles.

    Raises:
        BundleError: it says that it is one, and is not.
    """
    is_table = (bundle.task or {}).get("kind") == KIND and isinstance(bundle.model, QuantumNeuralNetwork)
    return TableModel.of(bundle) if is_table else None


def rows_of_table(model: TableModel, data: Any, seed: int) -> SplitRows:
    """The rows of a table with the columns and the target of `model`, in parts.

    Rows with missing values are left out, or their values filled, as in the training. The table of the training is
    split as it was then, and may have categories that no training row has; of others a quarter, drawn by `seed`, is for
    the report.

    Raises:
        TableError: it has other columns, or rows that cannot be predicted.
        BundleError: the seed of the split is none.
    """
    table = read_table(data)
    settings = model.config.get("table")
    if isinstance(settings, dict) and settings.get("missing") == "drop":
        names = [*model.preparation.columns, model.target.name]
        table, _ = without_gaps(table, [name for name in names if name in table.columns])
    prepared = model.preparation(table)
    y, missing, outside = model.target.values(table)
    wrong = [prepared.missing, missing, outside]
    split = None if any(found.count for found in wrong) else _split_of_training(model, table, y)
    problems = [line for found in (wrong if split is not None else [*wrong, prepared.unseen]) for line in found.lines()]
    if problems:
        raise TableError(
            f"`data` must have values and known categories in every row; {table.source} has not: "
            f"{'; '.join(problems[:3])}. Drop or mend these rows."
        )
    if model.target.task == "regression":
        y = ((y - model.target.mean) / model.target.deviation).astype("float32")
    x, labels = torch.as_tensor(prepared.x, dtype=torch.float32), torch.as_tensor(y)
    if split is not None:
        return _in_parts(x, labels, split)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    n_test = max(1, round(_TEST_SHARE * len(x)))
    test, train = order[:n_test], order[n_test:]
    return SplitRows(Part(x[train], labels[train]), Part(x[test], labels[test]), called="data")


def _split_of_training(model: TableModel, table: Table, y: np.ndarray) -> Split | None:
    """The parts that a table had when `model` was trained on it; None for another table, by the columns' profiles."""
    settings, seed = model.config.get("table"), _split_seed(model, "table")
    if seed is None or not isinstance(settings, dict):
        return None
    shares = {"validation_fraction": VALIDATION_FRACTION, "test_fraction": TEST_FRACTION}
    shares |= {name: settings[name] for name in shares if name in settings}
    try:
        split = split_table(y, stratified=model.target.task == "classification", seed=seed, **shares)
        trained = table.select(split.train)
        for profile in (*model.profiles, model.labels):
            if type(profile).of(profile.name, model.values(trained, profile)).to_json() != profile.to_json():
                return None
    except (ArgumentError, TableError):  # too few rows, or columns of another kind
        return None
    return split


def _split_seed(model: TableModel, kind: str) -> int | None:
    """The seed of the split of a model's training; None for one that does not say.

    Raises:
        BundleError: it is no seed.
    """
    settings = model.config.get("table")
    given = settings.get("split_seed") if isinstance(settings, dict) else None
    seed = whole(given)
    if given is not None and (seed is None or not 0 <= seed <= _MOST[kind]):
        raise BundleError(
            f"`config` of the bundle must have a `split_seed` from 0 to {_MOST[kind]:,}; got {given!r}. "
            "Get a fresh copy of the bundle."
        )
    return seed


def _in_parts(x: torch.Tensor, y: torch.Tensor, split: Split) -> SplitRows:
    """The parts of a training, of which the last that there is is for the report."""
    train, validation, test = (
        Part(x[rows], y[rows]) if len(rows) else None for rows in (split.train, split.validation, split.test)
    )
    assert train is not None
    parts = {"test": test, "validation": validation, "train": train}
    called, last = next((name, part) for name, part in parts.items() if part is not None)
    return SplitRows(train, last, validation, called)


def rows_of_builtin(model: TableModel, name: str) -> SplitRows:
    """The parts of a built-in task, prepared as `model` prepares rows, and split as it was when trained on the task.

    Raises:
        ArgumentError: the task has other classes.
        BundleError: the seed of the split is none.
        TableError: it has other columns.
    """
    seed = _split_seed(model, "task") if model.config.get("data") == name else None
    made = prepare_builtin(name, split_seed=seed or 0)
    if made.target.classes != model.target.classes:
        classes = ", ".join(model.target.classes[:5]) or "none"
        raise ArgumentError(
            f'`data` must have the classes of the bundle, {classes}; got the task "{name}", which has others. '
            "Give the data of its training."
        )
    x = torch.as_tensor(model.preparation(made.table).x, dtype=torch.float32)
    labels = torch.as_tensor(model.target.values(made.table)[0])
    found = _in_parts(x, labels, made.split)
    return found if seed is not None else replace(found, called="data")


def predictions_of(
    table: TableModel, model: torch.nn.Module, rows: Any
) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """How the predictions of another model of the same table are distributed, and their scores by part; plain data.

    The distribution is that on all rows which were not trained on, where there are any, as after a training. Without
    rows nothing is known of either.
    """
    if rows is None:
        return None, {}
    x, y = training_rows(rows.test)
    with same_samples(model):
        values, _ = predict_values(model, table.target, x, seed=0)
    scores = score_part(table.target, y, values, majority_class(table))
    called = "train" if rows.test is rows.train else getattr(rows, "called", "test")
    if called == "test" and getattr(rows, "validation", None) is not None:
        with same_samples(model):
            others, _ = predict_values(model, table.target, training_rows(tuple(rows.validation)[:2])[0], seed=1)
        values = np.concatenate([others, values])
    return profile_of_predictions(table.target, values).to_json(), {called: scores.as_dict()}
