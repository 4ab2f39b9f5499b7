"""Qiskit Aer without noise: the contract, one run per call, layout, options, errors."""

import numpy as np
import oracles
import pytest
import torch
from contracts.backend_contract import SAMPLED, SIGMAS, BackendContract, equal_rows, keys, no_angles
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.transpiler import CouplingMap
from qiskit_aer import AerSimulator
from random_circuits import every_gate, random_angles, random_circuit

from qnn.backends import Aer, resolve
from qnn.circuits.circuit import Circuit, Operation
from qnn.circuits.observables import Expectation, Probabilities, pauli, z_on_every_wire
from qnn.errors import ArgumentError, BackendError, CapabilityError, UnknownNameError

HEAVY_HEX = CouplingMap.from_heavy_hex(3)  # 19 qubits


@pytest.fixture(scope="module")
def ideal_device():
    """A heavy-hex device whose gates are perfect: layout and routing are real, noise is not."""
    return GenericBackendV2(19, ["rz", "sx", "x", "ecr"], coupling_map=HEAVY_HEX, noise_info=False, seed=1)


@pytest.fixture
def aer_calls(monkeypatch):
    """Sizes of every call of `AerSimulator.run` in the test."""
    calls = []
    run = AerSimulator.run

    def counting(self, circuits, *args, **kwargs):
        calls.append(len(circuits))
        return run(self, circuits, *args, **kwargs)

    monkeypatch.setattr(AerSimulator, "run", counting)
    return calls


class TestAer(BackendContract):
    def make(self):
        return Aer()


class TestAerMatrixProductState(BackendContract):
    seeds = range(3)

    def make(self):
        return Aer(method="matrix_product_state")


class TestAersOwnShots(BackendContract):
    seeds = range(2)

    def make(self):
        return Aer(sampler="aer")

    def test_an_identical_call_repeats(self):
        executable = self.make().compile(SAMPLED)
        first, again, later = (
            executable.run(equal_rows(6), shots=100, keys=keys(6, call=call)).values for call in (0, 0, 1)
        )
        assert torch.equal(first, again) and not torch.equal(first, later)


@pytest.mark.parametrize("options", [{}, {"sampler": "aer"}, {"noise": "fake_manila"}])
def test_all_rows_and_settings_are_one_run(aer_calls, options):
    executable = Aer(**options).compile(SAMPLED)
    n_settings = len(executable.plan.settings)
    assert n_settings > 1
    executable.run(equal_rows(9))
    assert aer_calls == [n_settings]
    executable.run(equal_rows(9), shots=10, keys=keys(9))
    assert aer_calls == [n_settings] * 2


def test_equal_circuits_are_transpiled_once(monkeypatch):
    backend = Aer()
    first = backend.compile(SAMPLED)
    monkeypatch.setattr("qnn.backends._qiskit.placing.transpile", None)
    assert backend.compile(Circuit.from_json(SAMPLED.to_json())) is first


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_every_optimization_level_keeps_the_values(level):
    backend = Aer(optimization_level=level)
    swaps = Circuit(
        3,
        (Operation("RY", (0,), 0.4), Operation("SWAP", (0, 2)), Operation("RX", (1,), 1.0), Operation("SWAP", (2, 1))),
        (*z_on_every_wire(3), Probabilities((2, 0, 1)), Expectation(pauli("YXI"))),
    )
    for circuit in (every_gate(), random_circuit(4, 4), swaps):
        angles = random_angles(circuit, 2)
        values = backend.compile(circuit).run(angles).values
        np.testing.assert_allclose(values, oracles.values(circuit, angles.shared, angles.rows), atol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_values_survive_layout_and_routing(ideal_device, seed):
    """After transpiling to heavy hex, with wires moved by layout and SWAPs, values equal the dense oracle."""
    circuit = random_circuit(seed + 30, n_wires=5, n_operations=20)
    backend = Aer(noise=ideal_device, seed_transpiler=seed)
    executable = backend.compile(circuit)
    facts = executable.describe()
    assert [facts["layout"][w] for w in sorted(facts["layout"])] != list(range(5))
    angles = random_angles(circuit, 2)
    truth = oracles.values(circuit, angles.shared, angles.rows)
    np.testing.assert_allclose(executable.run(angles).values, truth, atol=1e-9)
    assert executable.describe()["two_qubit_gates"] > circuit.n_two_qubit_gates()


def test_aers_own_shots_survive_layout_too(ideal_device):
    flips = tuple(Operation("PauliX", (w,)) for w in (0, 3))
    ring = tuple(Operation("CNOT", (w, (w + 2) % 5)) for w in range(5))
    circuit = Circuit(5, flips + ring, (Probabilities((4, 1, 0, 3, 2)),))
    estimate = Aer(noise=ideal_device, sampler="aer").compile(circuit).run(no_angles(1), shots=50, keys=keys(1))
    truth = oracles.values(circuit, [], [[]])
    np.testing.assert_allclose(estimate.values, truth, atol=1e-9)


def test_controlled_rotations_are_bound(ideal_device):
    """Aer leaves parameters of controlled gates unbound; a device with native ones still gets its angles."""
    device = GenericBackendV2(4, ["rz", "sx", "x", "cx", "crx"], noise_info=False, seed=1)
    circuit = random_circuit(8, 3, gates=("CRX", "RY", "CNOT"), n_operations=10)
    executable = Aer(noise=device, optimization_level=0).compile(circuit)
    names = {i.operation.name for s in executable._settings for i in s.bound.circuit.data}
    assert "crx" in names and not executable._settings[0].bound.bindable
    angles = random_angles(circuit, 3)
    truth = oracles.values(circuit, angles.shared, angles.rows)
    np.testing.assert_allclose(executable.run(angles).values, truth, atol=1e-9)


def test_own_shots_and_ours_have_the_same_distribution():
    """Over 300 rows of 100 shots: means of the two samplers within 5 sigma of their difference."""
    n, shots = 300, 100
    exact = Aer().compile(SAMPLED).run(equal_rows(1)).values[0, :3].numpy()
    ours = Aer().compile(SAMPLED).run(equal_rows(n), shots=shots, keys=keys(n)).values[:, :3].numpy()
    theirs = Aer(sampler="aer").compile(SAMPLED).run(equal_rows(n), shots=shots, keys=keys(n)).values[:, :3].numpy()
    sigma = np.sqrt(2 * (1 - exact**2) / (n * shots))
    assert np.all(np.abs(ours.mean(axis=0) - theirs.mean(axis=0)) < SIGMAS * sigma)
    assert not np.array_equal(ours, theirs)


def test_options_change_what_they_say(ideal_device):
    circuit = random_circuit(31, n_wires=5, n_operations=20)

    def facts(**options):
        return Aer(noise=ideal_device, **options).compile(circuit).describe()

    assert len({str(facts(seed_transpiler=seed)) for seed in range(6)}) > 1
    assert facts(optimization_level=0)["depth"] > facts(optimization_level=3)["depth"]
    assert Aer(method="density_matrix").compile(circuit).describe()["method"] == "density_matrix"
    assert Aer().compile(circuit).describe()["method"] == "statevector"


def test_threads_follow_torch_unless_given(monkeypatch):
    seen = []
    run = AerSimulator.run
    monkeypatch.setattr(
        AerSimulator, "run", lambda self, *a, **k: seen.append(k["max_parallel_threads"]) or run(self, *a, **k)
    )
    Aer().compile(SAMPLED).run(equal_rows(1))
    Aer(max_parallel_threads=3).compile(SAMPLED).run(equal_rows(1))
    assert seen == [torch.get_num_threads(), 3]


def test_capabilities():
    plain, own = Aer().capabilities, Aer(sampler="aer").capabilities
    assert plain.exact and plain.shots and plain.keyed and not plain.noisy and not plain.vjp
    assert not own.keyed and own.exact
    noisy = Aer(noise="fake_manila").capabilities
    assert noisy.noisy and noisy.exact and noisy.max_wires == 5
    assert plain.max_wires > 20


def test_specification_has_what_differs_from_the_defaults():
    assert Aer().specification() == {"name": "aer"}
    options = {"noise": "fake_manila", "sampler": "aer", "seed_transpiler": 3, "optimization_level": 0}
    assert Aer(**options).specification() == {"name": "aer", **options}


def test_wrong_options(ideal_device):
    with pytest.raises(UnknownNameError, match=r'No method named "statevctor". Did you mean "statevector"'):
        Aer(method="statevctor")
    with pytest.raises(UnknownNameError, match='No sampler named "Aer"'):
        Aer(sampler="Aer")
    with pytest.raises(ArgumentError, match="`optimization_level` must be 0, 1, 2 or 3; got 4"):
        Aer(optimization_level=4)
    with pytest.raises(ArgumentError, match="`max_parallel_threads` must be a positive integer; got 0"):
        Aer(max_parallel_threads=0)
    with pytest.raises(ArgumentError, match="`keys` must be given to sample shots"):
        Aer().compile(SAMPLED).run(equal_rows(1), shots=5)
    with pytest.raises(ArgumentError, match="`keys` must be given to sample shots"):
        Aer(sampler="aer").compile(SAMPLED).run(equal_rows(1), shots=5)
    with pytest.raises(CapabilityError, match="`n_qubits` must be at most 19 to run on generic_backend_19q; got 20"):
        Aer(noise=ideal_device).compile(random_circuit(0, 20))


def test_a_failure_of_aer_is_a_backend_error():
    chain = tuple(Operation("CNOT", (w, w + 1)) for w in range(39))
    wide = Circuit(40, (Operation("Hadamard", (0,)), *chain), (Expectation(pauli(((39, "Z"),))),))
    with pytest.raises(BackendError, match="Qiskit Aer"):
        Aer(method="statevector").compile(wide).run(no_angles(1))


def test_processors():
    """There is no GPU here: asked for by name it is refused, and the CPU is what is used."""
    if "GPU" in AerSimulator().available_devices():
        pytest.skip("this Aer has a GPU")
    executable = resolve("aer", device="CPU").compile(SAMPLED)
    assert executable.describe()["processor"] == Aer().compile(SAMPLED).describe()["processor"] == "CPU"
    with pytest.raises(CapabilityError, match='`device` must be "CPU", because this Aer has none; got "GPU"'):
        resolve("aer", device="GPU")
    with pytest.raises(ArgumentError, match='`device` must be "CPU" or "GPU"; got \'TPU\''):
        Aer(device="TPU")
    assert Aer(device="CPU").specification() == {"name": "aer", "device": "CPU"}


def test_what_aer_would_be_told_where_it_has_a_gpu(mocker):
    """Options only: no GPU has ever run this."""
    mocker.patch("qnn.backends.aer._has_gpu", return_value=True)
    assert Aer()._hardware("statevector", 16) == {"device": "GPU", "batched_shots_gpu": True}
    assert Aer(device="GPU")._hardware("statevector", 17) == {"device": "GPU", "batched_shots_gpu": False}
    assert Aer(device="CPU")._hardware("statevector", 4) == {"device": "CPU"}
    assert Aer(method="matrix_product_state")._hardware("matrix_product_state", 4) == {"device": "CPU"}
    with pytest.raises(CapabilityError, match=r'because method="matrix_product_state" has no GPU code.*Leave `device`'):
        Aer(method="matrix_product_state", device="GPU")


def test_a_matrix_product_state_of_many_qubits_measures_a_few_and_refuses_a_table_of_all():
    gates = (Operation("Hadamard", (0,)), *(Operation("CNOT", (i, i + 1)) for i in range(39)))
    few = Circuit(40, gates, (Expectation(pauli(((0, "Z"), (39, "Z")))),))
    backend = Aer(method="matrix_product_state")
    assert abs(backend.compile(few).run(no_angles(1)).values.item() - 1) < 1e-9
    everything = few.with_measurements(z_on_every_wire(40))
    with pytest.raises(ArgumentError, match=r"few enough of the 40 wires together .* got 40 wires and 1 rows"):
        backend.compile(everything).run(no_angles(1))


def test_wrong_seeds_of_the_transpiler():
    with pytest.raises(ArgumentError, match=r"`seed_transpiler` must be from 0 to 2\^32 - 1; got 'a'"):
        Aer(seed_transpiler="a")
