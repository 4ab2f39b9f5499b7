"""Which parameters are reported together."""

from __future__ import annotations

import torch

from qnn.errors import unknown_name


def check_grouping(per: str) -> str:
    """`per` if it is a known way to group parameters."""
    if per not in ("layer", "parameter"):
        raise unknown_name("grouping of parameters", per, ("layer", "parameter"))
    return per


def trainable_groups(model: torch.nn.Module, per: str) -> dict[str, list[str]]:
    """Names of trainable parameters by group: the module that owns them, or each by itself.

    Parameters that the model itself owns are the layer "model".

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Linear(1, 2), torch.nn.Linear(2, 1))
        >>> trainable_groups(net, "layer")
        {'0': ['0.weight', '0.bias'], '1': ['1.weight', '1.bias']}
    """
    groups: dict[str, list[str]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            group = name if per == "parameter" else name.rpartition(".")[0] or "model"
            groups.setdefault(group, []).append(name)
    return groups


def dense_gradient(parameter: torch.nn.Parameter) -> torch.Tensor:
    """The gradient as real numbers in float64, of any shape; zeros where none arrived."""
    gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.detach()
    gradient = gradient.to_dense() if gradient.is_sparse else gradient
    gradient = torch.view_as_real(gradient) if gradient.is_complex() else gradient
    return gradient.to(torch.float64)
