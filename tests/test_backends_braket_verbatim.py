"""Machines of Amazon Braket by native gates, through Braket's own emulator of one: what is executed, and mitigated."""

import json
import pickle

import pytest
import torch
from braket_machine import MACHINE
from braket_service import QPU, SV1, installed
from contracts.backend_contract import SAMPLED, equal_rows, keys, no_angles

from qnn import QuantumLayer, _meter
from qnn._run import Once, Run, run_scope
from qnn.backends import Braket, Mitigated, from_specification, resolve
from qnn.circuits.circuit import Circuit, Operation
from qnn.circuits.observables import Expectation, pauli
from qnn.errors import ArgumentError, CapabilityError, CircuitRefusedError

FOLDER = "amazon-braket-test/folder"
NAME = f"braket:{MACHINE}"
# The first bit turns by a native gate; the others follow it, so that no layout makes routing needless.
CHAIN = Circuit(
    3,
    (Operation("PauliX", (0,)), Operation("CNOT", (0, 1)), Operation("CNOT", (1, 2)), Operation("CNOT", (0, 2))),
    tuple(Expectation(pauli(((wire, "Z"),))) for wire in range(3)),
)
TRUTH = torch.tensor([-1.0, -1.0, 1.0], dtype=torch.float64)
SHOTS = 8000


@pytest.fixture
def service(monkeypatch, tmp_path):
    return installed(monkeypatch, tmp_path)


def machine(mitigation=None, **options):
    """A backend of its own: those that are found by name keep the connection of another test."""
    given = Braket(MACHINE, s3_folder=FOLDER, verbatim=mitigation is None, **options)
    return given if mitigation is None else Mitigated(given, **dict.fromkeys(mitigation.split("+"), True))


def sources(service):
    return [json.loads(task["action"])["source"] for task in service.tasks]


def test_mitigation_comes_closer_on_a_machine(service) -> None:
    """Of 0.30 readout takes 0.10, and extrapolation 0.11 more: 5 sigma beyond what is asserted."""
    error, sigma = {}, {}
    for mitigation in (None, "readout", "readout+zne"):
        found = machine(mitigation).compile(CHAIN).run(no_angles(1), shots=SHOTS)
        worst = (found.values[0] - TRUTH).abs().argmax()
        error[mitigation] = (found.values[0] - TRUTH).abs()[worst]
        sigma[mitigation] = found.variance[0, worst].sqrt()
    assert error[None] - error["readout"] > 3 * sigma["readout"]
    assert error["readout+zne"] < error["readout"]


def test_circuits_are_boxes_of_native_gates_on_the_machines_qubits(service) -> None:
    executable = machine("readout+zne").compile(CHAIN)
    executable.run(no_angles(1), shots=100)
    facts = executable.describe()
    qubits = sorted(facts["layout"].values())
    zeros, ones, *folded = sources(service)
    n = facts["two_qubit_gates"]
    assert [text.count("cz $") for text in folded] == [n, 3 * n, 5 * n]
    assert facts["two_qubit_gates_by_scale"] == f"{n}, {3 * n}, {5 * n}" and facts["native_gates"] == "cz, prx"
    for text in (zeros, ones, *folded):
        assert "#pragma braket verbatim" in text and "qubit[" not in text
        assert sorted(int(line.split("$")[1].strip(";")) for line in text.splitlines() if "measure" in line) == qubits
    assert zeros.count("prx(0.0, 0.0)") == 3 and ones.count("prx(3.14159") == 3


def test_rows_bases_and_slots(service) -> None:
    """Angles are inputs of one program for each basis; values are those of the circuit, but for the noise."""
    executable = Braket(MACHINE, s3_folder=FOLDER, verbatim=True).compile(SAMPLED)
    found = executable.run(equal_rows(2), shots=4000)
    exact = resolve("statevector").compile(SAMPLED).run(equal_rows(2)).values
    assert len(service.tasks) == 2 * len(executable.plan.settings) and len(set(sources(service))) == 2
    assert (found.values - exact).abs().max() < 0.25
    assert all("input float" in text for text in sources(service))


def test_gradients_and_training_through_mitigation(service) -> None:
    """Derivative of <Z> of one qubit: 0.88 of it without mitigation, 5 sigma apart from all of it."""
    x = torch.tensor([[1.2]], dtype=torch.float64)
    make = lambda **options: QuantumLayer(1, 1, seed=3, dtype=torch.float64, gradient="parameter-shift", **options)
    gradient = {}
    for mitigation in (None, "readout"):
        layer = make(backend=machine(mitigation), shots=SHOTS)
        layer(x).sum().backward()
        gradient[mitigation] = next(layer.parameters()).grad.reshape(-1)
    exact = make()
    exact(x).sum().backward()
    truth = next(exact.parameters()).grad.reshape(-1)
    largest = truth.abs().argmax()
    assert abs(truth[largest]) > 0.5
    assert abs(gradient["readout"] / truth - 1)[largest] < 0.06 < abs(gradient[None] / truth - 1)[largest]


def test_mitigation_makes_it_verbatim_and_leaves_the_options(service) -> None:
    backend = resolve(NAME, s3_folder=FOLDER, timeout_s=60.0, mitigation="zne")
    assert not backend.given.capabilities.verbatim and backend.inner.capabilities.verbatim
    assert backend.specification() == {"name": NAME, "s3_folder": FOLDER, "timeout_s": 60.0, "mitigation": "zne"}
    assert from_specification(backend.specification()).inner.specification() == backend.inner.specification()
    given = Braket(MACHINE, s3_folder=FOLDER, verbatim=True, optimization_level=0, seed_transpiler=5)
    assert Mitigated(given, zne=True).inner is given
    specification = given.specification()
    assert specification["verbatim"] and (specification["optimization_level"], specification["seed_transpiler"]) == (
        0,
        5,
    )
    assert pickle.loads(pickle.dumps(given)).specification() == specification
    slow, quick = (Braket(MACHINE, s3_folder=FOLDER, verbatim=True, optimization_level=n) for n in (0, 2))
    gates = [each.compile(SAMPLED).describe()["gates"] for each in (slow, quick)]
    assert gates[0] > gates[1]


def test_a_calibration_of_other_qubits_is_another_one(service) -> None:
    """The machine's fidelities change while a run is away: its circuit gets other qubits, and these are calibrated."""
    turned = Circuit(1, (Operation("PauliX", (0,)),), (Expectation(pauli("Z")),))

    def used(counted, good):
        told = service.devices[MACHINE][1]["standardized"]["oneQubitProperties"]
        for qubit, properties in told.items():
            _, readout = properties["oneQubitFidelity"]
            told[qubit] = properties | {"oneQubitFidelity": [_, readout | {"fidelity": 0.99 if qubit == good else 0.9}]}
        executable = machine("readout").compile(turned)
        once = Once(counted)
        with run_scope(Run("r", once=once)), _meter.measure() as usage:
            executable.run(no_angles(1), shots=100, keys=keys(1))
        assert executable.describe()["layout"] == {0: int(good)}
        return usage.jobs, once.counted

    jobs, counted = used(None, "1")
    assert (jobs, len(service.tasks)) == (3, 3)
    assert used(counted, "1")[0] == 1 and len(service.tasks) == 3
    assert used(counted, "4")[0] == 3 and len(service.tasks) == 6


def test_what_cannot_be_verbatim(service) -> None:
    with pytest.raises(ArgumentError, match=r"`verbatim` must be left out for braket:sv1, a simulator"):
        resolve("braket:sv1", verbatim=True)
    with pytest.raises(ArgumentError, match="`verbatim` must be True or False; got 'yes'"):
        Braket(MACHINE, verbatim="yes")
    with pytest.raises(
        ArgumentError, match=r"`optimization_level` must come with `verbatim`.*got 0. Add verbatim=True"
    ):
        Braket(MACHINE, optimization_level=0)
    with pytest.raises(ArgumentError, match=r"`seed_transpiler` must be from 0 to 2\^32 - 1; got -1"):
        Braket(MACHINE, verbatim=True, seed_transpiler=-1)
    with pytest.raises(CircuitRefusedError, match=rf"whose native gates qnn can write .*{QPU} has none"):
        resolve(f"braket:{QPU}", s3_folder=FOLDER, mitigation="zne").compile(CHAIN)
    with pytest.raises(CapabilityError, match="`n_qubits` must be at most 4"):
        Braket(MACHINE, verbatim=True).compile(Circuit(5, (), (Expectation(pauli("ZZZZZ")),)))
    assert not service.tasks and resolve(f"braket:{SV1}").capabilities.verbatim
