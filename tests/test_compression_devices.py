"""Circuits on a device, and devices that cannot take them: told before anything is trained."""

import pennylane as qml
import pytest
import torch

import qnn
from qnn.compression import measure
from qnn.compression.measurement.devices import check_device, gates_on
from qnn.errors import ArgumentError, CapabilityError, DtypeError, UnknownNameError

X = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
LABELS = (X[:, 0] > 0).long()


def test_a_variance_is_transpiled_as_what_is_executed():
    layer = qnn.QuantumLayer(2, 2, seed=0, observables=[qml.Z(0), qml.var(qml.Z(1))])
    found = measure(layer, (X, LABELS), label="m", device="fake_manila")
    described = qnn.backends.registry.resolve("ibm:fake_manila").compile(layer.circuit.linear()).describe()
    assert found.gates == described["gates"] > 0 and found.device == "fake_manila"


def test_what_is_no_device_is_named():
    with pytest.raises(ArgumentError, match=r"`device` must be one of IBM's fake devices, or None; got .nope."):
        gates_on([qnn.QuantumLayer(1, 1).circuit], "nope")
    for call in (check_device, lambda device: qnn.quantize(torch.nn.Linear(2, 2), device=device)):
        with pytest.raises(DtypeError, match=r"`device` must be the name of one of IBM's fake devices, .*; got int"):
            call(3)


@pytest.mark.parametrize(
    ("device", "error", "message"),
    [
        ("fake_manila", CapabilityError, "`n_qubits` must be at most 5 to run on ibm:fake_manila; got 6"),
        ("fake_manilla", UnknownNameError, 'No fake device named "fake_manilla". Did you mean "fake_manila"'),
        (3, DtypeError, "`device` must be the name of"),
    ],
)
def test_a_device_that_cannot_be_used_is_told_before_training(device, error, message):
    student = torch.nn.Sequential(torch.nn.Linear(2, 6), qnn.QuantumLayer(6, 1, seed=0), torch.nn.Linear(6, 2))

    class Fails(qnn.training.Callback):
        def on_fit_start(self, state):
            raise AssertionError("trained")

    options = {"progress": False, "epochs": 1}
    with pytest.raises(error, match=message):
        qnn.distill(torch.nn.Linear(2, 2), student, (X, LABELS), device=device, callbacks=[Fails()], **options)
    with pytest.raises(error, match=message):  # before the training that would fail
        fine_tune = qnn.FitConfig(loss=lambda outputs, y: 1 / 0, **options)
        qnn.quantize(student, (X, LABELS), method="angles", bits=2, fine_tune=fine_tune, device=device)
