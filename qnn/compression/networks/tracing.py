"""The dependency graph of a network, by Torch-Pruning: what belongs to a channel, and which channels may go.

A quantum layer is a wall: it is not traced through but stood in for by a matrix of ones, so that no circuit runs.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from qnn._optional import require
from qnn.compression.networks.weight_pruning import tied_modules
from qnn.compression.stand_ins import stand_ins
from qnn.compression.tuning import as_inputs
from qnn.errors import ArgumentError, ShapeError
from qnn.gradients.quantum_modules import quantum_modules
from qnn.layers import Int8Linear, QuantumLayer

ROOTS = (torch.nn.Linear, torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)


def example_rows(model: torch.nn.Module, n_rows: int = 2) -> torch.Tensor:
    """Rows to run a model on when there are no data: random ones of the width of its first layer.

    Raises:
        ArgumentError: the first layer does not say.
    """
    width = None
    for module in model.modules():
        if isinstance(module, torch.nn.Linear | Int8Linear):
            width = module.in_features
        elif isinstance(module, torch.nn.Unflatten):
            width = math.prod(module.unflattened_size)
        elif isinstance(layer := quantum_modules(module).get(""), QuantumLayer):
            width = layer.n_inputs
        elif any(True for _ in module.children()):
            continue
        break
    if width is None:
        raise ArgumentError(
            "`data` must be given for a model whose first layer does not say how many inputs it takes; got None. "
            "Pass a task or (x, y)."
        )
    return torch.randn(n_rows, width, generator=torch.Generator().manual_seed(0))


@contextmanager
def traced(model: torch.nn.Module, rows: torch.Tensor) -> Iterator[Any]:
    """The dependency graph of `model`; inside, its quantum layers are stood in for."""
    tp = require("torch_pruning", extra="compress", purpose="Structured pruning")
    modes = [(module, module.training) for module in model.modules()]
    frozen = [(m, name) for m in model.modules() for name, p in m._parameters.items() if not _trains(p)]
    try:
        with stand_ins(model) as layers:
            for module, name in frozen:
                module._parameters[name].requires_grad_(True)  # type: ignore[union-attr]  # the graph is autograd's
            yield _built(tp, model, rows, {type(layer): _wall(tp) for layer in layers})
    finally:
        for module, name in frozen:  # by name: pruning makes new parameters
            module._parameters[name].requires_grad_(False)  # type: ignore[union-attr]
        for module, mode in modes:
            module.training = mode


def _trains(weight: torch.nn.Parameter | None) -> bool:
    return weight is None or weight.requires_grad


def _built(tp: Any, model: torch.nn.Module, rows: torch.Tensor, walls: dict[type, Any]) -> Any:
    try:
        with torch.enable_grad():
            return tp.DependencyGraph().build_dependency(
                model,
                as_inputs(model, rows),
                forward_fn=lambda module, inputs: module(inputs),
                customized_pruners=walls,
                verbose=False,
            )
    except RuntimeError as error:
        raise ShapeError(
            f"`data` must have rows that the model takes; got rows of shape {tuple(rows.shape[1:])}: {error} "
            "Prepare them as for the model's training."
        ) from error


def _wall(tp: Any) -> Any:
    """A pruner for Torch-Pruning that changes nothing: a quantum layer's width is fixed."""

    class Wall(tp.BasePruningFunc):  # type: ignore[misc]
        def prune_out_channels(self, layer: Any, idxs: Any) -> Any:
            return layer

        def prune_in_channels(self, layer: Any, idxs: Any) -> Any:
            return layer

        def get_out_channels(self, layer: Any) -> int:
            return layer.n_outputs

        def get_in_channels(self, layer: Any) -> int:
            return layer.n_inputs

    return Wall()


def widths(model: torch.nn.Module, rows: torch.Tensor) -> dict[str, int]:
    """Width of each linear and convolution layer outside quantum layers that takes part in the forward pass."""
    inside = {id(part) for layer in quantum_modules(model).values() for part in layer.modules()}
    with traced(model, rows) as graph:
        return {
            name: graph.get_out_channels(module)
            for name, module in model.named_modules()
            if isinstance(module, ROOTS) and id(module) not in inside and module in graph.module2node
        }


def group(graph: Any, model: torch.nn.Module, name: str, indices: list[int] | None = None) -> Any:
    """What goes with the given channels of a layer, all of them by default."""
    module = model.get_submodule(name)
    every = list(range(graph.get_out_channels(module)))
    prune = graph.get_pruner_of_module(module).prune_out_channels
    return graph.get_pruning_group(module, prune, every if indices is None else indices)


def free_widths(model: torch.nn.Module, rows: torch.Tensor) -> dict[str, int]:
    """Width of each layer that can lose channels; of layers that lose them together, the first.

    Layers whose weight is frozen keep theirs, and layers that have one weight in common both sides.
    """
    fixed = {id(m) for m in model.modules() if isinstance(m, ROOTS) and not m.weight.requires_grad}
    tied = {id(module) for modules in tied_modules(model).values() for module in modules}
    found = {name: n for name, n in widths(model, rows).items() if n > 1 and _may_go(model, rows, name)}
    with traced(model, rows) as graph:
        taken: set[int] = set()
        for name in list(found):
            members = group(graph, model, name)
            outs = {id(i.dep.target.module) for i in members if prunes_outputs(i)}
            if outs & (taken | fixed) or tied.intersection(id(i.dep.target.module) for i in members):
                del found[name]
            taken |= outs
    return found


def prunes_outputs(item: Any) -> bool:
    """Whether an item of a group takes outputs from a linear or convolution layer, rather than inputs."""
    return isinstance(item.dep.target.module, ROOTS) and "out" in item.dep.handler.__name__


def _may_go(model: torch.nn.Module, rows: torch.Tensor, name: str) -> bool:
    """Whether a layer can lose a channel: tried on a copy, which must run and return the same shape."""
    trial = copy.deepcopy(model)
    try:
        with traced(trial, rows) as graph, torch.no_grad():
            shape = trial(as_inputs(trial, rows)).shape
            group(graph, trial, name, [0]).prune()
            return trial(as_inputs(trial, rows)).shape == shape
    except (RuntimeError, ValueError, IndexError):  # shapes that do not fit, ours among them
        return False


def remove(model: torch.nn.Module, rows: torch.Tensor, chosen: dict[str, list[int]]) -> None:
    """Take the chosen channels of each layer away, in place, with all that belongs to them."""
    with traced(model, rows) as graph:
        for name, indices in chosen.items():
            if indices:
                group(graph, model, name, indices).prune()
