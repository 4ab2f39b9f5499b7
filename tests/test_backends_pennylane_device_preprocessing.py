"""Which operations stay, which are decomposed, and which tapes the adjoint takes."""

import numpy as np
import pennylane as qml
import pytest
import torch

from qnn.backends.pennylane_device.preprocessing import adjoint_runs, adjoint_suits, runs_as_it_is, to_gates
from qnn.backends.pennylane_device.structure import supported

STATE = np.full(32, 32**-0.5)
UNITARY = np.eye(4)


@pytest.mark.parametrize(
    ("operation", "stays"),
    [
        (lambda: qml.RX(0.1, 0), True),
        (lambda: qml.GlobalPhase(0.1), True),
        (lambda: qml.Barrier([0]), True),
        (lambda: qml.Rot(0.1, 0.2, 0.3, 0), False),
        (lambda: qml.QFT([0, 1]), False),
        (lambda: qml.BasisState([1, 0], [0, 1]), False),
        (lambda: qml.StatePrep(STATE[:4] * 8**0.5, [0, 1]), False),
        (lambda: qml.StatePrep(STATE, range(5)), True),
        (lambda: qml.StatePrep(np.eye(4)[:3], [0, 1]), True),
        (lambda: qml.QubitUnitary(UNITARY, [0, 1]), False),
        (lambda: qml.QubitUnitary(np.stack([UNITARY] * 3), [0, 1]), True),
        (lambda: qml.QubitUnitary(np.eye(32), range(5)), True),
        (lambda: qml.BlockEncode(np.array([[0.1]]), [0, 1]), True),
        (lambda: qml.Projector([0], 0), True),
    ],
)
def test_operations_that_stay(operation, stays):
    assert runs_as_it_is(operation()) == stays


def test_matrices_become_gates():
    operation = qml.BlockEncode(np.array([[0.3]]), [0, 1])
    steps, unitary = to_gates(operation), np.eye(4)
    while not all(supported(step) for step in steps):
        steps = [gate for step in steps for gate in ([step] if supported(step) else to_gates(step))]
    for step in steps:
        unitary = qml.matrix(step, wire_order=[0, 1]) @ unitary
    np.testing.assert_allclose(unitary, qml.matrix(operation), atol=1e-10)
    with pytest.raises(qml.operation.DecompositionUndefinedError):
        to_gates(qml.BlockEncode(np.eye(20) / 3, range(6)))


def script(operation, process=None, shots=None):
    return qml.tape.QuantumScript([operation], [process or qml.expval(qml.Z(0))], shots=shots)


def test_tapes_for_the_adjoint():
    trained = torch.tensor(UNITARY, requires_grad=True)
    angle = torch.tensor(0.3, requires_grad=True)
    cases = [
        (script(qml.RX(angle, 0)), True, True),
        (script(qml.RX(angle, 0), shots=10), False, False),
        (script(qml.RX(angle, 0), qml.var(qml.Z(0))), False, False),
        (script(qml.RX(angle, 0), qml.expval(angle * qml.Z(0))), True, False),
        (script(qml.StronglyEntanglingLayers(np.ones((1, 2, 3)), [0, 1])), True, True),
        (script(qml.StatePrep(STATE, range(5))), True, False),
        (script(qml.QubitUnitary(UNITARY, [0, 1])), True, True),
        (script(qml.QubitUnitary(trained, [0, 1])), False, False),
        (script(qml.QubitUnitary(np.stack([UNITARY] * 2), [0, 1])), False, False),
        (script(qml.Projector([0], 0)), False, False),
        (script(qml.QSVT(qml.BlockEncode(np.array([[0.1]]), [0, 1]), [qml.PCPhase(0.3, 1, wires=[0, 1])])), True, True),
    ]
    for tape, runs, suits in cases:
        assert (adjoint_runs(tape), adjoint_suits(tape)) == (runs, suits), tape.operations


def test_what_the_adjoint_refuses_says_why():
    dev = qml.device("qnn.statevector", wires=2)
    config = dev.setup_execution_config(qml.devices.ExecutionConfig(gradient_method="adjoint"))
    steps = dev.preprocess_transforms(config)
    with pytest.raises(qml.exceptions.DeviceError, match=r'Pauli sums.*got var\(Z\(0\)\). Use diff_method="backprop"'):
        steps([script(qml.RX(0.1, 0), qml.var(qml.Z(0)))])
    with pytest.raises(
        qml.exceptions.DeviceError, match=r"Finite shots are not supported with adjoint \+ qnn.statevector"
    ):
        steps([script(qml.RX(0.1, 0), shots=3)])
    with pytest.raises(qml.exceptions.DeviceError, match=r"not supported with qnn.statevector"):
        steps([script(qml.BlockEncode(np.eye(20) / 3, range(6)))])
    with pytest.raises(qml.wires.WireError, match="not found on the device"):
        steps([script(qml.RX(0.1, 5))])


def test_a_wide_preparation_is_differentiable_all_the_same():
    def circuit(x):
        qml.StatePrep(STATE, range(5))
        qml.RZ(x, 2)
        return qml.expval(qml.X(2))

    for method in ("best", "adjoint"):
        x = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
        value = qml.QNode(circuit, qml.device("qnn.statevector", wires=5), diff_method=method)(x)
        value.backward()
        np.testing.assert_allclose([value.item(), x.grad], [np.cos(0.3), -np.sin(0.3)], atol=1e-10)


def test_graph_based_decomposition():
    def circuit():
        qml.QFT([0, 1, 2])
        qml.Rot(0.1, 0.2, 0.3, 0)
        qml.MultiControlledX([0, 1, 2, 3])
        return qml.state()

    expected = qml.QNode(circuit, qml.device("default.qubit", wires=4))()
    with qml.decomposition.toggle_graph_ctx(True):
        found = qml.QNode(circuit, qml.device("qnn.statevector", wires=4))()
    np.testing.assert_allclose(found, expected, atol=1e-10)
