"""Noise on Aer: models and fake devices, against plain Aer on the whole device."""

import subprocess
import sys
import warnings
from functools import cache, reduce

import numpy as np
import oracles
import pytest
import torch
from contracts.backend_contract import SAMPLED, SIGMAS, BackendContract, equal_rows, keys, no_angles
from qiskit import QuantumCircuit, transpile
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, ReadoutError, amplitude_damping_error, depolarizing_error, pauli_error
from random_circuits import random_angles, random_circuit

from qnn.backends import Aer
from qnn.backends._qiskit.placing import translate
from qnn.backends.aer import fake_device
from qnn.backends.confusion import apply_confusion
from qnn.circuits.circuit import Circuit, Operation, Slot
from qnn.circuits.observables import Expectation, Probabilities, pauli, z_on_every_wire
from qnn.circuits.settings import plan_measurements
from qnn.errors import (
    ArgumentError,
    BackendError,
    CapabilityError,
    NoiseCoverageWarning,
    UnknownNameError,
    UnsupportedError,
)

SHERBROOKE = "fake_sherbrooke"  # 127 qubits


def plain_aer(circuit, angles, model, *, level, seed=0, **where):
    """Exact noisy values by plain Aer: rows bound one by one, all qubits, readout error by Kronecker product."""
    body, columns = translate(circuit)
    placed = transpile(body, optimization_level=level, seed_transpiler=seed, **where)
    final = range(circuit.n_wires) if placed.layout is None else placed.layout.final_index_layout()
    gates = [
        g for g in model.basis_gates if g not in ("measure", "reset", "delay", "if_else", "for_loop", "switch_case")
    ]
    plan = plan_measurements(circuit.measurements)
    simulator = AerSimulator(method="density_matrix", noise_model=model)
    distributions = []
    for setting in plan.settings:
        full = placed.copy()
        for wire, letter in setting.basis:
            if letter == "Y":
                full.sdg(final[wire])
            if letter in "XY":
                full.h(final[wire])
        if {letter for _, letter in setting.basis} != {"Z"}:
            full = transpile(full, basis_gates=gates, optimization_level=min(level, 1))
        qubits = [final[wire] for wire in setting.wires]
        full.save_probabilities(qubits[::-1])
        bound = [full.assign_parameters({p: v for p, v in zip(columns, row, strict=True) if p in full.parameters})
                 for row in angles.dense().tolist()]  # fmt: skip
        results = simulator.run(bound, shots=1).result().results
        errors = [model._local_readout_errors.get((q,), model._default_readout_error) for q in qubits]
        confusion = reduce(np.kron, [np.eye(2) if e is None else e.probabilities for e in errors])
        distributions.append(np.array([r.data.probabilities for r in results]) @ confusion)
    return plan.values(distributions)


def damped_pairs():
    """An asymmetric model: what happens to a pair depends on its order, and every detector is its own."""
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(0.02, 1), ["sx", "x", "h", "rx", "ry"])
    flip_first = pauli_error([("IX", 0.15), ("II", 0.85)])
    flip_second = pauli_error([("XI", 0.3), ("II", 0.7)])
    for a in range(5):
        for b in range(5):
            if a != b:
                model.add_quantum_error(flip_first if a < b else flip_second, "cx", [a, b])
    model.add_all_qubit_readout_error(ReadoutError([[0.97, 0.03], [0.08, 0.92]]))
    for qubit in range(1, 5):
        model.add_readout_error(ReadoutError([[1 - 0.02 * qubit, 0.02 * qubit], [0.1, 0.9]]), [qubit])
    return model


@cache
def manila():
    """The device and its whole noise model."""
    device = fake_device("fake_manila")
    return device, NoiseModel.from_backend(device)


class TestFakeManila(BackendContract):
    seeds = range(4)

    def make(self):
        return Aer(noise="fake_manila")

    def truth(self, circuit, angles):
        device, model = manila()
        return plain_aer(circuit, angles, model, level=2, target=device.target)


class TestNoiseModel(BackendContract):
    seeds = range(6)

    def make(self):
        return Aer(noise=damped_pairs())

    def truth(self, circuit, angles):
        model = damped_pairs()
        return plain_aer(circuit, angles, model, level=0, basis_gates=model.basis_gates)


def excited(n_wires=1, wires=None):
    """X on wire 0, and <Z> on the given wires."""
    measured = tuple(Expectation(pauli(((w, "Z"),))) for w in (wires or range(n_wires)))
    return Circuit(n_wires, (Operation("PauliX", (0,)),), measured)


def test_readout_error_is_in_exact_values():
    """X on one wire of fake_manila: about 3.5 % read as 0, where saved probabilities say 0.03 %."""
    executable = Aer(noise="fake_manila").compile(excited())
    wrong = (1 + executable.run(no_angles(1)).values.item()) / 2
    assert 0.01 < wrong < 0.06
    shots = 200_000
    circuit = QuantumCircuit(5, 1)
    qubit = executable.describe()["layout"][0]
    circuit.x(qubit)
    circuit.measure(qubit, 0)
    counts = AerSimulator(noise_model=manila()[1]).run(circuit, shots=shots, seed_simulator=1)
    measured = counts.result().get_counts()["0"] / shots
    assert abs(wrong - measured) < SIGMAS * np.sqrt(wrong * (1 - wrong) / shots)


@pytest.mark.parametrize("noise", ["fake_manila", "model"])
def test_own_shots_agree_with_aers(noise):
    """Over 200 equal rows of 256 shots: every output's mean within 5 sigma, readout error included."""
    n, shots = 200, 256
    noise = damped_pairs() if noise == "model" else noise
    ours = Aer(noise=noise).compile(SAMPLED)
    theirs = Aer(noise=noise, sampler="aer").compile(SAMPLED)
    variance = ours.run(equal_rows(n), shots=shots, keys=keys(n)).variance.mean(dim=0)
    a, b = (e.run(equal_rows(n), shots=shots, keys=keys(n)).values.mean(dim=0) for e in (ours, theirs))
    assert bool(((a - b).abs() < SIGMAS * torch.sqrt(2 * variance / n)).all())
    exact = ours.run(equal_rows(1)).values[0]
    assert bool(((b - exact).abs() < SIGMAS * torch.sqrt(variance / n)).all())
    noiseless = Aer().compile(SAMPLED).run(equal_rows(1)).values[0]
    assert float((exact - noiseless).abs().max()) > 10 * float(torch.sqrt(variance / n).max())


def test_random_trajectories_agree_with_the_density_matrix():
    """Where no density matrix fits: Aer's shots on state vectors, within 5 sigma of the exact values."""
    n, shots = 8, 500
    trajectories = Aer(noise=damped_pairs(), method="statevector", sampler="aer")
    assert not trajectories.capabilities.exact
    executable = trajectories.compile(SAMPLED)
    estimate = executable.run(equal_rows(n), shots=shots, keys=keys(n))
    exact = Aer(noise=damped_pairs()).compile(SAMPLED).run(equal_rows(1)).values[0]
    sigma = torch.sqrt(estimate.variance.mean(dim=0) / n)
    assert bool(((estimate.values.mean(dim=0) - exact).abs() < SIGMAS * sigma).all())
    with pytest.raises(CapabilityError, match="`shots` must be given"):
        executable.run(equal_rows(1))


def test_six_qubits_of_a_large_device_take_little_memory():
    """127 qubits, of which the circuit uses a few: a density matrix of those only."""
    circuit = random_circuit(3, 6, 25, measurements=z_on_every_wire(6))
    executable = Aer(noise=SHERBROOKE).compile(circuit)
    assert executable._settings[0].bound.circuit.num_qubits < 13
    angles = random_angles(circuit, 1)
    noisy = executable.run(angles).values
    ideal = Aer().compile(circuit).run(angles).values
    assert bool((noisy.abs() <= 1).all())
    assert 0.001 < float((noisy - ideal).abs().max()) < 0.9


PEAK = """
import resource, torch
from qnn import QuantumLayer
for backend, options in (("aer", {"noise": "fake_sherbrooke"}), ("ibm:fake_sherbrooke", {})):
    layer = QuantumLayer(6, 2, seed=0).to_backend(backend, shots=100, **options)
    layer(torch.rand(2, 6, requires_grad=True)).sum().backward()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_a_step_of_six_qubits_of_a_large_device_stays_below_2_gb():
    """The whole process, imports included (Linux counts in KiB)."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", PEAK], capture_output=True, text=True, check=True)
    assert int(done.stdout) * 1024 < 2e9


def test_a_large_noise_model_is_reduced_to_the_wires_in_use():
    """The reduced model of two wires acts as the whole one: same errors on the same, ordered pairs."""
    model = NoiseModel()
    model.add_quantum_error(pauli_error([("IX", 0.25), ("II", 0.75)]), "cx", [40, 17])  # flips qubit 40
    model.add_quantum_error(pauli_error([("IX", 0.45), ("II", 0.55)]), "cx", [17, 40])  # flips qubit 17
    model.add_readout_error(ReadoutError([[0.9, 0.1], [0.2, 0.8]]), [17])
    measured = (Expectation(pauli(((17, "Z"),))), Expectation(pauli(((40, "Z"),))))
    forth = Aer(noise=model).compile(Circuit(41, (Operation("CNOT", (40, 17)),), measured))
    back = Aer(noise=model).compile(Circuit(41, (Operation("CNOT", (17, 40)),), measured))
    read = [0.9 - 0.1, 0.9 * 0.55 + 0.2 * 0.45 - (0.1 * 0.55 + 0.8 * 0.45)]
    np.testing.assert_allclose(forth.run(no_angles(1)).values[0], [read[0], 0.5], atol=1e-12)
    np.testing.assert_allclose(back.run(no_angles(1)).values[0], [read[1], 1.0], atol=1e-12)


def test_errors_before_measuring_are_in_exact_values():
    """Aer applies a quantum error of "measure" only when it measures."""
    model = NoiseModel()
    model.add_all_qubit_quantum_error(amplitude_damping_error(0.4), "measure")
    model.add_all_qubit_quantum_error(depolarizing_error(0.1, 1), "x")
    exact = Aer(noise=model).compile(excited()).run(no_angles(1)).values.item()
    shots = 20_000
    counted = Aer(noise=model, sampler="aer").compile(excited()).run(no_angles(1), shots=shots, keys=keys(1))
    assert exact == pytest.approx(1 - 2 * 0.6 * 0.95, abs=1e-9)
    assert abs(counted.values.item() - exact) < SIGMAS * np.sqrt((1 - exact**2) / shots)


def test_noise_on_controlled_rotations():
    """Aer cannot bind these by table; their error must act all the same: it damps every Pauli word by 1 - 0.2."""
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(0.2, 2), "crx")
    model.add_all_qubit_quantum_error(depolarizing_error(1e-6, 1), "ry")
    circuit = Circuit(
        2,
        (Operation("RY", (1,), 1.0), Operation("CRX", (1, 0), Slot("rows", 0))),
        (Expectation(pauli("ZI")), Expectation(pauli("ZZ"))),
        0,
        1,
    )
    angles = random_angles(circuit, 4)
    with pytest.raises(UnsupportedError, match='cannot apply crx with method "density_matrix"'):
        Aer(noise=model).compile(circuit)
    shots = 4000
    executable = Aer(noise=model, method="statevector", sampler="aer").compile(circuit)
    values = executable.run(angles, shots=shots, keys=keys(4)).values.numpy()
    truth = 0.8 * oracles.values(circuit, angles.shared, angles.rows)
    assert np.all(np.abs(values - truth) < SIGMAS * np.sqrt((1 - truth**2) / shots))


def test_a_model_that_misses_gates_warns():
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(0.02, 1), "sx")
    circuit = Circuit(2, (Operation("SX", (0,)), Operation("CNOT", (0, 1))), z_on_every_wire(2))
    with pytest.warns(NoiseCoverageWarning, match="without an error: cx on 0-1"):
        Aer(noise=model).compile(circuit)
    local = NoiseModel()
    local.add_quantum_error(depolarizing_error(0.02, 1), "sx", [1])
    flips = Circuit(3, tuple(Operation("SX", (w,)) for w in range(3)), z_on_every_wire(3))
    with pytest.warns(NoiseCoverageWarning, match="without an error: sx on 0, 2"):
        Aer(noise=local).compile(flips)
    with pytest.warns(NoiseCoverageWarning, match="no gate and no measurement of this circuit has an error"):
        Aer(noise=NoiseModel()).compile(flips)


def test_complete_models_do_not_warn():
    readout = NoiseModel()
    readout.add_all_qubit_readout_error(ReadoutError([[0.9, 0.1], [0.2, 0.8]]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        executable = Aer(noise=readout).compile(excited(2))
        Aer(noise=damped_pairs()).compile(SAMPLED)
    assert executable.describe()["method"] == "statevector"
    assert Aer(noise=readout).capabilities.max_wires == Aer().capabilities.max_wires
    assert Aer(noise=damped_pairs()).capabilities.max_wires == 13
    np.testing.assert_allclose(executable.run(no_angles(1)).values[0], [-0.6, 0.8], atol=1e-12)


def test_gates_are_kept_as_written_under_a_model():
    """H H is not optimised away: each of the two carries its error."""
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(0.5, 1), "h")
    circuit = Circuit(1, (Operation("Hadamard", (0,)), Operation("Hadamard", (0,))), z_on_every_wire(1))
    assert Aer(noise=model).compile(circuit).run(no_angles(1)).values.item() == pytest.approx(0.25)
    assert Aer(noise=model, optimization_level=3).compile(circuit).run(no_angles(1)).values.item() == pytest.approx(1)


def test_too_wide_for_a_density_matrix():
    ring = tuple(Operation("CNOT", (w, (w + 1) % 15)) for w in range(15))
    circuit = Circuit(15, (Operation("Hadamard", (0,)), *ring), z_on_every_wire(15))
    with pytest.raises(CapabilityError, match=r"at most 13 qubits to fit in memory; got 1\d after transpiling"):
        Aer(noise=SHERBROOKE).compile(circuit)
    own = Aer(noise=SHERBROOKE, sampler="aer").compile(circuit)
    assert own.describe()["method"] == "statevector"
    assert own.describe()["device"] == SHERBROOKE


def test_wrong_noise():
    with pytest.raises(UnknownNameError, match=r'No fake device named "fake_manilla".* Did you mean "fake_manila"'):
        Aer(noise="fake_manilla")
    with pytest.raises(ArgumentError, match=r"`noise` must be the name of a fake device.*; got float"):
        Aer(noise=0.1)
    with pytest.raises(ArgumentError, match=r"`noise` must be the name of a fake device.*; got AerSimulator"):
        Aer(noise=AerSimulator())
    with pytest.raises(CapabilityError, match='`method="statevector"` with noise runs random trajectories'):
        Aer(noise="fake_manila", method="statevector")
    correlated = NoiseModel()
    correlated.add_readout_error(ReadoutError(np.eye(4)[[0, 1, 3, 2]]), [0, 1])
    with pytest.raises(UnsupportedError, match="readout errors of single qubits"):
        Aer(noise=correlated)
    with pytest.raises(BackendError, match="cannot be transpiled to the gates"):
        Aer(noise=NoiseModel(basis_gates=["x"])).compile(SAMPLED)
    with pytest.raises(CapabilityError, match="`n_qubits` must be at most 5 to run on fake_manila; got 6"):
        Aer(noise="fake_manila").compile(excited(6))


def test_confusion_is_per_wire_with_the_first_leftmost():
    p = np.array([[0.1, 0.2, 0.3, 0.4]])
    first, second = np.array([[0.9, 0.1], [0.3, 0.7]]), np.array([[0.8, 0.2], [0.0, 1.0]])
    np.testing.assert_allclose(apply_confusion(p, [first, second]), p @ np.kron(first, second))
    np.testing.assert_allclose(apply_confusion(p, [None, second]), p @ np.kron(np.eye(2), second))


def test_probabilities_of_a_noisy_device_are_a_distribution():
    circuit = random_circuit(2, 4, measurements=(Probabilities((3, 0, 2)),))
    values = Aer(noise="fake_manila").compile(circuit).run(random_angles(circuit, 3)).values
    np.testing.assert_allclose(values.sum(dim=1), 1.0, atol=1e-9)
    assert bool((values > 0).all())


def test_a_live_object_has_no_specification():
    assert Aer(noise=damped_pairs()).specification() is None
    assert repr(Aer(noise=damped_pairs())) == "<qnn backend aer with noise of a noise model>"
    assert repr(Aer(noise="fake_manila")) == "<qnn backend aer with noise of fake_manila>"
