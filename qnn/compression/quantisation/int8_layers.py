"""Replacing the linear and convolution layers of a network by such in int8."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from qnn.compression.tuning import outputs
from qnn.errors import ArgumentError, NotFiniteError
from qnn.gradients.quantum_modules import quantum_modules
from qnn.layers import (
    HiddenLayer,
    InputLayer,
    Int8Conv2d,
    Int8HiddenLayer,
    Int8InputLayer,
    Int8Linear,
    OutputLayer,
)
from qnn.layers.int8 import BOUNDS
from qnn.layers.torchao_import import torchao

_WEIGHTED = (nn.Linear, nn.modules.conv._ConvNd, nn.Embedding, nn.modules.rnn.RNNBase)


def replaceable(model: nn.Module, skip: Sequence[str] = ()) -> tuple[dict[str, nn.Module], dict[str, str]]:
    """Layers that int8 has a counterpart of, by path, and those that it has not, with the reason.

    Raises:
        ArgumentError: `skip` names what is no such layer; nothing is left; weights are no floating-point numbers.
    """
    inside = {id(part) for layer in quantum_modules(model).values() for part in layer.modules()}
    found: dict[str, nn.Module] = {}
    others: dict[str, str] = {}
    for path, module in model.named_modules():
        if id(module) in inside or not isinstance(module, _WEIGHTED):
            continue
        reason = "asked for" if path in skip else _obstacle(module)
        if reason is None:
            found[path] = module
        else:
            others[path] = reason
    for path in skip:
        if path not in others:
            known = ", ".join(f'"{name}"' for name in (*found, *others)) or "none"
            raise ArgumentError(f'`skip` must name layers of the model; got "{path}". Known: {known}.')
    already = [path for path, module in model.named_modules() if isinstance(module, Int8Linear | Int8Conv2d)]
    if not found and already:
        raise ArgumentError(
            "`model` must have layers in floating point to be int8; got one that is quantised already, the first layer "
            f'"{already[0]}". Quantise the model as it was before.'
        )
    if not found:
        raise ArgumentError(
            "`model` must have linear layers or plain two-dimensional convolutions to be int8; got none. "
            'Quantise its circuits with method="angles".'
        )
    return found, others


def _obstacle(module: nn.Module) -> str | None:
    """Why a layer has no counterpart in int8, or None."""
    if type(module) in (nn.Linear, OutputLayer):
        return None
    if type(module) is not nn.Conv2d:
        return f"no int8 counterpart of {type(module).__name__}"
    if module.groups != 1 or module.padding_mode != "zeros" or _padding(module) is None:
        return "convolution in groups, or with unusual padding"
    return None


def _padding(layer: nn.Conv2d) -> tuple[int, int] | None:
    """Zeros at each side, where both sides have as many."""
    if layer.padding == "valid":
        return (0, 0)
    if layer.padding == "same":
        total = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
        return None if any(t % 2 for t in total) else (total[0] // 2, total[1] // 2)
    return layer.padding  # type: ignore[return-value]


def input_scales(
    model: nn.Module, layers: dict[str, nn.Module], rows: torch.Tensor, reduce_range: bool
) -> dict[str, torch.Tensor]:
    """The step of each layer's inputs, from the smallest and the largest that it sees for `rows`.

    Raises:
        ShapeError: the model does not take the rows.
        ArgumentError: a layer sees none of them.
        NotFiniteError: the rows hold NaN or infinity.
    """
    if not bool(torch.isfinite(rows).all()):
        row = int((~torch.isfinite(rows.reshape(len(rows), -1)).all(dim=1)).nonzero()[0])
        raise NotFiniteError(f"`data` must be finite to calibrate with; got NaN or infinity in row {row}. Drop it.")
    ao = torchao("torchao.quantization", "Calibration for int8")
    observing = torchao("torchao.quantization.observer", "Calibration for int8")
    low, high = BOUNDS[reduce_range]
    observers, hooks = {}, []
    for path, layer in layers.items():
        observers[path] = observing.AffineQuantizedMinMaxObserver(
            ao.MappingType.SYMMETRIC,
            torch.int8,
            granularity=ao.PerTensor(),
            quant_min=low,
            quant_max=high,
            eps=torch.finfo(torch.float32).eps,
            scale_dtype=torch.float32,
            zero_point_dtype=torch.int8,
        )
        hooks.append(layer.register_forward_pre_hook(_watch(observers[path])))
    try:
        outputs(model, rows)
    finally:
        for hook in hooks:
            hook.remove()
    for path, observer in observers.items():
        if not hasattr(observer, "min_val"):
            raise ArgumentError(
                f'`data` must reach every layer to calibrate it; "{path}" saw no row. Use skip=("{path}",).'
            )
    return {path: observer.calculate_qparams()[0] for path, observer in observers.items()}


def _watch(observer: Any) -> Callable[..., None]:
    def look(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        observer(inputs[0].detach().float())

    return look


def replace(
    model: nn.Module,
    layers: dict[str, nn.Module],
    activations: str,
    scales: dict[str, torch.Tensor],
    reduce_range: bool,
) -> nn.Module:
    """Put int8 layers in the places of `layers`, in place; a layer that stands in several places stays one.

    Returns:
        The model, or what stands for it where it is such a layer itself.
    """
    made: dict[int, nn.Module] = {}
    for path, layer in layers.items():
        made[id(layer)] = _counterpart(layer, activations, scales.get(path), reduce_range)
    if id(model) in made:
        return made[id(model)]
    for parent in list(model.modules()):
        for name, child in list(parent._modules.items()):
            if id(child) in made:
                parent._modules[name] = made[id(child)]
    for parent in list(model.modules()):
        for name, child in list(parent._modules.items()):
            if type(child) in (InputLayer, HiddenLayer) and isinstance(child.linear, Int8Linear):  # type: ignore[union-attr]
                parent._modules[name] = made.setdefault(id(child), _around(child, activations, reduce_range))
    return model


def _counterpart(layer: Any, activations: str, scale: torch.Tensor | None, reduce_range: bool) -> nn.Module:
    """The int8 layer of a linear layer or a convolution."""
    options: dict[str, Any] = {"bias": layer.bias is not None, "activations": activations, "reduce_range": reduce_range}
    new: Int8Linear | Int8Conv2d
    if isinstance(layer, nn.Linear):
        new = Int8Linear(layer.in_features, layer.out_features, **options)
    else:
        options |= {"stride": layer.stride, "padding": _padding(layer), "dilation": layer.dilation}
        new = Int8Conv2d(layer.in_channels, layer.out_channels, layer.kernel_size, **options)
    new.quantize_from(layer.weight, layer.bias, scale)
    return new.to(layer.weight.device).train(layer.training)


def _around(layer: Any, activations: str, reduce_range: bool) -> nn.Module:
    """The input or hidden layer whose linear part is int8 already."""
    sizes = layer.linear.in_features, layer.linear.out_features
    new: nn.Module
    with torch.random.fork_rng(devices=[]):  # weights that are drawn are replaced
        if isinstance(layer, InputLayer):
            new = Int8InputLayer(*sizes, scale=layer.scale, activations=activations, reduce_range=reduce_range)
        else:
            new = Int8HiddenLayer(*sizes, activations=activations, reduce_range=reduce_range)
            new.activation = layer.activation
    new.linear = layer.linear
    return new.train(layer.training)
