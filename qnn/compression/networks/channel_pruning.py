"""Pruning of neurons and channels, which really shrinks a network, along the dependency graph of Torch-Pruning."""

from __future__ import annotations

import copy
from typing import Any

import torch

from qnn.compression.networks.tracing import ROOTS, free_widths, group, prunes_outputs, remove, traced, widths
from qnn.compression.networks.weight_pruning import check_not_int8
from qnn.compression.shares import Share
from qnn.compression.tuning import as_inputs
from qnn.errors import ArgumentError


class Channels:
    """The neurons and channels of a model that may go, and what each is worth.

    Args:
        model: to be pruned, in place.
        rows: inputs of the model, shape (N, ...); two of them trace it, all of them are averaged over.
        share: how much to prune.
        scope: "global" compares channels of all layers, by their scores in units of the mean score of their layer;
            "layer" takes the same share of each. A threshold is of the score itself, or for "layer" in that unit.
        by: "norm" of all weights into and out of a channel, or the mean "activation" that the next layer sees.
        norm: order of that norm.
    """

    def __init__(
        self, model: torch.nn.Module, rows: torch.Tensor, share: Share, scope: str, by: str, norm: float
    ) -> None:
        self.model, self.rows, self.share, self.scope, self.by, self.norm = model, rows, share, scope, by, norm
        self.widths = free_widths(model, rows[:2])
        if not self.widths:
            check_not_int8(model)
            raise ArgumentError(
                "`model` must have a hidden layer whose width is free; got none: inputs, outputs, the sides of quantum "
                'layers, layers that share a weight and frozen layers keep theirs. Prune by method="weight", or '
                "unfreeze layers by requires_grad_(True)."
            )
        self.size = sum(p.numel() for p in model.parameters())
        n = sum(self.widths.values())
        most = n - len(self.widths)  # one stays in each layer
        self._part = 0.0
        if share.amount is not None:
            count = share.count(n, most, "neurons and channels, one of each layer left")
            self._part = share.amount if isinstance(share.amount, float) else count / n
        if share.target is not None:
            wanted, least = share.left(self.size), self._size_without(self.model, most)
            if least > wanted:
                raise ArgumentError(
                    f"`target` must leave each layer a channel, which takes {least:,} weights; "
                    f"got {share.target:,}. Use that many or more."
                )

    def prune(self, fraction: float) -> None:
        """Remove channels: those that are due when `fraction` of the pruning is done."""
        if self.share.threshold is not None:
            scores = self._scores(self.model, raw=self.scope == "global")
            limit = fraction * self.share.threshold
            chosen = {name: (score < limit).nonzero().flatten().tolist() for name, score in scores.items()}
            for name, score in scores.items():
                if len(chosen[name]) == len(score):
                    raise ArgumentError(
                        f"`threshold` must leave each layer a channel; got {self.share.threshold}, and the largest "
                        f'score in "{name}" is {float(score.max()):.3g}. Lower it.'
                    )
            remove(self.model, self.rows[:2], chosen)
        elif self.share.target is not None:
            limit = self.size - fraction * (self.size - self.share.target)
            low, high = 0, sum(self.widths.values()) - len(self.widths)
            while low < high:  # the smallest number of channels that is enough
                middle = (low + high) // 2
                low, high = (low, middle) if self._size_without(self.model, middle) <= limit else (middle + 1, high)
            remove(self.model, self.rows[:2], self._chosen(self.model, low / sum(self.widths.values())))
        else:
            remove(self.model, self.rows[:2], self._chosen(self.model, fraction * self._part))

    def facts(self) -> dict[str, object]:
        """Widths before and after."""
        now = widths(self.model, self.rows[:2])
        return {
            "widths": {name: f"{n} -> {now[name]}" for name, n in self.widths.items()},
            "removed_channels": sum(n - now[name] for name, n in self.widths.items()),
            "of_channels": sum(self.widths.values()),
        }

    def _size_without(self, model: torch.nn.Module, count: int) -> int:
        """Scalars of the model after `count` channels of the first are gone."""
        smaller = copy.deepcopy(model)
        remove(smaller, self.rows[:2], self._chosen(model, count / sum(self.widths.values())))
        return sum(p.numel() for p in smaller.parameters())

    def _chosen(self, model: torch.nn.Module, part: float) -> dict[str, list[int]]:
        """The channels that go so that this part of the first ones is gone; the last of a layer stays."""
        scores = self._scores(model, raw=False)
        order = {name: score.argsort().tolist() for name, score in scores.items()}
        if self.scope == "layer":
            gone = {name: self.widths[name] - len(score) for name, score in scores.items()}
            due = {name: min(round(part * self.widths[name]), self.widths[name] - 1) for name in scores}
            return {name: order[name][: max(0, due[name] - gone[name])] for name in scores}
        more = round(part * sum(self.widths.values())) - sum(
            self.widths[name] - len(score) for name, score in scores.items()
        )
        free = [(float(scores[name][i]), name, i) for name in scores for i in order[name][:-1]]
        chosen: dict[str, list[int]] = {name: [] for name in scores}
        for _, name, index in sorted(free)[: max(0, more)]:
            chosen[name].append(index)
        return chosen

    def _scores(self, model: torch.nn.Module, *, raw: bool) -> dict[str, torch.Tensor]:
        """A score for each channel of each layer that may lose some."""
        found = {}
        with traced(model, self.rows[:2]) as graph:
            groups = {name: group(graph, model, name) for name in self.widths}
        seen = {} if self.by == "norm" else _activations(model, self.rows)
        for name, members in groups.items():
            score = _norms(members, self.norm) if self.by == "norm" else _seen_by_next(members, seen)
            found[name] = score if raw else score / score.mean().clamp_min(1e-30)
        return found


def _norms(members: Any, order: float) -> torch.Tensor:
    """The norm of all weights that go with each channel of a group."""
    total = torch.zeros(len(members[0].idxs))
    for item in members:
        layer, out = item.dep.target.module, prunes_outputs(item)
        if not isinstance(layer, ROOTS):
            continue
        if not out and getattr(layer, "groups", 1) > 1:
            continue  # its second axis is a part of the channels
        weight = layer.weight.detach() if out else layer.weight.detach().transpose(0, 1)
        powers = weight[item.idxs].flatten(1).abs().pow(order).sum(1).cpu().float()
        total.scatter_add_(0, torch.tensor(item.root_idxs), powers)
    return total.pow(1 / order)


def _activations(model: torch.nn.Module, rows: torch.Tensor) -> dict[int, torch.Tensor]:
    """Mean |input| of each channel that linear and convolution layers see, by the id of the layer."""
    sums: dict[int, torch.Tensor] = {}

    def look(layer: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        values = inputs[0].detach().abs()
        axis = values.ndim - 1 if isinstance(layer, torch.nn.Linear) else 1
        sums[id(layer)] = values.mean(dim=[i for i in range(values.ndim) if i != axis]).cpu().float()

    hooks = [m.register_forward_pre_hook(look) for m in model.modules() if isinstance(m, ROOTS)]
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            model(as_inputs(model, rows))
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes:
            module.training = mode
    return sums


def _seen_by_next(members: Any, seen: dict[int, torch.Tensor]) -> torch.Tensor:
    """What the next layers see of each channel of a group, on average."""
    total, n = torch.zeros(len(members[0].idxs)), torch.zeros(len(members[0].idxs))
    for item in members:
        layer = item.dep.target.module
        if isinstance(layer, ROOTS) and not prunes_outputs(item) and id(layer) in seen:
            places = torch.tensor(item.root_idxs)
            total.scatter_add_(0, places, seen[id(layer)][item.idxs])
            n.scatter_add_(0, places, torch.ones(len(places)))
    return total / n.clamp_min(1)
