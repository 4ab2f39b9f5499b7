"""Written circuits read back exactly, here, in PennyLane and in Qiskit."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qasm_unitaries import assert_same_up_to_phase, by_legacy_qiskit, by_qiskit, ours

from qnn.circuits.circuit import Circuit, Operation, Slot
from qnn.circuits.gates import GATES
from qnn.circuits.observables import z_on_every_wire
from qnn.circuits.qasm import circuit_to_qasm, read_qasm
from qnn.circuits.qasm.expressions import Parameter, apply
from qnn.circuits.qasm.library import WRITTEN, definition_text
from qnn.errors import ArgumentError, NotFiniteError, UnsupportedError

CASES = [(name, n) for name, gate in GATES.items() for n in ([gate.n_wires] if gate.n_wires else [1, 2, 3])]
IDS = [f"{name}-{n}" for name, n in CASES]
ANGLE = 0.7310000000000001


def one_gate(name, n_wires):
    """The gate on scrambled wires, after gates that make the circuit asymmetric."""
    wires = tuple(range(n_wires))[::-1]
    angle = ANGLE if GATES[name].is_parametric else None
    before = tuple(Operation("RX", (w,), 0.3 + w) for w in range(n_wires + 1))
    return Circuit(n_wires + 1, (*before, Operation(name, wires, angle)), ())


def dense(circuit):
    matrix = np.eye(2**circuit.n_wires)
    for op in circuit.operations:
        gate = GATES[op.gate].matrix(op.angle or 0.0, len(op.wires))
        rest = [w for w in range(circuit.n_wires) if w not in op.wires]
        full = np.kron(gate, np.eye(2 ** len(rest))).reshape([2] * 2 * circuit.n_wires)
        order = np.argsort([*op.wires, *rest])
        axes = [*order, *(order + circuit.n_wires)]
        matrix = full.transpose(axes).reshape(matrix.shape) @ matrix
    return matrix


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(("name", "n_wires"), CASES, ids=IDS)
def test_every_gate(name, n_wires, version):
    circuit = one_gate(name, n_wires)
    text = circuit_to_qasm(circuit, version=version)
    assert read_qasm(text).circuit()[0] == circuit
    wanted = dense(circuit)
    assert_same_up_to_phase(ours(text), wanted)
    assert_same_up_to_phase(by_qiskit(text), wanted)
    if version == 2:
        assert_same_up_to_phase(by_legacy_qiskit(text), wanted)


@pytest.mark.parametrize(("name", "n_wires"), [c for c in CASES if not all(c[0] in WRITTEN[v] for v in WRITTEN)])
def test_definitions_mean_the_gate_when_expanded(name, n_wires):
    """Under another name a definition is not recognised, but expanded to gates with the same unitary."""
    definition = definition_text(name, n_wires)
    written = definition.partition("(")[0].split()[1] if "(theta)" in definition else definition.split()[1]
    renamed = definition.replace(f"gate {written}", "gate expanded", 1)
    angle = f"({ANGLE})" if GATES[name].is_parametric else ""
    call = f"expanded{angle} " + ", ".join(f"q[{i}]" for i in range(n_wires))
    for head in ('OPENQASM 2.0;\ninclude "qelib1.inc";', 'OPENQASM 3.0;\ninclude "stdgates.inc";'):
        text = f"{head}\n{renamed}\nqreg q[{n_wires}];\n{call};"
        assert name not in {o.gate for o in read_qasm(text).circuit()[0].operations}
        assert_same_up_to_phase(ours(text), GATES[name].matrix(ANGLE, n_wires))


@st.composite
def circuits(draw):
    n_wires = draw(st.integers(4, 6))
    angles = st.floats(allow_nan=False, allow_infinity=False)
    operations = []
    for name in draw(st.lists(st.sampled_from(sorted(GATES)), max_size=12)):
        size = GATES[name].n_wires or draw(st.integers(1, n_wires))
        wires = tuple(draw(st.permutations(range(n_wires)))[:size])
        operations.append(Operation(name, wires, draw(angles) if GATES[name].is_parametric else None))
    return Circuit(n_wires, tuple(operations), ())


@settings(max_examples=40, deadline=None)
@given(circuits(), st.sampled_from([2, 3]), st.booleans())
def test_round_trip_is_exact(circuit, version, measure):
    program = read_qasm(circuit_to_qasm(circuit, version=version, measure=measure))
    again, _ = program.circuit()
    assert again == circuit
    signs = [math.copysign(1, o.angle) for o in circuit.operations if o.angle is not None]
    assert [math.copysign(1, o.angle) for o in again.operations if o.angle is not None] == signs  # -0.0 too
    assert program.version == version
    assert program.measured_wires == (tuple(range(circuit.n_wires)) if measure else ())


def layer():
    operations = (
        Operation("RX", (0,), Slot("rows", 0)),
        Operation("IsingXX", (0, 1), Slot("shared", 0)),
        Operation("RY", (1,), Slot("shared", 1)),
    )
    return Circuit(2, operations, z_on_every_wire(2), n_shared=2, n_rows=1)


def test_free_parameters_by_default():
    program = read_qasm(circuit_to_qasm(layer()))
    assert program.parameters == ("shared_0", "shared_1", "rows_0")
    values = {"shared_0": 0.1, "shared_1": 0.2, "rows_0": 0.3}
    angles = [o.angle for o in program.circuit(values)[0].operations]
    assert angles == [0.3, 0.1, 0.2]


def test_given_expressions_and_arrays():
    angles = {
        Slot("rows", 0): "x[1]*pi/2",
        Slot("shared", 0): apply("*", Parameter("w"), apply("-", 1.5, Parameter("x", (0,)))),
        Slot("shared", 1): 0.25,
    }
    text = circuit_to_qasm(layer(), angles=angles, inputs={"x": (2,), "w": ()})
    assert "input array[float[64], 2] x;" in text
    assert "input float[64] w;" in text
    circuit, _ = read_qasm(text).circuit({"x": [0.5, 0.8], "w": 2.0})
    assert [o.angle for o in circuit.operations] == [0.8 * math.pi / 2, 2.0 * (1.5 - 0.5), 0.25]


def test_names_in_expressions_are_declared():
    w, x = Parameter("w"), Parameter("x")
    angles = {Slot("rows", 0): x, Slot("shared", 0): w * x, Slot("shared", 1): 0.25}
    assert read_qasm(circuit_to_qasm(layer(), angles=angles)).parameters == ("x", "w")
    angles[Slot("rows", 0)] = Parameter("x", (1,))
    with pytest.raises(ArgumentError, match=r'shape of every array; the angles use "x\[1\]". Pass for example inputs='):
        circuit_to_qasm(layer(), angles=angles)


def test_qiskit_reads_free_parameters():
    text = circuit_to_qasm(layer())
    values = {"shared_0": 0.1, "shared_1": 0.2, "rows_0": 0.3}
    assert_same_up_to_phase(by_qiskit(text, values), ours(text, values))


def test_comments_come_first():
    text = circuit_to_qasm(layer(), comments=["one", "two"])
    assert text.startswith("// one\n// two\nOPENQASM 3.0;")


def test_numbers_for_version_2_have_a_decimal_point():
    """The grammar of OpenQASM 2 has no reals like 1e-05."""
    text = circuit_to_qasm(Circuit(1, (Operation("RX", (0,), 1e-05),), ()), version=2)
    assert "rx(1.0e-05)" in text
    assert read_qasm(text).circuit()[0].operations[0].angle == 1e-05


def test_version_2_must_be_bound():
    with pytest.raises(UnsupportedError, match=r"`version=2` cannot express free parameters.*RX.*rows_0.*Bind"):
        circuit_to_qasm(layer(), version=2)
    numbers = dict.fromkeys(layer().slot_operations, 0.5)
    assert read_qasm(circuit_to_qasm(layer(), version=2, angles=numbers)).parameters == ()


@pytest.mark.parametrize("name", ["2x", "w[0]", "q", "pi", "a b", "input"])
def test_names_that_cannot_be_declared(name):
    with pytest.raises(ArgumentError, match="`inputs` must be names"):
        circuit_to_qasm(layer(), inputs=[name])


def test_bad_arguments():
    with pytest.raises(ArgumentError, match=r"`version` must be 2 or 3; got 4"):
        circuit_to_qasm(layer(), version=4)
    with pytest.raises(ArgumentError, match=r"entry for every slot; rows\[0\] of RX has none"):
        circuit_to_qasm(layer(), angles={})
    for bad in (math.nan, math.inf):
        with pytest.raises(NotFiniteError, match=r"RX on wires \(0,\) has"):
            circuit_to_qasm(layer(), angles=dict.fromkeys(layer().slot_operations, bad))
