"""The tasks by name, and how one is made ready: split, reduced, scaled, and shuffled for the control."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from qnn._integers import whole
from qnn.errors import ArgumentError, DtypeError, unknown_name
from qnn.tasks.bundled import load_breast_cancer, load_digits, load_iris
from qnn.tasks.data import Part, TaskData
from qnn.tasks.raw import RawData
from qnn.tasks.scaling import Scaling
from qnn.tasks.split import split_rows
from qnn.tasks.synthetic import load_circles, load_moons, load_parity

TASKS: dict[str, Callable[[], RawData]] = {
    "digits": load_digits,
    "iris": load_iris,
    "breast_cancer": load_breast_cancer,
    "moons": load_moons,
    "circles": load_circles,
    "parity": load_parity,
}

_MAX_SEED = 2**32 - 1  # what scikit-learn's splitters take
_SHUFFLE_STREAM = 1  # keeps the shuffled labels independent of the split


def list_tasks() -> list[str]:
    """Names that `load_task` knows.

    Example:
        >>> list_tasks()
        ['digits', 'iris', 'breast_cancer', 'moons', 'circles', 'parity']
    """
    return list(TASKS)


def load_task(
    name: str, *, n_train: int | None = None, n_test: int | None = None, seed: int = 0, shuffle_labels: bool = False
) -> TaskData:
    """A task, split into 64 % training, 16 % validation and 20 % test rows, and scaled.

    The split is stratified and a function of task and seed alone. A smaller training part is a part of
    every larger one; validation and test rows do not depend on it. Scaling (zero mean, unit deviation)
    is fitted on the training rows that are left.

    Args:
        name: see `list_tasks`.
        n_train: rows of the training part, from the number of classes up; None is all.
        n_test: rows of the test part, from the number of classes up; None is all.
        seed: of the split, 0 to 2^32 - 1.
        shuffle_labels: permute the labels of the training part and of the validation part, each within
            itself: a control, on which every model must fall to chance on the (unshuffled) test part.

    Raises:
        UnknownNameError: no such task.
        ArgumentError: a number of rows or a seed out of range.
        DtypeError: a number that is no integer, or `shuffle_labels` is no bool.

    Example:
        >>> task = load_task("digits", n_train=200)
        >>> len(task.train), len(task.validation), len(task.test), task.image_shape
        (200, 288, 360, (1, 8, 8))
    """
    if name not in TASKS:
        raise unknown_name("task", name, TASKS)
    if not isinstance(shuffle_labels, bool):
        raise DtypeError(f"`shuffle_labels` must be True or False; got {shuffle_labels!r}. Pass a bool.")
    seed = _integer("seed", seed, 0, _MAX_SEED, "Use seed=0.")
    raw = TASKS[name]()
    n_classes = len(raw.class_names)
    split = split_rows(raw.y, seed)
    train = split.train[: _rows("n_train", n_train, n_classes, len(split.train), f'"{name}" has for training')]
    test = split.test[: _rows("n_test", n_test, n_classes, len(split.test), f'"{name}" has for testing')]
    scaling = Scaling(raw.x[train], raw.image_shape)
    labels = _shuffled(raw.y, (train, split.validation), seed) if shuffle_labels else raw.y

    def part(rows: np.ndarray) -> Part:
        return Part(torch.as_tensor(scaling(raw.x[rows]), dtype=torch.float32), torch.as_tensor(labels[rows]))

    return TaskData(
        name=name,
        train=part(train),
        validation=part(split.validation),
        test=part(test),
        n_inputs=raw.x.shape[1],
        n_classes=n_classes,
        image_shape=raw.image_shape,
        class_names=raw.class_names,
        source=raw.source,
    )


def _shuffled(y: np.ndarray, parts: tuple[np.ndarray, ...], seed: int) -> np.ndarray:
    """Labels with those of each part permuted among its rows."""
    generator = np.random.default_rng([seed, _SHUFFLE_STREAM])
    labels = y.copy()
    for rows in parts:
        labels[rows] = generator.permutation(y[rows])
    return labels


def _rows(argument: str, value: int | None, n_classes: int, available: int, whose: str) -> int:
    """How many rows of a part to take: all by default, else from one per class up to all there are."""
    if value is None:
        return available
    requirement = f"between {n_classes} (one row per class) and {available} (all that {whose})"
    return _integer(argument, value, n_classes, available, "Leave it out to use all.", requirement)


def _integer(argument: str, value: object, least: int, most: int, advice: str, requirement: str = "") -> int:
    """`value` as an int, if it is one from `least` to `most`."""
    number = whole(value)
    if number is None:
        raise DtypeError(f"`{argument}` must be an integer; got {value!r} ({type(value).__name__}). {advice}")
    if not least <= number <= most:
        requirement = requirement or f"between {least} and {most}"
        raise ArgumentError(f"`{argument}` must lie {requirement}; got {value}. {advice}")
    return number
