"""PennyLane devices as backends."""

import numpy as np
import pennylane as qml
import pytest
import torch
from contracts.backend_contract import SAMPLED, BackendContract, equal_rows, keys, no_angles

from qnn.backends import PennyLane, resolve
from qnn.backends.pennylane import PennyLaneExecutable
from qnn.circuits.circuit import Circuit, Operation
from qnn.circuits.observables import Expectation, PauliSum
from qnn.errors import ArgumentError, BackendError, CapabilityError, UnknownNameError


class TestDefaultQubit(BackendContract):
    def make(self):
        return PennyLane("default.qubit")


class TestDefaultMixed(BackendContract):
    seeds = range(5)

    def make(self):
        return PennyLane("default.mixed")


class TestLightningQubit(BackendContract):
    def make(self):
        return PennyLane("lightning.qubit", wires=5)


class ShotsOnly(qml.devices.DefaultQubit):
    """A device that, like hardware, returns samples only."""

    def execute(self, circuits, execution_config=None):
        if not all(circuit.shots for circuit in circuits):
            raise qml.exceptions.DeviceError("this device needs shots")
        return super().execute(circuits, execution_config)


def test_a_device_that_cannot_be_exact_says_so():
    executable = PennyLaneExecutable(SAMPLED, PennyLane(), ShotsOnly(wires=2))
    with pytest.raises(BackendError, match=r"cannot run this circuit exactly: this device needs shots.*or give shots"):
        executable.run(equal_rows(2))
    assert executable.run(equal_rows(2), shots=10, keys=keys(2)).shots == 10


def test_all_rows_are_one_call_of_the_device(monkeypatch):
    calls = []
    execute = qml.execute
    monkeypatch.setattr(qml, "execute", lambda *a, **k: calls.append(len(a[0])) or execute(*a, **k))
    executable = PennyLane().compile(SAMPLED)
    executable.run(equal_rows(7))
    executable.run(equal_rows(7), shots=5, keys=keys(7))
    assert calls == [1, len(executable.plan.settings)]


def test_equal_circuits_share_an_executable():
    backend = PennyLane()
    assert backend.compile(SAMPLED) is backend.compile(Circuit.from_json(SAMPLED.to_json()))


def test_options_reach_the_device():
    seeded = [PennyLane("default.qubit", seed=s).compile(SAMPLED) for s in (1, 1, 2)]
    a, b, c = (e.run(equal_rows(20), shots=50, keys=keys(20)).values for e in seeded)
    assert torch.equal(a, b) and not torch.equal(a, c)


def test_variance_of_a_sum_follows_its_outcomes():
    """In PennyLane's own words: the variance of the measured observable over shots."""
    total = PauliSum(((0.5, ((0, "Z"),)), (0.25, ((0, "Z"), (1, "Z")))))
    circuit = Circuit(2, (Operation("RY", (0,), 0.8), Operation("RY", (1,), 1.9)), (Expectation(total),))
    estimate = PennyLane("default.qubit", seed=0).compile(circuit).run(no_angles(1), shots=200_000, keys=keys(1))

    @qml.qnode(qml.device("default.qubit", wires=2))
    def exact():
        qml.RY(0.8, 0)
        qml.RY(1.9, 1)
        return qml.var(0.5 * qml.Z(0) + 0.25 * (qml.Z(0) @ qml.Z(1)))

    np.testing.assert_allclose(estimate.variance.item(), exact() / 200_000, rtol=0.03)


def test_wrong_devices_and_options():
    with pytest.raises(
        UnknownNameError, match=r'No PennyLane device named "default.qbit". Did you mean "default.qubit"'
    ):
        resolve("pennylane:default.qbit")
    with pytest.raises(ArgumentError, match=r'options of "default.qubit"; got \[\'colour\'\]'):
        PennyLane("default.qubit", colour="red")
    with pytest.raises(ArgumentError, match="`shots` must be given to the layer or to `run`"):
        PennyLane("default.qubit", shots=100)
    with pytest.raises(CapabilityError, match=r"`n_qubits` must be at most 1 on pennylane:default\.qubit"):
        PennyLane("default.qubit", wires=1).compile(SAMPLED)
    assert PennyLane("default.qubit", wires=3).capabilities.max_wires == 3
    assert not PennyLane().capabilities.keyed


def test_specification_is_plain_data_or_nothing():
    assert PennyLane("default.qubit", wires=3).specification() == {"name": "pennylane:default.qubit", "wires": 3}
    assert PennyLane("default.qubit", seed=np.random.default_rng(0)).specification() is None
