"""Leaving things as they were found: the modes of a model's modules, and torch's global generators."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import torch


@contextmanager
def module_mode(model: torch.nn.Module, *, training: bool) -> Iterator[None]:
    """Put every module into train or eval mode, and each back into its own mode afterwards."""
    before = [(module, module.training) for module in model.modules()]
    model.train(training)
    try:
        yield
    finally:
        for module, mode in before:
            module.training = mode


@contextmanager
def own_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """Inside, torch's generators start from `seed`; outside, nobody notices.

    Dropout and the like draw from these generators: so a run repeats, and leaves the caller's
    random numbers alone.
    """
    on_cuda = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if on_cuda else []):
        torch.default_generator.manual_seed(seed)
        if on_cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


def reference_tensor(model: torch.nn.Module) -> torch.Tensor:
    """The model's first parameter or buffer (else an empty CPU tensor): it says device and dtype."""
    return next(chain(model.parameters(), model.buffers()), torch.empty(0))
