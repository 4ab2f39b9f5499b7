"""The support vector machine on a quantum kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.svm import SVC
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from qnn.backends.base import Backend
from qnn.models.estimators.inputs import checked_labels, checked_rows, checked_training
from qnn.models.kernels import QuantumKernel


class QuantumKernelClassifier(ClassifierMixin, BaseEstimator):
    """A support vector machine whose kernel is that of quantum states, see `QuantumKernel`.

    Only rows that became support vectors are kept, and only they are run again to predict. Inputs are angles in most
    encodings: put a scaler in front, in a pipeline. For probabilities, wrap it in
    `sklearn.calibration.CalibratedClassifierCV`.

    Args:
        kernel: "fidelity" or "projected".
        encoding: as for `QuantumKernel`.
        n_qubits: as for `QuantumKernel`; None is one for each feature.
        n_layers: how often all features are encoded.
        gamma: of the projected kernel; None is 1.
        backend: name or `Backend`.
        backend_options: options of the backend by name; None is none.
        shots: shots per circuit; None is exact.
        C: how much an error costs against a wide margin; the inverse of the regularisation.
        class_weight: factors of C by class, "balanced", or None for 1.
        tol: at which violation of the optimality conditions the support vector machine is done.
        random_state: int, `numpy.random.RandomState` or None: of the shots.

    Attributes:
        classes_: the labels, in order.
        kernel_: the `QuantumKernel` in use.
        svc_: the `sklearn.svm.SVC` on the kernel matrix.
        support_: shape (S,), which training rows of weight above zero became support vectors.
        support_vectors_: shape (S, D), those rows.
        n_iter_: iterations made, for each pair of classes.
        n_features_in_: number of features.
        feature_names_in_: their names, where `X` had any.

    References:
        Havlíček et al., Nature 567, 209 (2019).
    """

    def __init__(
        self,
        kernel: str = "fidelity",
        *,
        encoding: str | Callable[[Any, Any], Any] = "angle",
        n_qubits: int | None = None,
        n_layers: int = 1,
        gamma: float | None = None,
        backend: str | Backend = "statevector",
        backend_options: Mapping[str, Any] | None = None,
        shots: int | None = None,
        C: float = 1.0,
        class_weight: str | Mapping[Any, float] | None = None,
        tol: float = 1e-3,
        random_state: Any = None,
    ) -> None:
        self.kernel = kernel
        self.encoding = encoding
        self.n_qubits = n_qubits
        self.n_layers = n_layers
        self.gamma = gamma
        self.backend = backend
        self.backend_options = backend_options
        self.shots = shots
        self.C = C
        self.class_weight = class_weight
        self.tol = tol
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        """With shots, what is predicted for a row depends on the other rows of the call."""
        tags = super().__sklearn_tags__()
        tags.non_deterministic = self.shots is not None
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> QuantumKernelClassifier:
        """Compute the kernel matrix and find the support vectors.

        Args:
            X: shape (N, D), finite numbers.
            y: shape (N,), labels of two classes or more.
            sample_weight: shape (N,), factors of C, 0 leaves a row out; None is all alike.

        Returns:
            The estimator itself.
        """
        X, y, weight = checked_training(self, X, y, sample_weight)
        classes, _ = checked_labels(y)
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        named = ("encoding", "n_qubits", "n_layers", "gamma", "backend", "backend_options", "shots")
        kernel = QuantumKernel(self.kernel, **{name: getattr(self, name) for name in named}, seed=seed)
        svc = SVC(C=self.C, kernel="precomputed", class_weight=self.class_weight, tol=self.tol)
        svc.fit(kernel(X).astype(np.float64), y, sample_weight=weight)
        self.classes_, self.kernel_, self.svc_ = classes, kernel, svc
        self.support_, self.support_vectors_, self.n_iter_ = svc.support_, X[svc.support_], svc.n_iter_
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """Distances from the separating surfaces: (N,) for two classes, else (N, C), one class against the others."""
        check_is_fitted(self)
        X = checked_rows(self, X)
        matrix = np.zeros((len(X), self.svc_.shape_fit_[0]))  # columns of other rows are never read
        matrix[:, self.support_] = self.kernel_(X, self.support_vectors_)
        return self.svc_.decision_function(matrix)

    def predict(self, X: Any) -> np.ndarray:
        """The label of each row, (N,): the class whose decision function is largest."""
        decision = self.decision_function(X)
        return self.classes_[(decision > 0).astype(int) if decision.ndim == 1 else decision.argmax(axis=1)]
