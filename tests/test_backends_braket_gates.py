"""The gate table in Braket's gates: each gate's matrix, with all of Braket's gates and with the fewest."""

import numpy as np
import pytest

from qnn.backends import braket
from qnn.backends.braket.gates import Turn, translate
from qnn.circuits.circuit import Circuit, Operation, Slot
from qnn.circuits.gates import GATES
from qnn.circuits.observables import Probabilities
from qnn.circuits.settings import plan_measurements
from qnn.errors import CircuitRefusedError

FEWEST = ("h", "s", "si", "rx", "ry", "rz", "cnot")


def gates_of(circuit, available=None):
    return translate(circuit, plan_measurements(circuit.measurements).settings[0], available)


@pytest.mark.parametrize("available", [None, FEWEST], ids=["all", "fewest"])
@pytest.mark.parametrize("name", GATES)
def test_every_gate_has_its_matrix(name, available):
    k = GATES[name].n_wires or 3
    angle = 0.83 if GATES[name].is_parametric else None
    circuit = Circuit(k, (Operation(name, tuple(range(k)), angle),), (Probabilities(tuple(range(k))),))
    gates = gates_of(circuit, available)
    assert available is None or {step.name for step in gates.steps} <= set(available)
    made = np.eye(2**k)
    if gates.steps:
        program = braket._circuit(gates, None).to_unitary()
        rest = k - len({q for step in gates.steps for q in step.qubits})
        made = np.kron(program, np.eye(2**rest)) if len(program) < 2**k else program
    expected = GATES[name].matrix(angle or 0.0, k)
    phase = np.vdot(expected, made) / 2**k
    assert abs(phase) == pytest.approx(1)
    np.testing.assert_allclose(made, phase * expected, atol=1e-12)


def test_parameters_are_affine_in_the_angles():
    """Equal expressions share a parameter; a fixed angle has none."""
    circuit = Circuit(
        2,
        (
            Operation("RX", (0,), Slot("shared", 0)),
            Operation("CRX", (0, 1), Slot("rows", 0)),
            Operation("RY", (1,), 0.5),
        ),
        (Probabilities((0,)),),
        1,
        1,
    )
    gates = gates_of(circuit)
    assert gates.matrix.tolist() == [[1, 0], [0, 0.5], [0, -0.5]] and not gates.offset.any()
    rows = gates.inputs(np.array([[0.2, 0.8], [0.2, -0.4]]), repeat=False)
    assert rows[0] == pytest.approx({"angle_0": 0.2, "angle_1": 0.4, "angle_2": -0.4})
    assert rows[1]["angle_2"] == pytest.approx(0.2)
    assert 2.0 * Turn(3, 0.5, 0.25) + 1.0 == Turn(3, 1.0, 1.5)


def test_circuits_without_parameters_are_repeated_when_asked():
    gates = gates_of(Circuit(1, (Operation("PauliX", (0,)),), (Probabilities((0,)),)))
    assert gates.inputs(np.zeros((3, 0)), repeat=False) == [{}]
    assert gates.inputs(np.zeros((3, 0)), repeat=True) == [{}, {}, {}]


def test_devices_that_lack_what_all_is_made_from():
    circuit = Circuit(1, (), (Probabilities((0,)),))
    with pytest.raises(CircuitRefusedError, match="must take the gates h, s, si, rx, ry, rz, cnot; it lacks h, cnot"):
        gates_of(circuit, ("s", "si", "rx", "ry", "rz"))
