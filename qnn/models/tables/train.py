"""From a table to a trained model in a bundle."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from qnn._integers import checked_seed
from qnn._meter import measure
from qnn._run import Run, open_run, run_scope
from qnn.errors import ArgumentError, unknown_name
from qnn.gradients import QUANTUM_OPTIMIZERS
from qnn.models.optimizers import optimizer_fields
from qnn.models.quantum_neural_network import QuantumNeuralNetwork
from qnn.models.tables.predict import predict_values, profile_of_predictions, score_part
from qnn.models.tables.profile import CategoryProfile, NumberProfile, Profile
from qnn.models.tables.scores import Scores
from qnn.models.tables.table_model import TableModel
from qnn.tasks.catalogue import TASKS
from qnn.tasks.data import Part
from qnn.tasks.tables import TableTask, prepare_builtin, prepare_table, read_table
from qnn.tasks.tables.encoders import Number
from qnn.training import FitConfig, fit
from qnn.training.callbacks import Callback, JSONLog
from qnn.training.callbacks.base import FitState

BUNDLE_FILE = "bundle.json"
_TABLE_OPTIONS = (
    "task",
    "features",
    "categorical",
    "classes",
    "missing",
    "max_categories",
    "validation_fraction",
    "test_fraction",
)
_FIT_OPTIONS = tuple(field.name for field in fields(FitConfig) if field.name not in ("loss", "seed"))
_EPOCHS, _LEARNING_RATE = 30, 0.05  # small tables have few steps in an epoch
_FOLLOWING = ("loss", "n_inputs", "n_outputs")


def train_table(
    data: Any,
    target: str | None = None,
    *,
    out: str | Path | None = None,
    checkpoint: str | Path | bool = True,
    overwrite: bool = False,
    scaling: str = "standard",
    split_seed: int = 0,
    seed: int = 0,
    n_hidden: int | Sequence[int] | None = None,
    callbacks: Sequence[Callback] = (),
    **options: Any,
) -> TableModel:
    """Train a `QuantumNeuralNetwork` on a table, measure it on rows held out, and write a bundle.

    Rows are split into training, validation (to choose the best epoch) and test (to report on), features prepared by
    what the training rows teach. Everything is checked before training starts. Started by torchrun, each process calls
    this alike, and the first one writes.

    Args:
        data: a file (.csv, .parquet, .npy, .npz), a DataFrame, a dictionary of columns, or a built-in task's name.
        target: the column to predict; None only for a built-in task.
        out: where to write the bundle, a folder, or a zip if it ends in ".zip"; None writes nothing. Beside it is
            ``OUT.log.jsonl`` with a line an epoch.
        checkpoint: a folder, from which the same call goes on after a crash or Ctrl-C; True is ``OUT.checkpoint``,
            removed when the bundle is written; False is none.
        overwrite: replace a bundle that is at `out`.
        scaling: of numbers: "standard", "angle" or "none"; see `Preparation.learn`.
        split_seed: which rows are in which part.
        seed: of initial weights, the order of rows and shots.
        n_hidden: widths of classical layers in front; see `QuantumNeuralNetwork`.
        callbacks: as for `qnn.fit`.
        **options: of the table: `task`, `features`, `categorical`, `classes`, `missing`, `max_categories`,
            `validation_fraction`, `test_fraction`, see `qnn.tasks.tables.prepare_table` (a built-in task has its own);
            of training: fields of `qnn.FitConfig`, 30 epochs at a rate of 0.05 by default, where `optimizer` may
            also be a name of `qnn.gradients.QUANTUM_OPTIMIZERS`; of the network, all others: `n_qubits`, `n_layers`,
            `backend`, `shots`, `mitigation`, `gradient`, … of `qnn.QuantumNeuralNetwork`.

    Returns:
        The trained model with what belongs to it.

    Raises:
        TableError: what is wrong in the table, by row and column.
        ArgumentError, UnknownNameError: an option that cannot be used.

    Example:
        >>> import numpy as np
        >>> x = np.linspace(-1, 1, 40)
        >>> model = train_table({"x": x, "side": np.where(x < 0, "left", "right")}, "side", n_qubits=2, epochs=30,
        ...                     learning_rate=0.1, progress=False)
        >>> model.target.classes, model.metrics["test"]["accuracy"]["value"]
        (('left', 'right'), 1.0)
    """
    place, folder = places(out, checkpoint, overwrite)
    run = planned(data, target, scaling=scaling, split_seed=split_seed, seed=seed, n_hidden=n_hidden, options=options)
    log: list[Callback] = [] if place is None else [JSONLog(_beside(place, ".log.jsonl"))]
    around = open_run()
    with run_scope(None if around is None else replace(around)) as scope:
        team = [*callbacks, *log, _SameRun(scope)]
        run.network.history = fit(run.network, run.prepared, run.config, callbacks=team, checkpoint=folder)
        made = _describe(run)
    if place is not None and is_main():
        made.save(place)
        if checkpoint is True and folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
    return made


class _SameRun(Callback):
    """Scores belong to the run of the training, which a checkpoint may have begun."""

    def __init__(self, scope: Run) -> None:
        self._scope = scope

    def on_fit_end(self, state: FitState) -> None:
        """Take its id, and what was done once."""
        self._scope.id, self._scope.once = state.run.id, state.run.once


@dataclass(frozen=True, eq=False)
class TableRun:
    """A training on a table, before it begins.

    Attributes:
        network: to be trained.
        prepared: the table, in parts.
        config: of the loop.
        settings: what was asked for, plain data.
    """

    network: QuantumNeuralNetwork
    prepared: TableTask
    config: FitConfig
    settings: dict[str, Any]


def planned(
    data: Any,
    target: str | None,
    *,
    scaling: str,
    split_seed: int,
    seed: int,
    n_hidden: int | Sequence[int] | None,
    options: dict[str, Any],
) -> TableRun:
    """The training that `train_table` makes with these arguments; nothing is executed."""
    checked_seed(seed)
    for name in _FOLLOWING:
        if name in options:
            raise ArgumentError(f"`{name}` follows from the table; leave it out.")
    table_options, fit_options = _pick(options, _TABLE_OPTIONS), _pick(options, _FIT_OPTIONS)
    network_options = {"n_hidden": n_hidden} | {
        name: value for name, value in options.items() if name not in (*_TABLE_OPTIONS, *_FIT_OPTIONS)
    }
    prepared = _prepare(data, target, table_options | {"scaling": scaling, "split_seed": split_seed})
    classes = prepared.target.classes
    n_features = len(prepared.preparation.feature_names)
    network = QuantumNeuralNetwork(n_features, n_outputs=len(classes) or 1, seed=seed, **network_options)
    config = _config(network, fit_options, seed, classification=bool(classes))
    settings = {
        "data": prepared.table.source,
        "table": _plain({"scaling": scaling, "split_seed": split_seed} | table_options),
        "network": _plain(network_options | {"seed": seed}),
        "fit": config.as_dict() | _plain(_chosen(options)),
    }
    return TableRun(network, prepared, config, settings)


def places(out: Any, checkpoint: str | Path | bool, overwrite: bool) -> tuple[Path | None, Path | None]:
    """Where the bundle and the checkpoint go.

    Raises:
        ArgumentError: something is at `out` that may not be replaced.
    """
    place = None if out is None else _place(Path(out), overwrite)
    if isinstance(checkpoint, str | Path):
        return place, Path(checkpoint)
    return place, _beside(place, ".checkpoint") if checkpoint is True and place is not None else None


def is_main() -> bool:
    """Whether this process is the one that writes and prints, of those that train together: see `join_world`."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank() == 0
    return os.environ.get("WORLD_SIZE", "1") == "1" or os.environ.get("RANK", "0") == "0"


def _describe(run: TableRun) -> TableModel:
    """The trained network with its scores and the distributions of training."""
    prepared, history = run.prepared, run.network.history
    assert history is not None
    with measure() as usage:
        scores, predicted = _measure(run.network, prepared)
    usage.add(**history.usage.as_dict())
    return TableModel(
        model=run.network,
        preparation=prepared.preparation,
        target=prepared.target,
        profiles=tuple(_profiles(prepared)),
        labels=_labels(prepared),
        predicted=predicted,
        config=run.settings,
        metrics={name: score.as_dict() for name, score in scores.items()}
        | {"history": history.as_dict(), "usage": usage.as_dict()},
        notes=prepared.notes,
        scores=scores,
    )


def _pick(options: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: options[name] for name in names if name in options}


def _prepare(data: Any, target: str | None, options: dict[str, Any]) -> TableTask:
    """The task of a table, or of a built-in name."""
    if isinstance(data, str) and not Path(data).suffix:
        if data not in TASKS:
            raise unknown_name("task or file", data, TASKS)
        given = [name for name in _TABLE_OPTIONS if name in options] + (["target"] if target else [])
        if given:
            raise ArgumentError(
                f'`{given[0]}` has no meaning for the built-in task "{data}", which has its own. Leave it out.'
            )
        return prepare_builtin(data, **options)
    if target is None:
        raise ArgumentError("`target` must name the column to predict; got none. Say which one.")
    return prepare_table(read_table(data), target, **options)


def _place(out: Path, overwrite: bool) -> Path:
    """`out`, if a bundle may be written there."""
    exists = out.exists() and not (out.is_dir() and not any(out.iterdir()))
    if exists and not overwrite:
        raise ArgumentError(f'`out` must not be there yet; got "{out}". Choose another name, or set `overwrite`.')
    if exists and out.suffix != ".zip" and not (out / BUNDLE_FILE).is_file():
        raise ArgumentError(
            f'`out` must be new or a bundle; got "{out}", which is something else. Choose another name.'
        )
    return out


def _beside(place: Path, suffix: str) -> Path:
    return place.with_name(place.name + suffix)


def _config(network: torch.nn.Module, options: dict[str, Any], seed: int, *, classification: bool) -> FitConfig:
    """The options of the loop; a quantum optimizer is made for the network."""
    rate = options.get("learning_rate", _LEARNING_RATE)
    chosen = optimizer_fields(options.get("optimizer", FitConfig.optimizer), network, rate, seed)
    if isinstance(options.get("optimizer"), str):
        options = {name: value for name, value in options.items() if name != "learning_rate"}
    loss = "cross_entropy" if classification else "mse"
    return FitConfig(loss=loss, seed=seed, **{"epochs": _EPOCHS} | options | chosen)


def _chosen(options: dict[str, Any]) -> dict[str, Any]:
    """The optimizer as it was asked for, and its rate; a `FitConfig` shows a quantum one as an object."""
    if options.get("optimizer") not in tuple(QUANTUM_OPTIMIZERS):
        return _pick(options, ("optimizer",))
    return {"optimizer": options["optimizer"], "learning_rate": options.get("learning_rate", _LEARNING_RATE)}


def _measure(network: torch.nn.Module, prepared: TableTask) -> tuple[dict[str, Scores], Profile]:
    """Scores of each part, and the distribution of the predictions on what was held out."""
    found, kept = {}, {}
    for name, part, values in predicted_parts(network, prepared):
        found[name], kept[name] = _scores(prepared, part, values), values
    held = [kept[name] for name in ("validation", "test") if name in kept] or [kept["train"]]
    return found, profile_of_predictions(prepared.target, np.concatenate(held))


def predicted_parts(network: torch.nn.Module, prepared: TableTask) -> Iterator[tuple[str, Part, np.ndarray]]:
    """The name of each part, the part, and what `network` predicts for it."""
    parts = {"train": prepared.train, "validation": prepared.validation, "test": prepared.test}
    for number, (name, part) in enumerate(parts.items()):
        if part is not None:
            yield name, part, predict_values(network, prepared.target, part.x, seed=number)[0]


def _scores(prepared: TableTask, part: Part, values: np.ndarray) -> Scores:
    n_classes = len(prepared.target.classes)
    majority = int(torch.bincount(prepared.train.y, minlength=n_classes).argmax()) if n_classes else 0
    return score_part(prepared.target, part.y, values, majority)


def _profiles(prepared: TableTask) -> list[Profile]:
    """Distributions of the columns in the training part."""
    found: list[Profile] = []
    for encoder in prepared.preparation.encoders:
        column = prepared.table.column(encoder.name).select(prepared.split.train)
        if isinstance(encoder, Number):
            assert column.numbers is not None
            found.append(NumberProfile.of(column.name, column.numbers))
        else:
            found.append(CategoryProfile.of(column.name, column.labels()))
    return found


def _labels(prepared: TableTask) -> Profile:
    """The distribution of the target in the training part."""
    column = prepared.table.column(prepared.target.name).select(prepared.split.train)
    if prepared.target.task == "classification":
        return CategoryProfile.of(column.name, column.labels())
    assert column.numbers is not None
    return NumberProfile.of(column.name, column.numbers)


def _plain(options: dict[str, Any]) -> dict[str, Any]:
    """Options as plain data: what is no number, text, or list or dictionary of these by its `repr`."""
    simple = (str, int, float, bool, type(None))

    def plain(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        if isinstance(value, dict):
            return {str(name): plain(item) for name, item in value.items()}
        return value if isinstance(value, simple) else repr(value)

    return {name: plain(value) for name, value in options.items()}
