"""Simplified circuits: the same outputs as the dense oracle's for the circuit as it was, from fewer gates."""

import math

import numpy as np
import oracles
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_circuits import random_angles, random_circuit

from qnn.circuits.angle_map import AngleMap
from qnn.circuits.circuit import Circuit, Operation, Slot
from qnn.circuits.gates import GATES
from qnn.circuits.observables import Expectation, Probabilities, pauli
from qnn.compression.circuits.angle_sums import taken_apart
from qnn.compression.circuits.reassembly import put_together
from qnn.compression.circuits.simplification import period, simplified, wrapped

_SIMILAR = (
    "RX",
    "RZ",
    "PhaseShift",
    "CNOT",
    "CZ",
    "Hadamard",
    "PauliX",
    "S",
    "T",
    "SX",
    "CRX",
    "IsingZZ",
    "SWAP",
    "ECR",
)
_EVERY = (Expectation(pauli(((0, "X"), (1, "Y")))), Probabilities((0, 1, 2)))


def copies(circuit):
    """The map by which shared angles are weights, and angles of rows are inputs."""
    places = tuple(range(circuit.n_shared)), tuple(range(circuit.n_rows))
    return AngleMap(circuit.n_rows, (("weights", (circuit.n_shared,)),), False, (), (), (), *places)


def pruned(circuit, angles, without=()):
    """The simplified circuit without some operations, and its values."""
    steps = simplified(taken_apart(circuit, copies(circuit), without), circuit.measurements)
    made, angle_map, weights = put_together(steps, circuit, copies(circuit), {"weights": angles.shared})
    shared, rows = angle_map.sources(angles.rows, weights)
    return made, oracles.values(made, shared[list(angle_map.shared_index)], rows[:, list(angle_map.rows_index)])


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.booleans(), st.floats(0, 1))
def test_zero_angle_pruning_changes_no_output(seed, n_wires, similar, share):
    circuit = random_circuit(seed, n_wires, 14, gates=_SIMILAR if similar else tuple(GATES))
    angles, rng = random_angles(circuit, 2, seed), np.random.default_rng(seed)
    turns = {slot: period(op.gate) * rng.integers(-1, 2) for slot, op in circuit.slot_operations.items()}
    zero = {slot for slot in turns if rng.random() < share}
    for slot in zero:
        block = angles.shared if slot.block == "shared" else angles.rows
        block[..., slot.index] = turns[slot]
    without = {n for n, op in enumerate(circuit.operations) if op.angle in zero}
    made, after = pruned(circuit, angles, without)
    assert len(made.operations) <= len(circuit.operations) - len(without)
    np.testing.assert_allclose(after, oracles.values(circuit, angles.shared, angles.rows), atol=1e-12, rtol=0)


def ops(*gates):
    return tuple(Operation(name, wires, *angle) for name, wires, *angle in gates)


def left(*gates, measurements=_EVERY):
    """The gates that are left between others that they neither merge with nor, most of them, commute with."""
    turns = [(name, (wire,), 0.4 + wire) for name in ("RX", "RY") for wire in range(3)]
    fence = [("SISWAP", (0, 1)), ("SISWAP", (1, 2))]
    operations = ops(*turns, *fence, *gates, *fence)
    slots = {slot for op in operations if isinstance(slot := op.angle, Slot)}
    circuit = Circuit(3, operations, measurements, *(sum(s.block == b for s in slots) for b in ("shared", "rows")))
    angles = random_angles(circuit, 2)
    made, values = pruned(circuit, angles)
    np.testing.assert_allclose(values, oracles.values(circuit, angles.shared, angles.rows), atol=1e-12, rtol=0)
    assert made.operations[:8] == operations[:8] and made.operations[-2:] == operations[-2:]
    return [(op.gate, op.wires) for op in made.operations[8:-2]], made


@pytest.mark.parametrize(
    "gate", ["Hadamard", "PauliX", "PauliY", "PauliZ", "CNOT", "CZ", "CY", "CH", "SWAP", "Toffoli"]
)
def test_pairs_of_a_gate_that_is_its_own_inverse_cancel(gate):
    wires = tuple(range(GATES[gate].n_wires))
    assert left((gate, wires), (gate, wires))[0] == []


def test_pairs_cancel_in_any_order_of_their_symmetric_wires_only():
    assert left(("CZ", (0, 1)), ("CZ", (1, 0)))[0] == []
    assert left(("Toffoli", (0, 1, 2)), ("Toffoli", (1, 0, 2)))[0] == []
    assert len(left(("CNOT", (0, 1)), ("CNOT", (1, 0)))[0]) == 2


def test_gates_commute_through_controls_and_targets():
    through = left(("CNOT", (0, 1)), ("RZ", (0,), Slot("shared", 0)), ("RX", (1,), Slot("rows", 0)), ("CNOT", (0, 1)))[
        0
    ]
    assert sorted(through) == [("RX", (1,)), ("RZ", (0,))]
    stopped = left(("CNOT", (0, 1)), ("RX", (0,), Slot("shared", 0)), ("CNOT", (0, 1)))[0]
    assert [gate for gate, _ in stopped] == ["CNOT", "RX", "CNOT"]


def test_rotations_about_the_same_axis_merge_and_weights_become_one():
    gates, made = left(("RZ", (0,), Slot("shared", 0)), ("S", (0,)), ("PhaseShift", (0,), Slot("shared", 1)))
    assert gates == [("RZ", (0,))] and made.n_shared == 1


def test_controlled_rotations_merge_where_their_wires_have_the_same_roles():
    assert len(left(("CRX", (0, 1), Slot("shared", 0)), ("CRX", (0, 1), 0.3))[0]) == 1
    assert len(left(("CRX", (0, 1), Slot("shared", 0)), ("CRX", (1, 0), 0.3))[0]) == 2


def test_an_input_and_a_weight_stay_apart():
    assert len(left(("RX", (0,), Slot("shared", 0)), ("RX", (0,), Slot("rows", 0)))[0]) == 2
    assert len(left(("IsingXX", (0, 1), Slot("rows", 0)), ("IsingXX", (1, 0), Slot("rows", 1)))[0]) == 1


@pytest.mark.parametrize(
    ("first", "second", "left_over"),
    [
        ("S", "S", ["PauliZ"]),
        ("T", "T", ["S"]),
        ("SX", "SX", ["PauliX"]),
        ("S", "Adjoint(S)", []),
        ("S", "PauliZ", ["Adjoint(S)"]),
    ],
)
def test_fixed_rotations_add_up_to_named_gates(first, second, left_over):
    assert [gate for gate, _ in left((first, (1,)), (second, (1,)))[0]] == left_over


def test_constants_that_turn_by_nothing_leave_and_half_periods_of_controlled_ones_stay():
    assert left(("RX", (0,), 2 * math.pi), ("Identity", (1,)), ("IsingXY", (0, 1), 0.0))[0] == []
    assert left(("CRX", (0, 1), 4 * math.pi))[0] == []
    assert len(left(("CRX", (0, 1), 2 * math.pi))[0]) == 1


def test_what_acts_on_nothing_or_cannot_be_seen_leaves():
    operations = ops(
        ("RZ", (0,), 0.3), ("CZ", (0, 1)), ("RX", (0,), 0.4), ("RX", (1,), 0.2), ("CZ", (0, 1)), ("RZ", (0,), 0.7)
    )
    circuit = Circuit(2, operations, (Expectation(pauli(((0, "Z"),))),))
    made, _ = pruned(circuit, random_angles(circuit, 1))
    assert made.operations == ops(("RX", (0,), 0.4))
    everything = circuit.with_measurements((Expectation(pauli(((0, "X"),))), Probabilities((1,))))
    assert len(pruned(everything, random_angles(circuit, 1))[0].operations) == 4


def test_angles_are_wrapped_to_half_open_intervals_of_a_period():
    assert wrapped(math.pi, "RX") == wrapped(-math.pi, "RX") == math.pi
    assert wrapped(7.0, "RX") == pytest.approx(7 - 2 * math.pi)
    assert wrapped(5.0, "CRX") == 5.0 and wrapped(7.0, "CRX") == pytest.approx(7 - 4 * math.pi)


def test_a_long_row_of_merges_is_one_gate():
    circuit = Circuit(1, ops(*[("RX", (0,), Slot("shared", i)) for i in range(50)]), (Probabilities((0,)),), 50, 0)
    angles = random_angles(circuit, 1)
    made, values = pruned(circuit, angles)
    assert len(made.operations) == 1
    assert torch.tensor(values[0, 0]).item() == pytest.approx(math.cos(angles.shared.sum() / 2) ** 2, abs=1e-12)
