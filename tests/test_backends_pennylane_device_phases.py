"""The phases of gates."""

import numpy as np
import pennylane as qml
import pytest
from random_functions import gate

from qnn.backends.pennylane_device.phases import gate_phase
from qnn.circuits.gates import GATES


@pytest.mark.parametrize("name", GATES)
def test_every_gate_is_pennylanes_up_to_its_phase(name):
    slope, constant = gate_phase(name)
    row = GATES[name]
    for angle in (0.0, 0.7, -5.3):
        wires = list(range(row.n_wires or 3))
        with qml.tape.QuantumTape() as queued:
            gate(name, angle if row.is_parametric else None, wires)
        theirs = qml.matrix(queued.operations[0], wire_order=wires)
        ours = np.exp(1j * (slope * angle * row.is_parametric + constant)) * row.matrix(angle, len(wires))
        np.testing.assert_allclose(ours, theirs, atol=1e-12)
