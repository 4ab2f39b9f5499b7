"""Stratified splits: which rows are for training, validation and test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import train_test_split

TEST_SHARE = 0.20
VALIDATION_SHARE = 0.16  # so 64 % are left for training


@dataclass(frozen=True)
class Split:
    """Row numbers of the three parts; every prefix of a part is stratified too (see `stratified_order`)."""

    train: np.ndarray  # shape: (N_train,) int64
    validation: np.ndarray  # shape: (N_validation,)
    test: np.ndarray  # shape: (N_test,)


def split_rows(y: np.ndarray, seed: int) -> Split:
    """The split of rows with labels `y` (N,): 64 % train, 16 % validation, 20 % test, each with all classes.

    It is a function of the labels and the seed alone.
    """
    rest, test = train_test_split(np.arange(len(y)), test_size=TEST_SHARE, stratify=y, random_state=seed)
    share = VALIDATION_SHARE / (1.0 - TEST_SHARE)
    train, validation = train_test_split(rest, test_size=share, stratify=y[rest], random_state=seed)
    generator = np.random.default_rng(seed)
    parts = [part[stratified_order(y[part], generator)] for part in (train, validation, test)]
    return Split(*parts)


def stratified_order(y: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A random order of rows in which every prefix has the classes in proportion, within one row or so.

    The first C rows are one of each of the C classes. A smaller subset (a prefix) is therefore part
    of every larger one, and learning curves over its size compare like with like.

    Args:
        y: shape (N,), labels.
        generator: shuffles the rows within each class, and breaks ties between classes.

    Returns:
        Shape (N,) int64, a permutation of 0 to N-1.
    """
    position = np.empty(len(y))
    for label in np.unique(y):
        rows = generator.permutation(np.flatnonzero(y == label))
        position[rows] = (np.arange(len(rows)) + generator.random()) / len(rows)
        position[rows[0]] = -generator.random()  # before all that are not the first of their class
    return np.argsort(position, kind="stable")
