"""Logistic regression: the opponent that shows what needs no hidden layer."""

from __future__ import annotations

import torch


def logistic(n_inputs: int, n_outputs: int) -> torch.nn.Module:
    """One linear layer to logits; with cross-entropy this is multinomial logistic regression."""
    return torch.nn.Linear(n_inputs, n_outputs)
