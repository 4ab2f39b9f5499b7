"""The regressor: targets in their own units, one or several."""

import numpy as np
import pytest

from qnn.models.estimators import QNNRegressor

X = np.linspace(-1, 1, 40)[:, None]
ONE = 1e4 + 3e3 * np.sin(3 * X[:, 0])
OPTIONS = {"n_qubits": 2, "n_layers": 2, "epochs": 40, "batch_size": 10, "learning_rate": 0.1, "random_state": 0}


@pytest.mark.parametrize("y", [ONE, ONE[:, None], np.stack([ONE, 1e-3 * X[:, 0] ** 2], axis=1)])
def test_targets_of_any_unit_and_shape(y) -> None:
    found = QNNRegressor(**OPTIONS).fit(X, y)
    predicted = found.predict(X)
    assert predicted.shape == y.shape and predicted.dtype == np.float64
    assert found.score(X, y) > 0.9
    np.testing.assert_allclose(found.target_scaler_.mean_, y.reshape(40, -1).mean(axis=0))


def test_units_do_not_matter() -> None:
    first, second = (QNNRegressor(**{**OPTIONS, "epochs": 3}).fit(X, scale * ONE + 5) for scale in (1.0, 1e-6))
    np.testing.assert_allclose(first.loss_curve_, second.loss_curve_, rtol=1e-6)
    np.testing.assert_allclose((first.predict(X) - 5), (second.predict(X) - 5) * 1e6, rtol=1e-6)


def test_a_constant_target_and_another_loss() -> None:
    np.testing.assert_allclose(QNNRegressor(**OPTIONS).fit(X, np.full(40, 7.0)).predict(X), 7.0, atol=0.5)
    losses = [
        QNNRegressor(**{**OPTIONS, "epochs": 1}, fit_options=o).fit(X, ONE).loss_curve_ for o in ({}, {"loss": "mae"})
    ]
    assert losses[0] != losses[1]
