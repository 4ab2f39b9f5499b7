"""A copy of a model that makes every call of its quantum layers and executes none."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from qnn.backends.counting import Amount, Counting
from qnn.errors import ArgumentError
from qnn.layers import QuantumLayer

Amounts = dict[str, Amount]  # by the name of a layer


@dataclass
class Rehearsal:
    """Copies to train, and what their quantum layers were asked for.

    Attributes:
        model: the copy.
        optimizer: a copy over the weights of the copy, or None.
        scheduler: a copy of the optimizer's copy, or what else was given.
        layers: the quantum layers of the original by name, "model" for the model itself.
        counters: of each.
    """

    model: torch.nn.Module
    optimizer: Any
    scheduler: Any
    layers: dict[str, QuantumLayer]
    counters: dict[str, Counting]

    def take(self) -> Amounts:
        """What each layer was asked for since the last time."""
        taken = {name: counter.used for name, counter in self.counters.items()}
        for counter in self.counters.values():
            counter.used = Amount()
        return taken


@contextmanager
def rehearsal(model: torch.nn.Module, optimizer: Any = None, scheduler: Any = None) -> Iterator[Rehearsal]:
    """A copy of `model` to train inside the block, with nothing executed or submitted.

    The layers of the model itself count too instead of executing, inside the block: a loss may be a function of them.
    Afterwards they are where they were, with their weights, gradients and samples to come.

    Args:
        model: has quantum layers, or none.
        optimizer: over its parameters; None for none.
        scheduler: of that optimizer.

    Raises:
        ArgumentError: what cannot be copied.
    """
    layers = {name or "model": module for name, module in model.named_modules() if isinstance(module, QuantumLayer)}
    begun: set = set()
    counters = {name: Counting(layer.backend, begun) for name, layer in layers.items()}
    with ExitStack() as stack:
        stack.enter_context(_left_alone(model, list(layers.values())))
        for name, layer in layers.items():
            placed = layer.using(counters[name], shots=layer.shots, gradient=layer.plan.method)
            stack.enter_context(placed)
        try:
            copies = copy.deepcopy((model, optimizer, scheduler))
        except (RuntimeError, TypeError) as error:
            raise ArgumentError(
                f"`model` and what trains it must be copyable to be forecast; copying failed: {error} "
                "Keep no tensors with a graph behind them, locks or open files in it."
            ) from error
        yield Rehearsal(*copies, layers, counters)


@contextmanager
def _left_alone(model: torch.nn.Module, layers: list[QuantumLayer]) -> Iterator[None]:
    """Gradients, and how often each layer has been called, are afterwards what they were."""
    gradients = [(weight, weight.grad) for weight in model.parameters()]
    sampling = [(layer, layer.sampling_state()) for layer in layers]
    for weight, _ in gradients:
        weight.grad = None
    try:
        yield
    finally:
        for weight, gradient in gradients:
            weight.grad = gradient
        for layer, state in sampling:
            layer.load_sampling_state(state)
