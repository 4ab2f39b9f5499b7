"""Amazon Braket at AWS, up to the wire: Braket's SDK and botocore as they are, before a stand-in for AWS.

What AWS itself does is untested.
"""

import copy
import pickle

import numpy as np
import oracles
import pytest
import torch
from braket_service import DM1, QPU, SETS, SV1, installed
from contracts.backend_contract import SAMPLED, SIGMAS, equal_rows, no_angles
from random_circuits import every_gate, random_angles, random_circuit

from qnn import QuantumLayer, _meter
from qnn.backends import Braket, resolve
from qnn.circuits.circuit import Circuit, Operation
from qnn.circuits.observables import Expectation, Probabilities, pauli
from qnn.errors import (
    ArgumentError,
    AuthenticationError,
    BackendUnavailableError,
    CapabilityError,
    CircuitRefusedError,
    QuotaError,
    RateLimitError,
    UnknownNameError,
)

FOLDER = "amazon-braket-test/folder"
FLIP = Circuit(2, (Operation("PauliX", (1,)),), (Expectation(pauli("IZ")),))


@pytest.fixture
def service(monkeypatch, tmp_path):
    return installed(monkeypatch, tmp_path)


def test_exact_values_are_a_task_for_each_circuit(service):
    circuit = random_circuit(3, 3, n_operations=6)
    angles = random_angles(circuit, 2)
    executable = Braket("sv1", s3_folder=FOLDER).compile(circuit)
    assert not service.tasks
    with _meter.measure() as usage:
        values = executable.run(angles).values
    np.testing.assert_allclose(values, oracles.values(circuit, angles.shared, angles.rows), atol=1e-9)
    assert len(service.tasks) == 2 * len(executable.plan.settings)
    assert usage.jobs == usage.circuits == len(service.tasks)
    assert {task["shots"] for task in service.tasks} == {0}
    assert {(task["outputS3Bucket"], task["outputS3KeyPrefix"]) for task in service.tasks} == {tuple(FOLDER.split("/"))}


def test_a_step_on_a_machine_is_one_task(service):
    """With program sets large enough, forward and shifted rows of a whole batch are one CreateQuantumTask."""
    service.devices[QPU][1]["action"][SETS]["maximumExecutables"] = 1000
    layer = QuantumLayer(2, 1, backend=resolve(f"braket:{QPU}", s3_folder=FOLDER), shots=10, seed=0)
    with _meter.measure() as usage:
        layer(torch.rand(3, 2)).sum().backward()
    assert len(service.tasks) == 1 and usage.jobs == 1
    assert service.tasks[0]["shots"] == usage.shots == 10 * usage.circuits
    assert service.tasks[0]["deviceArn"] == QPU
    assert bool(torch.isfinite(layer.weights.grad).all())


def test_program_sets_are_split_at_the_device_limits(service):
    """3 executables and 5000 shots at most: rows keep their order, and counts those of the circuit."""
    service.devices[QPU][1]["action"][SETS] |= {"maximumExecutables": 3, "maximumTotalShots": 5000}
    executable = Braket(QPU, s3_folder=FOLDER).compile(SAMPLED)
    assert len(executable.plan.settings) == 3
    angles = equal_rows(4)
    angles.rows[:, 0] = torch.linspace(0.1, 1.6, 4)
    estimate = executable.run(angles, shots=1000)
    truth = oracles.values(SAMPLED, angles.shared, angles.rows)[:, :3]
    bound = SIGMAS * np.sqrt(np.maximum(1 - truth**2, 1e-3) / 1000)
    assert np.all(np.abs(estimate.values.numpy()[:, :3] - truth) < bound)
    assert [task["shots"] for task in service.tasks] == [3000] * 4
    assert executable.jobs_for(4, 1000) == 4 and executable.jobs_for(2, 2000) == 3
    simulators = Braket("sv1", s3_folder=FOLDER).compile(SAMPLED), Braket("local").compile(SAMPLED)
    assert [one.jobs_for(4, 1000) for one in simulators] == [12, 1]
    service.tasks.clear()
    executable.run(equal_rows(2), shots=2000)
    assert [task["shots"] for task in service.tasks] == [4000] * 3


def test_program_sets_without_parameters_repeat_the_circuit(service):
    circuit = Circuit(2, (Operation("Hadamard", (1,)),), (Probabilities((0, 1)),))
    estimate = Braket(QPU, s3_folder=FOLDER).compile(circuit).run(no_angles(3), shots=200)
    assert estimate.values.shape == (3, 4) and not bool(estimate.values[:, 2:].any())
    assert len({tuple(row) for row in estimate.values.tolist()}) > 1
    assert service.tasks[0]["shots"] == 600


def test_a_machine_is_given_gates_it_takes(service):
    circuit = every_gate(4)
    executable = Braket(QPU, s3_folder=FOLDER).compile(circuit)
    names = {step.name for setting in executable._settings for step in setting.gates.steps}
    assert not names & {"cz", "xx", "swap", "ccnot"} and "iswap" in names
    simple = Circuit(2, (Operation("RY", (0,), 0.7), Operation("SWAP", (0, 1))), (Expectation(pauli("IZ")),))
    value = Braket(QPU, s3_folder=FOLDER).compile(simple).run(no_angles(1), shots=2000).values
    assert abs(float(value) - np.cos(0.7)) < SIGMAS * np.sin(0.7) / np.sqrt(2000)


def test_noise_goes_to_dm1(service):
    circuit = Circuit(1, (Operation("PauliX", (0,)),), (Expectation(pauli("Z")),))
    value = Braket("dm1", noise=0.3, s3_folder=FOLDER).compile(circuit).run(no_angles(1)).values
    assert float(value) == pytest.approx(-(1 - 4 / 3 * 0.3))
    assert service.tasks[0]["deviceArn"] == DM1


def test_shots_of_a_simulator_are_its_own(service):
    executable = Braket("sv1", s3_folder=FOLDER).compile(FLIP)
    assert executable.run(no_angles(3), shots=50).values.tolist() == [[-1.0]] * 3
    assert [task["shots"] for task in service.tasks] == [50] * 3


def test_exact_probabilities_come_from_expectation_values(service):
    """SV1 has probabilities from shots only: the stand-in refuses others, as AWS is documented to."""
    circuit = random_circuit(9, 3, n_operations=8, measurements=(Probabilities((2, 0)), Probabilities((1,))))
    angles = random_angles(circuit, 1)
    values = Braket("sv1", s3_folder=FOLDER).compile(circuit).run(angles).values
    np.testing.assert_allclose(values, oracles.values(circuit, angles.shared, angles.rows), atol=1e-9)
    wide = Braket("sv1").compile(Circuit(9, (), (Probabilities(tuple(range(9))),)))
    with pytest.raises(CapabilityError, match="Exact probabilities on braket:sv1 must be of at most 8 wires; got 9"):
        wide.run(no_angles(1))


def test_what_is_refused_before_anything_is_submitted(service):
    with pytest.raises(CapabilityError, match=r"`n_qubits` must be at most 5 to run on braket:arn.*Standin; got 6"):
        Braket(QPU).compile(Circuit(6, (), (Expectation(pauli("ZZZZZZ")),)))
    with pytest.raises(CapabilityError, match="`n_qubits` must be at most 34 to run on braket:sv1; got 35"):
        Braket("sv1").compile(Circuit(35, (), (Expectation(pauli("Z" * 35)),)))
    machine = Braket(QPU).compile(FLIP)
    with pytest.raises(CapabilityError, match="`shots` must be given for braket:arn"):
        machine.run(no_angles(1))
    with pytest.raises(ArgumentError, match=r"`shots` must be 1 to 2000 on braket:arn.*; got 2001"):
        machine.run(no_angles(1), shots=2001)
    with pytest.raises(
        UnknownNameError, match=r'No Amazon Braket device named "arn.*Garnett"\. Did you mean "arn.*Garnet"'
    ):
        Braket("arn:aws:braket:eu-north-1::device/qpu/iqm/Garnett").compile(FLIP)
    service.online = "OFFLINE"
    with pytest.raises(BackendUnavailableError, match="must be online to take tasks; got OFFLINE"):
        Braket("sv1").compile(FLIP)
    assert not service.tasks


def test_devices_that_cannot_run_gates(service):
    action = service.devices[QPU][1]["action"]
    action["braket.ir.openqasm.program"]["supportedOperations"].remove("h")
    with pytest.raises(CircuitRefusedError, match="it lacks h"):
        Braket(QPU).compile(FLIP)
    del action["braket.ir.openqasm.program"]
    with pytest.raises(CircuitRefusedError, match="does not run circuits of gates"):
        Braket(QPU).compile(FLIP)


def test_missing_credentials_and_region(service, monkeypatch):
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(AuthenticationError, match=r'Backend "braket:sv1" needs an AWS region.*Set AWS_DEFAULT_REGION'):
        Braket("sv1").compile(FLIP)
    Braket(QPU).compile(FLIP)  # its ARN has the region
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    service.requests.clear()
    with pytest.raises(AuthenticationError, match=r'Backend "braket:sv1" needs AWS credentials.*`aws configure`'):
        QuantumLayer(1, 1, backend="braket:sv1")(torch.zeros(1, 1))
    assert not service.requests


@pytest.mark.parametrize(
    ("refusal", "error", "text"),
    [
        ((429, "ThrottlingException", "Rate exceeded"), RateLimitError, "Rate exceeded.*smaller `max_parallel`"),
        ((402, "ServiceQuotaExceededException", "60 tasks"), QuotaError, "60 tasks.*higher quota"),
        ((403, "AccessDeniedException", "the token AAA"), AuthenticationError, r"AccessDeniedException\. Set them"),
        ((400, "ValidationException", "gate foo"), CircuitRefusedError, "submit to braket:sv1.*gate foo"),
    ],
)
def test_refusals_at_submission(service, refusal, error, text):
    executable = Braket("sv1", s3_folder=FOLDER, retry_s=0).compile(FLIP)
    service.refusal = refusal
    with pytest.raises(error, match=text) as caught:
        executable.run(no_angles(1))
    assert "AAA" not in str(caught.value)


def test_options_reach_the_tasks(service):
    Braket("sv1", s3_folder="s3://amazon-braket-test/a/b/").compile(FLIP).run(no_angles(1))
    assert {(task["outputS3Bucket"], task["outputS3KeyPrefix"]) for task in service.tasks} == {
        ("amazon-braket-test", "a/b")
    }
    assert resolve("braket:sv1").name == "braket:sv1" and Braket(SV1).capabilities.max_wires == 34


def test_the_folder_of_the_environment(service, monkeypatch):
    monkeypatch.setenv("AMZN_BRAKET_TASK_RESULTS_S3_URI", "s3://amazon-braket-mine/there")
    Braket("sv1").compile(FLIP).run(no_angles(1))
    assert service.tasks[0]["outputS3Bucket"] == "amazon-braket-mine"
    assert service.tasks[0]["outputS3KeyPrefix"] == "there"


def test_a_backend_asks_for_its_device_once(service):
    other = Circuit(1, (Operation("PauliX", (0,)),), (Expectation(pauli("Z")),))
    backend = Braket("sv1", s3_folder=FOLDER)
    assert float(backend.compile(FLIP).run(no_angles(1)).values) == -1
    backend.compile(other)
    assert _looks(service) == 1
    for twin in (pickle.loads(pickle.dumps(backend)), copy.deepcopy(backend)):
        assert float(twin.compile(other).run(no_angles(1)).values) == -1
    assert _looks(service) == 3
    backend.compile(Circuit(1, (), (Expectation(pauli("Z")),)))
    assert _looks(service) == 3


def test_a_device_that_was_offline_is_asked_again(service):
    backend = Braket("sv1", s3_folder=FOLDER)
    service.online = "OFFLINE"
    with pytest.raises(BackendUnavailableError, match="got OFFLINE"):
        backend.compile(FLIP)
    service.online = "ONLINE"
    assert float(backend.compile(FLIP).run(no_angles(1)).values) == -1


def _looks(service):
    """How often the device was asked for."""
    return sum(path.startswith("/device/") for _, path in service.requests)
