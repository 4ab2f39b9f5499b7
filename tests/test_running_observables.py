"""What a run measures."""

import numpy as np
import pennylane as qml
import pytest

import qnn
from qnn.circuits.observables import Expectation, pauli
from qnn.errors import ArgumentError, UnsupportedError
from qnn.running.observables import pauli_word

STATE = (
    'OPENQASM 3.0; include "stdgates.inc"; qubit[3] q; ry(0.4) q[0]; rx(0.7) q[1]; cx q[0], q[2]; ry(0.9) q[2]; h q[1];'
)


@pytest.mark.parametrize("text", ["ZIX", "Z0 X2", "Z0X2", "X2 Z0", "Z0 @ X2", " Z0*X2 ", "Z0 I1 X2"])
def test_spellings_of_a_word(text):
    assert pauli_word(text, 3) == ((0, "Z"), (2, "X"))


def test_each_way_to_name_an_observable():
    given = ["Z0 X2", qml.Z(0) @ qml.X(2), pauli("ZIX"), Expectation(pauli("ZIX")), qml.expval(qml.Z(0) @ qml.X(2))]
    given += ["Y1", 2.0 * qml.Z(2) - qml.Y(1), qml.Hermitian(np.array([[1, 1j], [-1j, 0]]), wires=1)]
    result = qnn.run(STATE, observables=given)
    values = result.expectation
    np.testing.assert_allclose(values[:5], values[0])

    @qml.qnode(qml.device("default.qubit", wires=3))
    def node():
        qnn.circuits.qasm.read_qasm(STATE).function()
        return [qml.expval(o) for o in (given[1], qml.Y(1), given[6], given[7])]

    np.testing.assert_allclose(values[[0, 5, 6, 7]], node(), atol=1e-10)
    assert abs(values[0]) > 0.01 and abs(values[5]) > 0.01


def test_z_alone_is_z_on_every_wire_and_a_bare_one_is_a_number():
    every = qnn.run(STATE, observables="Z")
    np.testing.assert_allclose(every.expectation, qnn.run(STATE, observables=["Z0", "Z1", "Z2"]).expectation)
    alone = qnn.run(STATE, observables="IIZ").expectation
    assert isinstance(alone, float)
    assert alone == pytest.approx(every.expectation[2])
    assert qnn.run(STATE, observables="III").expectation == 1.0


def test_outcomes_and_observables_in_one_job_share_shots():
    with qnn._meter.measure() as usage:
        result = qnn.run(STATE, shots=1000, observables=["probs", "Z0 Z2", "X0"], seed=4)
    assert (usage.jobs, usage.circuits) == (1, 2)
    signed = sum(count * (-1) ** (bits[0] != bits[2]) for bits, count in result.counts.items())
    assert result.expectation[0] == pytest.approx(signed / 1000)


def test_wires_in_the_order_asked_for():
    text = 'OPENQASM 3.0; include "stdgates.inc"; qubit[3] q; x q[0];'
    result = qnn.run(text, observables=qml.probs(wires=[2, 0]), shots=9)
    assert (result.counts, result.wires, result.labels) == ({"01": 9}, (2, 0), ("q[2]", "q[0]"))


@pytest.mark.parametrize(
    ("observables", "error", "message"),
    [
        ("ZZ", ArgumentError, r"a letter for each of the circuit's 3 wires; got \"ZZ\" with 2. .*, or write Z0"),
        (["Z"], ArgumentError, r'got "Z" with 1'),
        ("0.5*Z0", ArgumentError, r'must be Pauli strings such as "ZIZ" or "Z0 Z2"; got "0.5\*Z0". For sums'),
        ("", ArgumentError, r'must be Pauli strings .*; got ""'),
        ("A0", ArgumentError, r'must be Pauli strings .*; got "A0"'),
        ("Z0 X0", ArgumentError, r"must name each wire once"),
        ("Z3", ArgumentError, r"must act on wires 0 to 2; got <Z3> on wire 3"),
        ([], ArgumentError, r"must name at least one; got an empty list"),
        ([qml.X(5)], ArgumentError, r"must act on wires 0 to 2; got <X5> on wire 5"),
        ([qml.state()], UnsupportedError, r"must be expectation values, variances or probabilities; got state"),
        ([qml.probs(wires=0), "probs"], UnsupportedError, r"of one list of wires; got \(0,\) and \(0, 1, 2\)"),
    ],
)
def test_refusals(observables, error, message):
    with pytest.raises(error, match=message):
        qnn.run(STATE, observables=observables)
