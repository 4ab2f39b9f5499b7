"""How long passes take: all of them in turns, so that a machine that is slower for a while is slower for all."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch

from qnn.training.isolation import module_mode, same_samples

REPEATS = 16  # of a timed pass; even, so that as many rounds go backwards as forwards
_SHORTEST_S = 0.002


def latencies_ms(models: Sequence[torch.nn.Module], batches: Sequence[torch.Tensor]) -> list[float]:
    """Median times of a forward pass of each model on its batch (B, D), in milliseconds, without gradients."""
    with ExitStack() as ends:
        for model in models:
            ends.enter_context(module_mode(model, training=False))
            ends.enter_context(same_samples(model))
        ends.enter_context(torch.inference_mode())
        return in_turns([partial(model, batch) for model, batch in zip(models, batches, strict=True)])


def in_turns(passes: Sequence[Callable[[], Any]]) -> list[float]:
    """Median times of each of the passes, in milliseconds, after two calls of each that are not counted.

    Each is timed once in every round, and every other round goes backwards: whatever slows the machine down, by a step
    or little by little, falls on all alike.
    """
    for one in (*passes, *passes):
        one()
    numbers = range(len(passes))
    times: list[list[float]] = [[] for _ in passes]
    for turn in range(REPEATS):
        for number in numbers if turn % 2 == 0 else reversed(numbers):
            times[number].append(timed(passes[number]))
    return [1e3 * statistics.median(found) for found in times]


def timed(one_pass: Callable[[], Any]) -> float:
    """Seconds of one pass; short ones are repeated until the clock can tell."""
    made, started = 0, time.perf_counter()
    while True:
        one_pass()
        made += 1
        taken = time.perf_counter() - started
        if taken > _SHORTEST_S:
            return taken / made
