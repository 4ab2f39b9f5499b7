"""Linear and convolution layers whose weights are int8 numbers with a scale for each output; torchao does the sums.

y = s_w · (W_q x_q) · s_x + b, where x_q = round(x / s_x) is int8 as well, but for `activations="float"`, where x is
taken as it is.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from qnn._integers import whole
from qnn.errors import ArgumentError, unknown_name
from qnn.layers.classical import HiddenLayer, InputLayer
from qnn.layers.torchao_import import torchao

ACTIVATIONS = ("float", "dynamic", "static")
BOUNDS = {False: (-128, 127), True: (-64, 63)}
"""Of int8, by whether the range is reduced; torchao scales weights by half of what lies between."""


class _Int8Layer(torch.nn.Module):
    """Buffers and arithmetic; the bias is a parameter that is not trained."""

    weight: torch.Tensor  # int8, shape: (out, ...)
    scale: torch.Tensor  # float32, shape: (out,)
    input_scale: torch.Tensor | None  # float32, shape: (1,)

    def __init__(self, shape: tuple[int, ...], bias: bool, activations: str, reduce_range: bool) -> None:
        super().__init__()
        if activations not in ACTIVATIONS:
            raise unknown_name("kind of activations", activations, ACTIVATIONS)
        self.activations, self.reduce_range = activations, reduce_range
        self.shift = 0.0  # in steps, of inputs before they are rounded: to see what depends on it
        self.register_buffer("weight", torch.zeros(shape, dtype=torch.int8))
        self.register_buffer("scale", torch.ones(shape[0]))
        self.register_buffer("input_scale", torch.ones(1) if activations == "static" else None)
        self.bias = torch.nn.Parameter(torch.zeros(shape[0]), requires_grad=False) if bias else None

    def quantize_from(self, weight: torch.Tensor, bias: torch.Tensor | None, input_scale: torch.Tensor | None) -> None:
        """Take the weights of a layer in floating point, rounded."""
        ao = _torchao()
        made = ao.Int8Tensor.from_hp(
            weight.detach().flatten(1).float(), granularity=ao.PerRow(), reduce_range=self.reduce_range
        )
        self.weight = made.qdata.reshape(weight.shape).clone()
        self.scale = made.scale.reshape(-1).clone()
        if self.bias is not None and bias is not None:
            self.bias = torch.nn.Parameter(bias.detach().clone(), requires_grad=False)
        if self.activations == "static":
            if input_scale is None:
                raise ArgumentError("`input_scale` must be given for static activations; got None. Calibrate first.")
            self.input_scale = input_scale.detach().reshape(1).float().clone()

    def dequantized(self, dtype: torch.dtype) -> torch.Tensor:
        """The weights that the int8 numbers stand for."""
        scale = self.scale.reshape(-1, *(1 for _ in self.weight.shape[1:]))
        return self.weight.to(dtype) * scale.to(dtype)

    def _matmul(self, rows: torch.Tensor) -> torch.Tensor:  # (N, K) -> (N, out)
        """Weights times rows, and the bias; gradients pass the roundings as if there were none."""
        if torch.is_grad_enabled() and rows.requires_grad and self.activations != "float":
            smooth = rows @ self.dequantized(rows.dtype).flatten(1).t()
            return self._matmul(rows.detach()) + (smooth - smooth.detach())
        if torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export() or not rows.shape[0] or self.shift:
            return self._matmul_in_floats(rows)
        ao, kwargs, weight = _torchao(), None, self.weight.flatten(1)
        step = None if self.activations == "float" else self._step(rows.float())
        if step is not None:
            granularity = ao.PerRow() if self.activations == "dynamic" else ao.PerTensor()
            kwargs = _activation_options()(granularity=granularity, reduce_range=self.reduce_range)
        tensor = ao.Int8Tensor(
            weight,
            self.scale.reshape(-1, 1),
            [1, weight.shape[1]],
            torch.float32,
            act_quant_kwargs=kwargs,
            act_quant_scale=step,
            reduce_range=self.reduce_range,
        )
        found = functional.linear(rows.float(), tensor).to(rows.dtype)  # torchao takes no float64
        return found if self.bias is None else found + self.bias.to(rows.dtype)

    def _step(self, rows: torch.Tensor) -> torch.Tensor:  # shape: (N, 1), or (1, 1) where it is static
        """What 1 stands for in the rounded inputs.

        The largest of a row is `high` steps. torchao would take half a step more: then it lies midway between two
        integers, where the last bit decides, which no two programs have in common.
        """
        if self.input_scale is not None:
            return self.input_scale.reshape(1, 1).to(rows.dtype)
        high = BOUNDS[self.reduce_range][1]
        return (rows.abs().amax(dim=1, keepdim=True) / high).clamp_min(torch.finfo(torch.float32).eps)

    def _matmul_in_floats(self, rows: torch.Tensor) -> torch.Tensor:
        """The same numbers by plain operations, which can be exported; integers are exact in float32 up to 2^24."""
        weight, unit = self.weight.flatten(1).to(rows.dtype), rows.new_ones(1)
        low, high = BOUNDS[self.reduce_range]
        if self.activations != "float":
            unit = self._step(rows)
            scaled = rows * (1.0 / unit)
            rows = torch.clamp(torch.round(scaled + self.shift if self.shift else scaled), low, high)
        found = (rows @ weight.t()) * unit * self.scale.to(rows.dtype)
        return found if self.bias is None else found + self.bias.to(rows.dtype)


def rounds_inputs(model: torch.nn.Module) -> list[_Int8Layer]:
    """The layers of `model` that round their inputs to int8."""
    return [m for m in model.modules() if isinstance(m, _Int8Layer) and m.activations != "float"]


class Int8Linear(_Int8Layer):
    """A linear layer in int8, (..., in_features) ↦ (..., out_features).

    Args:
        in_features: inputs.
        out_features: outputs.
        bias: whether a bias is added, in floating point.
        activations: inputs stay "float", or become int8 with a scale for each row ("dynamic") or one that was found
            in calibration ("static").
        reduce_range: leave a bit unused, for processors whose int8 sums would overflow.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        activations: str = "dynamic",
        reduce_range: bool = False,
    ) -> None:
        for name, size in (("in_features", in_features), ("out_features", out_features)):
            _check_at_least(name, size, 1)
        super().__init__((out_features, in_features), bias, activations, reduce_range)
        self.in_features, self.out_features = in_features, out_features

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Outputs in the dtype of the inputs."""
        found = self._matmul(inputs.reshape(-1, self.in_features))
        return found.reshape(*inputs.shape[:-1], self.out_features)

    def extra_repr(self) -> str:
        """Sizes, and how inputs are treated."""
        return (
            f"{self.in_features}, {self.out_features}, bias={self.bias is not None}, activations={self.activations}, "
            f"reduce_range={self.reduce_range}"
        )


class Int8Conv2d(_Int8Layer):
    """A convolution in int8, (N, C, H, W) ↦ (N, O, H', W'): patches become rows of one matrix product.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, bias: as of `torch.nn.Conv2d`, sizes as
            pairs; one group, zeros around.
        activations: as of `Int8Linear`; "dynamic" has a scale for each patch.
        reduce_range: as of `Int8Linear`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, int],
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int] = (0, 0),
        dilation: tuple[int, int] = (1, 1),
        bias: bool = True,
        activations: str = "dynamic",
        reduce_range: bool = False,
    ) -> None:
        for name, size in (("in_channels", in_channels), ("out_channels", out_channels)):
            _check_at_least(name, size, 1)
        kernel_size = _pair("kernel_size", kernel_size, 1)
        super().__init__((out_channels, in_channels, *kernel_size), bias, activations, reduce_range)
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, kernel_size
        self.stride, self.padding = _pair("stride", stride, 1), _pair("padding", padding, 0)
        self.dilation = _pair("dilation", dilation, 1)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Outputs in the dtype of the inputs."""
        if inputs.ndim == 3:
            return self.forward(inputs[None])[0]
        options: dict[str, Any] = {"stride": self.stride, "padding": self.padding, "dilation": self.dilation}
        if self.activations == "float":
            return functional.conv2d(inputs, self.dequantized(inputs.dtype), self.bias, **options)
        sizes = [
            (size + 2 * p - d * (k - 1) - 1) // s + 1
            for size, p, d, k, s in zip(
                inputs.shape[2:], self.padding, self.dilation, self.kernel_size, self.stride, strict=True
            )
        ]
        patches = functional.unfold(inputs, self.kernel_size, **options).transpose(1, 2)  # (N, H' W', C k k)
        found = self._matmul(patches.reshape(-1, patches.shape[2]))
        return found.reshape(inputs.shape[0], -1, self.out_channels).transpose(1, 2).unflatten(2, sizes)

    def extra_repr(self) -> str:
        """Sizes, and how inputs are treated."""
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding}, dilation={self.dilation}, bias={self.bias is not None}, "
            f"activations={self.activations}, reduce_range={self.reduce_range}"
        )


class Int8InputLayer(InputLayer):
    """`InputLayer` whose linear part is int8.

    Args:
        n_inputs, n_outputs, scale: as of `InputLayer`.
        activations, reduce_range: as of `Int8Linear`.
    """

    def __init__(
        self,
        n_inputs: int,
        n_outputs: int,
        *,
        scale: float = torch.pi,
        activations: str = "dynamic",
        reduce_range: bool = False,
    ) -> None:
        super().__init__(n_inputs, n_outputs, scale=scale)
        self.linear = Int8Linear(n_inputs, n_outputs, True, activations, reduce_range)  # type: ignore[assignment]


class Int8HiddenLayer(HiddenLayer):
    """`HiddenLayer` whose linear part is int8.

    Args:
        n_inputs, n_outputs, activation: as of `HiddenLayer`.
        activations, reduce_range: as of `Int8Linear`.
    """

    def __init__(
        self,
        n_inputs: int,
        n_outputs: int,
        *,
        activation: str = "tanh",
        activations: str = "dynamic",
        reduce_range: bool = False,
    ) -> None:
        super().__init__(n_inputs, n_outputs, activation=activation)
        self.linear = Int8Linear(n_inputs, n_outputs, True, activations, reduce_range)  # type: ignore[assignment]


def _check_at_least(name: str, size: Any, least: int) -> None:
    number = whole(size)
    if number is None or number < least:
        raise ArgumentError(f"`{name}` must be a whole number from {least} up; got {size!r}. Use {max(least, 1)}.")


def _pair(name: str, sizes: Any, least: int) -> tuple[int, int]:
    """Two sizes, one for each axis of an image."""
    if not isinstance(sizes, tuple | list) or len(sizes) != 2:
        raise ArgumentError(f"`{name}` must be a pair of whole numbers; got {sizes!r}. Use {(max(least, 1),) * 2}.")
    for size in sizes:
        _check_at_least(name, size, least)
    return int(sizes[0]), int(sizes[1])


def _torchao() -> Any:
    return torchao("torchao.quantization", "Arithmetic in int8")


def _activation_options() -> Any:
    module = torchao("torchao.quantization.quantize_.workflows", "Arithmetic in int8")
    return module.QuantizeTensorToInt8Kwargs
