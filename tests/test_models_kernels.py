"""Quantum kernels against closed forms, PennyLane's kernel module and dense states; shots; use inside scikit-learn."""

import numpy as np
import pennylane as qml
import pytest
from sklearn.base import clone
from sklearn.datasets import make_circles
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC

from qnn._meter import measure
from qnn.errors import ArgumentError, NoEffectWarning, NotFiniteError, ShapeError, UnknownNameError
from qnn.models.kernels import QuantumKernel

GENERATOR = np.random.default_rng(0)
X, Y = GENERATOR.normal(size=(6, 3)), GENERATOR.normal(size=(4, 3))
SHOTS = 2000


def tilted(inputs, wires) -> None:
    """An encoding of the user's own, neither real nor symmetric in its wires."""
    for i in wires:
        qml.RX(inputs[i], wires=i)
        qml.RZ(inputs[i] * 0.7 + i, wires=i)
    qml.CNOT([0, 1])
    qml.RY(inputs[0] * inputs[2], wires=1)


@qml.qnode(qml.device("default.qubit", wires=3))
def tilted_overlap(x, y):
    tilted(x, range(3))
    qml.adjoint(tilted)(y, range(3))
    return qml.probs(wires=range(3))


@qml.qnode(qml.device("default.qubit", wires=3))
def tilted_state(x):
    tilted(x, range(3))
    return qml.state()


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-6), (np.float64, 1e-12)])
def test_fidelity_of_angles_in_closed_form(dtype, tolerance) -> None:
    x = np.random.default_rng(1).normal(size=(300, 8)).astype(dtype)
    expected = np.prod(np.cos((x[:, None].astype(float) - x[None, :200]) / 2) ** 2, axis=2)
    found = QuantumKernel()(x, x[:200])
    assert found.dtype == dtype and found.shape == (300, 200)
    np.testing.assert_allclose(found, expected, atol=tolerance, rtol=0)


@pytest.mark.parametrize("backend", ["statevector", "pennylane:default.qubit"])
def test_fidelity_is_that_of_pennylane(backend) -> None:
    expected = qml.kernels.kernel_matrix(X, Y, lambda x, y: tilted_overlap(x, y)[0])
    np.testing.assert_allclose(QuantumKernel(encoding=tilted, backend=backend)(X, Y), expected, atol=1e-10)


def test_projected_is_that_of_reduced_density_matrices() -> None:
    reduced = lambda x: np.stack([qml.math.reduce_statevector(tilted_state(x), [wire]) for wire in range(3)])
    states = [np.stack([reduced(row) for row in rows]) for rows in (X, Y)]
    distances = (np.abs(states[0][:, None] - states[1][None]) ** 2).sum(axis=(2, 3, 4))
    found = QuantumKernel("projected", encoding=tilted, gamma=0.7)(X, Y)
    np.testing.assert_allclose(found, np.exp(-0.7 * distances), atol=1e-10)


@pytest.mark.parametrize("kind", ["fidelity", "projected"])
def test_a_kernel_of_rows_with_themselves_is_positive_semidefinite(kind) -> None:
    kernel = QuantumKernel(kind, encoding="iqp", n_qubits=2, n_layers=2)
    matrix = kernel(X)
    assert np.array_equal(matrix, matrix.T) and (np.diag(matrix) == 1).all()
    assert np.linalg.eigvalsh(matrix).min() > -1e-12
    np.testing.assert_array_equal(kernel(X, X.copy()), matrix)  # equal rows in another array
    np.testing.assert_allclose(kernel(X, X[:4]), matrix[:, :4], atol=1e-12)


def test_fidelity_by_shots_is_binomial_in_the_inversion_circuit() -> None:
    options = {"encoding": "iqp", "n_layers": 2}
    exact = QuantumKernel(**options)(X, Y)
    kernel = QuantumKernel(shots=SHOTS, seed=1, **options)
    with measure() as usage:
        found = kernel(X, Y)
    assert (usage.circuits, usage.shots, usage.jobs) == (24, 24 * SHOTS, 1)
    assert np.array_equal(found * SHOTS, np.round(found * SHOTS))
    deviations = (found - exact) / np.sqrt(exact * (1 - exact) / SHOTS)
    assert 0.4 < np.mean(deviations**2) < 1.9  # chi-squared of 24 degrees over 24: 3 sigma are 0.87
    with measure() as usage:
        matrix = kernel(X)
    assert usage.circuits == 15  # pairs
    assert np.array_equal(matrix, matrix.T) and (np.diag(matrix) == 1).all()


@pytest.mark.parametrize("kind", ["fidelity", "projected"])
def test_shots_follow_from_seed_and_rows(kind) -> None:
    kernel = QuantumKernel(kind, shots=50, seed=1)
    found = kernel(X, Y)
    assert np.array_equal(kernel(X, Y), found) and np.array_equal(clone(kernel)(X, Y), found)
    assert not np.array_equal(clone(kernel).set_params(seed=2)(X, Y), found)
    assert not np.array_equal(kernel(X, np.concatenate([Y, X]))[:, :4], found)  # another call, other shots
    free = clone(kernel).set_params(seed=None)
    assert not np.array_equal(free(X, Y), free(X, Y))


def test_projected_by_shots() -> None:
    exact, found = (QuantumKernel("projected", shots=shots, seed=1)(X, Y) for shots in (None, 40_000))
    assert 0 < np.abs(found - exact).max() < 0.03  # 5 sigma of a distance of 9 values of error 0.005


def test_many_calls_draw_as_one(monkeypatch) -> None:
    kernel = QuantumKernel(shots=100, seed=1)
    whole = kernel(X, Y)
    monkeypatch.setattr("qnn.models.kernels._MAX_OUTCOMES", 8 * 5)  # five pairs a call
    made, stack = [], np.hstack
    monkeypatch.setattr(np, "hstack", lambda parts: made.append(len(parts[0])) or stack(parts))
    np.testing.assert_array_equal(kernel(X, Y), whole)
    assert made == [5, 5, 5, 5, 4]  # pairs in memory at a time


def test_inside_a_support_vector_machine_and_a_grid() -> None:
    x, y = make_circles(60, noise=0.05, factor=0.4, random_state=0)
    machine = SVC(kernel=QuantumKernel(encoding="iqp"))
    grid = {"kernel__n_layers": [1, 2], "kernel__kind": ["fidelity", "projected"]}
    search = GridSearchCV(machine, grid, cv=2, error_score="raise").fit(x, y)
    assert search.best_score_ > 0.8  # chance is 0.5
    assert len(set(search.cv_results_["mean_test_score"])) > 1


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "projected"},
        {"encoding": "iqp"},
        {"n_qubits": 2},
        {"n_layers": 2},
        {"shots": 100, "seed": 0},
        {"kind": "projected", "gamma": 2.0},
        {"backend": "aer", "backend_options": {"noise": "fake_manila"}},
    ],
)
def test_every_option_changes_the_kernel(change) -> None:
    before = QuantumKernel(change.get("kind", "fidelity") if len(change) > 1 else "fidelity")
    assert np.abs(QuantumKernel(**change)(X, Y) - before(X, Y)).max() > 1e-3


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"kind": "fidelty"}, UnknownNameError, 'No kind of kernel named "fidelty". Did you mean "fidelity"'),
        ({"n_qubits": 0}, ArgumentError, "`n_qubits` must be a positive integer; got 0"),
        ({"n_layers": None}, ArgumentError, "`n_layers` must be a positive integer; got None"),
        ({"kind": "projected", "gamma": -1}, ArgumentError, "`gamma` must be a positive number; got -1"),
        ({"gamma": 2.0}, NoEffectWarning, '`gamma`=2.0 has no effect with kind="fidelity"'),
        ({"n_qubits": 4}, NoEffectWarning, r"`n_qubits`=4 is more than 3 features: 1 qubit\(s\) are idle"),
    ],
)
def test_options_that_cannot_be_used(options, error, match) -> None:
    with pytest.raises(error, match=match):
        QuantumKernel(**options)(X, Y)


def test_states_that_do_not_fit_in_memory() -> None:
    with pytest.raises(ArgumentError, match=r"small enough for the states of 10 rows .* got 29, 80 GiB"):
        QuantumKernel()(np.zeros((6, 29)), np.ones((4, 29)))


def test_products_that_do_not_fit_in_memory(monkeypatch) -> None:
    """Ten states of three qubits are 1280 bytes, and 24 products 384."""
    monkeypatch.setattr("qnn.models.kernels.MAX_BYTES", 1663)
    with pytest.raises(ArgumentError, match=r"few enough rows for all products .* got 6 and 4"):
        QuantumKernel()(X, Y)
    monkeypatch.setattr("qnn.models.kernels.MAX_BYTES", 1664)
    QuantumKernel()(X, Y)


def test_rows_that_cannot_be_used() -> None:
    with pytest.raises(ShapeError, match="`y` must have 3 features like `x`; got 2"):
        QuantumKernel()(X, Y[:, :2])
    broken = Y.copy()
    broken[1, 2] = np.nan
    with pytest.raises(NotFiniteError, match="`y` must be finite; got nan in row 1, column 2"):
        QuantumKernel()(X, broken)
    with pytest.raises(NotFiniteError, match="`y` must have a state for every row; got row 0"):
        QuantumKernel(encoding="amplitude")(X, np.zeros((1, 3)))
