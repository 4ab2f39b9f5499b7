"""Features, labels and weights that cannot be used: every estimator says where."""

import numpy as np
import pandas as pd
import pytest

from qnn.errors import ArgumentError, NotFiniteError, ShapeError
from qnn.models.estimators import QNNClassifier, QNNRegressor, QuantumKernelClassifier

X = np.random.default_rng(0).normal(size=(12, 2))
Y = np.arange(12) % 2
SMALL = {"n_qubits": 2, "n_layers": 2, "epochs": 1, "random_state": 0}
ESTIMATORS = [QNNClassifier(**SMALL), QNNRegressor(**SMALL), QuantumKernelClassifier()]
each = pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: type(estimator).__name__)


@each
def test_row_and_column_of_what_is_not_finite(estimator) -> None:
    broken = X.copy()
    broken[3, 1] = np.nan
    with pytest.raises(NotFiniteError, match=r"`X` must be finite; got NaN in row 3, column 1 \(1 such value"):
        estimator.fit(broken, Y)
    broken[2, 0] = -np.inf
    table = pd.DataFrame(broken, columns=["width", "length"])
    with pytest.raises(NotFiniteError, match=r'got infinity \(inf\) in row 2, column "width" \(2 such value'):
        estimator.fit(table, Y)
    estimator.fit(pd.DataFrame(X, columns=["width", "length"]), Y)
    assert estimator.feature_names_in_.tolist() == ["width", "length"] and estimator.n_features_in_ == 2
    with pytest.raises(NotFiniteError, match='in row 2, column "width"'):
        estimator.predict(table)
    with pytest.raises(ValueError, match=r"X has 3 features, but .* is expecting 2 features as input"):
        estimator.fit(X, Y).predict(np.zeros((1, 3)))


@each
@pytest.mark.parametrize(
    ("weight", "error", "match"),
    [
        (np.ones(5), ShapeError, r"`sample_weight` must have shape \(12,\), one weight a row; got \(5,\)"),
        (-np.eye(12)[4], ArgumentError, "`sample_weight` must not be negative; got -1 in row 4"),
        (np.zeros(12), ArgumentError, "`sample_weight` must be above zero in some row"),
    ],
)
def test_weights(estimator, weight, error, match) -> None:
    with pytest.raises(error, match=match):
        estimator.fit(X, Y, sample_weight=weight)


@pytest.mark.parametrize("estimator", [ESTIMATORS[0], ESTIMATORS[2]])
def test_one_class_only(estimator) -> None:
    with pytest.raises(ArgumentError, match=r"`y` must hold two classes or more; got one class, .*1.*, in all 12 row"):
        estimator.fit(X, np.ones(12))
    with pytest.raises(ArgumentError, match=r"got one class, .*0.*, in all 6 row"):
        estimator.fit(X, Y, sample_weight=1 - Y)


def test_labels_not_seen_before() -> None:
    found = QNNClassifier(**SMALL, warm_start=True).fit(X, np.array(["a", "b"])[Y])
    strange = np.array(["a", "b"])[Y].astype(object)
    strange[7] = "c"
    with pytest.raises(ArgumentError, match="`y` must hold labels of the classes known so far, a, b; got 'c' in row 7"):
        found.fit(X, strange)
    with pytest.raises(ArgumentError, match="got 'c' in row 7"):
        found.partial_fit(X, strange)
    assert found.score(X, strange) <= 11 / 12  # never right there
    with pytest.raises(ArgumentError, match="`classes` must be those of the first call, a, b; got a, c"):
        found.partial_fit(X, strange, classes=["a", "c"])
    with pytest.raises(ArgumentError, match="`classes` must name all labels in the first call of partial_fit"):
        QNNClassifier(**SMALL).partial_fit(X, Y)


def test_targets_of_another_shape() -> None:
    found = QNNRegressor(**SMALL, warm_start=True).fit(X, X)
    with pytest.raises(ShapeError, match=r"`y` must have shape \(N, 2\) as in the call before; got \(12,\)"):
        found.fit(X, X[:, 0])
