"""An independent slow truth: dense matrices in NumPy, gate by gate from textbook formulas.

Nothing here looks at the gate table's rotations, at the engine or at any vendor.
"""

import numpy as np

from qnn.circuits.circuit import Circuit, Slot
from qnn.circuits.observables import Expectation

I2 = np.eye(2)
X = np.array([[0, 1], [1, 0]], dtype=complex)
Y = np.array([[0, -1j], [1j, 0]])
Z = np.diag([1.0, -1.0]).astype(complex)
H = np.array([[1, 1], [1, -1]]) / np.sqrt(2)
S = np.diag([1, 1j])
T = np.diag([1, np.exp(1j * np.pi / 4)])
SX = np.array([[1 + 1j, 1 - 1j], [1 - 1j, 1 + 1j]]) / 2
PAULIS = {"I": I2, "X": X, "Y": Y, "Z": Z}


def rx(t):
    return np.array([[np.cos(t / 2), -1j * np.sin(t / 2)], [-1j * np.sin(t / 2), np.cos(t / 2)]])


def ry(t):
    return np.array([[np.cos(t / 2), -np.sin(t / 2)], [np.sin(t / 2), np.cos(t / 2)]])


def rz(t):
    return np.diag([np.exp(-1j * t / 2), np.exp(1j * t / 2)])


def phase(t):
    return np.diag([1, np.exp(1j * t)])


def controlled(u, n_controls=1):
    size = len(u) * 2**n_controls
    matrix = np.eye(size, dtype=complex)
    matrix[size - len(u) :, size - len(u) :] = u
    return matrix


def ising(p, t):
    return np.cos(t / 2) * np.eye(4) - 1j * np.sin(t / 2) * np.kron(p, p)


def block(size, indices, entries):
    """The identity, with a 2x2 block on two basis states."""
    matrix = np.eye(size, dtype=complex)
    matrix[np.ix_(indices, indices)] = entries
    return matrix


def ising_xy(t):
    c, s = np.cos(t / 2), 1j * np.sin(t / 2)
    return block(4, [1, 2], [[c, s], [s, c]])


def givens(size, low, high, t):
    c, s = np.cos(t / 2), np.sin(t / 2)
    return block(size, [low, high], [[c, -s], [s, c]])


def multi_rz(t, k):
    parity = np.array([bin(i).count("1") % 2 for i in range(2**k)])
    return np.diag(np.exp(-1j * t / 2 * (1 - 2 * parity)))


SWAP = block(4, [1, 2], [[0, 1], [1, 0]])
ECR = np.array([[0, 0, 1, 1j], [0, 0, 1j, 1], [1, -1j, 0, 0], [-1j, 1, 0, 0]]) / np.sqrt(2)
FIXED = {
    "Identity": I2,
    "PauliX": X,
    "PauliY": Y,
    "PauliZ": Z,
    "Hadamard": H,
    "S": S,
    "Adjoint(S)": S.conj().T,
    "T": T,
    "Adjoint(T)": T.conj().T,
    "SX": SX,
    "Adjoint(SX)": SX.conj().T,
    "CNOT": controlled(X),
    "CY": controlled(Y),
    "CZ": controlled(Z),
    "CH": controlled(H),
    "SWAP": SWAP,
    "ISWAP": block(4, [1, 2], [[0, 1j], [1j, 0]]),
    "SISWAP": block(4, [1, 2], np.array([[1, 1j], [1j, 1]]) / np.sqrt(2)),
    "ECR": ECR,
    "CCZ": controlled(Z, 2),
    "Toffoli": controlled(X, 2),
    "CSWAP": controlled(SWAP),
}
PARAMETRIC = {
    "RX": rx,
    "RY": ry,
    "RZ": rz,
    "PhaseShift": phase,
    "IsingXX": lambda t: ising(X, t),
    "IsingYY": lambda t: ising(Y, t),
    "IsingZZ": lambda t: ising(Z, t),
    "IsingXY": ising_xy,
    "CRX": lambda t: controlled(rx(t)),
    "CRY": lambda t: controlled(ry(t)),
    "CRZ": lambda t: controlled(rz(t)),
    "ControlledPhaseShift": lambda t: controlled(phase(t)),
    "SingleExcitation": lambda t: givens(4, 1, 2, t),
    "DoubleExcitation": lambda t: givens(16, 3, 12, t),
}


def gate_matrix(name: str, angle: float | None, n_wires: int) -> np.ndarray:
    """Matrix of a gate, shape (2^k, 2^k), its first wire the leading Kronecker factor."""
    if name == "MultiRZ":
        return multi_rz(angle, n_wires)
    return FIXED[name] if angle is None else PARAMETRIC[name](angle)


def embed(matrix: np.ndarray, wires: tuple[int, ...], n_wires: int) -> np.ndarray:
    """`matrix` on `wires` and the identity elsewhere, shape (2^n, 2^n), wire 0 leftmost."""
    rest = [w for w in range(n_wires) if w not in wires]
    full = np.kron(matrix, np.eye(2 ** len(rest))).reshape((2,) * (2 * n_wires))
    order = np.argsort([*wires, *rest])
    return full.transpose([*order, *(order + n_wires)]).reshape(2**n_wires, 2**n_wires)


def state(circuit: Circuit, shared: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Final amplitudes of one row, shape (2^n,)."""
    psi = np.zeros(2**circuit.n_wires, dtype=complex)
    psi[0] = 1.0
    for operation in circuit.operations:
        angle = operation.angle
        if isinstance(angle, Slot):
            angle = float((shared if angle.block == "shared" else row)[angle.index])
        matrix = gate_matrix(operation.gate, angle, len(operation.wires))
        psi = embed(matrix, operation.wires, circuit.n_wires) @ psi
    return psi


def marginal(probabilities: np.ndarray, wires: tuple[int, ...]) -> np.ndarray:
    """Distribution of some wires, in their given order, from that of all, shape (2^k,)."""
    n = int(np.log2(len(probabilities)))
    tensor = probabilities.reshape((2,) * n)
    rest = tuple(w for w in range(n) if w not in wires)
    summed = tensor.sum(axis=rest)
    kept = sorted(wires)
    return summed.transpose([kept.index(w) for w in wires]).reshape(-1)


def observable(terms, n_wires: int) -> np.ndarray:
    """Dense matrix of a Pauli sum."""
    total = np.zeros((2**n_wires, 2**n_wires), dtype=complex)
    for coefficient, word in terms:
        matrix = np.eye(1)
        letters = dict(word)
        for wire in range(n_wires):
            matrix = np.kron(matrix, PAULIS[letters.get(wire, "I")])
        total += coefficient * matrix
    return total


def values(circuit: Circuit, shared, rows) -> np.ndarray:
    """Every output of every row, shape (N, M)."""
    table = []
    for row in np.asarray(rows, dtype=float):
        psi = state(circuit, np.asarray(shared, dtype=float), row)
        outputs: list[float] = []
        for measurement in circuit.measurements:
            if isinstance(measurement, Expectation):
                matrix = observable(measurement.observable.terms, circuit.n_wires)
                outputs.append(float((psi.conj() @ matrix @ psi).real))
            else:
                outputs.extend(marginal(np.abs(psi) ** 2, measurement.wires))
        table.append(outputs)
    return np.array(table).reshape(len(table), circuit.n_outputs)
