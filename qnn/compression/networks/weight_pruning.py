"""Pruning of single weights by magnitude, with the masks of torch.nn.utils.prune."""

from __future__ import annotations

import torch
from torch.nn.utils import parametrize, prune

from qnn.compression.copying import deep_copy
from qnn.compression.shares import Share
from qnn.errors import ArgumentError, NotFiniteError
from qnn.gradients.quantum_modules import quantum_modules
from qnn.layers import Int8Conv2d, Int8Linear


def prunable(model: torch.nn.Module) -> dict[str, torch.nn.Module]:
    """Classical modules with a weight of two axes or more, by name: linear layers and convolutions, frozen or not."""
    quantum = {id(part) for layer in quantum_modules(model).values() for part in layer.modules()}
    return {
        name: module
        for name, module in model.named_modules()
        if id(module) not in quantum
        and isinstance(weight := getattr(module, "weight", None), torch.Tensor)
        and weight.ndim > 1
        and weight.is_floating_point()
    }


def tied_modules(model: torch.nn.Module) -> dict[int, list[torch.nn.Module]]:
    """Modules that have a parameter in common, by the parameter's id."""
    found: dict[int, list[torch.nn.Module]] = {}
    for module in model.modules():
        for weight in module._parameters.values():
            if weight is not None:
                found.setdefault(id(weight), []).append(module)
    return {weight: modules for weight, modules in found.items() if len(modules) > 1}


def check_plain(model: torch.nn.Module) -> None:
    """Refuse weights that are computed from other parameters, as by weight normalisation; masks are none.

    Raises:
        ArgumentError: there are such.
    """
    for name, module in prunable(model).items():
        if parametrize.is_parametrized(module):
            advice = "Call torch.nn.utils.parametrize.remove_parametrizations first."
        elif "weight" in module._parameters or "weight_mask" in module._buffers:
            continue
        else:
            advice = "Call torch.nn.utils.remove_weight_norm, remove_spectral_norm or the like first."
        raise ArgumentError(
            "`model` must have plain weights to be pruned; got weights that are computed from others in "
            f'"{name}", {type(module).__name__}. {advice}'
        )


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
    made = deep_copy(model)
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


def _trainable(
    model: torch.nn.Module,
) -> tuple[dict[str, torch.nn.Module], dict[str, list[torch.nn.Module]]]:
    """Layers whose weights may go, by name, each weight once; and for each the others that have the same weight."""
    layers: dict[str, torch.nn.Module] = {}
    twins: dict[str, list[torch.nn.Module]] = {}
    names: dict[int, str] = {}
    every = prunable(model)
    for name, layer in every.items():
        weight: torch.Tensor = layer.weight  # type: ignore[assignment]
        first = names.setdefault(id(weight), name)
        if first != name:
            twins.setdefault(first, []).append(layer)
        elif weight.requires_grad:
            layers[name] = layer
    if layers:
        return layers, {name: others for name, others in twins.items() if name in layers}
    if every:
        raise ArgumentError(
            "`model` must have layers that train to be pruned by weight; got frozen ones alone. Call "
            "requires_grad_(True) on those that may change."
        )
    check_not_int8(model)
    raise ArgumentError(
        "`model` must have linear or convolution layers to be pruned by weight; got none. Prune its circuits instead."
    )


class Masks:
    """Weights of a model that are held at zero; not those of frozen layers, and of layers that share one, alike.

    Args:
        model: gets masks, in place.
        share: how much to prune.
        scope: "global" ranks the weights of all layers together, "layer" each layer's by themselves; a threshold is
            in units of the layer's mean |weight| then.
    """

    def __init__(self, model: torch.nn.Module, share: Share, scope: str) -> None:
        self.share, self.scope = share, scope
        self.layers, self._twins = _trainable(model)
        sizes = {name: layer.weight.numel() for name, layer in self.layers.items()}  # type: ignore[union-attr, operator]
        self._done = dict.fromkeys(sizes, 0)
        n, counts = sum(sizes.values()), dict.fromkeys(sizes, 0)
        if share.target is not None:
            in_all = sum(p.numel() for p in model.parameters())
            asked = in_all - share.left(in_all)
            if asked >= n:
                raise ArgumentError(
                    f"`target` must leave more than the {in_all - n:,} scalars that are not pruned, as biases, "
                    f"angles and what is frozen; got {share.target:,}. Use {in_all - n + 1:,} or more."
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
        for name, twins in self._twins.items():
            for twin in twins:
                prune.custom_from_mask(twin, "weight", self.layers[name].weight_mask)
        for name, layer in self.layers.items():
            if not layer.weight.count_nonzero():  # type: ignore[union-attr, operator]
                raise ArgumentError(
                    f"`{str(self.share).partition('=')[0]}` must leave each layer some weights; got {self.share}, "
                    f'which empties "{name}". Prune less, or by scope="layer".'
                )

    def remove(self) -> None:
        """Make the zeros permanent: plain weights again."""
        for layer in (*self.layers.values(), *(twin for twins in self._twins.values() for twin in twins)):
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
