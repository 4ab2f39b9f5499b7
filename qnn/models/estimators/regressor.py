"""The regressor: squared error on standardised targets, one output for each."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from qnn.errors import ShapeError
from qnn.models.estimators.base import QNNEstimator
from qnn.models.estimators.inputs import checked_rows, checked_training


class QNNRegressor(RegressorMixin, QNNEstimator):
    """A quantum neural network that predicts numbers, one target or several.

    The network learns targets of mean 0 and deviation 1; predictions are in the units of `y`. Parameters and attributes
    are those of `QNNEstimator`, and the attribute `target_scaler_`, which knows means and deviations. Losses
    (`loss_curve_`, `tol`) are of standardised targets.

    Example:
        >>> X = np.linspace(-1, 1, 40)[:, None]
        >>> y = 100 + 20 * np.sin(3 * X[:, 0])
        >>> QNNRegressor(n_qubits=2, epochs=60, learning_rate=0.1, random_state=0).fit(X, y).score(X, y) > 0.9
        True
    """

    target_scaler_: StandardScaler
    _target_shape: tuple[int, ...]

    def __sklearn_tags__(self) -> Any:
        """Several targets are fine."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> QNNRegressor:
        """Train.

        Args:
            X: shape (N, D), finite numbers.
            y: shape (N,) or (N, K), finite numbers.
            sample_weight: shape (N,), how much each row counts, 0 leaves it out; None is all alike.

        Returns:
            The estimator itself.
        """
        return self._fit(X, y, sample_weight, anew=not self._goes_on(), one_epoch=False)

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> QNNRegressor:
        """Make one pass over some rows, and go on where the last call ended; the first call fixes the targets' scale.

        Args:
            X: shape (N, D).
            y: shape (N,) or (N, K).
            sample_weight: shape (N,), or None.

        Returns:
            The estimator itself.
        """
        return self._fit(X, y, sample_weight, anew=not hasattr(self, "module_"), one_epoch=True)

    def _fit(self, X: Any, y: Any, sample_weight: Any, *, anew: bool, one_epoch: bool) -> QNNRegressor:
        options: dict[str, Any] = {"multi_output": True, "y_numeric": True}
        X, y, weight = checked_training(self, X, y, sample_weight, reset=anew, **options)
        y = np.asarray(y, dtype=np.float64)
        if not anew and y.shape[1:] != self._target_shape:
            before = str(("N", *self._target_shape)).replace("'", "")
            raise ShapeError(
                f"`y` must have shape {before} as in the call before; got {y.shape}. Call fit with warm_start=False."
            )
        columns = y.reshape(len(y), -1)
        scaler = StandardScaler().fit(columns, sample_weight=weight) if anew else self.target_scaler_
        options = {"n_outputs": columns.shape[1], "loss": "mse", "one_epoch": one_epoch}
        self._train(X, scaler.transform(columns), weight, anew=anew, **options)
        self.target_scaler_, self._target_shape = scaler, y.shape[1:]
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predicted targets, (N,) or (N, K) as `y` was, float64."""
        check_is_fitted(self)
        outputs = self.target_scaler_.inverse_transform(self._outputs(checked_rows(self, X)))
        return outputs.reshape(-1, *self._target_shape)
