"""Native gates of machines: every family computes what the circuit does, folded or not, on qubits that interact."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from braket.circuits import Circuit as BraketCircuit
from braket.devices import LocalSimulator

from qnn.backends import resolve
from qnn.backends._qiskit.native import native_gates
from qnn.backends.base import Angles
from qnn.backends.braket import _circuit
from qnn.backends.braket.verbatim import placed
from qnn.circuits.circuit import Circuit, Operation, Slot
from qnn.circuits.folding import Folding
from qnn.circuits.observables import Expectation, pauli
from qnn.circuits.settings import plan_measurements
from qnn.errors import CircuitRefusedError

FAMILIES = [
    ("prx", "cz"),  # IQM
    ("rx", "rz", "iswap"),  # Rigetti Ankaa
    ("rx", "rz", "cz"),  # Rigetti Cepheus
    ("GPI", "GPI2", "MS"),  # IonQ Aria
    ("gpi", "gpi2", "zz"),  # IonQ Forte
    ("prx", "rz", "xx"),  # AQT
    ("rx", "rz", "cnot"),
]
CIRCUIT = Circuit(
    3,
    (
        Operation("Hadamard", (0,)),
        Operation("RX", (1,), Slot("shared", 0)),
        Operation("RY", (2,), Slot("rows", 0)),
        Operation("CNOT", (0, 1)),
        Operation("RZ", (1,), Slot("rows", 1)),
        Operation("CRX", (1, 2), Slot("shared", 1)),
        Operation("T", (0,)),
        Operation("CZ", (2, 0)),
        Operation("RX", (0,), Slot("shared", 2)),
        Operation("SWAP", (0, 1)),
    ),
    (Expectation(pauli("XYZ")), Expectation(pauli(((2, "Z"),)))),
    3,
    2,
)
ANGLES = Angles(torch.tensor([0.3, -1.1, 0.8], dtype=torch.float64), torch.tensor([[0.7, 2.9], [-2.0, 0.4]]).double())


def properties(names, graph=None, qubits=5, **further):
    """A line of qubits 1, 2, ... by default."""
    line = {str(q): [str(q + 1)] for q in range(1, qubits)} if graph is None else graph
    connectivity = SimpleNamespace(fullyConnected=not line, connectivityGraph=line)
    paradigm = SimpleNamespace(nativeGateSet=list(names), qubitCount=qubits, connectivity=connectivity)
    return SimpleNamespace(paradigm=paradigm, **further)


class Written:
    """Stands for an executable: what was written, and its values by Braket's own simulator."""

    noise_scale = 1.0

    def __init__(self, circuit, gates, facts, site):
        self.circuit, self.gates, self.facts, self.site = circuit, gates, facts, site

    def values(self, angles=ANGLES):
        dense, plan = angles.dense().numpy(), plan_measurements(self.circuit.measurements)
        return plan.values([self._distributions(gates, dense) for gates in self.gates])

    def _distributions(self, gates, dense):
        executed = [i for i in _circuit(gates).instructions if i.operator.name not in _NOT_GATES]
        number = {label: i for i, label in enumerate(sorted({int(q) for i in executed for q in i.target}))}
        program = BraketCircuit([i.copy(target=[number[int(q)] for q in i.target]) for i in executed])
        program.probability()  # of all qubits: for some in another order than theirs it permutes the wrong way round
        rows = [
            LocalSimulator().run(program, inputs=row).result().values[0] for row in gates.inputs(dense, repeat=True)
        ]
        qubits = [number[label] for label in gates.measured]
        others = tuple(set(range(len(number))) - set(qubits))
        found = np.stack(rows).reshape(len(rows), *[2] * len(number))
        order = np.argsort(np.argsort(qubits))
        found = found.sum(axis=tuple(1 + q for q in others))
        return found.transpose(0, *(1 + order)).reshape(len(rows), -1)


_NOT_GATES = ("StartVerbatimBox", "EndVerbatimBox", "Measure")


def written(circuit, native, level=2):
    settings = plan_measurements(circuit.measurements).settings
    return placed(circuit, settings, native, Written, optimization_level=level, seed_transpiler=0)


@pytest.mark.parametrize("names", FAMILIES, ids="+".join)
def test_native_gates_compute_what_the_circuit_does(names) -> None:
    native = native_gates(properties(names), "braket:machine")
    found = written(CIRCUIT, native)
    exact = resolve("statevector").compile(CIRCUIT).run(ANGLES).values.numpy()
    np.testing.assert_allclose(found.values(), exact, atol=1e-9)
    allowed = {name.lower() for name in names}
    for gates in found.gates:
        assert {step.name for step in gates.steps} <= allowed
        assert all(abs(step.qubits[0] - step.qubits[1]) == 1 for step in gates.steps if len(step.qubits) > 1)
        assert not any(step.name == "rz" for step in gates.steps) or "rz" in allowed
    pairs = found.facts["two_qubit_gates"]
    for kind, scale in (("two-qubit", 3), ("global", 3), ("two-qubit", 1.5)):
        folded = found.site.folded(CIRCUIT, Folding(scale, kind))
        np.testing.assert_allclose(folded.values(), exact, atol=1e-9)
        assert scale != 3 or folded.facts["two_qubit_gates"] == 3 * pairs
        assert folded.facts["layout"] == found.facts["layout"]


@pytest.mark.parametrize("names", FAMILIES, ids="+".join)
def test_flips_are_measured_where_the_circuit_is(names) -> None:
    found = written(CIRCUIT, native_gates(properties(names), "braket:machine"))
    nothing = Angles(torch.zeros(0).double(), torch.zeros(1, 0).double())
    for flips in (False, True):
        flipped = found.site.flipped(CIRCUIT, (0, 2), flips)
        assert flipped.values(nothing)[0, :2] == pytest.approx([-1.0, -1.0] if flips else [1.0, 1.0], abs=1e-9)
        (gates,) = flipped.gates
        assert gates.measured == tuple(found.facts["layout"][wire] for wire in (0, 2))
        assert gates.steps  # a box of nothing would be left out, and with it the numbers of the qubits


def test_all_qubits_interact_where_the_machine_says_so() -> None:
    native = native_gates(properties(("gpi", "gpi2", "ms"), {}), "braket:machine")
    assert native.labels == (0, 1, 2, 3, 4)
    assert (
        written(CIRCUIT, native).facts["two_qubit_gates"]
        < written(CIRCUIT, native_gates(properties(("gpi", "gpi2", "ms")), "braket:machine")).facts["two_qubit_gates"]
    )


def test_the_better_qubits_are_taken() -> None:
    """Of a ring of six the two whose gate and detectors have the smallest errors."""
    fidelity = lambda name, value: SimpleNamespace(fidelityType=SimpleNamespace(name=name), fidelity=value)
    good = (4, 5)
    one = {
        str(q): SimpleNamespace(oneQubitFidelity=[fidelity("READOUT", 0.99 if q in good else 0.9)]) for q in range(1, 7)
    }
    two = {
        f"{q}-{q % 6 + 1}": SimpleNamespace(
            twoQubitGateFidelity=[SimpleNamespace(gateName="CZ", fidelity=0.999 if q == 4 else 0.9)]
        )
        for q in range(1, 7)
    }
    ring = {str(q): [str(q % 6 + 1)] for q in range(1, 7)}
    told = SimpleNamespace(oneQubitProperties=one, twoQubitProperties=two)
    circuit = Circuit(2, (Operation("Hadamard", (0,)), Operation("CNOT", (0, 1))), (Expectation(pauli("ZZ")),))
    native = native_gates(properties(("prx", "cz"), ring, 6, standardized=told), "braket:machine")
    assert set(written(circuit, native).facts["layout"].values()) == set(good)


def test_what_tells_nothing_is_not_taken_for_perfect() -> None:
    told = SimpleNamespace(
        oneQubitProperties={},
        twoQubitProperties={
            f"{q}-{q + 1}": SimpleNamespace(twoQubitGateFidelity=[SimpleNamespace(gateName="CZ", fidelity=0.99)])
            for q in range(1, 6)
        },
    )
    ring = {str(q): [str(q % 6 + 1)] for q in range(1, 7)}
    circuit = Circuit(2, (Operation("Hadamard", (0,)), Operation("CNOT", (0, 1))), (Expectation(pauli("ZZ")),))
    told.twoQubitProperties["5-6"].twoQubitGateFidelity[0].fidelity = 0.98  # so that 1-6 is as bad, and 1-5 better
    native = native_gates(properties(("prx", "cz"), ring, 6, standardized=told), "braket:machine")
    assert set(written(circuit, native).facts["layout"].values()) not in ({1, 6}, {5, 6})


@pytest.mark.parametrize("names", [(), ("rx", "cz"), ("prx",), ("prx", "xx"), ("prx", "cnot")])
def test_other_gates_are_refused(names) -> None:
    with pytest.raises(CircuitRefusedError, match=r"`verbatim` must be for a machine whose native gates qnn can write"):
        native_gates(properties(names), "braket:machine")
