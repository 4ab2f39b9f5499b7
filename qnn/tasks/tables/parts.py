"""Which rows of a table are for training, validation and test."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy as np

from qnn.errors import ArgumentError, TableError
from qnn.tasks.split import Split, stratified_order


def split_table(
    y: np.ndarray, *, stratified: bool, validation_fraction: float, test_fraction: float, seed: int
) -> Split:
    """A split that is a function of targets, fractions and seed alone.

    Args:
        y: (N,) class numbers, or values of a regression.
        stratified: `y` are classes, which every part has in proportion, within one row or so.
        validation_fraction: share of the rows to choose the best epoch by; 0 is none.
        test_fraction: share of the rows to report on; 0 is none.
        seed: of the order of the rows.

    Raises:
        ArgumentError: fractions that leave nothing to train on.
        TableError: a part would be empty, or the training part would lack a class.
    """
    shares = {"validation_fraction": validation_fraction, "test_fraction": test_fraction}
    for name, share in shares.items():
        _check_share(name, share)
    if validation_fraction + test_fraction >= 1:
        raise ArgumentError(
            f"`validation_fraction` and `test_fraction` must leave rows to train on; got {validation_fraction} and "
            f"{test_fraction}. Let them add up to less than 1."
        )
    n = len(y)
    sizes = {name: round(share * n) for name, share in shares.items()}
    for name, size in sizes.items():
        if shares[name] > 0 and size == 0:
            raise TableError(
                f"`{name}`={shares[name]} of {n} rows must be at least one row; got an empty part. Use 0, or more rows."
            )
    generator = np.random.default_rng(seed)
    order = stratified_order(y, generator) if stratified else generator.permutation(n)
    n_train = n - sizes["validation_fraction"] - sizes["test_fraction"]
    if n_train < 1 or (stratified and n_train < len(np.unique(y))):
        raise TableError(
            f"The training part must have at least one row of each class; got {n_train} of {n} rows left to train on. "
            "Use smaller fractions, or more rows."
        )
    n_held = n_train + sizes["validation_fraction"]
    return Split(order[:n_train], order[n_train:n_held], order[n_held:])


def _check_share(name: str, share: Any) -> None:
    number = float(share) if isinstance(share, Real) and not isinstance(share, bool) else math.nan
    if not 0 <= number < 1:
        raise ArgumentError(f"`{name}` must be from 0 (none) to below 1; got {share!r}. Use for example 0.2.")
