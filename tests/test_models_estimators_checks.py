"""scikit-learn's own contract for estimators: every check, on every estimator."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from qnn.models.estimators import QNNClassifier, QNNRegressor, QuantumKernelClassifier

TRAINED = {"n_qubits": 2, "n_layers": 2, "batch_size": None, "epochs": 15, "learning_rate": 0.3, "random_state": 0}
ESTIMATORS = [
    QNNClassifier(**TRAINED),
    QNNRegressor(**TRAINED),
    QuantumKernelClassifier(n_qubits=2, tol=1e-8),
]


@parametrize_with_checks(ESTIMATORS)
def test_contract_of_scikit_learn(estimator, check) -> None:
    check(estimator)
