"""The support vector machine on quantum kernels."""

import pickle

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris, make_circles
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from qnn._meter import measure
from qnn.models.estimators import QuantumKernelClassifier
from qnn.models.kernels import QuantumKernel

X, Y = make_circles(40, noise=0.1, factor=0.4, random_state=0)
NEW, _ = make_circles(10, noise=0.1, factor=0.4, random_state=1)


def decision(**options) -> np.ndarray:
    return QuantumKernelClassifier(**options).fit(X, Y).decision_function(NEW)


@pytest.mark.parametrize("kernel", ["fidelity", "projected"])
def test_it_is_a_support_vector_machine_on_that_kernel(kernel) -> None:
    found = QuantumKernelClassifier(kernel, encoding="iqp").fit(X, Y)
    machine = SVC(kernel=QuantumKernel(kernel, encoding="iqp")).fit(X, Y)
    np.testing.assert_allclose(found.decision_function(NEW), machine.decision_function(NEW), atol=1e-10)
    np.testing.assert_array_equal(found.support_, machine.support_)
    np.testing.assert_array_equal(found.support_vectors_, X[found.support_])
    assert found.score(X, Y) > 0.9 and found.n_iter_.min() > 0


def test_three_species_in_a_pipeline_and_a_grid() -> None:
    x, y = load_iris(return_X_y=True, as_frame=True)
    names = y.map({0: "setosa", 1: "versicolor", 2: "virginica"})
    pipeline = make_pipeline(StandardScaler(), QuantumKernelClassifier(n_qubits=2))
    assert cross_val_score(pipeline, x, names, cv=2).min() > 0.85  # chance is 1/3
    grid = {"quantumkernelclassifier__kernel": ["fidelity", "projected"], "quantumkernelclassifier__C": [0.01, 1.0]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(x, names)
    assert search.best_params_["quantumkernelclassifier__C"] == 1.0 and search.best_score_ > 0.9
    restored = pickle.loads(pickle.dumps(search.best_estimator_))
    np.testing.assert_array_equal(restored.predict(x), search.predict(x))
    assert restored[-1].classes_.tolist() == ["setosa", "versicolor", "virginica"]


def test_only_support_vectors_are_run_to_predict() -> None:
    found = QuantumKernelClassifier(encoding="iqp", shots=200, C=10.0, random_state=0).fit(X, Y)
    with measure() as usage:
        found.decision_function(NEW)
    assert usage.circuits == len(NEW) * len(found.support_) < len(NEW) * len(X)
    np.testing.assert_array_equal(found.decision_function(NEW), found.decision_function(NEW))


def test_weights_of_rows_and_probabilities() -> None:
    weight = np.arange(40) % 3
    options = {"tol": 1e-8, "encoding": "iqp"}
    weighted = QuantumKernelClassifier(**options).fit(X, Y, sample_weight=weight)
    repeated = QuantumKernelClassifier(**options).fit(X.repeat(weight, axis=0), Y.repeat(weight))
    np.testing.assert_allclose(weighted.decision_function(NEW), repeated.decision_function(NEW), atol=1e-6)
    calibrated = CalibratedClassifierCV(QuantumKernelClassifier(), ensemble=False, cv=2).fit(X, Y)
    assert calibrated.predict_proba(NEW).shape == (10, 2)


@pytest.mark.parametrize(
    "change",
    [
        {"kernel": "projected"},
        {"encoding": "iqp"},
        {"n_qubits": 1},
        {"n_layers": 2},
        {"kernel": "projected", "gamma": 3.0},
        {"backend": "aer", "backend_options": {"noise": "fake_manila"}},
        {"shots": 100},
        {"C": 0.1},
        {"class_weight": {0: 5.0}},
        {"tol": 1.0},
        {"shots": 100, "random_state": 1},
    ],
    ids="-".join,
)
def test_every_parameter_changes_the_decision(change) -> None:
    base = {"random_state": 0} | {name: value for name, value in list(change.items())[:-1] if name != "backend"}
    assert np.abs(decision(**(base | change)) - decision(**base)).max() > 1e-4
