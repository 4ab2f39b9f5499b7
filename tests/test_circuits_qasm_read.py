"""What is read means what OpenQASM says: against Qiskit, and against dense matrices where phases count."""

import math
import pickle

import numpy as np
import pennylane as qml
import pytest
import torch
from qasm_unitaries import LEGACY, STANDARD, assert_same_up_to_phase, by_legacy_qiskit, by_qiskit, ours

from qnn.circuits.capture import capture
from qnn.circuits.qasm import read_angle, read_qasm
from qnn.circuits.qasm.expressions import FUNCTION_NAMES
from qnn.circuits.qasm.library import INCLUDES
from qnn.errors import ArgumentError, ShapeError, UnknownNameError

ANGLES = (0.3, -1.1, 2.3, 0.9)

# name: (parameters, qubits)
SIGNATURES = {
    **dict.fromkeys(("id", "x", "y", "z", "h", "s", "sdg", "t", "tdg", "sx", "sxdg"), (0, 1)),
    **dict.fromkeys(("rx", "ry", "rz", "p", "phase", "u1", "u0"), (1, 1)),
    **dict.fromkeys(("u2",), (2, 1)),
    **dict.fromkeys(("u3", "u"), (3, 1)),
    **dict.fromkeys(("cx", "CX", "cy", "cz", "ch", "swap", "csx"), (0, 2)),
    **dict.fromkeys(("cp", "cphase", "crx", "cry", "crz", "cu1", "rxx", "rzz"), (1, 2)),
    **dict.fromkeys(("ccx", "cswap", "rccx"), (0, 3)),
    **dict.fromkeys(("c3x", "c3sqrtx", "rc3x"), (0, 4)),
    "c4x": (0, 5),
    "cu": (4, 2),
    "cu3": (3, 2),
}


def call(name):
    n_angles, n_qubits = SIGNATURES[name]
    angles = "(2)" if name == "u0" else f"({', '.join(map(str, ANGLES[:n_angles]))})" if n_angles else ""
    return n_qubits, f"{name}{angles} " + ", ".join(f"q[{i}]" for i in reversed(range(n_qubits))) + ";"


@pytest.mark.parametrize("name", sorted(INCLUDES["stdgates.inc"].names))
def test_stdgates(name):
    n_qubits, line = call(name)
    text = f"{STANDARD}qubit[{n_qubits}] q;\n{line}"
    assert_same_up_to_phase(ours(text), by_qiskit(text))


@pytest.mark.parametrize("name", sorted(INCLUDES["qelib1.inc"].names | {"CX"}))
def test_qelib1(name):
    n_qubits, line = call(name)
    text = f"{LEGACY}qreg q[{n_qubits}];\n{line}"
    assert_same_up_to_phase(ours(text), by_legacy_qiskit(text))


def u(theta, phi, lam):
    """U of the OpenQASM 3 specification."""
    c, s = math.cos(theta / 2), math.sin(theta / 2)
    matrix = np.array([[c, -np.exp(1j * lam) * s], [np.exp(1j * phi) * s, np.exp(1j * (phi + lam)) * c]])
    return np.exp(1j * theta / 2) * matrix


def rotation(word, angle):
    return qml.matrix(qml.PauliRot(angle, word, wires=range(len(word))))


X, H, S, SX = (qml.matrix(g(0)) for g in (qml.X, qml.H, qml.S, qml.SX))
SWAP = qml.matrix(qml.SWAP([0, 1]))
# call after the controls, and its matrix with its phase
PHASED = {
    "U(0.3, -1.1, 2.3)": u(0.3, -1.1, 2.3),
    "U(0, 0, 0.4)": u(0, 0, 0.4),
    "U(0, 0.3, 0.4)": u(0, 0.3, 0.4),
    "U(0.7, -pi/2, pi/2)": u(0.7, -math.pi / 2, math.pi / 2),
    "u3(0.3, -1.1, 2.3)": np.exp(-0.5j * 1.5) * u(0.3, -1.1, 2.3),
    "u2(-1.1, 2.3)": np.exp(-0.5j * (1.2 + math.pi / 2)) * u(math.pi / 2, -1.1, 2.3),
    "x": X, "h": H, "s": S, "sdg": S.conj().T, "sx": SX, "t": np.diag([1, np.exp(0.25j * math.pi)]),
    "y": qml.matrix(qml.Y(0)), "z": qml.matrix(qml.Z(0)), "id": np.eye(2),
    "rx(0.7)": rotation("X", 0.7), "ry(0.7)": rotation("Y", 0.7), "rz(0.7)": rotation("Z", 0.7),
    "p(0.7)": np.diag([1, np.exp(0.7j)]),
    "inv @ rx(0.7)": rotation("X", -0.7), "inv @ s": S.conj().T, "inv @ sdg": S,
    "pow(2) @ s": S @ S, "pow(-3) @ t": np.diag([1, np.exp(-0.75j * math.pi)]), "pow(0) @ x": np.eye(2),
    "pow(0.5) @ x": SX, "pow(1.0/4) @ z": np.diag([1, np.exp(0.25j * math.pi)]),
    "pow(0.5) @ p(0.6)": np.diag([1, np.exp(0.3j)]),
    "inv @ pow(2) @ sx": X,
    "mine(0.4)": np.exp(0.9j) * rotation("Y", -0.4) @ H,
    "inv @ mine(0.4)": np.exp(-0.9j) * H @ rotation("Y", 0.4),
    "pow(2) @ mine(0.4)": (np.exp(0.9j) * rotation("Y", -0.4) @ H) @ (np.exp(0.9j) * rotation("Y", -0.4) @ H),
    "swap": SWAP, "cx": qml.matrix(qml.CNOT([0, 1])), "crx(0.7)": qml.matrix(qml.CRX(0.7, [0, 1])),
    "cp(0.7)": qml.matrix(qml.ControlledPhaseShift(0.7, [0, 1])), "ch": qml.matrix(qml.CH([0, 1])),
    "rzz(0.7)": rotation("ZZ", 0.7),
    "ccx": qml.matrix(qml.Toffoli([0, 1, 2])),
}  # fmt: skip
MINE = """
gate mine(a) q { h q; gphase(0.5); barrier q; ry(-a) q; gphase(a); }
gate rzz(a) q, r { cx q, r; rz(a) r; cx q, r; }
"""


@pytest.mark.parametrize("modifiers", ["ctrl", "negctrl", "ctrl(2)", "ctrl @ negctrl", "negctrl(2) @ ctrl"])
@pytest.mark.parametrize("name", PHASED)
def test_controls_make_phases_relative(name, modifiers):
    inner = PHASED[name]
    bits = {"ctrl": "1", "negctrl": "0", "ctrl(2)": "11", "ctrl @ negctrl": "10", "negctrl(2) @ ctrl": "001"}[modifiers]
    size = len(inner)
    wanted = np.eye(size * 2 ** len(bits), dtype=complex)
    start = int(bits, 2) * size
    wanted[start : start + size, start : start + size] = inner
    n = len(bits) + size.bit_length() - 1
    text = f"{STANDARD}{MINE}qubit[{n}] q;\n{modifiers} @ {name} {', '.join(f'q[{i}]' for i in range(n))};"
    assert_same_up_to_phase(ours(text), wanted)


def test_controlled_global_phase():
    text = (
        f"{STANDARD}qubit[3] q; gphase(0.3); ctrl @ gphase(0.4) q[0]; negctrl(2) @ ctrl @ gphase(0.5) q[2], q[1], q[0];"
    )
    wanted = np.diag([1, 1, 1, 1, np.exp(0.9j), *[np.exp(0.4j)] * 3])
    assert_same_up_to_phase(ours(text), wanted)


STRUCTURES = {
    "broadcast": ("qubit[3] q; qubit[3] r; h q; cx q, r; cx q[0], r[1];", "qubit[6] q; h q[0]; h q[1]; h q[2]; "
                  "cx q[0], q[3]; cx q[1], q[4]; cx q[2], q[5]; cx q[0], q[4];"),
    "broadcast one to many": ("qubit a; qubit[2] r; h a; cx a, r;", "qubit[3] q; h q[0]; cx q[0], q[1]; "
                              "cx q[0], q[2];"),
    "ranges": ("qubit[5] q; x q[1:3]; h q[0:2:4]; s q[{0, 3}]; t q[-1]; y q[3:-1:2];",
               "qubit[5] q; x q[1]; x q[2]; x q[3]; h q[0]; h q[2]; h q[4]; s q[0]; s q[3]; t q[4]; y q[3]; y q[2];"),
    "alias": ("qubit[2] q; qubit r; let a = q[1:1] ++ r; let b = a[1]; x a; h b;", "qubit[3] q; x q[1]; x q[2]; "
              "h q[2];"),
    "constants": ("const int n = 3; const float a = pi/n; float b = 2*a; qubit[n] q; rx(a) q[n-1]; ry(b) q[0];",
                  "qubit[3] q; rx(pi/3.0) q[2]; ry(2*pi/3) q[0];"),
    "loops": ("qubit[4] q; for int i in [0:2] { cx q[i], q[i+1]; for uint j in {0, 3} { rz(0.1*i) q[j]; } }",
              "qubit[4] q; cx q[0], q[1]; rz(0.0) q[0]; rz(0.0) q[3]; cx q[1], q[2]; rz(0.1) q[0]; rz(0.1) q[3]; "
              "cx q[2], q[3]; rz(0.2) q[0]; rz(0.2) q[3];"),
    "loop backwards": ("qubit[3] q; for int i in [2:-1:1] { cx q[i], q[i-1]; }", "qubit[3] q; cx q[2], q[1]; "
                       "cx q[1], q[0];"),
    "branches": ("const int n = 2; qubit[2] q; if (n == 2 && n < 3) { x q[0]; } else { y q[0]; "
                 "} if (!true) x q[1]; else h q[1];",
                 "qubit[2] q; x q[0]; h q[1];"),
    "gates in gates": ("gate a(t) q { rx(t/2) q; } gate b(t, s) q, r { a(2*s) r; cx q, r; a(-t) q; "
                       "} qubit[2] q; b(0.3, 0.4) q[1], q[0];",
                       "qubit[2] q; rx(0.4) q[0]; cx q[1], q[0]; rx(-0.15) q[1];"),
    "scope": ("const float a = 0.1; gate g(a) q { rx(a) q; } qubit q; g(0.2) q; { const float a = 0.3; rx(a) q; "
              "} rx(a) q;",
              "qubit[1] q; rx(0.2) q[0]; rx(0.3) q[0]; rx(0.1) q[0];"),
    "end matter": ("qubit[2] q; reset q; bit[2] c; h q; barrier q[0], q[1]; barrier; "
                   "c[1] = measure q[0];", "qubit[2] q; h q[0]; h q[1];"),
    "annotation": ("qubit q;\n@keep this\nh q;", "qubit[1] q; h q[0];"),
    "own gate instead of an included one": ("gate x q { h q; } qubit q; x q;", "qubit[1] q; h q[0];"),
    "float of an integer": ("const float n = 1; qubit q; rx(n/2) q;", "qubit[1] q; rx(0.5) q[0];"),
    "exact integer division": ("qubit[4] q; x q[4/2];", "qubit[4] q; x q[2];"),
}  # fmt: skip


@pytest.mark.parametrize("name", STRUCTURES)
def test_structures(name):
    text, plain = STRUCTURES[name]
    assert_same_up_to_phase(ours(STANDARD + text), ours(STANDARD + plain))


@pytest.mark.parametrize(
    "text",
    [
        "qubit[3] q; qubit[3] r; h q; cx q, r; cx q[0], r[1];",
        "qubit[2] q; qubit[1] r; let a = q ++ r; x a[2]; h q;",
        # parameters in alphabetical order: qiskit-qasm3-import 0.6 takes them so, whatever their declaration
        "gate a(t) q { rx(t/2) q; } gate b(s, t) q, r { a(2*t) r; cx q, r; a(-s) q; } "
        "qubit[2] q; b(0.3, 0.4) q[1], q[0];",
        "qubit[2] q; bit[2] c; h q[1]; inv @ t q[1]; ctrl @ rx(0.3) q[1], q[0]; c = measure q;",
    ],
)
def test_structures_as_qiskit_reads_them(text):
    assert_same_up_to_phase(ours(STANDARD + text), by_qiskit(STANDARD + text))


def test_version_2_expressions():
    """A power is `^` and binds tightest, division is real."""
    text = f"{LEGACY}qreg q[1]; rx(2*3^2 - 1/2) q[0]; // 2^2\nry(-2^(1+1)/3) q[0]; rz(ln(2)+sin(1)*sqrt(3)) q[0];"
    angles = [o.angle for o in read_qasm(text).circuit()[0].operations]
    assert angles == [17.5, -4 / 3, math.log(2) + math.sin(1) * math.sqrt(3)]


def test_version_without_header():
    assert read_qasm('include "qelib1.inc"; qreg q[1]; rx(1/2) q[0];').version == 2
    assert read_qasm("qubit q; U(1, 2, 3) q;").version == 3


FUNCTIONS = {
    "sin": torch.sin, "cos": torch.cos, "tan": torch.tan, "arcsin": torch.asin, "arccos": torch.acos,
    "arctan": torch.atan, "asin": torch.asin, "acos": torch.acos, "atan": torch.atan, "exp": torch.exp,
    "log": torch.log, "ln": torch.log, "sqrt": torch.sqrt, "floor": torch.floor, "ceiling": torch.ceil,
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTION_NAMES)
def test_functions(name):
    two = name == "mod"
    arguments = "t, 0.3" if two else "t"
    constant = "0.4, 0.3" if two else "0.4"
    text = f"{STANDARD}input float t; qubit q; rx({name}({arguments})) q; rx({name}({constant})) q;"
    program = read_qasm(text)
    value = torch.tensor(0.4, dtype=torch.float64)
    wanted = 0.4 % 0.3 if two else float(FUNCTIONS[name](value))
    bound = [o.angle for o in program.circuit({"t": 0.4})[0].operations]
    assert bound == pytest.approx([wanted, wanted], rel=1e-15)
    with qml.queuing.AnnotatedQueue() as queue:
        program.function({"t": value})
    assert isinstance(queue.queue[0].parameters[0], torch.Tensor)
    assert float(queue.queue[0].parameters[0]) == pytest.approx(wanted, rel=1e-15)


FREE = (
    f"{STANDARD}input array[float[64], 2, 2] w;\ninput float[64] t;\nconst float half = 0.5;\nqubit[2] q;\n"
    "rx(w[0][1]*t) q[0]; ry(arctan(w[1, 0]) - t**2) q[1]; float mixed = -t*half; ctrl @ rz(mixed) q[0], q[1]; "
    "inv @ p(w[-1, -1]) q[0]; negctrl(2) @ ry(t) q[0], q[1], r; U(t, w[0, 0], 0) q[1];"
).replace("qubit[2] q;", "qubit[2] q; qubit r;")


def test_parameters():
    program = read_qasm(FREE)
    assert program.parameters == ("w", "t")
    assert program.shapes == {"w": (2, 2), "t": ()}
    assert program.n_qubits == 3
    assert program.qubit_names == ("q[0]", "q[1]", "r")


def test_tensors_and_numbers_give_the_same():
    w, t = [[0.1, 0.2], [0.3, 0.4]], 0.7
    numbers = ours(FREE, {"w": w, "t": t})
    tensors = ours(FREE, {"w": torch.tensor(w, dtype=torch.float64), "t": torch.tensor(t, dtype=torch.float64)})
    arrays = ours(FREE, {"w": np.array(w), "t": np.float64(t)})
    np.testing.assert_allclose(np.asarray(tensors), numbers, atol=1e-14)
    np.testing.assert_allclose(arrays, numbers, atol=1e-14)


def test_autograd_goes_through():
    program = read_qasm(FREE)

    @qml.qnode(qml.device("default.qubit", wires=3), interface="torch")
    def value(w, t):
        program.function({"w": w, "t": t})
        return qml.expval(qml.X(0) @ qml.Y(1) @ qml.X(2) + qml.Z(1))

    generator = torch.Generator().manual_seed(0)
    w = torch.rand(2, 2, dtype=torch.float64, generator=generator, requires_grad=True)
    t = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda w, t: value(w, t), (w, t), atol=1e-6)


def test_capture_traces_it():
    """Values are neither converted to numbers nor compared: fake tensors, which have none, go through."""
    program = read_qasm(FREE)

    def function(inputs, w):
        program.function({"t": inputs[0], "w": w})

    captured = capture(function, n_inputs=1, weight_shapes={"w": (2, 2)}, observables="Z", n_wires=3)
    symbolic, slots = program.circuit()
    assert [(o.gate, o.wires) for o in captured.circuit.operations] == [(o.gate, o.wires) for o in symbolic.operations]
    assert captured.circuit.n_shared + captured.circuit.n_rows == len(slots)


def test_symbolic_circuit_has_one_slot_per_free_angle():
    circuit, slots = read_qasm(FREE).circuit({"t": 0.7})
    texts = [str(slots[o.angle]) if o.angle in slots else o.angle for o in circuit.operations]
    assert texts[0] == "w[0][1]*0.7"
    assert texts[1] == f"arctan(w[1][0]) - {0.7**2}"
    assert texts[2] == -0.35
    again, _ = read_qasm(FREE).circuit({"t": 0.7, "w": [[0.1, 0.2], [0.3, 0.4]]})
    assert again.n_shared == 0


def test_measured_wires():
    text = f"{LEGACY}qreg a[2]; qreg b[2]; creg c[2]; h a; measure b -> c; measure a[1] -> c[0];"
    assert read_qasm(text).measured_wires == (1, 2, 3)
    assert read_qasm("qubit[2] q; bit c = measure q[1];").measured_wires == (1,)


def test_program_is_plain_data():
    program = read_qasm(FREE)
    again = pickle.loads(pickle.dumps(program))
    assert again == program
    hash(program)


def test_path_or_text(tmp_path):
    path = tmp_path / "one.qasm"
    path.write_text("qubit q; U(1, 2, 3) q;")
    text_file = tmp_path / "other.txt"
    text_file.write_text("qubit q; U(1, 2, 3) q;")
    wanted = read_qasm(path.read_text()).instructions
    for given in (path, str(path), text_file, str(text_file)):
        program = read_qasm(given)
        assert program.instructions == wanted
        assert program.name == str(given)


def test_values_are_checked():
    program = read_qasm(FREE)
    with pytest.raises(ArgumentError, match=r'a value to every free parameter; "w" has none. Free parameters: w, t'):
        program.function({"t": 0.1})
    with pytest.raises(UnknownNameError, match=r'No free parameter of the program named "tt". Did you mean "t"'):
        program.function({"t": 0.1, "w": np.zeros((2, 2)), "tt": 1})
    with pytest.raises(ShapeError, match=r'`values\["w"\]` must have shape \(2, 2\) as declared; got \(2,\)'):
        program.function({"t": 0.1, "w": [1, 2]})
    with pytest.raises(ArgumentError, match=r"give every angle a value; .*division by zero"):
        read_qasm(f"{STANDARD}input float t; qubit q; rx(1/t) q;").function({"t": 0})


def test_read_angle():
    assert read_angle("0.3") == 0.3
    assert read_angle("-pi/4") == -math.pi / 4
    assert read_angle("1/2^2") == 0.25
    for bad in ("", "x", "1,2", "pi//", "h q", "1; 2"):
        with pytest.raises(ArgumentError, match="A value must be a number"):
            read_angle(bad)
