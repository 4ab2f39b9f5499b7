"""The classical layers around the quantum one."""

import math

import pytest
import torch

from qnn import HiddenLayer, InputLayer, OutputLayer
from qnn.errors import UnknownNameError
from qnn.layers.classical import ACTIVATIONS


@pytest.mark.parametrize("scale", [math.pi, math.pi / 2])
def test_the_input_layer_gives_angles_in_range(scale: float) -> None:
    layer = InputLayer(3, 2, scale=scale)
    angles = layer(1e6 * torch.randn(200, 3, generator=torch.Generator().manual_seed(0)))
    assert angles.shape == (200, 2) and bool((angles.abs() <= scale * (1 + 1e-6)).all())
    assert float(angles.abs().max()) > 0.99 * scale  # the range is used
    assert f"scale={scale:.4g}" in repr(layer)


def test_the_input_layer_is_its_formula() -> None:
    layer = InputLayer(3, 2, scale=2.0).double()
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    slope = math.pi / 4
    torch.testing.assert_close(layer(x), torch.atan(slope * layer.linear(x)) / slope)
    with torch.no_grad():
        layer.linear.weight.mul_(1e-6)
        layer.linear.bias.zero_()
    torch.testing.assert_close(layer(x), layer.linear(x), atol=1e-15, rtol=1e-9)  # the identity near zero


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_hidden_layer_applies_its_activation(activation: str) -> None:
    layer = HiddenLayer(3, 4, activation=activation)
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(layer(x), ACTIVATIONS[activation]()(layer.linear(x)))


def test_a_misspelt_activation_gets_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match=r'No activation named "tanhh"\. Did you mean "tanh"\?'):
        HiddenLayer(3, 4, activation="tanhh")


def test_the_output_layer_is_linear() -> None:
    layer = OutputLayer(3, 2)
    x = torch.randn(5, 3)
    torch.testing.assert_close(layer(x), x @ layer.weight.T + layer.bias)
