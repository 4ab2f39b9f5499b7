"""What is said about options and models that a method does not take."""

import pennylane as qml
import pytest
import torch
from torch import nn

import qnn
from qnn.compression import compress_bundle, surrogate
from qnn.errors import ArgumentError, DtypeError, UnknownNameError

MODEL = qnn.QuantumNeuralNetwork(8, [6], 2, n_qubits=2, n_layers=2, seed=0)
DATA = (torch.zeros(4, 8), torch.arange(4) % 2)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"amonut": 1}, UnknownNameError, 'No option of method="angle" named "amonut". Did you mean "amount"'),
        ({"method": "weight", "scop": "layer"}, UnknownNameError, 'method="weight" named "scop". Did you mean "scope"'),
        ({"target": 10}, ArgumentError, r'`target` must be left out for method="angle"; got 10\. It is an .*of weight'),
        ({"method": "weight", "fisher": "loss"}, ArgumentError, "`fisher` must be left out .* It is an .*of angle"),
        ({}, ArgumentError, "One of `amount` and `threshold` must be given; got none"),
        ({"amount": 99}, ArgumentError, r"between 1 and 3 of the 4 trainable rotations; got 99\. Use less, or a share"),
        ({"amount": 0.01}, ArgumentError, r"got 0\.01, which is 0\. Use a larger share, or a count"),
        ({"amount": 99.0}, ArgumentError, r"a share below 1 or a count; got 99\.0\. Use amount=99, an integer"),
        ({"amount": 1.5}, ArgumentError, r"a share below 1 or a count; got 1\.5\. Use amount=0\.5"),
    ],
)
def test_options_of_prune_are_named_as_the_method_has_them(options, error, message):
    with pytest.raises(error, match=message):
        qnn.prune(MODEL, **options)


def test_options_of_other_functions_are_named(tmp_path):
    with pytest.raises(DtypeError, match=r"`model` must be a torch\.nn\.Module; got str"):
        qnn.prune("x", amount=1)
    with pytest.raises(UnknownNameError, match=r'No option of quantize named "bit"\. Did you mean "bits"'):
        qnn.quantize(MODEL, method="angles", bit=3)
    with pytest.raises(UnknownNameError, match=r'No option of distill named "temprature"\. Did you mean "temperature"'):
        qnn.distill(MODEL, MODEL, DATA, temprature=3)
    for skip in (5, None, [1], "2"):
        with pytest.raises(DtypeError, match="`skip` must be a sequence of paths, which are texts; got"):
            qnn.quantize(MODEL, skip=skip)
    with pytest.raises(UnknownNameError, match=r"No method of quantisation named \"\[\]\""):
        qnn.quantize(MODEL, method=[])
    bundle = qnn.save(MODEL, tmp_path / "bundle")
    for step, option in (("surrogate", {"max_query": 9}), ("quantize", {"methd": "angles"})):
        with pytest.raises(UnknownNameError, match=f'No option of `{step}` named "{next(iter(option))}". Did you mean'):
            compress_bundle(bundle, tmp_path / "out", DATA, **{step: option})


def test_models_that_are_int8_already_are_named():
    int8, _ = qnn.quantize(MODEL)
    for options in ({"method": "weight", "amount": 1}, {"method": "neuron", "amount": 1}, {"method": "l1"}):
        with pytest.raises(ArgumentError, match=r'got int8 layers, the first "network\.0\.linear"\. Prune the model'):
            qnn.prune(int8, DATA, **options)
    with pytest.raises(
        ArgumentError, match=r"floating point to be int8; got one that is quantised already, the first layer"
    ):
        qnn.quantize(int8)
    part, _ = qnn.quantize(nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 2)), skip=("2",))
    with pytest.raises(ArgumentError, match='got int8 layers, the first "0"'):
        qnn.prune(part, method="neuron", amount=1)
    assert qnn.quantize(part)[1].details["int8_layers"] == ["2"]  # what is left of it


def test_a_layer_without_inputs_has_no_series_and_no_rows_to_compare_on():
    def function(angle):
        qml.RY(angle[0], wires=0)
        return qml.expval(qml.PauliZ(0))

    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.factor = qnn.QuantumLayer.from_pennylane(function, n_inputs=0, weight_shapes={"angle": 1}, seed=0)
            self.last = nn.Linear(3, 2)

        def forward(self, inputs):
            return self.last(inputs) * self.factor()

    with pytest.raises(ArgumentError, match=r"quantum layers with inputs; got one without.* Put a module that returns"):
        surrogate(Scaled())
    _, report = qnn.quantize(Scaled(), method="angles", bits=2)  # its first layer takes no inputs, the model does
    assert report.details["angles"] == 1 and "outputs_moved_at_most" not in report.details
