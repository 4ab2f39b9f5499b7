"""The classifier: what its outputs mean, for two classes and more, with labels of any kind."""

import numpy as np
import pytest
import torch
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_blobs, make_moons

from qnn.models.estimators import QNNClassifier

OPTIONS = {"n_qubits": 2, "n_layers": 2, "epochs": 15, "learning_rate": 0.1, "random_state": 0}


@pytest.mark.parametrize("names", [["b", "a"], ["x", "z", "y"], [7, -1, 3]])
def test_outputs_of_the_classifier(names) -> None:
    centers = np.array([[-2, -2], [2, 2], [2, -2]])[: len(names)]
    X, y = make_blobs(60, centers=centers, random_state=0)
    found = QNNClassifier(**OPTIONS).fit(X, np.array(names)[y])
    assert found.classes_.tolist() == sorted(names)
    probabilities, decision = found.predict_proba(X), found.decision_function(X)
    logits = found.module_(torch.tensor(X)).detach().numpy()
    np.testing.assert_allclose(probabilities, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), atol=1e-12)
    np.testing.assert_allclose(np.exp(found.predict_log_proba(X)), probabilities, atol=1e-12)
    if len(names) == 2:
        np.testing.assert_allclose(probabilities[:, 1], 1 / (1 + np.exp(-decision)), atol=1e-12)
    else:
        np.testing.assert_allclose(decision, logits, atol=1e-12)
    np.testing.assert_array_equal(found.predict(X), found.classes_[probabilities.argmax(axis=1)])
    assert found.score(X, np.array(names)[y]) > 0.9


def test_moons_are_learnt_well_above_chance() -> None:
    X, y = make_moons(200, noise=0.1, random_state=0)
    found = QNNClassifier(**{**OPTIONS, "n_qubits": 3, "n_layers": 3, "epochs": 40, "reupload": True}).fit(
        X[:100], y[:100]
    )
    assert found.score(X[100:], y[100:]) > 0.9
    assert CalibratedClassifierCV(found, cv=2).fit(X[:60], y[:60]).score(X[100:], y[100:]) > 0.8
