"""The gate table in Qiskit's words: which methods of a `QuantumCircuit` make which gate.

Everything holds up to a global phase. A gate that is listed nowhere is made from its Pauli
rotations, so that a new row of the gate table runs here as well.
"""

from __future__ import annotations

from itertools import pairwise
from math import pi
from typing import Any

from qnn.circuits.gates import gate_named

_METHODS = {
    "PauliX": "x",
    "PauliY": "y",
    "PauliZ": "z",
    "Hadamard": "h",
    "S": "s",
    "Adjoint(S)": "sdg",
    "T": "t",
    "Adjoint(T)": "tdg",
    "SX": "sx",
    "Adjoint(SX)": "sxdg",
    "RX": "rx",
    "RY": "ry",
    "RZ": "rz",
    "PhaseShift": "p",
    "CNOT": "cx",
    "CY": "cy",
    "CZ": "cz",
    "CH": "ch",
    "SWAP": "swap",
    "ISWAP": "iswap",
    "ECR": "ecr",
    "CCZ": "ccz",
    "Toffoli": "ccx",
    "CSWAP": "cswap",
    "IsingXX": "rxx",
    "IsingYY": "ryy",
    "IsingZZ": "rzz",
    "CRX": "crx",
    "CRY": "cry",
    "CRZ": "crz",
    "ControlledPhaseShift": "cp",
}

# (method, factor of the angle or None for a gate without angle, which of the gate's wires)
_Step = tuple[str, float | None, tuple[int, ...]]


def _fixed(*names: tuple[str, int]) -> tuple[_Step, ...]:
    return tuple((name, None, (wire,)) for name, wire in names)


def _exchange(scale: float, before: tuple[_Step, ...], after: tuple[_Step, ...]) -> tuple[_Step, ...]:
    """A rotation in the span of |01> and |10> with two CNOTs, as in Qiskit's XXPlusYYGate."""
    core: tuple[_Step, ...] = (("cx", None, (1, 0)), ("ry", scale, (1,)), ("ry", scale, (0,)), ("cx", None, (1, 0)))
    frame = _fixed(("sdg", 1), ("sx", 1), ("s", 1))
    back = _fixed(("sdg", 1), ("sxdg", 1), ("s", 1))
    return (*frame, *before, *core, *after, *back)


def _turns(first: float, second: float) -> tuple[_Step, ...]:
    return (("ry", first / 8, (1,)), ("ry", second / 8, (0,)))


_STEPS: dict[str, tuple[_Step, ...]] = {
    "IsingXY": _exchange(0.5, _fixed(("s", 0)), _fixed(("sdg", 0))),
    "SingleExcitation": _exchange(-0.5, (), ()),
    # arXiv:2104.05695, p. 17, upside down, as PennyLane decomposes it: 14 CNOTs.
    "DoubleExcitation": (
        ("cx", None, (2, 3)),
        ("cx", None, (0, 2)),
        *_fixed(("h", 3), ("h", 0)),
        ("cx", None, (2, 3)),
        ("cx", None, (0, 1)),
        *_turns(1, -1),
        ("cx", None, (0, 3)),
        *_fixed(("h", 3)),
        ("cx", None, (3, 1)),
        *_turns(1, -1),
        ("cx", None, (2, 1)),
        ("cx", None, (2, 0)),
        *_turns(-1, 1),
        ("cx", None, (3, 1)),
        *_fixed(("h", 3)),
        ("cx", None, (0, 3)),
        *_turns(-1, 1),
        ("cx", None, (0, 1)),
        ("cx", None, (2, 0)),
        *_fixed(("h", 0), ("h", 3)),
        ("cx", None, (0, 2)),
        ("cx", None, (2, 3)),
    ),
}
_ALIASES = {"SISWAP": ("IsingXY", pi / 2)}


def append_gate(circuit: Any, gate: str, wires: tuple[int, ...], angle: Any) -> None:
    """Append one gate of the table to a Qiskit circuit.

    Args:
        circuit: a `qiskit.QuantumCircuit`.
        gate: name in the gate table.
        wires: qubit numbers.
        angle: radians or a Qiskit parameter; None for gates without one.
    """
    if gate in _ALIASES:
        gate, angle = _ALIASES[gate]
    if gate in _METHODS:
        arguments = wires if angle is None else (angle, *wires)
        getattr(circuit, _METHODS[gate])(*arguments)
    elif gate in _STEPS:
        for method, scale, local in _STEPS[gate]:
            targets = tuple(wires[i] for i in local)
            getattr(circuit, method)(*(targets if scale is None else (scale * angle, *targets)))
    else:
        for factor in gate_named(gate).factors(len(wires)):
            turn = factor.constant if angle is None else factor.scale * angle + factor.constant
            _append_pauli_rotation(circuit, factor.word, wires, turn)


def append_basis_change(circuit: Any, letter: str, qubit: int) -> None:
    """Turn the eigenbasis of a Pauli letter into that of Z."""
    if letter == "Y":
        circuit.sdg(qubit)
    if letter != "Z":
        circuit.h(qubit)


def _append_pauli_rotation(circuit: Any, word: str, wires: tuple[int, ...], angle: Any) -> None:
    """exp(-i angle/2 · word): a basis change, a ladder of CNOTs, one RZ, and back."""
    active = [(letter, wire) for letter, wire in zip(word, wires, strict=True) if letter != "I"]
    if not active:
        return  # a global phase
    if len(active) == 1:
        letter, wire = active[0]
        getattr(circuit, f"r{letter.lower()}")(angle, wire)
        return
    for letter, wire in active:
        append_basis_change(circuit, letter, wire)
    ladder = [(control[1], target[1]) for control, target in pairwise(active)]
    for control, target in ladder:
        circuit.cx(control, target)
    circuit.rz(angle, active[-1][1])
    for control, target in reversed(ladder):
        circuit.cx(control, target)
    for letter, wire in active:
        if letter != "Z":
            circuit.h(wire)
        if letter == "Y":
            circuit.s(wire)
