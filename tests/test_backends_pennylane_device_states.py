"""Final states with PennyLane's phase: gates, decompositions and preparations of all kinds."""

import numpy as np
import pennylane as qml
import pytest
from scipy.stats import unitary_group

from qnn.backends.pennylane_device.states import check_size
from qnn.errors import ArgumentError

N = 5
STATE = unitary_group.rvs(8, random_state=0)[0]
MATRICES = {k: unitary_group.rvs(2**k, random_state=k) for k in (1, 2, 3, 5)}
HAMILTONIAN = qml.Hamiltonian([0.3, 0.7, -0.2], [qml.X(0) @ qml.Z(1), qml.Y(2), qml.Z(0) @ qml.Z(2)])
OPERATIONS = {
    "unitary of 1": lambda: qml.QubitUnitary(MATRICES[1], 1),
    "unitary of 2": lambda: qml.QubitUnitary(MATRICES[2], [2, 0]),
    "unitary of 3": lambda: qml.QubitUnitary(MATRICES[3], [2, 0, 1]),
    "unitary of 5": lambda: qml.QubitUnitary(MATRICES[5], [2, 0, 1, 3, 4]),
    "diagonal": lambda: qml.DiagonalQubitUnitary(np.exp(1j * np.arange(4)), [0, 1]),
    "controlled X": lambda: qml.MultiControlledX([0, 1, 2, 3], control_values=[1, 0, 1]),
    "controlled unitary": lambda: qml.ctrl(qml.QubitUnitary(MATRICES[1], 1), [0, 2]),
    "controlled phase": lambda: qml.ctrl(qml.GlobalPhase(0.7), 0),
    "controlled template": lambda: qml.ctrl(qml.StronglyEntanglingLayers(np.ones((1, 2, 3)), [1, 2]), 0),
    "QFT": lambda: qml.QFT([0, 1, 2]),
    "Grover": lambda: qml.GroverOperator([0, 1, 2]),
    "Pauli rotation": lambda: qml.PauliRot(0.4, "XYZ", [0, 1, 2]),
    "exponential": lambda: qml.exp(HAMILTONIAN, -0.3j),
    "evolution": lambda: qml.evolve(HAMILTONIAN, 0.7),
    "Trotter": lambda: qml.TrotterProduct(HAMILTONIAN, 0.5, n=2),
    "power": lambda: qml.pow(qml.RX(0.3, 0), 0.7),
    "adjoint": lambda: qml.adjoint(qml.CRY(0.3, [0, 1])),
    "product": lambda: qml.prod(qml.RX(0.3, 0), qml.CRY(0.2, [1, 0])),
    "U2": lambda: qml.U2(0.3, 0.5, 0),
    "U3": lambda: qml.U3(0.3, 0.5, 0.9, 0),
    "PSWAP": lambda: qml.PSWAP(0.3, [0, 1]),
    "orbital": lambda: qml.OrbitalRotation(0.3, [0, 1, 2, 3]),
    "excitation": lambda: qml.DoubleExcitationPlus(0.3, [0, 1, 2, 3]),
    "fermions": lambda: qml.FermionicSWAP(0.3, [0, 1]),
    "carry": lambda: qml.QubitCarry([0, 1, 2, 3]),
    "special": lambda: qml.SpecialUnitary([0.1, 0.2, 0.3], 0),
    "select": lambda: qml.Select([qml.X(2), qml.RY(0.3, 2)], control=[0]),
    "block": lambda: qml.BlockEncode(np.array([[0.1, 0.2], [0.3, 0.1]]), [0, 1]),
    "permutation": lambda: qml.Permute([2, 0, 1], [0, 1, 2]),
}
PREPARATIONS = {
    "basis": lambda: qml.BasisState([1, 0, 1], [0, 2, 4]),
    "state": lambda: qml.StatePrep(STATE, [0, 1, 2]),
    "wide": lambda: qml.StatePrep(MATRICES[5][0], [4, 2, 1, 0, 3]),
    "normalized": lambda: qml.AmplitudeEmbedding([1.0, 2.0, 3.0, 4.0], [1, 2], normalize=True),
    "zeros": lambda: qml.StatePrep([0, 0, 1j, 0], [1, 2]),
    "broadcast": lambda: qml.StatePrep(np.stack([STATE, STATE.conj()]), [0, 1, 2]),
}


def agree(circuit):
    found, expected = (qml.QNode(circuit, qml.device(name, wires=N))() for name in ("qnn.statevector", "default.qubit"))
    np.testing.assert_allclose(found, expected, atol=1e-10)


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_outside_the_table(name):
    def circuit():
        for wire in range(N):
            qml.RY(0.3 + 0.4 * wire, wire)
            qml.RZ(0.2 * wire, wire)
        OPERATIONS[name]()
        for wire in range(N):
            qml.RX(0.2 + 0.1 * wire, wire)
        return qml.state()

    agree(circuit)


@pytest.mark.parametrize("name", PREPARATIONS)
def test_preparations(name):
    def circuit():
        PREPARATIONS[name]()
        qml.RX(0.3, 0)
        qml.CNOT([0, 3])
        return qml.state()

    agree(circuit)


def test_sizes():
    check_size(20, 2, 8)
    check_size(20, 1024, 8)
    with pytest.raises(ArgumentError, match=r"got 20 in each of 2048 rows, whose states take 32 GiB"):
        check_size(20, 2048, 8)
