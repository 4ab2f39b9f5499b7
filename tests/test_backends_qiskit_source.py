"""Qiskit circuits under `qnn.run`, against Qiskit's own state vector."""

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import QFTGate
from qiskit.quantum_info import Statevector

import qnn
from qnn.errors import ArgumentError, ShapeError, UnknownNameError, UnsupportedError


def reference(circuit):
    """Probabilities with qubit 0 leftmost."""
    return Statevector(circuit.reverse_bits()).probabilities()


def test_gates_of_the_library():
    circuit = QuantumCircuit(3, name="all sorts")
    circuit.append(QFTGate(3), [0, 2, 1])
    circuit.unitary(np.eye(4)[[1, 2, 0, 3]], [0, 2])
    circuit.rxx(0.3, 0, 1)
    circuit.u(0.1, 0.2, 0.3, 2)
    circuit.cu(0.4, 0.5, 0.6, 0.7, 2, 0)
    circuit.ecr(0, 1)
    circuit.mcp(0.9, [0, 1], 2)
    circuit.barrier()
    circuit.ry(0.8, 1)
    result = qnn.run(circuit)
    np.testing.assert_allclose(result.distribution, reference(circuit), atol=1e-10)
    assert result.name == "all sorts"


def test_parameters_by_object_by_name_and_by_vector():
    """OpenQASM cannot call a parameter "a b", `gate` or "θ[1]"."""
    theta, odd, word = ParameterVector("θ", 3), Parameter("a b"), Parameter("gate")
    circuit = QuantumCircuit(3)
    circuit.ry(theta[2] + odd, 0)
    circuit.ry(2 * theta[0], 1)
    circuit.rx(word / 2, 2)
    values = {theta: [0.3, 9.0, 0.5], odd: 0.7, word: 1.9}
    wanted = reference(circuit.assign_parameters({theta[0]: 0.3, theta[2]: 0.5, odd: 0.7, word: 1.9}))
    np.testing.assert_allclose(qnn.run(circuit, parameters=values).distribution, wanted, atol=1e-10)
    by_name = {"θ": [0.3, 9.0, 0.5], "a b": 0.7, "gate": 1.9}
    np.testing.assert_allclose(qnn.run(circuit, parameters=by_name).distribution, wanted, atol=1e-10)
    rows = {"θ": np.array([[0.3, 9.0, 0.5], [0.0, 0.0, 0.0]]), "a b": 0.7, "gate": [1.9, 0.0]}
    result = qnn.run(circuit, "aer", parameters=rows)
    assert result.leading == (2,)
    np.testing.assert_allclose(result.distribution[0], wanted, atol=1e-10)
    np.testing.assert_allclose(result.distribution[1, [0, 4]], [np.cos(0.35) ** 2, np.sin(0.35) ** 2], atol=1e-10)


def test_measured_qubits_by_qubit_whatever_the_classical_bits():
    circuit = QuantumCircuit(3, 2)
    circuit.x(2)
    circuit.measure(2, 0)
    circuit.measure(1, 1)
    result = qnn.run(circuit, shots=10)
    assert (result.counts, result.wires, result.labels) == ({"01": 10}, (1, 2), ("q[1]", "q[2]"))


def initialised():
    circuit = QuantumCircuit(1, name="start")
    circuit.initialize([0, 1])
    return circuit


def parametric():
    vector = ParameterVector("v", 2)
    circuit = QuantumCircuit(1)
    circuit.rx(vector[1], 0)
    return circuit


def conditional():
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(0)
    return circuit


@pytest.mark.parametrize(
    ("circuit", "parameters", "error", "message"),
    [
        (initialised(), {}, UnsupportedError, r"Qiskit cannot write 'start' in OpenQASM 3 .*Use prepare_state instead"),
        (conditional(), {}, UnsupportedError, r"line \d+, column \d+: "),
        (parametric(), {}, ArgumentError, r"every free parameter; got none for v. Write for example"),
        (parametric(), {"w": 1}, UnknownNameError, r'No free parameter named "w".* Known: v'),
        (parametric(), {"v": [1.0]}, ShapeError, r"shape \(1,\), and the circuit uses v\[1\]"),
        (parametric(), {"v": 1.0}, ShapeError, r"shape \(\), and the circuit uses v\[1\]"),
    ],
)
def test_refusals(circuit, parameters, error, message):
    with pytest.raises(error, match=message):
        qnn.run(circuit, parameters=parameters)
