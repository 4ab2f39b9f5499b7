"""`qml.device("qnn.aer")`: against default.qubit, noise, and the number of Aer's runs."""

import numpy as np
import pennylane as qml
import pytest
import torch
from pennylane import numpy as pnp
from qiskit_aer import AerSimulator
from random_functions import random_function
from test_backends_pennylane_device_statevector import (
    assert_equal_runs,
    everything,
    parameters,
    reference,
    sampled,
    values_and_gradients,
)

from qnn.circuits.gates import GATES
from qnn.errors import ArgumentError, CapabilityError, UnknownNameError


def device(**options):
    return qml.device("qnn.aer", **options)


@pytest.fixture
def aer_runs(monkeypatch):
    """The number of circuits in each call of `AerSimulator.run`."""
    calls = []
    run = AerSimulator.run

    def counted(self, circuits, parameter_binds=None, **options):
        calls.append(max(len(circuits), *(len(v) for b in parameter_binds or [] for v in b.values()), 1))
        return run(self, circuits, parameter_binds=parameter_binds, **options)

    monkeypatch.setattr(AerSimulator, "run", counted)
    return calls


@pytest.mark.parametrize("seed", range(3))
def test_random_functions_agree_with_default_qubit_in_two_runs(seed, aer_runs):
    function = random_function(seed, 3, sorted(GATES)[seed::3], n_gates=14)
    expected = values_and_gradients(function, reference(3), parameters(seed), diff_method="backprop")
    found = values_and_gradients(function, device(wires=3), parameters(seed))
    assert_equal_runs(found, expected, 1e-9)
    assert len(aer_runs) == 2, "one forward, one for the gradient"


@pytest.mark.parametrize("shots", [None, 500])
def test_a_gradient_is_one_run(shots, aer_runs):
    @qml.qnode(device(wires=2, seed=0), diff_method="parameter-shift")
    def circuit(w):
        for wire in range(2):
            qml.RX(w[0, wire], wire)
            qml.RY(w[1, wire], wire)
        qml.CRZ(w[0, 0], [0, 1])
        return qml.expval(qml.Z(0)), qml.expval(qml.X(1))

    w = torch.rand(2, 2, dtype=torch.float64, requires_grad=True)
    values = qml.set_shots(circuit, shots)(w)
    assert len(aer_runs) == 1
    sum(values).backward()
    assert len(aer_runs) == 2
    assert w.grad.abs().sum() > 0


def test_broadcast_rows_are_one_run(aer_runs):
    node = qml.QNode(lambda x: (qml.RX(x, 0), qml.expval(qml.Z(0)))[1], device(wires=1))
    np.testing.assert_allclose(node(np.linspace(0, 3, 7)), np.cos(np.linspace(0, 3, 7)), atol=1e-12)
    assert len(aer_runs) == 1


def measured():
    qml.RX(0.8, "a")
    qml.RY(1.9, "b")
    qml.CNOT(["a", "b"])
    return (
        qml.var(qml.X("b")),
        qml.probs(op=qml.Y("a")),
        qml.expval(qml.Hermitian(np.array([[1.0, 0.5], [0.5, -1.0]]), "a")),
        qml.var(qml.Hermitian(np.diag([0.0, 1.0, 2.0, 5.0]), ["b", "a"])),
        qml.expval(qml.Projector([1], ["b"])),
        qml.probs(),
    )


@pytest.mark.parametrize("wires", [["a", "b"], ["b", "c", "a"], None], ids=str)
def test_exact_measurements_with_labels(wires):
    for ours, theirs in zip(
        qml.QNode(measured, device(wires=wires))(), qml.QNode(measured, reference(wires))(), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-10)


def test_a_matrix_that_asks_for_gradients_is_a_matrix_like_any_other():
    """PennyLane's arrays do so unless told otherwise."""
    matrix = pnp.array([[1.0, 0.5], [0.5, -1.0]])

    def circuit():
        qml.RX(0.8, 0)
        return qml.expval(qml.Hermitian(matrix, 0)), qml.expval(qml.Hermitian(matrix, 0) @ qml.Z(1))

    for dev in (device(wires=2), qml.device("qnn.statevector", wires=2)):
        np.testing.assert_allclose(qml.QNode(circuit, dev)(), [np.cos(0.8)] * 2, atol=1e-10)


@pytest.mark.parametrize("sampler", ["exact", "aer"])
def test_shots_estimate_the_exact_values(sampler):
    shots, k = 40_000, 5
    for function, wires, widest in ((sampled, 2, 1.2), (measured, ["a", "b"], 6.5)):
        found = qml.set_shots(qml.QNode(function, device(wires=wires, seed=1, sampler=sampler)), shots)()
        exact = qml.QNode(function, reference(wires))()
        for ours, theirs in zip(found, exact, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=k * widest / np.sqrt(shots))
            assert not np.array_equal(ours, theirs)


def test_counts_samples_and_shot_vectors():
    @qml.qnode(device(wires=["a", "b"], seed=1))
    def circuit(x):
        qml.RX(x, "a")
        qml.CNOT(["a", "b"])
        return qml.counts(wires=["b", "a"]), qml.sample(qml.Z("a")), qml.expval(qml.Z("b")), qml.sample(wires="b")

    results = qml.set_shots(circuit, (10, 400))(0.9)
    assert [sum(counts.values()) for counts, *_ in results] == [10, 400]
    assert set(results[1][0]) == {"00", "11"}
    mean = results[1][1].mean()
    assert abs(mean - np.cos(0.9)) < 5 / np.sqrt(400)
    outcomes = np.asarray(results[1][3]).ravel()
    assert 0 < np.count_nonzero(np.diff(outcomes)) > 50, "samples come in random order"
    batched = qml.set_shots(circuit, 20)(np.array([0.0, np.pi]))
    np.testing.assert_array_equal(batched[1], [[1.0] * 20, [-1.0] * 20])


def test_seeds_repeat_and_calls_differ():
    def draw(seed, **options):
        node = qml.set_shots(qml.QNode(sampled, device(wires=2, seed=seed, **options)), 100)
        return [np.concatenate([np.ravel(block) for block in node()]) for _ in range(2)]

    for options in ({}, {"sampler": "aer"}):
        first, second = draw(7, **options)
        assert np.array_equal(first, draw(7, **options)[0])
        assert not np.array_equal(first, second)
        assert not np.array_equal(first, draw(8, **options)[0])


def test_noise_and_options_change_results():
    pytest.importorskip("qiskit_ibm_runtime")

    def circuit():
        qml.X(0)
        for _ in range(4):
            qml.CNOT([0, 1])
        return qml.expval(qml.Z(0))

    value = lambda **options: float(qml.QNode(circuit, device(wires=2, **options))())
    assert value() == pytest.approx(-1.0)
    noisy = value(noise="fake_manila", optimization_level=0)
    assert -0.99 < noisy < -0.5
    assert value(noise="fake_manila", optimization_level=2) != noisy
    assert value(method="density_matrix", noise="fake_manila", optimization_level=0) == pytest.approx(noisy)
    with pytest.raises(CapabilityError, match="runs random trajectories"):
        value(method="statevector", noise="fake_manila")
    assert device(wires=1, max_parallel_threads=1, seed_transpiler=3).backend.threads == 1


def test_measurements_in_the_middle_are_deferred():
    def circuit():
        qml.RX(0.9, 0)
        seen = qml.measure(0)
        qml.cond(seen, qml.RY)(0.6, 1)
        return qml.expval(qml.Z(1)), qml.expval(seen)

    np.testing.assert_allclose(qml.QNode(circuit, device())(), qml.QNode(circuit, reference())(), atol=1e-10)
    with pytest.raises(
        qml.exceptions.DeviceError, match=r"mcm_method one-shot not supported on qnn.aer; it has: deferred"
    ):
        qml.set_shots(qml.QNode(circuit, device(), mcm_method="one-shot"), 10)()


def test_what_it_cannot_do_is_refused_by_name():
    with pytest.raises(
        ArgumentError, match=r'"qnn.aer" has no option `colour`. It has: wires, shots, seed, method, noise'
    ):
        device(wires=1, colour="red")
    with pytest.raises(UnknownNameError, match='No sampler named "dice"'):
        device(wires=1, sampler="dice")
    with pytest.raises(
        qml.exceptions.DeviceError, match=r"Measurement state\(.*not accepted for analytic simulation on qnn.aer"
    ):
        qml.QNode(everything, device())()
    with pytest.raises(qml.exceptions.QuantumFunctionError, match="does not support adjoint"):
        qml.QNode(measured, device(), diff_method="adjoint")()
    node = qml.QNode(lambda: ([qml.X(i) for i in range(60)], qml.expval(qml.Z(0)))[1], device())
    with pytest.raises(ArgumentError, match=r"`wires` in use must be at most \d+ for <qnn backend aer>; got 60"):
        node()
