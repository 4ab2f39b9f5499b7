"""Amazon Braket's simulators on this machine: the contract, one run per step, noise, options, errors."""

import numpy as np
import oracles
import pytest
import torch
from braket.circuits import Gate
from braket.circuits.noise_model import GateCriteria, MeasureCriteria, NoiseModel
from braket.circuits.noises import BitFlip, TwoQubitDepolarizing
from braket.default_simulator import DensityMatrixSimulator, StateVectorSimulator
from braket.devices import LocalSimulator
from contracts.backend_contract import SAMPLED, SHOTS, SIGMAS, BackendContract, equal_rows, keys, no_angles
from random_circuits import every_gate, random_angles, random_circuit

from qnn import QuantumLayer, _meter
from qnn.backends import Braket, resolve
from qnn.backends import braket as braket_door
from qnn.circuits.circuit import Circuit, Operation, Slot
from qnn.circuits.gates import GATES
from qnn.circuits.observables import Expectation, Probabilities, pauli, z_on_every_wire
from qnn.errors import (
    ArgumentError,
    BudgetError,
    CapabilityError,
    MissingDependencyError,
    NoiseCoverageWarning,
    UnknownNameError,
)


class TestBraket(BackendContract):
    seeds = range(5)

    def make(self):
        return Braket()


class TestBraketsOwnShots(BackendContract):
    seeds = range(1)
    # Exact values are those of the class above, and every row has a generator of its own.
    test_every_gate_of_the_table = None
    test_circuits_with_one_kind_of_slot_or_none = None
    test_a_batch_is_a_loop = None
    test_rows_draw_independently = None

    @pytest.fixture(autouse=True)
    def _seeded(self, monkeypatch):
        """Braket makes a generator from the system's entropy for every circuit."""
        seeds = np.random.SeedSequence(7)
        make = np.random.default_rng
        monkeypatch.setattr(
            np.random, "default_rng", lambda seed=None: make(seeds.spawn(1)[0] if seed is None else seed)
        )

    def make(self):
        return Braket(sampler="braket")

    @pytest.mark.slow
    def test_mean_and_variance_of_shots(self, backend):
        super().test_mean_and_variance_of_shots(backend)


@pytest.mark.parametrize("name", GATES)
def test_every_gate_has_the_value_of_the_statevector_backend(name):
    """Each gate by itself, on reversed wires, between rotations that make every component count."""
    k = GATES[name].n_wires or 3
    angle = Slot("rows", 0) if GATES[name].is_parametric else None
    before = tuple(Operation(g, (w,), 0.3 + 0.4 * w) for g in ("RY", "RZ") for w in range(k))
    after = tuple(Operation("RX", (w,), 0.5 - 0.2 * w) for w in range(k))
    gate = Operation(name, tuple(range(k))[::-1], angle)
    circuit = Circuit(k, (*before, gate, *after), (Probabilities(tuple(range(k))),), 0, int(angle is not None))
    angles = random_angles(circuit, 2)
    expected = resolve("statevector").compile(circuit).run(angles).values
    np.testing.assert_allclose(Braket().compile(circuit).run(angles).values, expected, atol=1e-9)


def test_density_matrices_without_noise():
    circuit = random_circuit(2, 3)
    angles = random_angles(circuit, 2)
    values = Braket("local_dm").compile(circuit).run(angles).values
    np.testing.assert_allclose(values, oracles.values(circuit, angles.shared, angles.rows), atol=1e-9)


def test_wires_that_no_gate_touches():
    """Braket numbers qubits without gaps: a measured wire without gates counts, an unmeasured one is left out."""
    flip = (Operation("PauliX", (3,)),)
    circuit = Circuit(5, flip, (Expectation(pauli("IZIII")), Expectation(pauli("IIIZI")), Probabilities((3, 1))))
    for sampler, shots in (("exact", None), ("braket", 20)):
        executable = Braket(sampler=sampler).compile(circuit)
        values = executable.run(no_angles(1), shots=shots).values[0]
        assert values.tolist() == [1, -1, 0, 0, 1, 0]
        assert all(setting.gates.n_qubits == 2 for setting in executable._settings)


@pytest.mark.parametrize("options", [{}, {"sampler": "braket"}])
def test_all_rows_and_settings_are_one_run(mocker, options):
    executable = Braket(**options).compile(SAMPLED)
    n_settings = len(executable.plan.settings)
    spy = mocker.spy(LocalSimulator, "run_batch")
    executable.run(equal_rows(3))
    executable.run(equal_rows(3), shots=10, keys=keys(3))
    assert [len(call.args[1]) for call in spy.call_args_list] == [3 * n_settings] * 2


@pytest.mark.parametrize("batch", [1, 5])
def test_a_step_is_one_run(mocker, batch):
    layer = QuantumLayer(4, 2, backend="braket:local", shots=200, seed=0)
    runs, single = mocker.spy(LocalSimulator, "run_batch"), mocker.spy(LocalSimulator, "run")
    with _meter.measure() as usage:
        layer(torch.rand(batch, 4)).sum().backward()
    assert runs.call_count == 1 and not single.called
    assert usage.jobs == 1 and usage.circuits == batch * (1 + 2 * 8)


def test_programs_are_read_once(mocker):
    """Braket's interpreter sees each program once, however many rows and calls there are, and no pool is started."""
    pool = mocker.patch("braket.simulator.braket_simulator.Pool")
    spy = mocker.spy(StateVectorSimulator.__mro__[2], "parse_program")
    executable = Braket().compile(SAMPLED)
    for _ in range(2):
        executable.run(equal_rows(4))
    assert spy.call_count == len(executable.plan.settings)
    assert not pool.called


def test_gradients_equal_those_of_the_engine():
    """Values and gradients of weights and inputs, of an asymmetric circuit with incompatible observables."""
    circuit = random_circuit(11, 3, gates=("RX", "RY", "CRZ", "IsingXY", "CNOT", "CRY"), n_operations=9)
    assert circuit.n_shared and circuit.n_rows
    from qnn.gradients.methods import differentiator

    angles = random_angles(circuit, 2)
    cotangent = torch.tensor(np.random.default_rng(0).normal(size=(2, circuit.n_outputs)))
    found = {}
    for name, method in (("braket:local", "parameter-shift"), ("statevector", "adjoint")):
        rule = differentiator(circuit, resolve(name), method, None)
        estimate, residuals = rule.linearize(angles, None, True, True)
        gradient = rule.pullback(angles, residuals, cotangent, True, True)
        found[name] = (estimate.values, gradient.shared, gradient.rows)
    for ours, theirs in zip(*found.values(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


def test_layers_agree_with_the_engine():
    x = torch.tensor([[0.3, -1.1, 0.7], [1.9, 0.2, -0.4]], dtype=torch.float64, requires_grad=True)
    gradients = []
    for backend in ("statevector", "braket:local", "braket:local_dm"):
        torch.manual_seed(0)
        layer = QuantumLayer(3, 2, backend=backend, dtype=torch.float64)
        values = layer(x)
        gradients.append((values, *torch.autograd.grad(values[:, 0].sum() + values[:, 1].prod(), [x, layer.weights])))
    for other in gradients[1:]:
        torch.testing.assert_close(other, gradients[0], atol=1e-6, rtol=0)


def test_own_shots_and_ours_have_the_same_distribution(monkeypatch):
    """Over 100 rows of 100 shots: means of the two samplers within 5 sigma of their difference."""
    seeds = np.random.SeedSequence(3)
    make = np.random.default_rng
    monkeypatch.setattr(np.random, "default_rng", lambda seed=None: make(seeds.spawn(1)[0] if seed is None else seed))
    n, shots = 100, 100
    exact = Braket().compile(SAMPLED).run(equal_rows(1)).values[0, :3].numpy()
    samples = [
        Braket(sampler=s).compile(SAMPLED).run(equal_rows(n), shots=shots, keys=keys(n)).values[:, :3].numpy()
        for s in ("exact", "braket")
    ]
    sigma = np.sqrt(2 * (1 - exact**2) / (n * shots))
    assert np.all(np.abs(samples[0].mean(axis=0) - samples[1].mean(axis=0)) < SIGMAS * sigma)
    assert not np.array_equal(*samples)


def test_depolarizing_noise_has_its_known_value():
    """One qubit: <Z> shrinks by 1 - 4p/3 for each gate; two qubits: <ZZ> by 1 - 16p/15."""
    p, t = 0.06, 0.4
    one = Circuit(1, (Operation("RX", (0,), t), Operation("RX", (0,), t)), z_on_every_wire(1))
    two = Circuit(2, (Operation("CNOT", (0, 1)),), (Expectation(pauli("ZZ")),))
    three = Circuit(3, (Operation("Toffoli", (0, 1, 2)),), (Expectation(pauli("ZII")),))
    noisy = Braket("local_dm", noise=p)
    values = [float(noisy.compile(c).run(no_angles(1)).values) for c in (one, two, three)]
    expected = [(1 - 4 * p / 3) ** 2 * np.cos(2 * t), 1 - 16 * p / 15, 1 - 4 * p / 3]
    assert values == pytest.approx(expected, abs=1e-9)


def test_shots_converge_to_the_noisy_value():
    for sampler in ("exact", "braket"):
        backend = Braket("local_dm", noise=0.2, sampler=sampler)
        circuit = Circuit(1, (Operation("PauliX", (0,)),), z_on_every_wire(1))
        value = float(backend.compile(circuit).run(no_angles(1), shots=20_000, keys=keys(1)).values)
        noisy = -(1 - 4 * 0.2 / 3)
        assert abs(value - noisy) < SIGMAS * np.sqrt((1 - noisy**2) / 20_000) < 0.04 < 1 + noisy


def test_noise_models_with_readout_error():
    """Braket adds readout noise to measurements only; exact values have it all the same."""
    model = NoiseModel().add_noise(TwoQubitDepolarizing(0.1), GateCriteria(Gate.CNot))
    model.add_noise(BitFlip(0.05), MeasureCriteria())
    circuit = Circuit(2, (Operation("PauliX", (0,)), Operation("CNOT", (0, 1))), (Expectation(pauli("ZZ")),))
    expected = (1 - 16 * 0.1 / 15) * (1 - 2 * 0.05) ** 2
    backend = Braket("local_dm", noise=model)
    assert float(backend.compile(circuit).run(no_angles(1)).values) == pytest.approx(expected, abs=1e-9)
    own = Braket("local_dm", noise=model, sampler="braket").compile(circuit).run(no_angles(1), shots=10_000)
    assert abs(float(own.values) - expected) < SIGMAS * np.sqrt((1 - expected**2) / 10_000)
    assert backend.capabilities.noisy and backend.specification() is None


def test_noise_that_does_not_fit():
    circuit = Circuit(1, (Operation("PauliX", (0,)),), z_on_every_wire(1))
    elsewhere = NoiseModel().add_noise(BitFlip(0.1), GateCriteria(Gate.Ry))
    with pytest.warns(NoiseCoverageWarning, match="says nothing about this circuit, whose gates are: x"):
        Braket("local_dm", noise=elsewhere).compile(circuit)
    everywhere = NoiseModel().add_noise(TwoQubitDepolarizing(0.1), GateCriteria())
    with pytest.raises(ArgumentError, match=r"`noise` must fit the gates of the circuit; Braket says: .*GateCriteria"):
        Braket("local_dm", noise=everywhere).compile(circuit)


def test_capabilities():
    local, density = Braket().capabilities, Braket("local_dm", noise=0.1).capabilities
    assert local.exact and local.shots and local.keyed and not local.noisy and not local.remote and not local.vjp
    assert density.noisy and not Braket(sampler="braket").capabilities.keyed
    for found, simulator in ((local, StateVectorSimulator()), (density, DensityMatrixSimulator())):
        assert found.max_wires == simulator.properties.paradigm.qubitCount
    sv1, tn1 = Braket("sv1").capabilities, Braket("tn1").capabilities
    assert sv1.remote and sv1.exact and not sv1.keyed and sv1.max_wires == 34
    assert tn1.remote and not tn1.exact and not tn1.keyed and tn1.max_wires == 50
    machine = Braket("arn:aws:braket:us-east-1::device/qpu/ionq/Forte-1").capabilities
    assert machine.remote and machine.noisy and not machine.exact and not machine.keyed and machine.max_wires is None
    assert not machine.verbatim and Braket("dm1").capabilities.verbatim


def test_specification_has_what_differs_from_the_defaults():
    assert Braket().specification() == {"name": "braket:local"}
    options = {"noise": 0.01, "sampler": "braket"}
    assert Braket("local_dm", **options).specification() == {"name": "braket:local_dm", **options}
    options = {"sampler": "braket", "s3_folder": "amazon-braket-a/b", "timeout_s": 5.0, "max_parallel": 2}
    options |= {"journal": "/nowhere/jobs.sqlite3", "retry_s": 0.0, "reuse_exact": True}
    assert Braket("sv1", **options).specification() == {"name": "braket:sv1", **options}


def test_it_describes_what_is_submitted():
    facts = Braket().compile(every_gate()).describe()
    assert facts["device"] == "local" and facts["depth"] > every_gate().depth()
    assert facts["two_qubit_gates"] > every_gate().n_two_qubit_gates()


def test_a_budget_refuses_before_anything_runs_on_this_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("QNN_JOURNAL", str(tmp_path / "jobs.sqlite3"))
    executable = Braket().compile(Circuit(1, (), z_on_every_wire(1)))
    with _meter.measure() as usage, _meter.budget(max_circuits=3) as budget:
        executable.run(no_angles(2))
        with pytest.raises(BudgetError, match="The budget of 3 circuits does not suffice"):
            executable.run(no_angles(2))
    assert usage.circuits == budget.used["circuits"] == 2
    assert not list(tmp_path.iterdir())  # no journal for what runs here


def test_unknown_names():
    with pytest.raises(UnknownNameError, match=r'No Amazon Braket device named "locl"\. Did you mean "local"\?'):
        resolve("braket:locl")
    with pytest.raises(UnknownNameError, match=r"Known: <arn>, dm1, local, local_dm, sv1, tn1"):
        resolve("braket:arn:aws:s3:::bucket")
    with pytest.raises(UnknownNameError, match='No sampler named "aer"'):
        Braket(sampler="aer")


def test_options_of_the_wrong_device():
    remote = {"s3_folder": "a/b", "timeout_s": 3, "max_parallel": 2, "journal": "j", "retry_s": 0, "reuse_exact": False}
    for option, value in remote.items():
        with pytest.raises(ArgumentError, match=f"`{option}` must be left out for braket:local, which runs on this"):
            resolve("braket:local", **{option: value})
    for device in ("local", "sv1", "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-1"):
        with pytest.raises(CapabilityError, match=r"`noise` needs a simulator of density matrices.*braket:local_dm"):
            resolve(f"braket:{device}", noise=0.1)
    for device in ("sv1", "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-1"):
        with pytest.raises(CapabilityError, match='`sampler="exact"` needs exact distributions'):
            resolve(f"braket:{device}", sampler="exact")
    with pytest.raises(ArgumentError, match='Backend "braket:local" has no option `method`'):
        resolve("braket:local", method="statevector")


def test_values_that_cannot_be_used():
    for noise in (-0.1, 0.76, float("nan")):
        with pytest.raises(ArgumentError, match=r"`noise` must be a probability of 0 to 0\.75; got"):
            Braket("local_dm", noise=noise)
    for noise in ("fake_manila", True):
        with pytest.raises(ArgumentError, match=r"`noise` must be a probability or a braket\S+NoiseModel; got"):
            Braket("local_dm", noise=noise)
    for folder in ("bucket", "s3://bucket/", "", 3):
        with pytest.raises(ArgumentError, match="`s3_folder` must be a bucket and a folder in it"):
            Braket("sv1", s3_folder=folder)
    for options in ({"timeout_s": 0}, {"timeout_s": "1"}, {"max_parallel": -1}, {"max_parallel": True}):
        with pytest.raises(ArgumentError, match="must be a positive"):
            Braket("sv1", **options)
    with pytest.raises(ArgumentError, match=r"`max_parallel` must be a positive integer; got 1\.5"):
        Braket("sv1", max_parallel=1.5)
    with pytest.raises(ArgumentError, match=r"`retry_s` must be a number from 0 up of seconds; got -1"):
        Braket("sv1", retry_s=-1)


def test_what_the_simulators_cannot_run():
    with pytest.raises(CapabilityError, match="`n_qubits` must be at most 13 to run on braket:local_dm; got 14"):
        Braket("local_dm").compile(Circuit(14, (), z_on_every_wire(14)))
    with pytest.raises(ArgumentError, match="`keys` must be given to sample shots"):
        Braket().compile(SAMPLED).run(equal_rows(1), shots=SHOTS)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "braket.circuits", None)
    with pytest.raises(MissingDependencyError, match=r'needs the package "braket".*pip install "qnn\[braket\]"'):
        Braket()


@pytest.fixture
def nobody(monkeypatch, tmp_path):
    """A machine without any configuration of AWS."""
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "PROFILE", "REGION", "DEFAULT_REGION"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setattr("socket.socket.connect", None)  # nobody is contacted
    return tmp_path


def test_doctor_says_what_is_missing(nobody, monkeypatch):
    infos = braket_door.survey()
    assert [info.name for info in infos] == ["braket:sv1", "braket:dm1", "braket:<device arn>"]
    for info in infos:
        assert not info.usable and "aws configure" in info.note and "AWS_DEFAULT_REGION" in info.note
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    assert "region" not in braket_door.survey()[0].note
    (nobody / "config").write_text("[default]\ncredential_process = /bin/false\n")
    assert braket_door.survey()[0].usable
    (nobody / "config").write_text("")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    assert "Amazon Braket could not read" in braket_door.survey()[0].note  # half of the credentials
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    assert all(info.usable and "not tried" in info.note for info in braket_door.survey())
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert not braket_door.survey()[0].usable
    monkeypatch.setitem(__import__("sys").modules, "botocore.session", None)
    assert 'pip install "qnn[braket]"' in braket_door.survey()[0].note
