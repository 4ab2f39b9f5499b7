"""What both trained estimators share: parameters, weights of rows, early stopping, going on, pickles, searches."""

import copy
import functools
import io
import pickle
import sys

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from qnn.errors import ArgumentError, UnknownNameError
from qnn.gradients import QUANTUM_OPTIMIZERS
from qnn.models import QuantumNeuralNetwork
from qnn.models.estimators import QNNClassifier, QNNRegressor
from qnn.training import Callback

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(40, 3))
LABELS = np.array(["no", "yes"])[(X[:, 0] * X[:, 1] > 0).astype(int)]
VALUES = 50 + 10 * np.sin(X[:, 0]) + X[:, 1]
SMALL = {"n_qubits": 2, "n_layers": 2, "epochs": 3, "learning_rate": 0.1, "batch_size": 10, "random_state": 0}


def classifier(**options) -> QNNClassifier:
    return QNNClassifier(**{**SMALL, **options})


def outputs(options, x=X) -> np.ndarray:
    return classifier(**options).fit(x, LABELS).decision_function(x)


class Halves(Callback):
    """Halves the learning rate after each epoch."""

    def on_epoch_end(self, state) -> None:
        for group in state.optimizer.param_groups:
            group["lr"] /= 2


ONE_STEP = {"gradient": "spsa", "epochs": 1, "batch_size": None}
STOPPING = {"early_stopping": True, "epochs": 6}
CHANGES = [
    ({}, {"n_qubits": 3}),
    ({}, {"n_layers": 1}),
    ({}, {"n_hidden": 4}),
    ({}, {"n_quantum": 2}),
    ({}, {"encoding": "iqp"}),
    ({}, {"ansatz": "hardware_efficient"}),
    ({}, {"reupload": True}),
    ({}, {"shots": 20}),
    (ONE_STEP, {"backend": "aer", "layer_options": {"noise": "fake_manila"}}),
    ({}, {"layer_options": {"observables": "probs"}}),
    ({"shots": 20}, {"gradient": "spsa"}),
    ({}, {"dtype": torch.float32}),
    ({}, {"epochs": 4}),
    ({}, {"batch_size": None}),
    ({}, {"optimizer": "sgd"}),
    ({}, {"optimizer": functools.partial(torch.optim.RMSprop, lr=0.01)}),
    ({}, {"optimizer": "spsa"}),
    ({}, {"learning_rate": 0.01}),
    ({}, {"fit_options": {"l2_penalty": 0.1}}),
    ({}, {"early_stopping": True}),
    (STOPPING, {"validation_fraction": 0.3}),
    (STOPPING, {"validation_fraction": None}),
    ({}, {"callbacks": [Halves()]}),
    ({}, {"random_state": 1}),
]


@functools.cache
def before(keys) -> np.ndarray:
    return outputs(dict(keys))


@pytest.mark.parametrize(("base", "change"), CHANGES, ids=lambda options: "-".join(options))
def test_every_parameter_changes_what_is_learnt(base, change) -> None:
    assert np.abs(outputs(base | change) - before(tuple(base.items()))).max() > 1e-9


@pytest.mark.parametrize("mitigation", ["readout", {"zne": [1, 3]}])
@pytest.mark.parametrize(("kind", "y"), [(QNNClassifier, LABELS), (QNNRegressor, VALUES)])
def test_mitigation_is_a_parameter(kind, y, mitigation) -> None:
    options = SMALL | ONE_STEP | {"backend": "aer", "layer_options": {"noise": "fake_manila"}}
    found = clone(kind(**options, mitigation=mitigation))
    assert found.get_params()["mitigation"] == mitigation
    mitigated, without = (model.fit(X[:10], y[:10]) for model in (found, clone(found).set_params(mitigation=None)))
    assert mitigated.module_.quantum_layers[0].backend.specification()["mitigation"] == mitigation
    assert "mitigation" not in without.module_.quantum_layers[0].backend.specification()
    assert mitigated.loss_curve_ != without.loss_curve_


def test_early_stopping_by_patience_and_tolerance() -> None:
    options = {"early_stopping": True, "epochs": 8, "tol": 10.0}  # no epoch but the first counts as better
    assert [classifier(n_iter_no_change=n, **options).fit(X, LABELS).n_iter_ for n in (1, 3)] == [2, 4]
    assert classifier(n_iter_no_change=1, **(options | {"tol": 0.0, "epochs": 3})).fit(X, LABELS).n_iter_ == 3
    history = classifier(**options).fit(X, LABELS).history_
    assert all(epoch["validation_loss"] is not None for epoch in history.epochs)


def test_verbose_shows_a_bar(capsys, monkeypatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    classifier(verbose=True).fit(X, LABELS)
    assert "epoch 3/3" in capsys.readouterr().err


def test_attributes_after_fit() -> None:
    found = classifier().fit(X, LABELS)
    assert isinstance(found.module_, QuantumNeuralNetwork) and found.module_.n_outputs == 2
    assert found.n_iter_ == len(found.loss_curve_) == 3 and found.history_.steps == 12
    assert next(found.module_.parameters()).dtype == torch.float64
    assert next(classifier().fit(X.astype(np.float32), LABELS).module_.parameters()).dtype == torch.float32


def test_random_state() -> None:
    first, again = (outputs({"random_state": np.random.RandomState(3)}) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    state = np.random.RandomState(3)  # consumed: the second fit starts elsewhere
    assert not np.array_equal(outputs({"random_state": state}), outputs({"random_state": state}))
    assert not np.array_equal(outputs({"random_state": None}), outputs({"random_state": None}))


def test_predictions_with_shots_repeat() -> None:
    found = classifier(shots=10).fit(X, LABELS)
    np.testing.assert_array_equal(found.decision_function(X), found.decision_function(X))


@pytest.mark.parametrize("kind", [QNNClassifier, QNNRegressor])
def test_a_weight_of_two_is_the_row_twice_and_of_zero_none(kind) -> None:
    y, method = (LABELS, "decision_function") if kind is QNNClassifier else (VALUES, "predict")
    options = {**SMALL, "batch_size": None, "optimizer": "sgd"}
    weight = np.arange(40) % 3
    weighted = kind(**options).fit(X, y, sample_weight=weight)
    repeated = kind(**options).fit(X.repeat(weight, axis=0), y.repeat(weight))
    plain = kind(**options).fit(X, y)
    found, expected, other = (getattr(estimator, method)(X) for estimator in (weighted, repeated, plain))
    np.testing.assert_allclose(found, expected, atol=1e-9)
    np.testing.assert_allclose(weighted.loss_curve_, repeated.loss_curve_, rtol=1e-9)
    assert np.abs(found - other).max() > 1e-4


def test_rows_of_weight_zero_are_left_out_of_mini_batches_too() -> None:
    weight = (np.arange(40) < 30).astype(float)
    left_out = classifier().fit(X, LABELS, sample_weight=weight)
    np.testing.assert_array_equal(left_out.loss_curve_, classifier().fit(X[:30], LABELS[:30], np.ones(30)).loss_curve_)


def test_warm_start_goes_on() -> None:
    cold = classifier().fit(X, LABELS).fit(X, LABELS)
    assert cold.n_iter_ == 3
    warm = classifier(warm_start=True).fit(X, LABELS)
    module, first = warm.module_, list(warm.loss_curve_)
    warm.fit(X, LABELS)
    assert warm.module_ is module and warm.n_iter_ == 6 and warm.loss_curve_[:3] == first == cold.loss_curve_
    assert warm.loss_curve_[-1] < first[-1]
    with pytest.raises(ValueError, match="X has 2 features, but QNNClassifier is expecting 3"):
        warm.fit(X[:, :2], LABELS)


@pytest.mark.parametrize("kind", [QNNClassifier, QNNRegressor])
def test_partial_fits_are_a_fit_in_parts(kind) -> None:
    y, options = (LABELS, {"classes": ["no", "yes"]}) if kind is QNNClassifier else (VALUES, {})
    whole = kind(**{**SMALL, "batch_size": None}).fit(X, y)
    parts = kind(**{**SMALL, "batch_size": None})
    for _ in range(3):
        parts.partial_fit(X, y, **options)
    assert parts.n_iter_ == 3
    np.testing.assert_allclose(parts.loss_curve_, whole.loss_curve_, rtol=1e-9)  # one Adam throughout
    restored = pickle.loads(pickle.dumps(parts)).partial_fit(X, y)
    np.testing.assert_array_equal(restored.loss_curve_, parts.partial_fit(X, y).loss_curve_)


@pytest.mark.parametrize("optimizer", sorted(QUANTUM_OPTIMIZERS))
def test_partial_fits_with_quantum_optimizers_go_on_from_copies(optimizer) -> None:
    found = classifier(optimizer=optimizer).partial_fit(X, LABELS, classes=["no", "yes"])
    again = [pickle.loads(pickle.dumps(found)), copy.deepcopy(found)]
    expected = found.partial_fit(X, LABELS).loss_curve_
    for restored in again:
        assert restored.partial_fit(X, LABELS).loss_curve_ == expected


def test_clones_pickles_and_joblib() -> None:
    found = classifier(callbacks=[Halves()], encoding="iqp").fit(X, LABELS)
    twin = clone(found)
    assert not hasattr(twin, "module_") and twin.get_params()["encoding"] == "iqp"
    np.testing.assert_array_equal(twin.fit(X, LABELS).predict_proba(X), found.predict_proba(X))
    stored = io.BytesIO()
    joblib.dump(found, stored)
    stored.seek(0)
    for restored in (pickle.loads(pickle.dumps(found)), joblib.load(stored)):
        np.testing.assert_array_equal(restored.predict_proba(X), found.predict_proba(X))


def test_pipeline_cross_validation_and_grid() -> None:
    x, y = load_iris(return_X_y=True)
    options = {"n_qubits": 2, "n_layers": 2, "epochs": 10, "learning_rate": 0.1, "random_state": 0}
    pipeline = make_pipeline(StandardScaler(), QNNClassifier(**options))
    assert cross_val_score(pipeline, x, y, cv=2).min() > 0.85  # chance is 1/3
    grid = {"qnnclassifier__epochs": [1, 10]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise")
    search.fit(x, y, qnnclassifier__sample_weight=np.ones(150))
    assert search.best_params_["qnnclassifier__epochs"] == 10 and search.best_score_ > 0.85


@pytest.mark.slow
def test_grid_over_two_processes() -> None:
    grid, halves = {"learning_rate": [0.01, 0.1]}, [(np.arange(20), np.arange(20, 40))]  # two fits
    found = [
        GridSearchCV(classifier(), grid, cv=halves, n_jobs=n_jobs, refit=False).fit(X, LABELS) for n_jobs in (1, 2)
    ]
    scores = [search.cv_results_["mean_test_score"] for search in found]
    np.testing.assert_array_equal(scores[0], scores[1])


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"optimizer": "adma"}, UnknownNameError, 'No optimizer named "adma". Did you mean "adam"'),
        ({"optimizer": torch.optim.SGD([torch.zeros(1)])}, ArgumentError, "`optimizer` must be a name or a callable"),
        ({"fit_options": {"epochs": 3}}, ArgumentError, "`fit_options` must not hold `epochs`, .* got 3. .* `epochs`"),
        ({"fit_options": {"seed": 3}}, ArgumentError, "Use its parameter `random_state`"),
        ({"fit_options": {"patience": 3}}, UnknownNameError, 'No training option named "patience"'),
        ({"layer_options": {"shots": 3}}, ArgumentError, "`layer_options` must not hold `shots`"),
        (
            {"backend": "aer", "mitigation": "zne", "layer_options": {"mitigation": "readout"}},
            ArgumentError,
            "`layer_options` must not hold `mitigation`, which the estimator sets; got 'readout'",
        ),
        ({"backend": "aer", "mitigation": "readot"}, UnknownNameError, 'No mitigation named "readot"'),
        ({"early_stopping": True, "validation_fraction": 2.0}, ArgumentError, "`validation_fraction` must leave rows"),
        ({"n_qubits": 0}, ArgumentError, "`n_qubits` must be an integer of at least 1; got 0"),
    ],
)
def test_parameters_that_cannot_be_used(options, error, match) -> None:
    with pytest.raises(error, match=match):
        classifier(**options).fit(X, LABELS)
