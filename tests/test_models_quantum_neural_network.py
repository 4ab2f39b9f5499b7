"""The hybrid network as a whole: shapes, training on labels and on numbers, options that pass through."""

import numpy as np
import pytest
import torch

import qnn
from qnn import HiddenLayer, InputLayer, OutputLayer, QuantumLayer, QuantumNeuralNetwork
from qnn.errors import ArgumentError, UnknownNameError

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(60, 3))
LABELS = (X[:, 0] * X[:, 1] > 0).astype(np.int64) + (X[:, 2] > 0.5)
VALUES = np.sin(X[:, 0]) + 0.5 * X[:, 1]
FIT = {"epochs": 12, "batch_size": 15, "learning_rate": 0.05, "seed": 0, "progress": False}


def losses(history: qnn.History) -> list[float]:
    return [epoch["train_loss"] for epoch in history.epochs]


def model(n_outputs: int = 3, **options) -> QuantumNeuralNetwork:
    return QuantumNeuralNetwork(3, None, n_outputs, **{"n_qubits": 2, "n_layers": 2, "seed": 0, **options})


@pytest.mark.parametrize(
    ("n_hidden", "n_quantum", "kinds"),
    [
        (None, 1, [InputLayer, QuantumLayer, OutputLayer]),
        (0, 1, [InputLayer, QuantumLayer, OutputLayer]),
        (5, 1, [HiddenLayer, InputLayer, QuantumLayer, OutputLayer]),
        ([5, 4], 2, [HiddenLayer, HiddenLayer, InputLayer, QuantumLayer, InputLayer, QuantumLayer, OutputLayer]),
    ],
)
def test_layers_and_shapes(n_hidden, n_quantum, kinds) -> None:
    built = QuantumNeuralNetwork(3, n_hidden, 4, n_qubits=2, n_layers=1, n_quantum=n_quantum, seed=0)
    assert [type(module) for module in built.network] == kinds
    assert len(built.quantum_layers) == n_quantum
    for leading in ((), (5,), (2, 3), (0,)):
        assert built(torch.zeros(*leading, 3)).shape == (*leading, 4)
    if n_hidden == [5, 4]:
        assert [m.linear.out_features for m in built.network if isinstance(m, HiddenLayer)] == [5, 4]


def test_quantum_layers_in_a_row_start_differently() -> None:
    first, second = model(n_quantum=2).quantum_layers
    assert not torch.equal(first.weights, second.weights) and first.seed != second.seed


@pytest.mark.parametrize("as_tensor", [False, True])
def test_classification(as_tensor: bool) -> None:
    x, y = (torch.tensor(X, dtype=torch.float32), torch.tensor(LABELS)) if as_tensor else (X, LABELS)
    built = model()
    assert built.history is None
    assert built.fit(x, y, **FIT) is built
    assert losses(built.history)[-1] < losses(built.history)[0]
    predicted = built.predict(x)
    assert type(predicted) is type(x) and predicted.shape == (60,)
    accuracy = float((np.asarray(predicted) == LABELS).mean())
    assert accuracy > 0.55  # the largest class has 45 %
    assert set(np.asarray(predicted).tolist()) <= {0, 1, 2}


@pytest.mark.parametrize("columns", [1, 2])
def test_regression(columns: int) -> None:
    y = VALUES if columns == 1 else np.stack([VALUES, -VALUES], axis=1)
    built = model(n_outputs=columns).fit(X, y, **FIT)
    predicted = built.predict(X)
    assert predicted.shape == y.shape and predicted.dtype == np.float32
    assert float(((predicted - y) ** 2).mean()) < 0.5 * float(((y - y.mean(axis=0)) ** 2).mean())


def test_predict_leaves_mode_and_gradients_alone() -> None:
    built = model()
    built.train()
    predicted = built.predict(torch.zeros(2, 3))
    assert built.training and not predicted.requires_grad
    built.eval()
    built.predict(X)
    assert not built.training
    assert built.predict(np.zeros((4, 3), dtype=np.int64)).shape == (4,)


def test_a_seed_fixes_everything_and_leaves_torch_alone() -> None:
    state = torch.get_rng_state()
    one, same, other = model(seed=4), model(seed=4), model(seed=5)
    assert torch.equal(torch.get_rng_state(), state)
    for (_, a), (_, b) in zip(one.named_parameters(), same.named_parameters(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(one.network[0].linear.weight, other.network[0].linear.weight)
    shots = [model(seed=4, shots=20).fit(X, LABELS, **{**FIT, "epochs": 2}).predict(X) for _ in range(2)]
    np.testing.assert_array_equal(*shots)
    torch.manual_seed(0)
    drawn = model(seed=None)
    torch.manual_seed(0)
    assert torch.equal(model(seed=None).network[0].linear.weight, drawn.network[0].linear.weight)


@pytest.mark.parametrize(
    "options",
    [
        {"n_qubits": 3}, {"n_layers": 1}, {"n_quantum": 2}, {"encoding": "basis"}, {"ansatz": "hardware_efficient"},
        {"reupload": True}, {"observables": "probs"}, {"shots": 30}, {"init": "small"}, {"seed": 1},
    ],
    ids=str,
)  # fmt: skip
def test_every_option_changes_the_result(options) -> None:
    x = torch.tensor(X[:4], dtype=torch.float32)
    assert not torch.equal(model()(x), model(**options)(x))


def test_options_reach_the_quantum_layers() -> None:
    built = model(backend="pennylane:default.qubit", shots=10, gradient="spsa")
    (layer,) = built.quantum_layers
    assert (layer.backend.name, layer.shots, layer.explain().gradient) == ("pennylane:default.qubit", 10, "spsa")
    assert built.to_backend("statevector") is built and layer.backend.name == "statevector"
    double = model(dtype=torch.float64)
    assert {p.dtype for p in double.parameters()} == {torch.float64}
    assert double.predict(X).shape == (60,)
    with pytest.raises(UnknownNameError, match=r'No ansatz named "h_rx"'):
        model(ansatz="h_rx")


@pytest.mark.parametrize("gradient", ["adjoint", "backprop", "parameter-shift", "finite-difference", "spsa"])
def test_qnn_fit_trains_it_by_every_method(gradient: str) -> None:
    built = model(n_outputs=1, gradient=gradient, n_layers=1)
    x, y = torch.tensor(X, dtype=torch.float32), torch.tensor(VALUES[:, None], dtype=torch.float32)
    history = qnn.fit(built, (x, y), loss="mse", **{**FIT, "epochs": 6})
    assert losses(history)[-1] < 0.8 * losses(history)[0]


def test_training_with_shots_repeats() -> None:
    runs = [model(n_outputs=1, shots=40).fit(X, VALUES, **{**FIT, "epochs": 3}).history for _ in range(2)]
    assert losses(runs[0]) == losses(runs[1])


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((0, None, 2), {}, "`n_inputs` must be a positive integer; got 0"),
        ((3, None, 0), {}, "`n_outputs` must be a positive integer; got 0"),
        ((3, None, 2), {"n_quantum": 0}, "`n_quantum` must be a positive integer; got 0"),
        ((3, -1, 2), {}, "`n_hidden` must be a positive integer; got -1"),
        ((3, [4, 2.5], 2), {}, "`n_hidden` must be a positive integer; got 2.5"),
        ((3, True, 2), {}, "`n_hidden` must be a positive integer; got True"),
        ((3, None, 2), {"n_qubits": 0}, "`n_qubits` must be an integer of at least 1; got 0"),
        ((3, None, 2), {"seed": -1}, "`seed` must be an integer from 0"),
        ((3, None, 2), {"seed": 1.5}, "`seed` must be an integer from 0"),
    ],
)
def test_bad_arguments(arguments, options, message) -> None:
    with pytest.raises(ArgumentError, match=message):
        QuantumNeuralNetwork(*arguments, **options)
