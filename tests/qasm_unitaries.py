"""Dense matrices of OpenQASM programs, by PennyLane and by Qiskit; wire 0 is the leading factor in both."""

import warnings

import numpy as np
import pennylane as qml
import qiskit
import qiskit.qasm2
import qiskit.qasm3
from qiskit.quantum_info import Operator

from qnn.circuits.qasm import read_qasm

STANDARD = 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'
LEGACY = 'OPENQASM 2.0;\ninclude "qelib1.inc";\n'


def ours(text, values=None):
    program = read_qasm(text)
    with qml.queuing.AnnotatedQueue() as queue:
        program.function(values)
    tape = qml.tape.QuantumScript.from_queue(queue)
    if not tape.operations:
        return np.eye(2**program.n_qubits)
    return qml.matrix(tape, wire_order=range(program.n_qubits))


def by_qiskit(text, values=None):
    loads = qiskit.qasm2.loads if "OPENQASM 2" in text else qiskit.qasm3.loads
    return qiskit_matrix(loads(text), values)


def by_legacy_qiskit(text):
    """With the gates that Qiskit adds to qelib1.inc."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return qiskit_matrix(qiskit.QuantumCircuit.from_qasm_str(text))


def qiskit_matrix(circuit, values=None):
    circuit = circuit.remove_final_measurements(inplace=False) if circuit.num_clbits else circuit
    if values:
        circuit = circuit.assign_parameters(values)
    return Operator(circuit.reverse_bits()).data


def assert_same_up_to_phase(got, wanted, atol=1e-9):
    assert got.shape == wanted.shape
    place = np.unravel_index(np.argmax(np.abs(wanted)), wanted.shape)
    phase = got[place] / wanted[place]
    assert abs(abs(phase) - 1) < 1e-8
    np.testing.assert_allclose(got, phase * wanted, atol=atol)
