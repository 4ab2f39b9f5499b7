"""Folding: inverses of every gate, the same unitary, and as much more of the noisy gates as was asked for."""

import numpy as np
import oracles
import pytest
from random_circuits import every_gate, random_angles, random_circuit

from qnn.backends import Mitigated, Statevector
from qnn.circuits.circuit import Circuit, Operation, Slot
from qnn.circuits.folding import Folding, fold, inverse
from qnn.circuits.gates import GATES, Gate, Rotation, gate_named
from qnn.circuits.observables import Probabilities
from qnn.errors import UnsupportedError


def test_every_gate_has_an_inverse() -> None:
    for gate in GATES.values():
        wires = tuple(range(gate.n_wires or 3))
        angle = 0.83 if gate.is_parametric else None
        undone = inverse(Operation(gate.name, wires, angle))
        product = gate_named(undone.gate).matrix(undone.angle or 0.0, len(wires)) @ gate.matrix(
            angle or 0.0, len(wires)
        )
        assert undone.wires == wires
        assert abs(np.trace(product)) == pytest.approx(2 ** len(wires), abs=1e-12), gate.name


def test_a_gate_without_an_inverse_is_named(monkeypatch) -> None:
    monkeypatch.setitem(GATES, "Odd", Gate("Odd", 1, (Rotation("X", constant=0.3),)))
    with pytest.raises(UnsupportedError, match="got Odd, whose inverse is no gate of the table"):
        inverse(Operation("Odd", (0,)))


@pytest.mark.parametrize("kind", ["two-qubit", "global"])
@pytest.mark.parametrize("scale", [3, 1.7, 5])
def test_values_stay(kind, scale) -> None:
    """Of every gate and of random circuits, whose slots become several with signs, against the dense oracle."""
    circuits = [every_gate(), *(random_circuit(seed, 3) for seed in range(3))]
    for circuit in circuits:
        angles = random_angles(circuit, 2)
        folded = fold(circuit, Folding(scale, kind))
        assert len(folded.circuit.operations) > len(circuit.operations)
        blocks = [
            block.numpy()[..., [slot for slot, _ in copies]] * [sign for _, sign in copies] if copies else block.numpy()
            for block, copies in ((angles.shared, folded.shared), (angles.rows, folded.rows))
        ]
        found = oracles.values(folded.circuit, *blocks)
        np.testing.assert_allclose(found, oracles.values(circuit, angles.shared, angles.rows), atol=1e-12)
        np.testing.assert_allclose(
            Mitigated(Statevector(), zne=(1, scale), folding=kind).compile(circuit).run(angles).values,
            Statevector().compile(circuit).run(angles).values,
            atol=1e-12,
        )


@pytest.mark.parametrize("kind", ["two-qubit", "global"])
def test_scales_are_counted_in_two_qubit_gates(kind) -> None:
    circuit = random_circuit(4, 4, 40)
    size = circuit.n_two_qubit_gates()
    for scale in (1, 3, 5):
        folded = fold(circuit, Folding(scale, kind))
        assert folded.scale == scale and folded.circuit.n_two_qubit_gates() == scale * size
    for scale in (1.3, 2, 3.8):
        folded = fold(circuit, Folding(scale, kind))
        assert folded.scale == folded.circuit.n_two_qubit_gates() / size
        assert abs(folded.scale - scale) <= 1 / size  # folds come in twos


def test_where_the_copies_are() -> None:
    widths = [1, 2, 1, 2]
    name = lambda order: "".join("abcd"[i].upper() if inverted else "abcd"[i] for i, inverted in order)
    assert name(Folding(3, "two-qubit").order(widths)[0]) == "abBbcdDd"
    assert name(Folding(2, "two-qubit").order(widths)[0]) == "abcdDd"
    assert name(Folding(3, "global").order(widths)[0]) == "abcdDCBAabcd"
    assert name(Folding(2, "global").order(widths)[0]) == "abcdDd"
    assert name(Folding(4, "global").order(widths)[0]) == "abcdDCBAabcdDd"
    evenly = Folding(2, "two-qubit").order([2] * 6)[0]
    assert name([(i % 4, inverted) for i, inverted in evenly]) == "abBbcdDdabBb"
    assert Folding(3, "two-qubit").order([1, 1]) == ([(0, False), (1, False)], 1.0)
    assert Folding(3, "global").order([1])[1] == 3.0


def test_every_slot_is_a_copy() -> None:
    circuit = Circuit(
        2,
        (Operation("RX", (0,), Slot("rows", 0)), Operation("CRZ", (0, 1), Slot("shared", 0))),
        (Probabilities((1,)),),
        1,
        1,
    )
    folded = fold(circuit, Folding(3, "two-qubit"))
    assert folded.shared == ((0, 1), (0, -1), (0, 1)) and folded.rows == ((0, 1),)
    assert folded.circuit.measurements == circuit.measurements and folded.circuit.fingerprint != circuit.fingerprint
