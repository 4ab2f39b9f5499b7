"""The classifier: cross-entropy on the network's outputs, one for each class."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import log_softmax, softmax
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from qnn.errors import ArgumentError
from qnn.models.estimators.base import QNNEstimator
from qnn.models.estimators.inputs import checked_labels, checked_rows, checked_training


class QNNClassifier(ClassifierMixin, QNNEstimator):
    """A quantum neural network that classifies, with two classes or more and labels of any kind.

    Parameters and attributes are those of `QNNEstimator`, and the attribute `classes_`, the labels in order.

    Example:
        >>> from sklearn.datasets import make_moons
        >>> X, y = make_moons(100, noise=0.1, random_state=0)
        >>> QNNClassifier(n_qubits=2, epochs=30, learning_rate=0.1, random_state=0).fit(X, y).score(X, y) > 0.8
        True
    """

    classes_: np.ndarray

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> QNNClassifier:
        """Train.

        Args:
            X: shape (N, D), finite numbers.
            y: shape (N,), labels of two classes or more.
            sample_weight: shape (N,), how much each row counts, 0 leaves it out; None is all alike.

        Returns:
            The estimator itself.
        """
        anew = not self._goes_on()
        X, y, weight = checked_training(self, X, y, sample_weight, reset=anew)
        classes, labels = checked_labels(y, None if anew else self.classes_)
        options: dict[str, Any] = {"n_outputs": len(classes), "loss": "cross_entropy", "strata": labels}
        self._train(X, labels, weight, anew=anew, **options)
        self.classes_ = classes
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> QNNClassifier:
        """Make one pass over some rows, and go on where the last call ended.

        Args:
            X: shape (N, D).
            y: shape (N,).
            classes: all labels that will ever occur; needed in the first call.
            sample_weight: shape (N,), or None.

        Returns:
            The estimator itself.
        """
        anew = not hasattr(self, "module_")
        known = None if anew else self.classes_
        if classes is not None:
            given, _ = checked_labels(np.asarray(classes))
            if known is not None and not np.array_equal(known, given):
                raise ArgumentError(
                    f"`classes` must be those of the first call, {', '.join(map(str, known))}; got "
                    f"{', '.join(map(str, given))}. Leave it out."
                )
            known = given
        if known is None:
            raise ArgumentError("`classes` must name all labels in the first call of partial_fit; got None. List them.")
        X, y, weight = checked_training(self, X, y, sample_weight, reset=anew)
        _, labels = checked_labels(y, known)
        options: dict[str, Any] = {"n_outputs": len(known), "loss": "cross_entropy", "one_epoch": True}
        self._train(X, labels, weight, anew=anew, **options)
        self.classes_ = known
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """Outputs of the network: (N, C) logits, or for two classes (N,), the logit of the second less the first's."""
        logits = self._logits(X)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities of the classes in the order of `classes_`, (N, C)."""
        return softmax(self._logits(X), axis=1)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Their logarithms, (N, C)."""
        return log_softmax(self._logits(X), axis=1)

    def predict(self, X: Any) -> np.ndarray:
        """The most probable label of each row, (N,)."""
        best = self._logits(X).argmax(axis=1)
        return self.classes_[best]

    def _logits(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return self._outputs(checked_rows(self, X))
