"""Every file of circuits/ measures what it says, in PennyLane, in Qiskit Aer and in qnn's simulator."""

import math
import re
from pathlib import Path

import numpy as np
import pennylane as qml
import pytest
import qiskit.qasm2
import qiskit.qasm3
import torch
from qiskit_aer import AerSimulator

from qnn.backends import registry
from qnn.backends.base import Angles
from qnn.circuits.observables import Expectation, Probabilities, pauli
from qnn.circuits.qasm import circuit_to_qasm, read_qasm

FOLDER = Path(__file__).parent.parent / "circuits"
FILES = sorted(FOLDER.glob("*.qasm"))
NAMES = [f.stem for f in FILES]
FORMULA = {"sin": math.sin, "cos": math.cos, "sqrt": math.sqrt, "pi": math.pi}
LETTERS = {"X": qml.X, "Y": qml.Y, "Z": qml.Z}


def expectations(file):
    """(Pauli word as ((wire, letter), ...) or outcome as text, formula) of each `// expect:` line."""
    found = []
    for left, formula in re.findall(r"^// expect: (.+?) = (.+)$", file.read_text(), re.MULTILINE):
        if outcome := re.fullmatch(r"P\(([01]+)\)", left):
            found.append((outcome.group(1), formula))
        else:
            word = re.fullmatch(r"<((?:[XYZ]\d+ ?)+)>", left).group(1)
            found.append((tuple((int(p[1:]), p[0]) for p in word.split()), formula))
    return found


def bound(program, seed=0):
    generator = np.random.default_rng(seed)
    return {name: float(generator.uniform(0.3, 2.8)) for name in program.parameters}


def wanted(file, values):
    return np.array([eval(formula, {"__builtins__": {}}, {**FORMULA, **values}) for _, formula in expectations(file)])


def from_state(file, probabilities, expectation):
    """The values of a file's `expect:` lines, given functions that compute one of each kind."""
    return np.array(
        [probabilities(what) if isinstance(what, str) else expectation(what) for what, _ in expectations(file)]
    )


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_pennylane(file):
    program = read_qasm(file)
    values = bound(program)
    device = qml.device("default.qubit", wires=program.n_qubits)

    @qml.qnode(device)
    def measured(observable):
        program.function(values)
        return qml.expval(observable)

    @qml.qnode(device)
    def distribution():
        program.function(values)
        return qml.probs(wires=program.measured_wires or range(program.n_qubits))

    got = from_state(
        file,
        lambda outcome: distribution()[int(outcome, 2)],
        lambda word: measured(qml.prod(*(LETTERS[p](w) for w, p in word))),
    )
    np.testing.assert_allclose(got, wanted(file, values), atol=1e-10)


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_qiskit_aer(file):
    program = read_qasm(file)
    values = bound(program, seed=1)
    loads = qiskit.qasm2.loads if program.version == 2 else qiskit.qasm3.loads
    circuit = loads(file.read_text()).remove_final_measurements(inplace=False)
    circuit = circuit.assign_parameters({p: values[p.name] for p in circuit.parameters})
    circuit.save_statevector()
    simulator = AerSimulator()
    state = simulator.run(qiskit.transpile(circuit, simulator, optimization_level=0)).result().get_statevector()
    n = program.n_qubits

    def probability(outcome):
        wires = list(program.measured_wires) or list(range(n))
        return state.probabilities(wires)[int(outcome[::-1], 2)]

    def expectation(word):
        letters = ["I"] * n
        for wire, letter in word:
            letters[n - 1 - wire] = letter
        return state.expectation_value(qiskit.quantum_info.Pauli("".join(letters))).real

    np.testing.assert_allclose(from_state(file, probability, expectation), wanted(file, values), atol=1e-10)


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_statevector_backend(file):
    program = read_qasm(file)
    values = bound(program, seed=2)
    wires = program.measured_wires or tuple(range(program.n_qubits))
    words = [what for what, _ in expectations(file) if not isinstance(what, str)]
    measurements = (Probabilities(wires), *(Expectation(pauli(word)) for word in words))
    circuit, _ = program.circuit(values, measurements)
    nothing = torch.zeros(0, dtype=torch.float64)
    estimate = registry.resolve("statevector").compile(circuit).run(Angles(nothing, nothing.reshape(1, 0)))
    result = estimate.values[0].numpy()
    by_word = dict(zip(words, result[2 ** len(wires) :], strict=True))
    got = from_state(file, lambda outcome: result[int(outcome, 2)], by_word.__getitem__)
    np.testing.assert_allclose(got, wanted(file, values), atol=1e-10)


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_expectations_pin_the_circuit_down(file):
    """A file must say something that the empty circuit does not fulfil."""
    program = read_qasm(file)
    values = bound(program)
    empty = from_state(
        file,
        lambda outcome: float(int(outcome, 2) == 0),
        lambda word: float(all(letter == "Z" for _, letter in word)),
    )
    assert len(empty)
    assert np.max(np.abs(empty - wanted(file, values))) > 0.1


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_round_trip(file):
    circuit, angles = read_qasm(file).circuit()
    again, angles_again = read_qasm(
        circuit_to_qasm(circuit, angles=angles, inputs=read_qasm(file).parameters)
    ).circuit()
    assert again == circuit
    assert angles_again == angles


def test_readme_has_a_row_for_every_file():
    rows = re.findall(r"^\| \[([\w.]+)\]\(([\w.]+)\)", (FOLDER / "README.md").read_text(), re.MULTILINE)
    assert sorted(target for _, target in rows) == [f.name for f in FILES]
    assert all(label == target for label, target in rows)


def test_register_parameters_change_nothing():
    """The H-RX trap: RX on H|0> is a global phase."""
    program = read_qasm(FOLDER / "h_rx_register_4.qasm")
    wires = Probabilities(tuple(range(4)))
    nothing = torch.zeros(0, dtype=torch.float64)
    for seed in range(3):
        circuit, _ = program.circuit(bound(program, seed), (wires,))
        values = registry.resolve("statevector").compile(circuit).run(Angles(nothing, nothing.reshape(1, 0))).values
        np.testing.assert_allclose(values[0].numpy(), 1 / 16, atol=1e-12)
