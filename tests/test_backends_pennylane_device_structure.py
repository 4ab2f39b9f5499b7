"""Tapes read as structure and values."""

import numpy as np
import pennylane as qml
import pytest
import torch

from qnn.backends.pennylane_device.structure import Structure, circuit_measurement, is_pauli_sum, observable_key, read
from qnn.backends.statevector import Statevector
from qnn.circuits.circuit import Slot
from qnn.circuits.observables import Expectation, Probabilities


def tape(x=0.3, y=0.4, process=None, wires=(0, 1), shots=None):
    a, b = wires
    operations = [qml.RX(x, a), qml.GlobalPhase(0.1), qml.CRY(y, [a, b]), qml.Barrier([a, b])]
    return qml.tape.QuantumScript(operations, [process or qml.expval(qml.Z(b))], shots=shots)


def test_values_do_not_belong_to_the_structure():
    first = read(tape())
    assert first.key == read(tape(1.0, 2.0)).key
    assert (first.values, first.batch, first.n_rows) == ((0.3, 0.1, 0.4), None, 1)
    others = [
        tape(process=qml.expval(qml.X(1))),
        tape(process=qml.expval(2.0 * qml.Z(1))),
        tape(process=qml.probs(wires=1)),
        tape(wires=(1, 0)),
        tape(wires=("a", "b")),
    ]
    keys = {first.key, *(read(other).key for other in others)}
    assert len(keys) == 6


def test_broadcast_values():
    reading = read(tape(np.array([0.1, 0.2, 0.3])))
    assert (reading.batched, reading.batch) == ((True, False, False), 3)
    with pytest.raises(ValueError, match="batch sizes of the quantum script operations do not match"):
        read(tape(np.zeros(2), np.zeros(3)))


def test_observables_differ_to_the_last_bit():
    """PennyLane's own hash abbreviates matrices of more than a thousand entries."""
    large = np.diag(np.arange(32.0))
    changed = large.copy()
    changed[16, 16] += 1e-9
    key = lambda matrix: observable_key(qml.Hermitian(matrix, range(5)) @ qml.Z(5))
    assert key(large) == key(large.copy())
    assert key(large) != key(changed)
    assert observable_key(0.5 * qml.Z(0)) != observable_key(0.25 * qml.Z(0))
    assert observable_key(qml.Z(0) @ qml.X(1)) != observable_key(qml.Z(0) + qml.X(1))
    assert observable_key(qml.Projector([0, 1], [0, 1])) != observable_key(qml.Projector([1, 0], [0, 1]))


MATRIX = np.diag([1.0, 2.0])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (lambda: qml.exp(qml.Z(0), 0.3), lambda: qml.exp(qml.Z(0), 0.6)),
        (lambda: 2.0 * qml.exp(qml.Z(0), 0.3), lambda: 2.0 * qml.exp(qml.Z(0), 0.6)),
        (lambda: qml.exp(qml.Z(0), 0.3) @ qml.Z(1), lambda: qml.exp(qml.Z(0), 0.6) @ qml.Z(1)),
        (lambda: 0.5 * qml.Z(0), lambda: 0.25 * qml.Z(0)),
        (lambda: qml.Hermitian(MATRIX, 0) ** 2, lambda: qml.Hermitian(MATRIX, 0) ** 3),
        (
            lambda: qml.pow(qml.Hermitian(MATRIX, 0), torch.tensor(2)),
            lambda: qml.pow(qml.Hermitian(MATRIX, 0), torch.tensor(3)),
        ),
        (
            lambda: qml.ctrl(qml.Hermitian(MATRIX, 1), control=0, control_values=[0]),
            lambda: qml.ctrl(qml.Hermitian(MATRIX, 1), control=0, control_values=[1]),
        ),
        (
            lambda: qml.sum(qml.ctrl(qml.Hermitian(MATRIX, 1), control=0, control_values=[0]), qml.Z(0)),
            lambda: qml.sum(qml.ctrl(qml.Hermitian(MATRIX, 1), control=0, control_values=[1]), qml.Z(0)),
        ),
        (lambda: qml.PauliRot(np.pi, "XY", [0, 1]) @ qml.Z(0), lambda: qml.PauliRot(np.pi, "ZZ", [0, 1]) @ qml.Z(0)),
    ],
)
def test_observables_that_differ_in_a_setting_only(first, second):
    """On one device, the second observable does not get the first one's circuit."""
    assert observable_key(first()) == observable_key(first())
    assert observable_key(first()) != observable_key(second())


@pytest.mark.parametrize(
    ("make", "values"),
    [
        (lambda c: qml.exp(qml.Z(0), c), (0.3, 0.6)),
        (lambda c: c * qml.Z(0), (0.3, 0.6)),
        (lambda c: qml.exp(qml.Z(0), c) @ qml.Z(1), (0.3, 0.6)),
        (lambda z: qml.Hermitian(MATRIX, 0) ** z, (2, 3)),
        (lambda v: qml.ctrl(qml.Hermitian(MATRIX, 1), control=0, control_values=[v]), (0, 1)),
    ],
)
def test_values_on_one_device_that_differ_in_a_setting_only(make, values):
    """The truth is the dense matrix: default.qubit ignores the control values of an observable."""

    @qml.qnode(qml.device("qnn.statevector", wires=2))
    def node(value):
        qml.RX(0.7, 0)
        qml.RY(0.4, 1)
        return qml.expval(make(value))

    state = np.kron([np.cos(0.35), -1j * np.sin(0.35)], [np.cos(0.2), np.sin(0.2)])
    truth = [(state.conj() @ qml.matrix(make(value), wire_order=[0, 1]) @ state).real for value in values]
    np.testing.assert_allclose([node(value) for value in values], truth, atol=1e-12)
    assert abs(truth[0] - truth[1]) > 1e-2


def test_settings_that_cannot_be_compared_are_equal_to_nothing():
    observable = qml.Z(0)
    observable.hyperparameters["unknown"] = {1, 2}
    assert observable_key(observable) != observable_key(observable)


@pytest.mark.parametrize("method", ["best", "backprop"])
@pytest.mark.parametrize("order", [(False, True), (True, False)])
def test_a_coefficient_is_followed_whatever_was_seen_before(method, order):
    x = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)

    @qml.qnode(qml.device("qnn.statevector", wires=2), diff_method=method)
    def node(x, c):
        qml.RX(x, 0)
        return qml.expval(c * qml.Z(0) + 0.25 * qml.X(1))

    for wanted in order:
        c = torch.tensor(2.0, dtype=torch.float64, requires_grad=wanted)
        x.grad = None
        node(x, c).backward()
        np.testing.assert_allclose(x.grad, -2 * np.sin(0.4), atol=1e-12)
        if wanted:
            np.testing.assert_allclose(c.grad, np.cos(0.4), atol=1e-12)


def test_the_axes_of_a_state_are_no_rows():
    state = np.full(64, 1 / 8)
    single = lambda *more: read(qml.tape.QuantumScript([qml.StatePrep(state, range(6)), *more], [qml.expval(qml.Z(0))]))
    reading = single()
    assert (reading.batched, reading.batch, reading.n_rows) == ((False,), None, 1)
    reading = single(qml.RX(np.zeros(3), 0), qml.RX(0.1, 0))
    assert (reading.batched, reading.batch) == ((False, True, False), 3)
    rows = qml.tape.QuantumScript([qml.StatePrep(np.tile(state, (2, 1)), range(6))], [qml.expval(qml.Z(0))])
    assert (read(rows).batched, read(rows).batch) == ((True,), 2)


def test_the_circuit_of_a_tape():
    structure = Structure(tape(wires=("a", "b")), Statevector())
    assert structure.runs and structure.wires == ("a", "b") and structure.n_wires == 2
    np.testing.assert_array_equal(structure.angle_places, [0, 2])
    rows = structure.executable(None).circuit
    assert (rows.n_shared, rows.n_rows) == (0, 2)
    mixed = structure.executable((False, True)).circuit
    assert [op.angle for op in mixed.operations] == [Slot("rows", 0), Slot("shared", 0)]
    assert structure.executable(None) is structure.executable(None)
    phase = structure.phase(np.array([[0.3, 0.1, 0.4], [0.3, 0.7, 0.4]]))
    np.testing.assert_allclose(phase, np.exp([-0.1j, -0.7j]))


def test_what_the_engine_does_not_run():
    unitary = qml.tape.QuantumScript([qml.QubitUnitary(np.eye(2), 0)], [qml.expval(qml.Z(0))])
    structure = Structure(unitary, Statevector())
    assert not structure.runs and structure.measurements is None


def test_wires_in_pennylanes_order():
    order = lambda *operations: Structure(qml.tape.QuantumScript(operations, [qml.probs()]), Statevector()).wires
    assert order(qml.X(1), qml.X(0)) == (0, 1)
    assert order(qml.X(3), qml.X(0)) == (3, 0)
    assert order(qml.X("b"), qml.X("a")) == ("b", "a")


def test_measurements_that_are_values_of_a_circuit():
    number = {"a": 0, "b": 1}
    found = circuit_measurement(qml.expval(qml.Z("b") @ qml.X("a")), number)
    assert found == Expectation(found.observable) and found.observable.terms == ((1.0, ((0, "X"), (1, "Z"))),)
    assert circuit_measurement(qml.probs(wires=["b", "a"]), number) == Probabilities((1, 0))
    assert circuit_measurement(qml.probs(), number) == Probabilities((0, 1))
    for process in (qml.var(qml.Z("a")), qml.state(), qml.probs(op=qml.X("a")), qml.sample(wires="a")):
        assert circuit_measurement(process, number) is None
    wide = qml.Hermitian(np.eye(32), range(5))
    assert [is_pauli_sum(o) for o in (qml.Hermitian(np.eye(4), [0, 1]), wide, qml.Hadamard(0))] == [True, False, True]
