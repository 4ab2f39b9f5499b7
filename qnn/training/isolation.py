"""Leaving things as they were found: modes and samples of a model's modules, and the global random generators."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import numpy as np
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
def same_samples(model: torch.nn.Module) -> Iterator[None]:
    """What the modules of `model` sample after the block is as if they had not been called in it."""
    samplers: list[Any] = [module for module in model.modules() if hasattr(module, "sampling_state")]
    states = [(module, module.sampling_state()) for module in samplers]
    try:
        yield
    finally:
        for module, state in states:
            module.load_sampling_state(state)


@contextmanager
def own_randomness(seed: int, device: torch.device, rank: int = 0) -> Iterator[None]:
    """Inside, the generators of torch, NumPy and Python start from `seed` (and `rank`); outside, nobody notices.

    Dropout and the like draw from torch's, data augmentation often from the others: so a run repeats, and leaves the
    caller's random numbers alone.
    """
    on_cuda = device.type == "cuda"
    seed = (seed + rank * 0x9E3779B97F4A7C15) % 2**63  # other numbers in each process
    ours, pythons = np.random.get_state(), random.getstate()  # noqa: NPY002 - the global one is what is kept apart
    with torch.random.fork_rng(devices=[device] if on_cuda else []):
        torch.default_generator.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        random.seed(seed)
        if on_cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        try:
            yield
        finally:
            np.random.set_state(ours)  # noqa: NPY002
            random.setstate(pythons)


def generator_states(device: torch.device) -> dict[str, Any]:
    """The states of the global generators, as tensors and numbers."""
    name, words, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002
    version, python, next_gauss = random.getstate()
    found: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": [name, torch.from_numpy(np.asarray(words, dtype=np.int64)), position, has_gauss, gauss],
        "python": [version, torch.tensor(python, dtype=torch.int64), next_gauss],
    }
    if device.type == "cuda":
        found["cuda"] = torch.cuda.get_rng_state(device)
    return found


def restore_generators(states: dict[str, Any], device: torch.device) -> None:
    """Go on from `generator_states`."""
    torch.set_rng_state(states["torch"])
    name, words, *rest = states["numpy"]
    np.random.set_state((name, words.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    version, python, next_gauss = states["python"]
    random.setstate((version, tuple(python.tolist()), next_gauss))
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)


def reference_tensor(model: torch.nn.Module) -> torch.Tensor:
    """The model's first parameter or buffer (else an empty CPU tensor): it says device and dtype."""
    return next(chain(model.parameters(), model.buffers()), torch.empty(0))
