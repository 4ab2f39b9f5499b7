"""What estimators are given: scikit-learn's own checks, and errors that name row and column."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, validate_data

from qnn.errors import ArgumentError, NotFiniteError, ShapeError

_DTYPES = [np.float64, np.float32]


def checked_rows(estimator: Any, X: Any) -> np.ndarray:
    """Features to predict from, shape (N, D), float32 or float64, as many as in training."""
    X = validate_data(estimator, X, reset=False, dtype=_DTYPES, ensure_all_finite=False)
    _check_finite(estimator, X)
    return X


def checked_training(
    estimator: Any, X: Any, y: Any, sample_weight: Any, *, reset: bool = True, **options: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Features (N, D), targets and weights (N,) or None, without the rows of weight zero.

    Args:
        estimator: keeps number and names of the features if `reset`, compares with them otherwise.
        X: features.
        y: targets.
        sample_weight: a weight for each row, one for all, or None.
        reset: whether training starts anew.
        **options: of `sklearn.utils.check_X_y`.
    """
    X, y = validate_data(estimator, X, y, reset=reset, dtype=_DTYPES, ensure_all_finite=False, **options)
    _check_finite(estimator, X)
    if sample_weight is None:
        return X, y, None
    weight = _checked_weight(sample_weight, len(X))
    used = weight > 0
    return X[used], y[used], weight[used]


def checked_labels(y: np.ndarray, classes: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The classes, sorted, and the number of each row's class.

    Args:
        y: shape (N,), labels of any kind.
        classes: those that may occur; None for those that do.

    Raises:
        ArgumentError: only one class, or a label outside `classes`.
    """
    check_classification_targets(y)
    found, labels = np.unique(y, return_inverse=True)
    if classes is None:
        if len(found) < 2:
            raise ArgumentError(
                f"`y` must hold two classes or more; got one class, {found[0]!r}, in all {len(y)} row(s) that have a "
                "weight above zero. Add rows of another class."
            )
        return found, labels
    unseen = ~np.isin(y, classes)
    if unseen.any():
        row = int(np.flatnonzero(unseen)[0])
        raise ArgumentError(
            f"`y` must hold labels of the classes known so far, {', '.join(map(str, classes))}; got {y[row]!r} in row "
            f"{row}. Call fit with warm_start=False, or name all classes in the first call of partial_fit."
        )
    return classes, np.searchsorted(classes, y)


def _checked_weight(sample_weight: Any, n_rows: int) -> np.ndarray:
    weight = np.full(n_rows, sample_weight) if isinstance(sample_weight, Real) else sample_weight
    weight = check_array(weight, dtype=np.float64, ensure_2d=False, input_name="sample_weight")
    if weight.shape != (n_rows,):
        raise ShapeError(
            f"`sample_weight` must have shape ({n_rows},), one weight a row; got {weight.shape}. Count again."
        )
    if (weight < 0).any():
        row = int(np.flatnonzero(weight < 0)[0])
        raise ArgumentError(
            f"`sample_weight` must not be negative; got {weight[row]:g} in row {row}. Use 0 to leave it out."
        )
    if not weight.any():
        raise ArgumentError(
            "`sample_weight` must be above zero in some row; got zero in all. Leave it out for equal weights."
        )
    return weight


def _check_finite(estimator: Any, X: np.ndarray) -> None:
    """Raise with row and column of the first NaN or infinity."""
    wrong = ~np.isfinite(X)
    if not wrong.any():
        return
    row, column = (int(i) for i in np.argwhere(wrong)[0])
    names = getattr(estimator, "feature_names_in_", None)
    where = f"column {column}" if names is None else f'column "{names[column]}"'
    kind = "NaN" if np.isnan(X[row, column]) else "infinity (inf)"
    raise NotFiniteError(
        f"`X` must be finite; got {kind} in row {row}, {where} ({int(wrong.sum())} such value(s) in all). "
        "Drop such rows, or put sklearn.impute.SimpleImputer in front."
    )
