"""How long passes take at best: all of them in turns, so that a machine that is slower for a while is so for all."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch

from qnn.training.isolation import module_mode, same_samples

ROUNDS = 12  # in which each pass is timed
_SHORTEST_S = 0.002


def latencies_ms(models: Sequence[torch.nn.Module], batches: Sequence[torch.Tensor]) -> list[float]:
    """Shortest times of a forward pass of each model on its batch (B, D), in milliseconds, without gradients."""
    with ExitStack() as ends:
        for model in models:
            ends.enter_context(module_mode(model, training=False))
            ends.enter_context(same_samples(model))
        ends.enter_context(torch.inference_mode())
        return in_turns([partial(model, batch) for model, batch in zip(models, batches, strict=True)])


def in_turns(passes: Sequence[Callable[[], Any]]) -> list[float]:
    """Shortest times of each of the passes, in milliseconds, after two calls of each that are not counted.

    Each has its turn in every round, so that a machine that becomes slower, or faster, does so for all alike. What
    other programs do meanwhile only makes times longer, often most of them, but rarely all. In its turn a pass is timed
    twice: the first time it finds the caches as the pass before left them, which is another one for each.
    """
    for one in (*passes, *passes):
        one()
    rounds = [[min(timed(one), timed(one)) for one in passes] for _ in range(ROUNDS)]
    return [1e3 * min(times) for times in zip(*rounds, strict=True)]


def timed(one_pass: Callable[[], Any]) -> float:
    """Seconds of one pass; short ones are repeated until the clock can tell."""
    made, started = 0, time.perf_counter()
    while True:
        one_pass()
        made += 1
        taken = time.perf_counter() - started
        if taken > _SHORTEST_S:
            return taken / made
