"""The closed table of modules that a bundle can hold: a kind is a class and the options that make an equal one.

What is not in the table is not built. A room or a user with a module class of their own adds a row by
`register_module`; a bundle that uses it is then loaded where the same row has been added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from qnn.errors import ArgumentError, DtypeError
from qnn.layers import FourierSurrogate, HiddenLayer, InputLayer, OutputLayer, int8
from qnn.layers.classical import ACTIVATIONS
from qnn.models.bundle.fields import Value
from qnn.models.quantum_neural_network import QuantumNeuralNetwork

_MAX_ITEMS = 16  # of an option such as `kernel_size`
_LARGEST = 2**31


@dataclass(frozen=True)
class Kind:
    """A row of the table.

    Attributes:
        name: as stored.
        cls: the exact class; subclasses are other kinds.
        options: of a module, plain data by name.
        build: a module from its options, after a dictionary of children where it holds them.
        checks: for each option, how it is read from a file; None leaves that to `build`.
        holds_children: whether children are stored by themselves, and given to `build`.
    """

    name: str
    cls: type[nn.Module]
    options: Callable[[Any], dict[str, Any]]
    build: Callable[..., nn.Module]
    checks: dict[str, Callable[[Value], Any]] | None
    holds_children: bool = False


def _size(value: Value, least: int = -_LARGEST) -> int | None:
    return None if value.data is None else value.whole(least, _LARGEST)


def _sizes(value: Value, least: int = -_LARGEST) -> Any:
    """A size from `least` up, or a tuple of them."""
    if isinstance(value.data, list):
        return tuple(_size(item, least) for item in value.items(_MAX_ITEMS))
    return _size(value, least)


def _positive(value: Value) -> Any:
    """Sizes that torch takes any of, and refuses when they are used."""
    return _sizes(value, 1)


def _padding(value: Value) -> Any:
    return value.text(("same", "valid")) if isinstance(value.data, str) else _sizes(value, 0)


def _optional_number(value: Value) -> float | None:
    return None if value.data is None else value.number()


_CHECKS: dict[str, Callable[[Value], Any]] = {
    **dict.fromkeys(
        ("affine", "bias", "ceil_mode", "count_include_pad", "elementwise_affine", "inplace", "reduce_range",
         "return_indices", "track_running_stats"),
        Value.flag,
    ),
    **dict.fromkeys(
        ("dim", "divisor_override", "end_dim", "in_channels", "in_features", "normalized_shape", "num_channels",
         "num_features", "num_groups", "num_parameters", "out_channels", "out_features", "output_padding",
         "output_size", "start_dim", "unflattened_size"),
        _sizes,
    ),
    **dict.fromkeys(("dilation", "groups", "kernel_size", "stride"), _positive),
    **dict.fromkeys(
        ("alpha", "beta", "eps", "lambd", "max_val", "min_val", "momentum", "negative_slope", "p", "threshold",
         "value"),
        _optional_number,
    ),
    "activations": lambda value: value.text(int8.ACTIVATIONS),
    "approximate": lambda value: value.text(("none", "tanh")),
    "padding": _padding,
    "padding_mode": lambda value: value.text(("zeros", "reflect", "replicate", "circular")),
}  # fmt: skip

_CONVOLUTION = "in_channels out_channels kernel_size stride padding dilation groups bias padding_mode"
_TRANSPOSED = "in_channels out_channels kernel_size stride padding output_padding groups bias dilation padding_mode"
_BATCH_NORM = "num_features eps momentum affine track_running_stats"
_MAX_POOL = "kernel_size stride padding dilation return_indices ceil_mode"
_AVERAGE_POOL = "kernel_size stride padding ceil_mode count_include_pad"

_TORCH = {
    "": (nn.Identity, nn.Sigmoid, nn.LogSigmoid, nn.Tanh, nn.Tanhshrink, nn.Softsign),
    "inplace": (nn.ReLU, nn.ReLU6, nn.SELU, nn.SiLU, nn.Mish, nn.Hardsigmoid, nn.Hardswish),
    "negative_slope inplace": (nn.LeakyReLU,),
    "alpha inplace": (nn.ELU, nn.CELU),
    "min_val max_val inplace": (nn.Hardtanh,),
    "threshold value inplace": (nn.Threshold,),
    "beta threshold": (nn.Softplus,),
    "lambd": (nn.Softshrink, nn.Hardshrink),
    "approximate": (nn.GELU,),
    "num_parameters": (nn.PReLU,),
    "dim": (nn.Softmax, nn.LogSoftmax, nn.Softmin, nn.GLU),
    "in_features out_features bias": (nn.Linear, OutputLayer),
    "start_dim end_dim": (nn.Flatten,),
    "dim unflattened_size": (nn.Unflatten,),
    "p inplace": (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout),
    _CONVOLUTION: (nn.Conv1d, nn.Conv2d, nn.Conv3d),
    _TRANSPOSED: (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
    _BATCH_NORM: (
        nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d,
    ),
    "normalized_shape eps elementwise_affine bias": (nn.LayerNorm,),
    "normalized_shape eps elementwise_affine": (nn.RMSNorm,),
    "num_groups num_channels eps affine": (nn.GroupNorm,),
    _MAX_POOL: (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d),
    _AVERAGE_POOL: (nn.AvgPool1d,),
    f"{_AVERAGE_POOL} divisor_override": (nn.AvgPool2d, nn.AvgPool3d),
    "output_size": (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
    "in_features out_features bias activations reduce_range": (int8.Int8Linear,),
    "in_channels out_channels kernel_size stride padding dilation bias activations reduce_range": (int8.Int8Conv2d,),
    "output_size return_indices": (nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d),
}  # fmt: skip


def _read_options(names: Iterable[str]) -> Callable[[nn.Module], dict[str, Any]]:
    def options(module: nn.Module) -> dict[str, Any]:
        found = {name: getattr(module, name) for name in names}
        if "bias" in found:  # an option when a module is built, a tensor afterwards
            found["bias"] = found["bias"] is not None
        return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}

    return options


def _plain_kind(cls: type[nn.Module], names: Iterable[str]) -> Kind:
    return Kind(cls.__name__, cls, _read_options(tuple(names)), cls, {name: _CHECKS[name] for name in names})


def _input_layer_options(layer: InputLayer) -> dict[str, Any]:
    return {"n_inputs": layer.linear.in_features, "n_outputs": layer.linear.out_features, "scale": layer.scale}


def _hidden_layer_options(layer: HiddenLayer) -> dict[str, Any]:
    names = [name for name, cls in ACTIVATIONS.items() if type(layer.activation) is cls]
    activation = names[0] if names else type(layer.activation).__name__
    return {"n_inputs": layer.linear.in_features, "n_outputs": layer.linear.out_features, "activation": activation}


def _int8_options(layer: int8.Int8InputLayer | int8.Int8HiddenLayer) -> dict[str, Any]:
    options = _input_layer_options(layer) if isinstance(layer, InputLayer) else _hidden_layer_options(layer)
    linear: Any = layer.linear
    return {**options, "activations": linear.activations, "reduce_range": linear.reduce_range}


def _series_options(series: FourierSurrogate) -> dict[str, Any]:
    return {"n_inputs": series.n_inputs, "n_frequencies": len(series.frequencies), "n_outputs": series.n_outputs}


def _network_options(network: QuantumNeuralNetwork) -> dict[str, Any]:
    return {"n_inputs": network.n_inputs, "n_outputs": network.n_outputs, "classifies": network._classifies}


def _build_network(children: dict[str, nn.Module], n_inputs: int, n_outputs: int, classifies: bool) -> nn.Module:
    if list(children) != ["network"] or type(children["network"]) is not nn.Sequential:
        raise ArgumentError('`children` must be one Sequential named "network"; got others. Correct the data.')
    model = QuantumNeuralNetwork.__new__(QuantumNeuralNetwork)
    nn.Module.__init__(model)
    model.n_inputs, model.n_outputs, model.history = n_inputs, n_outputs, None
    model._classifies = classifies
    model.network = children["network"]
    return model


def _filled(cls: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """Builds one, and puts the children in: those stored, for those that its constructor may have made."""

    def build(children: dict[str, nn.Module], **options: Any) -> nn.Module:
        module = cls(**options)
        for name, child in children.items():
            if name in module._modules:
                module._modules[name] = child
            else:
                module.add_module(name, child)
        return module

    return build


def _on_cpu(cls: type[nn.Module]) -> Callable[..., nn.Module]:
    """Builds with memory, since nobody knows what a constructor does, and leaves torch's generator as it is."""

    def build(**options: Any) -> nn.Module:
        with torch.device("cpu"), torch.random.fork_rng(devices=[]):
            return cls(**options)

    return build


_COUNTS: dict[str, Callable[[Value], Any]] = {"n_inputs": Value.whole, "n_outputs": Value.whole}
_INT8 = {name: _CHECKS[name] for name in ("activations", "reduce_range")}
_ROWS = (
    *(_plain_kind(cls, options.split()) for options, classes in _TORCH.items() for cls in classes),
    Kind("InputLayer", InputLayer, _input_layer_options, InputLayer, {**_COUNTS, "scale": Value.number}),
    Kind(
        "HiddenLayer", HiddenLayer, _hidden_layer_options, HiddenLayer,
        {**_COUNTS, "activation": lambda value: value.text(ACTIVATIONS)},
    ),
    Kind(
        "Int8InputLayer", int8.Int8InputLayer, _int8_options, int8.Int8InputLayer,
        {**_COUNTS, "scale": Value.number, **_INT8},
    ),
    Kind(
        "Int8HiddenLayer", int8.Int8HiddenLayer, _int8_options, int8.Int8HiddenLayer,
        {**_COUNTS, "activation": lambda value: value.text(ACTIVATIONS), **_INT8},
    ),
    Kind(
        "FourierSurrogate", FourierSurrogate, _series_options, FourierSurrogate,
        {**_COUNTS, "n_frequencies": Value.whole},
    ),
    *(
        Kind(cls.__name__, cls, lambda module: {}, _filled(cls), {}, holds_children=True)
        for cls in (nn.Sequential, nn.ModuleList, nn.ModuleDict)
    ),
    Kind(
        "QuantumNeuralNetwork", QuantumNeuralNetwork, _network_options, _build_network,
        {**_COUNTS, "classifies": Value.flag}, holds_children=True,
    ),
)  # fmt: skip

KINDS: dict[str, Kind] = {kind.name: kind for kind in _ROWS}
RESERVED = ("QuantumLayer", "same")  # of nodes that are no rows


def kind_of(module: nn.Module) -> Kind | None:
    """The row of exactly this module's class, or None."""
    return next((kind for kind in KINDS.values() if kind.cls is type(module)), None)


def register_module(
    cls: type[nn.Module], options: Callable[[Any], dict[str, Any]], *, name: str | None = None
) -> type[nn.Module]:
    """Let bundles hold a module class of yours, which is built as ``cls(**options)``.

    A bundle names the row, never a place to import code from: the same call must have been made before loading.
    Weights, buffers and child modules are stored by themselves and put in after ``cls(**options)``.

    Args:
        cls: the class.
        options: from a module to the keyword arguments, plain data, that build one of equal shape.
        name: in the bundle; None for the name of the class.

    Returns:
        `cls`.

    Raises:
        ArgumentError: the name is taken by another class.

    Example:
        >>> class Scale(torch.nn.Module):
        ...     def __init__(self, size):
        ...         super().__init__()
        ...         self.factor = torch.nn.Parameter(torch.ones(size))
        ...     def forward(self, inputs):
        ...         return self.factor * inputs
        >>> _ = register_module(Scale, lambda module: {"size": len(module.factor)}, name="docs.Scale")
    """
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
        raise DtypeError(f"`cls` must be a class of torch modules; got {cls!r}. Pass the class itself.")
    name = cls.__name__ if name is None else name
    taken = KINDS.get(name)
    same = taken is not None and (taken.cls.__module__, taken.cls.__qualname__) == (cls.__module__, cls.__qualname__)
    if name in RESERVED or (taken is not None and (taken in _ROWS or not same)):
        raise ArgumentError(f'`name` must be one that no other module has; got "{name}". Choose another.')
    KINDS[name] = Kind(name, cls, options, _filled(_on_cpu(cls)), None, holds_children=True)
    return cls
