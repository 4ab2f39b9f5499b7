"""Quantisation: bytes that are really stored, bundles, calibration; angles on a grid, and training through it."""

import copy
import math
from itertools import pairwise

import pennylane as qml
import pytest
import torch
from torch import nn

from qnn import FitConfig, QuantumLayer, QuantumNeuralNetwork, build_baseline, load, save
from qnn.compression.bundles import compress_bundle
from qnn.compression.measurement.measuring import size_at_rest
from qnn.compression.quantisation.quantising import quantize
from qnn.errors import ArgumentError, BundleError, DtypeError, NotFiniteError, ShapeError, UnknownNameError
from qnn.layers import Int8Conv2d, Int8HiddenLayer, Int8InputLayer, Int8Linear

X = torch.randn(60, 8, generator=torch.Generator().manual_seed(0))
DATA = (X, (X[:, 0] + X[:, 1] > 0).long())
IMAGE = torch.rand(1, 1, 4, 4, generator=torch.Generator().manual_seed(1))
STEP = math.pi / 4
INT8 = ("int8-dynamic", "int8-static", "int8-weights")


def network():
    return QuantumNeuralNetwork(8, [6], 2, n_qubits=3, n_layers=2, seed=0)


@pytest.mark.parametrize("method", INT8)
def test_hybrids_become_int8_around_their_circuits_and_come_back_from_bundles(method, tmp_path):
    model = network()
    before = copy.deepcopy(model.state_dict())
    found, report = quantize(model, DATA, method=method, device=None)
    kinds = [type(module) for module in found.network]
    assert kinds == [Int8HiddenLayer, Int8InputLayer, QuantumLayer, Int8Linear]
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in before.items())
    assert report.after.bytes == size_at_rest(found) and report.after.n_weights == report.before.n_weights
    assert 0 < report.details["outputs_moved_on_average"] < 0.01
    again = load(save(found, tmp_path / "found"))
    assert torch.equal(again(X), found.eval()(X))
    assert [type(module) for module in again.network] == kinds


def test_large_layers_take_a_quarter_of_the_bytes(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(400, 300), nn.ReLU(), nn.Linear(300, 10))
    found, _ = quantize(model)
    n, outputs = 300 * 400 + 10 * 300, 310
    stored = n + 4 * outputs + 4 * outputs  # weights; scales; biases
    assert stored < size_at_rest(found) < stored + 600  # names, and where tensors begin
    assert size_at_rest(found) / size_at_rest(model) < 0.26
    saved = (save(found, tmp_path / "f") / "weights.safetensors").stat().st_size
    assert saved == size_at_rest(found)


def test_convolutions_become_int8_and_others_are_named():
    rows = torch.rand(20, 64)
    model = build_baseline("cnn", n_inputs=64, n_outputs=10, image_shape=(1, 8, 8))
    found, report = quantize(model, (rows, torch.zeros(20).long()), method="int8-static", calibration_rows=5)
    assert [type(found[i]) for i in (1, 4, 7)] == [Int8Conv2d, Int8Conv2d, Int8Linear]
    assert report.details["calibration_rows"] == 5 and report.details["left_in_floating_point"] == {}
    more, _ = quantize(model, (rows, torch.zeros(20).long()), method="int8-static")
    assert not torch.equal(more[4].input_scale, found[4].input_scale)
    assert torch.equal(found[1].input_scale, rows[:5].max().reshape(1) / 127.5)
    odd = nn.Sequential(
        nn.Conv2d(4, 4, 3, groups=2), nn.Conv2d(4, 4, 3, padding="same"), nn.Conv2d(4, 4, 2, padding="same"),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"), nn.Conv2d(4, 4, 2, padding="valid"),
    )  # fmt: skip
    images = (torch.randn(2, 4, 6, 6), torch.zeros(2, 4, 3, 3))
    found, report = quantize(odd, images, method="int8-weights")
    assert report.details["int8_layers"] == ["1", "4"] and list(report.details["left_in_floating_point"]) == [
        "0",
        "2",
        "3",
    ]


@pytest.mark.parametrize("method", ["int8-dynamic", "int8-weights"])
def test_without_data_a_model_that_does_not_say_what_it_takes_is_not_compared(method, tmp_path):
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    found, report = quantize(model, method=method)
    assert [type(found[i]) for i in (0, 3)] == [Int8Conv2d, Int8Linear]
    assert report.details["int8_layers"] == ["0", "3"] and not any("moved" in name for name in report.details)
    compress_bundle(save(model, tmp_path / "cnn"), tmp_path / "out", quantize=method)
    assert torch.equal(load(tmp_path / "out")(IMAGE), found.eval()(IMAGE))


def test_skipped_layers_stay_and_a_layer_alone_is_replaced():
    model = nn.Sequential(nn.Linear(8, 6), nn.Linear(6, 2))
    found, report = quantize(model, skip=("1",))
    assert [type(module) for module in found] == [Int8Linear, nn.Linear]
    assert report.details["left_in_floating_point"] == {"1": "asked for"} and not report.measurements
    assert type(quantize(model[0])[0]) is Int8Linear
    shared = nn.Sequential(layer := nn.Linear(4, 4), nn.ReLU(), layer)
    twice, _ = quantize(shared)
    assert twice[0] is twice[2]


def test_circuits_behind_int8_layers_train_on(tmp_path):
    from qnn import fit

    found, _ = quantize(network())
    before = found.quantum_layers[0].weights.detach().clone()
    int8 = found.network[0].linear.weight.clone()
    fit(found, DATA, epochs=1, progress=False)
    assert not torch.equal(found.quantum_layers[0].weights, before)
    assert torch.equal(found.network[0].linear.weight, int8)


def test_bundles_with_other_numbers_in_place_of_int8_are_refused(tmp_path):
    from qnn.models.bundle.tree import put_in

    found, _ = quantize(nn.Linear(3, 2))
    weights = found.state_dict()
    weights["weight"] = weights["weight"].to(torch.int64)
    with pytest.raises(BundleError, match=r"weights\.safetensors: weight"):
        put_in(found, weights, ["bias"])


@pytest.mark.parametrize(
    "options", [{"bits": 3}, {"angles": "clifford+t"}, {"angles": [STEP * k for k in range(-3, 5)]}]
)
def test_angles_go_to_the_nearest_of_the_grid_wherever_on_the_circle(options, tmp_path):
    model = network()
    layer = model.quantum_layers[0]
    with torch.no_grad():
        layer.weights.copy_(torch.tensor([[-8.0, -0.1, 0.1], [3.6, 6.2, 20.0]]))
    found, report = quantize(model, DATA, method="angles", device=None, **options)
    expected = torch.round(layer.weights.detach() / STEP) * STEP
    assert torch.allclose(found.quantum_layers[0].weights, expected, atol=1e-5)
    assert report.details["circuit_angles_on_grid"] == "6 of 6" and report.details["bits_per_angle"] == 3
    assert report.details["largest_move_of_an_angle"] == pytest.approx(
        float((expected - layer.weights.detach()).abs().max()), abs=1e-5
    )
    apart = (found(X) - model(X)).detach().abs()
    assert report.details["outputs_moved_at_most"] == pytest.approx(float(apart.max()), rel=1e-4)
    assert torch.equal(load(save(found, tmp_path / "found"))(X), found.eval()(X))


def test_outputs_move_half_as_far_for_each_further_bit():
    layer = QuantumLayer(3, 3, seed=1, dtype=torch.float64)
    moved = [quantize(layer, method="angles", bits=bits)[1].details["outputs_moved_on_average"] for bits in (4, 7, 10)]
    slopes = [math.log2(a / b) / 3 for a, b in pairwise(moved)]
    assert all(0.5 < slope < 1.5 for slope in slopes)


def test_training_through_the_rounding_ends_on_the_grid_with_a_smaller_loss():
    torch.manual_seed(0)
    layer = QuantumLayer(2, 2, seed=3, observables=[qml.PauliZ(1)])
    x = torch.rand(40, 2) * 3
    teacher = QuantumLayer(2, 2, seed=3, observables=[qml.PauliZ(1)])
    with torch.no_grad():
        teacher.weights.copy_(torch.tensor([[1.0, 3.0], [5.0, 2.0]]) * STEP)
        layer.weights.copy_(teacher.weights + 0.55)  # rounds to the next value, each
        y = teacher(x)
    config = FitConfig(epochs=40, batch_size=None, learning_rate=0.1, loss="mse", progress=False)
    nearest, rounded = quantize(layer, (x, y), method="angles", angles="clifford+t", device=None)
    found, trained = quantize(layer, (x, y), method="angles", angles="clifford+t", fine_tune=config, device=None)
    assert trained.after.loss < 0.2 * rounded.after.loss
    assert trained.details["circuit_angles_on_grid"] == "4 of 4" and trained.details["training_steps"] == 40
    assert type(found) is QuantumLayer and list(found.state_dict()) == ["weights"] and found.weights.requires_grad
    assert not torch.equal(found.weights, nearest.weights)


def test_weights_that_are_no_angles_stay_and_frozen_ones_stay_frozen():
    def function(inputs, frequency, angle, halved):
        qml.RX(inputs[0] * frequency[0], wires=0)
        qml.RY(angle[0], wires=0)
        qml.RX(halved[0] / 2, wires=0)
        return qml.expval(qml.PauliZ(0))

    layer = QuantumLayer.from_pennylane(
        function, n_inputs=1, weight_shapes={"frequency": 1, "angle": 1, "halved": 1}, seed=0
    )
    layer.angle.requires_grad_(False)
    layer.halved.detach().fill_(1.5)  # goes to a step, whose half is no step
    found, report = quantize(layer, method="angles", bits=2)
    assert torch.equal(found.frequency, layer.frequency) and not torch.equal(found.angle, layer.angle)
    assert report.details["angles"] == 2 and report.details["circuit_angles_on_grid"] == "1 of 2"
    assert not found.angle.requires_grad and found.halved.requires_grad
    assert [name for name, _ in found.named_parameters()] == ["frequency", "angle", "halved"]


def test_layers_with_shots_are_compared_exactly():
    layer = QuantumLayer(2, 1, seed=0, shots=10)
    state = layer.sampling_state()
    _, report = quantize(layer, method="angles", bits=16)
    assert report.details["outputs_moved_at_most"] < 1e-3 and layer.sampling_state() == state


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"method": "int4"}, UnknownNameError, 'No method of quantisation named "int4"'),
        ({"method": "int8-static"}, ArgumentError, '`data` must be given for "int8-static"'),
        ({"skip": "network"}, DtypeError, "`skip` must be a sequence of paths"),
        ({"skip": ("nowhere",)}, ArgumentError, '`skip` must name layers of the model; got "nowhere"'),
        ({"skip": ("network.0.linear", "network.1.linear", "network.3")}, ArgumentError, "must have linear layers"),
        ({"bits": 4}, ArgumentError, '`bits` must be left out for method="int8-dynamic"'),
        ({"angles": "clifford"}, ArgumentError, "`angles` must be left out"),
        ({"fine_tune": 1}, ArgumentError, "`fine_tune` must be left out"),
        ({"calibration_rows": 9}, ArgumentError, "`calibration_rows` must be left out"),
        ({"calibration_rows": 0}, ArgumentError, "`calibration_rows` must be a positive integer"),
        ({"method": "angles"}, ArgumentError, "One of `bits` and `angles` must be given for angles; got none"),
        ({"method": "angles", "bits": 2, "angles": "clifford"}, ArgumentError, "got both"),
        ({"method": "angles", "bits": 0}, ArgumentError, "`bits` must be from 1 to 16; got 0"),
        ({"method": "angles", "bits": 2.0}, DtypeError, "`bits` must be an integer"),
        ({"method": "angles", "angles": "cliford"}, UnknownNameError, 'Did you mean "clifford"'),
        ({"method": "angles", "angles": []}, ArgumentError, "`angles` must be one or more finite numbers"),
        ({"method": "angles", "angles": [float("inf")]}, ArgumentError, "`angles` must be one or more finite"),
        ({"method": "angles", "angles": object()}, DtypeError, "`angles` must be a name or numbers"),
        ({"method": "angles", "bits": 2, "skip": ("a",)}, ArgumentError, "`skip` must be left out"),
        ({"method": "angles", "bits": 2, "fine_tune": 1}, ArgumentError, "`data` must be given to fine-tune"),
    ],
)
def test_mistakes_are_named(options, error, message):
    with pytest.raises(error, match=message):
        quantize(network(), **options)


def test_models_and_data_that_do_not_fit_are_named():
    with pytest.raises(ShapeError, match=r"rows of shape \(5,\)"):
        quantize(nn.Sequential(nn.Linear(8, 2)), (torch.zeros(4, 5), torch.zeros(4).long()), method="int8-static")
    with pytest.raises(ArgumentError, match="must have quantum layers with angles"):
        quantize(nn.Linear(3, 2), method="angles", bits=3)
    with torch.no_grad():
        (diverged := network()).quantum_layers[0].weights[0, 0] = float("inf")
    for options in ({}, {"method": "angles", "bits": 3}):
        with pytest.raises(NotFiniteError, match="finite weights"):
            quantize(diverged, **options)
    with pytest.raises(DtypeError, match="`model` must be a torch"):
        quantize(3)
    with pytest.raises(ArgumentError, match="must have rows, as many x as y"):
        quantize(network(), (X, DATA[1][:3]), method="int8-static")


def test_a_report_says_why_int8_layers_save_circuits():
    """The circuits of a step: those of the inputs' gradients go, 2 for each input and row."""
    layer = QuantumLayer(2, 1, seed=0, shots=10, gradient="parameter-shift")
    rows = torch.randn(4, 4), torch.tensor([0, 1] * 2)
    _, report = quantize(nn.Sequential(nn.Linear(4, 2), layer, nn.Linear(2, 2)), rows, device=None)
    assert report.before.circuits_per_step - report.after.circuits_per_step == 32 * 4
    assert "a step needs no gradients of the circuits' inputs" in report.details["fewer_circuits_per_step"]
    _, behind = quantize(nn.Sequential(layer, nn.Linear(2, 2)), (rows[0][:, :2], rows[1]), device=None)
    assert "fewer_circuits_per_step" not in behind.details
