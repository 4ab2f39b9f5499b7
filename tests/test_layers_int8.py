"""Layers in int8: what they compute, as torchao and as plain operations, and what passes through them."""

import pytest
import torch
from torch import nn

from qnn.errors import ArgumentError, UnknownNameError
from qnn.layers import Int8Conv2d, Int8Linear, export_onnx
from qnn.layers.int8 import ACTIVATIONS

X = torch.randn(7, 12, generator=torch.Generator().manual_seed(0))
IMAGES = torch.randn(3, 2, 9, 7, generator=torch.Generator().manual_seed(1))


def linear(activations, bias=True, reduce_range=False):
    torch.manual_seed(0)
    layer = nn.Linear(12, 5, bias=bias)
    made = Int8Linear(12, 5, bias, activations, reduce_range)
    scale = X.abs().max() / (63.5 if reduce_range else 127.5)
    made.quantize_from(layer.weight, layer.bias, scale if activations == "static" else None)
    return layer, made


def conv(activations, **options):
    torch.manual_seed(0)
    layer = nn.Conv2d(2, 4, (3, 2), **options)
    made = Int8Conv2d(2, 4, (3, 2), layer.stride, layer.padding, layer.dilation, True, activations)
    made.quantize_from(layer.weight, layer.bias, IMAGES.abs().max() / 127.5 if activations == "static" else None)
    return layer, made


@pytest.mark.parametrize("activations", ACTIVATIONS)
@pytest.mark.parametrize("reduce_range", [False, True])
def test_linear_outputs_are_those_of_the_layer_within_half_a_step_of_weights_and_inputs(activations, reduce_range):
    layer, made = linear(activations, reduce_range=reduce_range)
    span = 63.5 if reduce_range else 127.5
    step_w = layer.weight.abs().amax(1) / span
    step_x = {
        "float": torch.zeros(7, 1),
        "dynamic": X.abs().amax(1, keepdim=True) / span,
        "static": X.abs().max() / span,
    }
    # The largest numbers are cut off at 127 (63), half a step below 127.5 steps.
    dx = step_x[activations] * 0.5001 + torch.zeros(7, 1)
    bound = 12 * dx * step_w * 0.5001 + dx * layer.weight.abs().sum(1) + X.abs().sum(1, keepdim=True) * step_w * 0.5001
    apart = (made(X) - layer(X)).detach().abs()
    assert bool((apart <= bound + 1e-6).all()) and float(apart.max()) > 0
    assert made.weight.dtype == torch.int8 and made.weight.abs().max() <= span + 0.5
    assert torch.allclose(made._matmul_in_floats(X), made(X), atol=1e-6)
    assert torch.equal(made(X.reshape(7, 1, 12)), made(X)[:, None]) and made(X[:0]).shape == (0, 5)
    assert made(X.double()).dtype == torch.float64


@pytest.mark.parametrize("reduce_range", [False, True])
def test_the_largest_input_of_a_row_is_not_rounded_by_its_last_bit(reduce_range):
    _, made = linear("dynamic", reduce_range=reduce_range)
    rows = -X.abs()  # the largest of each is negative, where half a step more would be cut off on one side only
    expected = made(rows)
    for bits in range(-3, 4):
        assert torch.allclose(made(rows * (1 + bits * 2**-23)), expected, atol=1e-5)
        assert torch.allclose(made._matmul_in_floats(rows * (1 + bits * 2**-23)), expected, atol=1e-5)


@pytest.mark.parametrize("activations", ACTIVATIONS)
@pytest.mark.parametrize("options", [{}, {"stride": 2, "padding": (2, 1)}, {"dilation": (2, 3)}])
def test_convolutions_have_the_shape_of_the_layer_and_nearly_its_values(activations, options):
    layer, made = conv(activations, **options)
    expected = layer(IMAGES)
    assert made(IMAGES).shape == expected.shape
    assert float((made(IMAGES) - expected).detach().abs().max()) < 0.05
    assert torch.allclose(made(IMAGES[0]), made(IMAGES)[0], atol=1e-6)


@pytest.mark.parametrize("activations", ACTIVATIONS)
def test_gradients_pass_the_roundings(activations):
    _, made = linear(activations)
    rows = X.clone().requires_grad_()
    made(rows).sum().backward()
    assert torch.allclose(rows.grad, made.dequantized(torch.float32).sum(0).expand(7, 12), atol=1e-6)
    assert torch.equal(made(rows).detach(), made(X))


@pytest.mark.slow
def test_onnx_files_compute_the_same_and_keep_large_weights_in_int8(tmp_path):
    torch.manual_seed(0)
    large = Int8Linear(4 * 7 * 6, 400)
    large.quantize_from(torch.randn(400, 4 * 7 * 6), None, None)
    net = nn.Sequential(conv("static")[1], nn.Flatten(), large, nn.Linear(400, 12), linear("float")[1])
    path = export_onnx(net, tmp_path / "net.onnx", IMAGES)  # which compares with onnxruntime
    assert 67_200 < path.stat().st_size < 160_000  # floats would take 268,800


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"padding": "same"}, "`padding` must be a pair of whole numbers; got 'same'"),
        ({"padding": (0, -1)}, "`padding` must be a whole number from 0 up; got -1"),
        ({"stride": (1, 0)}, "`stride` must be a whole number from 1 up; got 0"),
        ({"stride": None}, "`stride` must be a pair of whole numbers; got None"),
        ({"dilation": (1, 1, 1)}, "`dilation` must be a pair"),
        ({"kernel_size": 3}, "`kernel_size` must be a pair of whole numbers; got 3"),
        ({"kernel_size": (2, 1.5)}, "`kernel_size` must be a whole number from 1 up; got 1.5"),
        ({"out_channels": 0}, "`out_channels` must be a whole number from 1 up; got 0"),
    ],
)
def test_convolutions_that_could_not_run_are_not_built(options, message):
    with pytest.raises(ArgumentError, match=message):
        Int8Conv2d(**{"in_channels": 2, "out_channels": 4, "kernel_size": (3, 2)} | options)


def test_mistakes_are_named():
    with pytest.raises(UnknownNameError, match="No kind of activations"):
        Int8Linear(2, 2, activations="fixed")
    with pytest.raises(ArgumentError, match="`in_features` must be a whole number from 1 up; got 0"):
        Int8Linear(0, 2)
    with pytest.raises(ArgumentError, match=r"`out_features` must be a whole number from 1 up; got 2\.0"):
        Int8Linear(2, 2.0)
    with pytest.raises(ArgumentError, match="`input_scale` must be given"):
        Int8Linear(2, 2, activations="static").quantize_from(torch.zeros(2, 2), None, None)
