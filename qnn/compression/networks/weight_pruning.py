"""Pruning of single weights by magnitude, with the masks of torch.nn.utils.prune."""

from __future__ import annotations

import copy

import torch
from torch.nn.utils import prune

from qnn.compression.shares import Share
from qnn.errors import ArgumentError, NotFiniteError
from qnn.gradients.quantum_modules import quantum_modules
from qnn.layers import Int8Conv2d, Int8Linear


def prunable(model: torch.nn.Module) -> dict[str, torch.nn.Module]:
    """Classical modules with a weight of two axes or more, by name: linear layers and convolutions."""
    quantum = {id(part) for layer in quantum_modules(model).values() for part in layer.modules()}
    return {
        name: module
        for name, module in model.named_modules()
        if id(module) not in quantum
        and isinstance(weight := getattr(module, "weight", None), torch.Tensor)
        and weight.ndim > 1
        and weight.is_floating_point()
    }


def check_not_int8(model: torch.nn.Module) -> None:
    """Say why there is nothing to prune, where that is so because layers are int8.

    Raises:
        ArgumentError: there are such layers.
    """
    found = [name for name, module in model.named_modules() if isinstance(module, Int8Linear | Int8Conv2d)]
    if found:
        raise ArgumentError(
            f'`model` must be in floating point where it is to be pruned; got int8 layers, the first "{found[0]}". '
            "Prune the model as it was before, and quantise what is left."
        )


def plain_copy(model: torch.nn.Module) -> torch.nn.Module:
    """A deep copy whose weights are plain: zero where they were masked, masks gone.

    Raises:
        NotFiniteError: a weight is NaN or infinite.
    """
    memo: dict[int, object] = {}
    for module in model.modules():  # what a mask computed has a graph, which torch does not copy
        for value in vars(module).values():
            if isinstance(value, torch.Tensor) and value.grad_fn is not None:
                memo[id(value)] = value.detach().clone()
    made = copy.deepcopy(model, memo)
    for module in made.modules():
        unmask(module)
    for name, weight in made.named_parameters():
        if weight.is_floating_point() and not torch.isfinite(weight).all():
            raise NotFiniteError(
                f'`model` must have finite weights; got NaN or infinity in "{name}". '
                "Take the model as it was before it diverged."
            )
    return made


def unmask(module: torch.nn.Module) -> None:
    """Plain weights again, zero where they were masked, each in its first place among the parameters."""
    masked = [name.removesuffix("_orig") for name in module._parameters if f"{name[:-5]}_mask" in module._buffers]
    if not masked:
        return
    order = sorted(name.removesuffix("_orig") for name in module._parameters)
    first = [name for name in ("weight", "bias") if name in order]
    for name in masked:
        prune.remove(module, name)
    for name in (*first, *(name for name in order if name not in first)):
        module._parameters[name] = module._parameters.pop(name)


class Masks:
    """Weights of a model that are held at zero.

    Args:
        model: gets masks, in place.
        share: how much to prune.
        scope: "global" ranks the weights of all layers together, "layer" each layer's by themselves; a threshold is
            in units of the layer's mean |weight| then.
    """

    def __init__(self, model: torch.nn.Module, share: Share, scope: str) -> None:
        self.layers, self.share, self.scope = prunable(model), share, scope
        sizes = {name: layer.weight.numel() for name, layer in self.layers.items()}  # type: ignore[union-attr, operator]
        if not sizes:
            check_not_int8(model)
            raise ArgumentError(
                "`model` must have linear or convolution layers to be pruned by weight; got none. "
                "Prune its circuits instead."
            )
        self._done = dict.fromkeys(sizes, 0)
        n, counts = sum(sizes.values()), dict.fromkeys(sizes, 0)
        if share.target is not None:
            in_all = sum(p.numel() for p in model.parameters())
            asked = in_all - share.left(in_all)
            if asked >= n:
                raise ArgumentError(
                    f"`target` must leave more than the {in_all - n:,} scalars that are not pruned, biases and angles; "
                    f"got {share.target:,}. Use {in_all - n + 1:,} or more."
                )
            share = Share(asked, None, None)
        if share.amount is not None and scope == "global":
            counts = {"": share.count(n, n - 1, "weights")}
        elif share.amount is not None:
            count = share.count(n, n - 1, "weights")
            part = share.amount if isinstance(share.amount, float) else count / n
            counts = {name: min(round(part * size), size - 1) for name, size in sizes.items()}
        self._counts = counts

    def extend(self, fraction: float) -> None:
        """Mask more weights: those that are due when `fraction` of the pruning is done."""
        if self.share.threshold is not None:
            for layer in self.layers.values():
                weight: torch.Tensor = layer.weight  # type: ignore[assignment]
                size = weight.detach().abs()
                unit = float(size.mean()) if self.scope == "layer" else 1.0
                prune.custom_from_mask(layer, "weight", size >= fraction * self.share.threshold * unit)
        elif self.scope == "global":
            places = [(layer, "weight") for layer in self.layers.values()]
            more = round(fraction * self._counts[""]) - self._done.get("", 0)
            prune.global_unstructured(places, pruning_method=prune.L1Unstructured, amount=more)
            self._done[""] = round(fraction * self._counts[""])
        else:
            for name, layer in self.layers.items():
                more = round(fraction * self._counts[name]) - self._done[name]
                prune.l1_unstructured(layer, "weight", amount=more)
                self._done[name] += more
        for name, layer in self.layers.items():
            if not layer.weight.count_nonzero():  # type: ignore[union-attr, operator]
                raise ArgumentError(
                    f"`{str(self.share).partition('=')[0]}` must leave each layer some weights; got {self.share}, "
                    f'which empties "{name}". Prune less, or by scope="layer".'
                )

    def remove(self) -> None:
        """Make the zeros permanent: plain weights again."""
        for layer in self.layers.values():
            unmask(layer)

    def facts(self) -> dict[str, object]:
        """How many weights are zero."""
        zeros = {
            name: (int((layer.weight == 0).sum()), layer.weight.numel())  # type: ignore[union-attr, operator, arg-type]
            for name, layer in self.layers.items()
        }
        gone, n = sum(z for z, _ in zeros.values()), sum(n for _, n in zeros.values())
        return {
            "zero_weights": gone,
            "of_weights": n,
            "zeros_by_layer": {name: f"{z} of {n}" for name, (z, n) in zeros.items()},
            "note": "zeros are stored and multiplied like other numbers: neither bytes nor latency fall by them",
        }
