"""Copies of models, also of those whose weights are computed."""

from __future__ import annotations

import copy

import torch


def deep_copy(model: torch.nn.Module) -> torch.nn.Module:
    """A deep copy; what a mask computed is copied by value, since it has a graph, which torch does not copy."""
    memo: dict[int, object] = {}
    for module in model.modules():
        for value in vars(module).values():
            if isinstance(value, torch.Tensor) and value.grad_fn is not None:
                memo[id(value)] = value.detach().clone()
    return copy.deepcopy(model, memo)
