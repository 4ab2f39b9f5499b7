"""The gate table: every gate is a product of Pauli rotations.

A gate U(θ) is written, up to a global phase, as a sequence of factors

    exp(-i (scale·θ + constant)/2 · P),   P a Pauli word on the gate's wires,

in the order in which they act. All else follows from this one description: the matrix, the
frequencies of the shift rule, and the program that the embedded simulator runs. Names are
PennyLane's. Adding a gate is adding a row.

References:
    Controlled rotations and phases as products of commuting Pauli rotations: Barenco et al.,
    Phys. Rev. A 52, 3457 (1995). Frequencies: Wierichs et al., Quantum 6, 677 (2022), eq. (4).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product
from math import pi

import numpy as np

from qnn.errors import unknown_name

PAULI_MATRICES = {
    "I": np.eye(2, dtype=complex),
    "X": np.array([[0, 1], [1, 0]], dtype=complex),
    "Y": np.array([[0, -1j], [1j, 0]], dtype=complex),
    "Z": np.array([[1, 0], [0, -1]], dtype=complex),
}


@dataclass(frozen=True)
class Rotation:
    """One factor exp(-i angle/2 · word) of a gate, with angle = scale·θ + constant (radians)."""

    word: str
    scale: float = 0.0
    constant: float = 0.0


@dataclass(frozen=True)
class Gate:
    """A row of the gate table.

    Attributes:
        name: PennyLane's class name; "Adjoint(S)" and the like for fixed adjoints.
        n_wires: number of wires; None for any number (the rotations' word is then repeated).
        rotations: the factors, first to act first.
    """

    name: str
    n_wires: int | None
    rotations: tuple[Rotation, ...]

    @property
    def is_parametric(self) -> bool:
        """Whether the gate takes an angle."""
        return any(r.scale for r in self.rotations)

    def factors(self, n_wires: int) -> tuple[Rotation, ...]:
        """The factors on `n_wires` wires, with every word written out in full."""
        if self.n_wires is not None:
            return self.rotations
        return tuple(Rotation(r.word * n_wires, r.scale, r.constant) for r in self.rotations)

    def matrix(self, angle: float = 0.0, n_wires: int | None = None) -> np.ndarray:
        """Dense matrix up to a global phase, shape (2^k, 2^k); the leftmost wire is the leading factor."""
        k = self.n_wires or n_wires or 1
        unitary = np.eye(2**k, dtype=complex)
        for factor in self.factors(k):
            half = (factor.scale * angle + factor.constant) / 2
            unitary = (np.cos(half) * np.eye(2**k) - 1j * np.sin(half) * word_matrix(factor.word)) @ unitary
        return unitary

    @property
    def frequencies(self) -> tuple[float, ...]:
        """Positive differences of the generator's eigenvalues, ascending: what θ ↦ <O> oscillates with."""
        return _frequencies(self.rotations)


def word_matrix(word: str) -> np.ndarray:
    """Kronecker product of the Pauli matrices of `word`, leftmost letter first."""
    matrix = np.eye(1, dtype=complex)
    for letter in word:
        matrix = np.kron(matrix, PAULI_MATRICES[letter])
    return matrix


@cache
def _frequencies(rotations: tuple[Rotation, ...]) -> tuple[float, ...]:
    parametric = [r for r in rotations if r.scale]
    if not parametric:
        return ()
    generator = sum(r.scale / 2 * word_matrix(r.word) for r in parametric)
    levels = np.linalg.eigvalsh(generator)
    gaps = {round(float(abs(a - b)), 9) for a in levels for b in levels}
    return tuple(sorted(gap for gap in gaps if gap > 0))


def _rotation(word: str) -> tuple[Rotation, ...]:
    return (Rotation(word, scale=1.0),)


def _projector_phase(letters: str, *, scale: float = 0.0, constant: float = 0.0) -> tuple[Rotation, ...]:
    """exp(i φ Π (1-P_k)/2): a phase on the joint -1 eigenspace of one Pauli per wire, all wires controls."""
    k = len(letters)
    factors = []
    for mask in product((0, 1), repeat=k):
        if weight := sum(mask):
            word = "".join(letter if m else "I" for letter, m in zip(letters, mask, strict=True))
            sign = -((-1) ** weight) / 2 ** (k - 1)
            factors.append(Rotation(word, scale=sign * scale, constant=sign * constant))
    return tuple(factors)


def _controlled_rotation(letter: str) -> tuple[Rotation, ...]:
    return (Rotation("I" + letter, scale=0.5), Rotation("Z" + letter, scale=-0.5))


def _fixed(*factors: tuple[str, float]) -> tuple[Rotation, ...]:
    return tuple(Rotation(word, constant=angle) for word, angle in factors)


_SWAP_WORDS = ("XX", "YY", "ZZ")
_DOUBLE_EXCITATION = {
    "XXXY": -1, "XXYX": -1, "XYXX": 1, "XYYY": -1, "YXXX": 1, "YXYY": -1, "YYXY": 1, "YYYX": 1,
}  # fmt: skip

_ROWS = (
    Gate("Identity", 1, ()),
    Gate("PauliX", 1, _fixed(("X", pi))),
    Gate("PauliY", 1, _fixed(("Y", pi))),
    Gate("PauliZ", 1, _fixed(("Z", pi))),
    Gate("Hadamard", 1, _fixed(("Z", pi / 2), ("X", pi / 2), ("Z", pi / 2))),
    Gate("S", 1, _fixed(("Z", pi / 2))),
    Gate("Adjoint(S)", 1, _fixed(("Z", -pi / 2))),
    Gate("T", 1, _fixed(("Z", pi / 4))),
    Gate("Adjoint(T)", 1, _fixed(("Z", -pi / 4))),
    Gate("SX", 1, _fixed(("X", pi / 2))),
    Gate("Adjoint(SX)", 1, _fixed(("X", -pi / 2))),
    Gate("RX", 1, _rotation("X")),
    Gate("RY", 1, _rotation("Y")),
    Gate("RZ", 1, _rotation("Z")),
    Gate("PhaseShift", 1, _rotation("Z")),
    Gate("CNOT", 2, _projector_phase("ZX", constant=pi)),
    Gate("CY", 2, _projector_phase("ZY", constant=pi)),
    Gate("CZ", 2, _projector_phase("ZZ", constant=pi)),
    Gate("CH", 2, (*_fixed(("IY", -pi / 4)), *_projector_phase("ZZ", constant=pi), *_fixed(("IY", pi / 4)))),
    Gate("SWAP", 2, _fixed(*((word, -pi / 2) for word in _SWAP_WORDS))),
    Gate("ISWAP", 2, _fixed(("XX", -pi / 2), ("YY", -pi / 2))),
    Gate("SISWAP", 2, _fixed(("XX", -pi / 4), ("YY", -pi / 4))),
    Gate("ECR", 2, _fixed(("ZX", pi / 2), ("XI", pi))),
    Gate("CCZ", 3, _projector_phase("ZZZ", constant=pi)),
    Gate("Toffoli", 3, _projector_phase("ZZX", constant=pi)),
    Gate(
        "CSWAP",
        3,
        (
            *_fixed(("ZII", pi / 4)),
            *_fixed(*(("I" + word, pi / 4) for word in _SWAP_WORDS)),
            *_fixed(*(("Z" + word, -pi / 4) for word in _SWAP_WORDS)),
        ),
    ),
    Gate("IsingXX", 2, _rotation("XX")),
    Gate("IsingYY", 2, _rotation("YY")),
    Gate("IsingZZ", 2, _rotation("ZZ")),
    Gate("IsingXY", 2, (Rotation("XX", scale=-0.5), Rotation("YY", scale=-0.5))),
    Gate("MultiRZ", None, _rotation("Z")),
    Gate("CRX", 2, _controlled_rotation("X")),
    Gate("CRY", 2, _controlled_rotation("Y")),
    Gate("CRZ", 2, _controlled_rotation("Z")),
    Gate("ControlledPhaseShift", 2, _projector_phase("ZZ", scale=1.0)),
    Gate("SingleExcitation", 2, (Rotation("YX", scale=0.5), Rotation("XY", scale=-0.5))),
    Gate("DoubleExcitation", 4, tuple(Rotation(w, scale=s / 8) for w, s in _DOUBLE_EXCITATION.items())),
)

GATES: dict[str, Gate] = {gate.name: gate for gate in _ROWS}


def gate_named(name: str) -> Gate:
    """The row of the gate table.

    Raises:
        UnknownNameError: no such gate.
    """
    try:
        return GATES[name]
    except KeyError:
        raise unknown_name("gate", name, GATES) from None
