"""How the weights of a quantum layer start, by name."""

from __future__ import annotations

from collections.abc import Callable

import torch

from qnn.errors import ArgumentError, unknown_name

Initialiser = Callable[[tuple[int, ...], torch.Generator | None], torch.Tensor]


def uniform(shape: tuple[int, ...], generator: torch.Generator | None) -> torch.Tensor:
    """Uniform in [0, 2π), the Haar-like start; never all zeros, which is a saddle."""
    return torch.rand(shape, generator=generator, dtype=torch.float64) * 2 * torch.pi


def normal(shape: tuple[int, ...], generator: torch.Generator | None) -> torch.Tensor:
    """Normal with mean 0 and variance 1 radian²."""
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def small(shape: tuple[int, ...], generator: torch.Generator | None) -> torch.Tensor:
    """Normal with standard deviation 0.1 radian: near the identity, where gradients do not vanish with depth."""
    return 0.1 * normal(shape, generator)


def zeros(shape: tuple[int, ...], generator: torch.Generator | None) -> torch.Tensor:
    """All zeros: often a saddle, where some gradients vanish."""
    return torch.zeros(shape, dtype=torch.float64)


INITIALISERS: dict[str, Initialiser] = {"normal": normal, "small": small, "uniform": uniform, "zeros": zeros}


def draw(init: str | Initialiser, shape: tuple[int, ...], generator: torch.Generator | None) -> torch.Tensor:
    """Initial weights of the given shape, float64.

    Raises:
        UnknownNameError: no such initialiser.
        ArgumentError: a callable that returns another shape.
    """
    if isinstance(init, str):
        if init not in INITIALISERS:
            raise unknown_name("initialiser", init, INITIALISERS)
        init = INITIALISERS[init]
    values = torch.as_tensor(init(shape, generator))
    if tuple(values.shape) != tuple(shape):
        raise ArgumentError(
            f"`init` must return weights of shape {tuple(shape)}; got {tuple(values.shape)}. "
            "Use the shape that it is called with."
        )
    return values
