"""PennyLane quantum functions with values, as circuits: against PennyLane's own device."""

import numpy as np
import pennylane as qml
import pytest
import torch

import qnn
from qnn.circuits.tapes import is_quantum_function, read_tape
from qnn.errors import ArgumentError, CaptureError, NotFiniteError, ShapeError, UnsupportedError

LABELS = ["alice", "bob", 7]


def asymmetric(x, w, phase=0.3):
    qml.RX(x, wires="alice")
    qml.Rot(w, phase, x, wires=7)
    qml.CNOT(wires=["alice", "bob"])
    qml.CRX(w, wires=["bob", 7])
    qml.ctrl(qml.RY, control=["alice", 7])(x, wires="bob")  # its decomposition does not broadcast
    return qml.expval(qml.Z("alice") @ qml.X(7)), qml.var(qml.Z("bob")), qml.probs(wires=[7, "alice"])


KINDS = {
    "float": float,
    "numpy": np.array,
    "torch": lambda value: torch.tensor(value, dtype=torch.float64, requires_grad=True),
    "autograd": qml.numpy.array,
}


@pytest.mark.parametrize(
    ("kind", "batch"), [("float", None), *((k, n) for k in ("numpy", "torch", "autograd") for n in (None, 3))]
)
def test_a_users_qnode_gives_what_it_gives_in_pennylane(kind, batch):
    node = qml.QNode(asymmetric, qml.device("default.qubit", wires=LABELS))
    values = ([0.4, 0.9, 2.0], [1.1, -0.5, 0.2]) if batch else (0.4, 1.1)
    x, w = map(KINDS[kind], values)
    z, variance, probabilities = node(x, w, phase=0.7)
    result = qnn.run(node, parameters={"x": x, "w": w, "phase": 0.7})
    plain = lambda value: value.detach().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
    wanted = np.stack([plain(z), plain(variance)], axis=-1)
    np.testing.assert_allclose(result.expectation, wanted, atol=1e-10)
    np.testing.assert_allclose(result.distribution, plain(probabilities), atol=1e-10)
    assert result.leading == (() if batch is None else (batch,))
    assert (result.wires, result.labels) == ((2, 0), ("7", "alice"))
    assert result.observables == ("<Zalice X7>", "Var(Zbob)")
    assert result.name == "asymmetric"


def test_broadcast_rows_are_one_job_and_values_may_steer_the_function():
    def function(x, repeat):
        for _ in range(repeat):
            qml.RY(x, wires=0)
        if np.max(x) > 1:
            qml.X(1)
        return qml.expval(qml.Z(0)), qml.expval(qml.Z(1))

    with qnn._meter.measure() as usage:
        result = qnn.run(function, parameters={"x": np.array([0.2, 1.3]), "repeat": 3})
    assert usage.jobs == 1
    np.testing.assert_allclose(result.expectation, [[np.cos(0.6), -1], [np.cos(3.9), -1]], atol=1e-12)


def test_wires_are_those_of_the_device_and_else_those_in_use():
    def function():
        qml.X(4)
        return qml.probs()

    assert qnn.run(function).probabilities == {"1": 1.0}
    assert qnn.run(function).labels == ("4",)
    assert qnn.run(qml.QNode(function, qml.device("default.qubit", wires=5))).probabilities == {"00001": 1.0}
    with qml.queuing.AnnotatedQueue() as queue:
        qml.X(9)
        qml.RX(0.0, wires=2)
    assert qnn.run(qml.tape.QuantumScript.from_queue(queue)).probabilities == {"01": 1.0}


def test_shots_of_the_qnode_itself():
    @qml.set_shots(200)
    @qml.qnode(qml.device("default.qubit"))
    def node():
        qml.Hadamard(0)
        return qml.counts(wires=0)

    result = qnn.run(node, seed=1)
    assert (result.shots, sum(result.counts.values())) == (200, 200)
    assert qnn.run(node, shots=50).shots == 50
    exact = qml.set_shots(node, None)
    with pytest.raises(ArgumentError, match=r"`shots` must be given, since node returns samples; got None"):
        qnn.run(exact)
    assert qnn.run(exact, observables="X0").expectation == pytest.approx(1.0)


def test_transforms_of_the_qnode_are_applied():
    @qml.transforms.cancel_inverses
    @qml.qnode(qml.device("default.qubit"))
    def node():
        qml.X(0)
        qml.X(0)
        qml.Y(0)
        return qml.expval(qml.Z(0))

    assert [op.gate for op in read_tape(node, {}).circuit.operations] == ["PauliY"]
    assert qnn.run(node).expectation == -1.0


def test_states_and_matrices_are_prepared():
    """|ψ> = (|01> + i|10>)/√2 has <XY> = -1 and <ZZ> = -1; PennyLane decides."""
    state = np.array([0, 1, 1j, 0]) / np.sqrt(2)

    @qml.qnode(qml.device("default.qubit"))
    def node():
        qml.StatePrep(state, wires=[0, 1])
        qml.QubitUnitary(np.array([[0, 1], [1, 0]]), wires=1)
        return [qml.expval(qml.X(0) @ qml.Y(1)), qml.expval(qml.Z(0) @ qml.Z(1)), qml.expval(qml.Y(0) @ qml.Y(1))]

    np.testing.assert_allclose(qnn.run(node).expectation, np.array(node()), atol=1e-10)


def test_the_circuit_is_compiled_once_for_all_values():
    first, second = (read_tape(asymmetric, {"x": x, "w": 0.2}).circuit for x in (0.1, 0.7))
    assert first == second
    assert first.n_rows > 0 == first.n_shared


def test_what_is_a_quantum_function():
    assert is_quantum_function(asymmetric) and is_quantum_function(lambda: None)
    assert is_quantum_function(qml.tape.QuantumScript())
    assert not is_quantum_function("text") and not is_quantum_function(torch.nn.Linear(1, 1))


def returns(*items):
    def function(x=0.1):
        qml.RX(x, wires=0)
        return [item() for item in items]

    return function


def middle():
    qml.Hadamard(0)
    qml.measure(0)
    return qml.expval(qml.Z(0))


def channel():
    qml.AmplitudeDamping(0.1, wires=0)
    return qml.expval(qml.Z(0))


@pytest.mark.parametrize(
    ("function", "parameters", "error", "message"),
    [
        (asymmetric, {"x": 1.0}, ArgumentError, r"arguments of the quantum function, \(x, w, phase\); got x: missing"),
        (asymmetric, {"y": 1.0}, ArgumentError, r"got y: .*Write for example parameters="),
        (returns(lambda: qml.Z(0)), {}, CaptureError, r"must return measurements; got \[Z\(0\)\]. Return for example"),
        (returns(qml.state), {}, UnsupportedError, r"must return expectation values, .*; got state"),
        (returns(lambda: qml.counts(qml.X(0))), {}, UnsupportedError, r"counts of wires; got CountsMP"),
        (
            returns(lambda: qml.probs(wires=0), lambda: qml.probs(wires=[0, 1])),
            {},
            UnsupportedError,
            r"the probabilities of one list of wires; got \(0,\) and \(0, 1\)",
        ),
        (middle, {}, UnsupportedError, r"MidMeasure.* acts in the middle of the circuit"),
        (channel, {}, UnsupportedError, r"AmplitudeDamping is a noise channel"),
        (qml.tape.QuantumScript([qml.X(0)]), {"x": 1}, ArgumentError, r"must be left out for a quantum script.*got x"),
        (
            qml.set_shots(qml.QNode(returns(lambda: qml.expval(qml.Z(0))), qml.device("default.qubit")), (10, 20)),
            {},
            UnsupportedError,
            r"`shots` must be one number; the quantum function has Shots",
        ),
        (qml.QNode(returns(), qml.device("default.qubit")), {}, CaptureError, r"must return measurements; got none"),
    ],
)
def test_refusals(function, parameters, error, message):
    with pytest.raises(error, match=message):
        qnn.run(function, parameters=parameters)


def test_rows_that_need_other_gates_are_refused():
    def function(u):
        qml.QubitUnitary(u, wires=[0, 1])
        return qml.expval(qml.Z(0))

    u = np.stack([np.eye(4), qml.matrix(qml.CNOT([0, 1])), qml.matrix(qml.SWAP([0, 1]))])
    with pytest.raises(UnsupportedError, match=r"QubitUnitary on wires \[0, 1\] decomposes into other gates in some"):
        qnn.run(function, parameters={"u": u})


def test_observables_on_the_functions_wires():
    node = qml.QNode(asymmetric, qml.device("default.qubit", wires=LABELS))
    values = {"x": 0.4, "w": 1.1}
    by_label = qnn.run(node, parameters=values, observables=[qml.X(7), 0.5 * qml.Z("bob") + qml.Y(7)])
    by_place = qnn.run(node, parameters=values, observables=["IIX", "Z1", "Y2"])
    first, z, y = by_place.expectation
    np.testing.assert_allclose(by_label.expectation, [first, 0.5 * z + y])
    with pytest.raises(ArgumentError, match=r"circuit's wires, alice, bob, 7; got X\('carol'\) on wire 'carol'"):
        qnn.run(node, parameters=values, observables=qml.X("carol"))


def turned(x):
    qml.RX(x, wires=0)
    return qml.expval(qml.Z(0))


@pytest.mark.parametrize("node", [False, True])
@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ("a", ArgumentError, r"`parameters` must be values that the quantum function takes; got x: 'a' \(could not"),
        (1 + 2j, ArgumentError, r"`parameters` must be values .* got x: \(1\+2j\).*Give it real numbers, or arrays"),
        (np.array([1j, 2]), ArgumentError, r"`parameters` must be values .* got x: an array of shape \(2,\) \(complex"),
        (np.zeros((2, 3)), ArgumentError, r"`parameters` must be values .* got x: an array of shape \(2, 3\) \(RX"),
        (np.zeros(0), ShapeError, r"`parameters` must have at least one set of values; got an array of none"),
        ([0.1, np.nan], NotFiniteError, r"`parameters` must give every angle a finite value; got nan .* in row 1"),
    ],
)
def test_values_that_no_function_takes(node, value, error, message):
    function = qml.QNode(turned, qml.device("default.qubit")) if node else turned
    with qnn._meter.measure() as usage, pytest.raises(error, match=message):
        qnn.run(function, parameters={"x": value})
    assert usage.jobs == 0


def test_rows_that_do_not_fit_each_other():
    def function(x, y):
        qml.RX(x, wires=0)
        qml.RY(y, wires=0)

    with pytest.raises(
        ArgumentError, match=r"got x: an array of shape \(2,\), y: an array of shape \(3,\) \(The batch"
    ):
        qnn.run(function, parameters={"x": np.zeros(2), "y": np.zeros(3)})


def test_errors_without_parameters_name_the_circuit():
    with pytest.raises(ArgumentError, match=r"`circuit` must be a function or script that PennyLane takes; .*'a'"):
        qnn.run(qml.tape.QuantumScript([qml.RX("a", 0)]))
    with pytest.raises(NotFiniteError, match=r"`circuit` must give every angle a finite value; got inf for angle 0"):
        qnn.run(qml.tape.QuantumScript([qml.RX(np.inf, 0)]))


@pytest.mark.parametrize("node", [False, True])
@pytest.mark.parametrize(("container", "shape"), [(None, ()), (list, (1,)), (tuple, (1,))])
@pytest.mark.parametrize("rows", [None, 3])
def test_a_list_of_one_stays_a_list(node, container, shape, rows):
    def function(x):
        one = turned(x)
        return one if container is None else container([one])

    source = qml.QNode(function, qml.device("default.qubit")) if node else function
    x = 0.3 if rows is None else np.full(rows, 0.3)
    value = qnn.run(source, parameters={"x": x}).expectation
    assert np.shape(value) == (() if rows is None else (rows,)) + shape
    np.testing.assert_allclose(value, np.cos(0.3), atol=1e-12)
    by_name = qnn.run(source, parameters={"x": x}, observables=["Z0"] if container else "Z0").expectation
    assert np.shape(by_name) == np.shape(value)
