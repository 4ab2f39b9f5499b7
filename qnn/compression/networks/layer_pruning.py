"""Pruning of whole layers: those whose removal keeps all shapes, the cheapest in loss first."""

from __future__ import annotations

import copy
from typing import Any

import torch

from qnn.compression.measurement.measuring import class_logits
from qnn.compression.shares import Share
from qnn.compression.stand_ins import stand_ins
from qnn.compression.tuning import outputs
from qnn.errors import ArgumentError
from qnn.gradients.quantum_modules import quantum_modules


class WholeLayers:
    """Layers that may go: with weights, none of them quantum or frozen, and as wide in front as behind.

    In a `Sequential` a layer leaves the list, with the activation right behind it; elsewhere, as in a subclass with a
    forward of its own, an `Identity` takes its place.

    Args:
        model: to be pruned, in place.
        x, y: rows by whose loss the layers are ranked.
        share: how much to prune; a threshold is a rise in loss.
    """

    def __init__(self, model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, share: Share) -> None:
        self.model, self.x, self.y, self.share = model, x, y, share
        self.candidates, self.gone = len(_candidates(model, x[:2])), 0
        self.size = sum(p.numel() for p in model.parameters())
        self.rises: list[float] = []
        if not self.candidates:
            raise ArgumentError(
                "`model` must have a layer whose removal keeps shapes, none of it frozen; got none. "
                "Prune by neuron instead."
            )
        n = self.candidates  # all may go: layers that change the width are left
        self._count = 0 if share.amount is None else share.count(n, n, "layers whose removal keeps shapes")
        if share.target is not None:
            share.left(self.size)

    def prune(self, fraction: float) -> None:
        """Remove layers, one at a time: those that are due when `fraction` of the pruning is done."""
        while self._due(fraction):
            start = loss(self.model, self.x, self.y)
            trials = []
            for path in _candidates(self.model, self.x[:2]):
                trial = copy.deepcopy(self.model)
                drop(trial, path)
                trials.append((loss(trial, self.x, self.y) - start, path))
            rise, path = min(trials, default=(float("inf"), ""))
            if not trials or (self.share.threshold is not None and rise > fraction * self.share.threshold):
                break
            drop(self.model, path)
            self.gone += 1
            self.rises.append(rise)
        if fraction == 1 and not self.gone:
            raise ArgumentError(
                f"`threshold` must allow a layer to go; got {self.share.threshold}, and the cheapest raises the loss "
                f"by {rise:.3g}. Allow more, or prune by neuron."
            )
        left = sum(p.numel() for p in self.model.parameters())
        if fraction == 1 and self.share.target is not None and left > self.share.target:
            raise ArgumentError(
                f"`target` must be what whole layers can reach; got {self.share.target:,}, and without all of them "
                f"{left:,} weights are left. Prune by neuron instead."
            )

    def _due(self, fraction: float) -> bool:
        if self.share.target is not None:
            limit = self.size - fraction * (self.size - self.share.target)
            return sum(p.numel() for p in self.model.parameters()) > limit
        return self.share.amount is None or self.gone < round(fraction * self._count)

    def facts(self) -> dict[str, Any]:
        """Layers that went, and what each cost when it did."""
        return {"removed_layers": self.gone, "of_layers": self.candidates, "rise_of_loss": self.rises}


def loss(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    """Cross-entropy for integer targets, mean squared error for real ones."""
    found = outputs(model, x).cpu().double()
    if y.is_floating_point():
        return float(torch.nn.functional.mse_loss(found.reshape(y.shape), y.cpu().double()))
    return float(torch.nn.functional.cross_entropy(class_logits(found), y.cpu().long()))


def _candidates(model: torch.nn.Module, rows: torch.Tensor) -> list[str]:
    """Paths of the layers whose inputs have the shape of their outputs; of one in another, the outer."""
    shapes: dict[str, list[bool]] = {}
    quantum = [f"{path}." for path in quantum_modules(model)]
    hooks = []
    for path, module in model.named_modules():
        holds = any(name.startswith(f"{path}.") or f"{path}.".startswith(name) for name in quantum)
        weights = [weight.requires_grad for weight in module.parameters()]
        if path and not holds and weights and all(weights):
            hooks.append(module.register_forward_hook(_note(shapes.setdefault(path, []))))
    try:
        with stand_ins(model):
            outputs(model, rows)
    finally:
        for hook in hooks:
            hook.remove()
    found = [path for path, same in shapes.items() if same and all(same) and _runs_without(model, path, rows)]
    return [path for path in found if not any(path.startswith(f"{other}.") for other in found)]


def _runs_without(model: torch.nn.Module, path: str, rows: torch.Tensor) -> bool:
    """Whether nobody misses the layer at `path`: a parent may ask it for more than its outputs. No circuit is run."""
    trial = copy.deepcopy(model)
    drop(trial, path)
    try:
        with stand_ins(trial):
            outputs(trial, rows)
    except Exception:  # what a forward raises may be anything
        return False
    return True


def _note(same: list[bool]) -> Any:
    def look(module: torch.nn.Module, inputs: Any, output: Any) -> None:
        one = len(inputs) == 1 and isinstance(inputs[0], torch.Tensor) and isinstance(output, torch.Tensor)
        same.append(one and inputs[0].shape == output.shape)

    return look


def drop(model: torch.nn.Module, path: str) -> None:
    """Remove the layer at `path`, in place; parts that have names of their own keep them."""
    above, _, name = path.rpartition(".")
    parent = model.get_submodule(above)
    if getattr(type(parent), "forward", None) is not torch.nn.Sequential.forward:
        parent._modules[name] = torch.nn.Identity()
        return
    names = list(parent._modules)
    place = names.index(name)
    behind = parent._modules[names[place + 1]] if place + 1 < len(names) else None
    del parent._modules[name]
    if type(behind).__module__ == "torch.nn.modules.activation":
        del parent._modules[names[place + 1]]
    if names == [str(number) for number in range(len(names))]:  # `Sequential.append` counts on it
        kept = list(parent._modules.values())
        parent._modules.clear()
        for number, module in enumerate(kept):
            parent.add_module(str(number), module)
