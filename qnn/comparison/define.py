"""From the options of `qnn compare` to a study: which tables there are, who is in them, with what budget."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from qnn.backends.mitigation.written import to_text
from qnn.comparison import budget as defaults
from qnn.comparison.budget import Budget, learning_rate_grid, require_positive
from qnn.comparison.contestants import DEFAULT_MODELS, find_unsuitable, parse_contestant
from qnn.comparison.study import Contestant, Study, Table
from qnn.errors import ArgumentError, NoEffectWarning
from qnn.tasks import TaskData, load_task

FULL_DATA = "full data"
SHOTS_AND_NOISE = "shots and noise"
_MATCHED = "mlp-matched"


def define_study(
    task: str | Sequence[str] = "digits",
    models: str | Sequence[str] | None = None,
    *,
    seeds: int = defaults.SEEDS,
    epochs: int | None = None,
    reduced_epochs: int | None = None,
    batch_size: int | None = None,
    reduced_batch_size: int | None = None,
    n_train: int | None = None,
    reduced_train: int | None = None,
    shots: int | None = None,
    mitigation: str | Mapping[str, Any] | None = None,
    tuning_trials: int = defaults.TUNING_TRIALS,
    n_qubits: int = defaults.N_QUBITS,
    n_layers: int = defaults.N_LAYERS,
    split_seed: int = defaults.SPLIT_SEED,
    shuffle_labels: bool = False,
) -> Study:
    """The study that these options ask for; everything is checked here, before anything runs.

    Args:
        task: names of tasks, a list or comma-separated.
        models: names of contestants, a list or comma-separated; None is all, without "cnn" where rows are no images.
        seeds: number of seeds.
        epochs: passes over the training rows.
        reduced_epochs: the same in the shots and noise table; None is `epochs`, if given.
        batch_size: rows per optimisation step.
        reduced_batch_size: the same in the shots and noise table; None is `batch_size`, if given.
        n_train: training rows of the full data table; None is all.
        reduced_train: training rows of the shots and noise table.
        shots: per executed circuit, for every hybrid whose backend can sample, but "hybrid@statevector"; None is 1024
            on Aer and on backends that only sample, and exact on all others.
        mitigation: of the errors of all contestants with shots or noise, "readout", "zne", "readout+zne", a dictionary
            of options (see `qnn.backends.Mitigated`) or such a dictionary as JSON; their names say so. None is none.
        tuning_trials: learning rates that each contestant may try, 1 to 7.
        n_qubits: wires of the quantum layer.
        n_layers: layers of its ansatz.
        split_seed: fixes training, validation and test rows.
        shuffle_labels: permute the labels of training and validation rows: the control.

    Raises:
        ArgumentError, UnknownNameError: an option cannot be used.
        MissingDependencyError: a contestant needs a package that is not installed.
    """
    tasks = tuple(dict.fromkeys(_names("task", task)))
    loaded = [load_task(name, seed=split_seed, shuffle_labels=shuffle_labels) for name in tasks]
    counted = {"seeds": seeds, "shots": _first(shots, 1), "n_qubits": n_qubits, "n_layers": n_layers}
    for name, value in counted.items():
        require_positive(name, value)
    names = _default_models(loaded) if models is None else list(dict.fromkeys(_names("models", models)))
    against = None if mitigation is None else to_text(mitigation)
    contestants = tuple(
        parse_contestant(name, n_qubits=n_qubits, n_layers=n_layers, shots=shots, mitigation=against) for name in names
    )
    _require_suitable(contestants, loaded)
    _require_mitigated(against, contestants)
    _warn_of_shots(shots, contestants)
    rates = learning_rate_grid(tuning_trials)
    full = Budget(n_train, _first(epochs, defaults.FULL_EPOCHS), _first(batch_size, defaults.FULL_BATCH_SIZE), rates)
    reduced_rows = _first(reduced_train, defaults.REDUCED_TRAIN)
    reduced = Budget(
        reduced_rows,
        _first(reduced_epochs, epochs, defaults.REDUCED_EPOCHS),
        _first(reduced_batch_size, batch_size, defaults.REDUCED_BATCH_SIZE),
        rates,
    )
    for name, rows in (("n_train", n_train), ("reduced_train", reduced_train)):
        _require_rows(name, rows, loaded)
    options = {
        "task": ",".join(tasks),
        "models": ",".join(names),
        "seeds": seeds,
        "epochs": full.epochs,
        "reduced-epochs": reduced.epochs,
        "batch-size": full.batch_size,
        "reduced-batch-size": reduced.batch_size,
        "n-train": n_train,
        "reduced-train": reduced_rows if all(reduced_rows <= len(t.train) for t in loaded) else None,
        "shots": shots,
        "mitigation": against,
        "tuning-trials": tuning_trials,
        "n-qubits": n_qubits,
        "n-layers": n_layers,
        "split-seed": split_seed,
        "shuffle-labels": shuffle_labels,
    }
    return Study(
        tasks=tasks,
        tables=_tables(contestants, full, reduced),
        seeds=tuple(range(seeds)),
        split_seed=split_seed,
        shuffle_labels=shuffle_labels,
        command=_command(options),
    )


def _tables(contestants: tuple[Contestant, ...], full: Budget, reduced: Budget) -> tuple[Table, ...]:
    """One table, or two when some contestant is too slow for all rows because it samples."""
    exact = tuple(contestant for contestant in contestants if not contestant.sampled)
    sampled = any(contestant.sampled for contestant in contestants)
    tables = []
    if not sampled or any(contestant.quantum for contestant in exact):
        tables.append(_table(FULL_DATA, exact, full))
    if sampled:
        tables.append(_table(SHOTS_AND_NOISE, contestants, reduced))
    return tuple(tables)


def _table(name: str, contestants: tuple[Contestant, ...], budget: Budget) -> Table:
    """A table with its primary and its reference: the first that fit, decided before anything runs."""
    quantum = [c for c in contestants if c.quantum]
    classical = [c.name for c in contestants if not c.quantum]
    primary = next((c.name for c in quantum if c.sampled), None) or next((c.name for c in quantum), None)
    reference = _MATCHED if _MATCHED in classical else next(iter(classical), None)
    return Table(name, contestants, budget, primary, reference)


def _default_models(tasks: Iterable[TaskData]) -> list[str]:
    """The default contestants; no CNN where some task has no images."""
    images = all(task.image_shape is not None for task in tasks)
    return [name for name in DEFAULT_MODELS if images or name != "cnn"]


def _command(options: dict[str, Any]) -> str:
    """The shell command with every option spelt out, so that later defaults do not matter."""
    words = ["qnn", "compare"]
    for name, value in options.items():
        if value is True:
            words.append(f"--{name}")
        elif value is not None and value is not False:
            words += [f"--{name}", str(value)]
    return shlex.join(words)


def _names(argument: str, value: str | Sequence[str]) -> list[str]:
    """Names from a comma list or a sequence of them."""
    items = [value] if isinstance(value, str) else list(value)
    if not all(isinstance(item, str) for item in items):
        raise ArgumentError(f'`{argument}` must be names; got {value!r}. Give strings, such as "digits".')
    names = [name.strip() for item in items for name in item.split(",") if name.strip()]
    if not names:
        raise ArgumentError(f"`{argument}` must name at least one; got {value!r}. Leave it out for the default.")
    return names


def _first(*values: int | None) -> int:
    """The first that is given."""
    return next(value for value in values if value is not None)


def _require_suitable(contestants: Sequence[Contestant], tasks: Sequence[TaskData]) -> None:
    for task in tasks:
        for contestant in find_unsuitable(contestants, task):
            raise ArgumentError(
                f'`models` must fit every task; got "{contestant.name}", which needs images, and the task '
                f'"{task.name}" has none. Leave "{contestant.name}" out, or compare on "digits".'
            )


def _require_mitigated(mitigation: str | None, contestants: Sequence[Contestant]) -> None:
    if mitigation is not None and not any(contestant.mitigation for contestant in contestants):
        names = ", ".join(contestant.name for contestant in contestants)
        raise ArgumentError(
            f"`mitigation` must come with a contestant that has shots or noise; got {names}. "
            'Add "hybrid@aer+fake_manila" to `models`, give `shots` to hybrids that can sample, or leave `mitigation` '
            "out."
        )


def _warn_of_shots(shots: int | None, contestants: Sequence[Contestant]) -> None:
    if shots is not None and not any(contestant.sampled for contestant in contestants):
        names = ", ".join(contestant.name for contestant in contestants)
        warnings.warn(
            f"`shots`={shots} has no effect, since none of these samples: {names}. "
            'Add "hybrid@aer" to `models`, or leave `shots` out.',
            NoEffectWarning,
            stacklevel=3,  # the caller of `define_study`
        )


def _require_rows(argument: str, rows: int | None, tasks: Sequence[TaskData]) -> None:
    for task in tasks:
        if rows is not None and not task.n_classes <= rows <= len(task.train):
            raise ArgumentError(
                f'`{argument}` must be from {task.n_classes} to {len(task.train)}, the training rows of "{task.name}"; '
                f"got {rows}. Leave it out for the default."
            )
