"""The circuit as data: what it refuses, what it counts, and that it survives JSON."""

import json

import numpy as np
import pytest
import torch
from random_circuits import every_gate, random_angles, random_circuit

from qnn.backends.statevector import Statevector
from qnn.circuits.circuit import Circuit, Operation, Slot
from qnn.circuits.observables import Expectation, PauliSum, Probabilities, Variance, pauli, z_on_every_wire
from qnn.errors import ArgumentError, UnknownNameError

Z0 = (Expectation(pauli("Z")),)


def rx(wire: int, block: str = "rows", index: int = 0) -> Operation:
    return Operation("RX", (wire,), Slot(block, index))


@pytest.mark.parametrize("seed", range(5))
def test_json_round_trip_is_equal_and_keeps_the_fingerprint(seed: int) -> None:
    circuit = random_circuit(seed, 1 + seed)
    again = Circuit.from_json(json.loads(json.dumps(circuit.to_json())))
    assert again == circuit and hash(again) == hash(circuit)
    assert again.fingerprint == circuit.fingerprint


def test_fingerprints_tell_circuits_apart() -> None:
    circuits = [
        Circuit(2, (rx(0),), Z0, 0, 1),
        Circuit(2, (rx(1),), Z0, 0, 1),
        Circuit(3, (rx(0),), Z0, 0, 1),
        Circuit(2, (rx(0, "shared"),), Z0, 1, 0),
        Circuit(2, (Operation("RY", (0,), Slot("rows", 0)),), Z0, 0, 1),
        Circuit(2, (Operation("RX", (0,), 0.5),), Z0),
        Circuit(2, (rx(0),), z_on_every_wire(2), 0, 1),
        Circuit(2, (rx(0),), (Probabilities((0,)),), 0, 1),
        Circuit(2, (rx(0),), (Expectation(pauli("Z", 0.5)),), 0, 1),
        Circuit(2, (rx(0),), (Variance(pauli("Z")),), 0, 1),
    ]
    assert len({c.fingerprint for c in circuits}) == len(circuits)


def test_all_rows_is_the_same_circuit_on_dense_angles() -> None:
    circuit = random_circuit(3, 3, 20)
    assert circuit.n_shared and circuit.n_rows
    angles = random_angles(circuit, 4)
    dense = type(angles)(torch.zeros(0, dtype=torch.float64), angles.dense())
    one = Statevector().compile(circuit).run(angles).values
    other = Statevector().compile(circuit.all_rows()).run(dense).values
    torch.testing.assert_close(other, one, atol=1e-12, rtol=0)
    assert circuit.all_rows().all_rows() is circuit.all_rows().all_rows() or not circuit.all_rows().n_shared


def test_depth_outputs_and_two_qubit_gates() -> None:
    bell = Circuit(
        3,
        (Operation("Hadamard", (0,)), Operation("CNOT", (0, 1)), Operation("PauliX", (2,))),
        (*z_on_every_wire(3), Probabilities((0, 2))),
    )
    assert (bell.depth(), bell.n_two_qubit_gates(), bell.n_outputs) == (2, 1, 7)
    assert Circuit(1, (), Z0).depth() == 0


def test_with_measurements_checks_wires() -> None:
    circuit = Circuit(2, (rx(0),), Z0, 0, 1)
    assert circuit.with_measurements((Probabilities((1,)),)).n_outputs == 2
    with pytest.raises(ArgumentError, match=r"`observables` must act on wires 0 to 1; got .* on wire 2"):
        circuit.with_measurements((Probabilities((2,)),))


def test_a_variance_is_executed_as_two_expectation_values() -> None:
    total = PauliSum((pauli("XI", 2.0).terms[0], pauli("ZZ").terms[0]))  # (2 X0 + Z0 Z1)² = 5
    measurements = (Probabilities((1,)), Variance(total), Expectation(pauli("Z")), Variance(pauli("IY")))
    circuit = Circuit(2, (rx(0),), measurements, 0, 1)
    assert (circuit.n_outputs, circuit.variance_columns) == (5, (2, 4))
    linear = circuit.linear()
    assert linear.operations == circuit.operations
    assert linear.measurements == (
        Probabilities((1,)), Expectation(total), Expectation(pauli("Z")), Expectation(pauli("IY")),
        Expectation(PauliSum(((5.0, ()),))), Expectation(pauli("II")),
    )  # fmt: skip
    assert linear.linear() is linear and linear.variance_columns == ()
    assert Circuit.from_json(json.loads(json.dumps(circuit.to_json()))) == circuit


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, (), Z0), "`n_wires` must be at least 1; got 0"),
        ((2, (rx(2),), Z0, 0, 1), r"`wires` of RX must be different and within 0 to 1; got \(2,\)"),
        ((2, (Operation("CNOT", (1, 1)),), Z0), r"`wires` of CNOT must be different .* got \(1, 1\)"),
        ((2, (Operation("MultiRZ", (), 0.3),), Z0), "`wires` of MultiRZ must be different"),
        ((2, (Operation("CNOT", (1,)),), Z0), "`wires` of CNOT must be 2; got 1"),
        ((2, (Operation("RX", (0,)),), Z0), "`angle` of RX must be an angle; got None"),
        ((2, (Operation("CNOT", (0, 1), 0.3),), Z0), "`angle` of CNOT must be no angle; got 0.3"),
        ((2, (rx(0), rx(1)), Z0, 0, 1), r"`angle` of RX must be an unused slot below 1; got rows\[0\]"),
        ((2, (rx(0, "rows", 3),), Z0, 0, 1), r"`angle` of RX must be an unused slot below 1; got rows\[3\]"),
        ((2, (rx(0),), Z0, 1, 1), "`operations` must use every slot once; got 1 used of 2"),
        ((1, (), (Expectation(PauliSum(((1.0, ((0, "Q"),)),))),)), "`observables` .* X, Y or Z; got Q"),
        ((1, (), (Expectation(PauliSum(((float("nan"), ((0, "Z"),)),))),)), "finite coefficients; got nan"),
        ((1, (), (Expectation(PauliSum(((1.0, ((0, "Z"), (0, "X"))),))),)), "`observables` .* each wire once"),
        ((1, (), (Variance(PauliSum(((1.0, ((0, "Q"),)),))),)), "`observables` .* X, Y or Z; got Q"),
        ((2, (), (Variance(pauli("IIZ")),)), r"`observables` must act on wires 0 to 1; got Var\(Z2\) on wire 2"),
        ((2, (), (Probabilities((1, 1)),)), "`observables` .* each wire once"),
        ((2, (Operation("RX", (0,), float("inf")),), Z0), "`angle` of RX must be finite; got inf"),
    ],
)
def test_a_circuit_that_makes_no_sense_is_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Circuit(*arguments)


def test_unknown_gates_and_blocks_are_refused() -> None:
    with pytest.raises(UnknownNameError, match='Did you mean "RX"'):
        Circuit(1, (Operation("RXX", (0,), 0.1),), Z0)
    data = Circuit(1, (rx(0),), Z0, 0, 1).to_json()
    data["operations"][0][2][0] = "columns"
    with pytest.raises(ArgumentError, match='`block` of a slot must be "shared" or "rows"; got \'columns\''):
        Circuit.from_json(data)


def test_dense_angles_have_shared_columns_first() -> None:
    angles = random_angles(Circuit(1, (rx(0, "shared"), rx(0)), Z0, 1, 1), 3)
    assert angles.dense().shape == (3, 2)
    np.testing.assert_array_equal(angles.dense()[:, 0].numpy(), np.full(3, float(angles.shared[0])))


def test_every_gate_circuit_holds_every_gate() -> None:
    from qnn.circuits.gates import GATES

    assert {op.gate for op in every_gate().operations} >= set(GATES)
