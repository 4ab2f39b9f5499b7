"""The baselines by name: classical opponents in plain torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from qnn._integers import whole
from qnn.baselines.cnn import cnn
from qnn.baselines.linear import logistic
from qnn.baselines.mlp import matched_mlp, mlp
from qnn.errors import ArgumentError, DtypeError, unknown_name


@dataclass(frozen=True)
class _Contest:
    """What a baseline may want to know of the task and of its quantum opponent."""

    n_inputs: int
    n_outputs: int
    image_shape: tuple[int, int, int] | None
    n_weights: int | None


def _matched(contest: _Contest) -> torch.nn.Module:
    """The matched MLP, once its opponent's size is known."""
    if contest.n_weights is None:
        raise ArgumentError(
            '`n_weights` must be the number of trainable scalars to match for the baseline "mlp-matched"; got None. '
            "Pass n_weights=count_weights(opponent)."
        )
    return matched_mlp(contest.n_inputs, contest.n_outputs, contest.n_weights)


BASELINES: dict[str, Callable[[_Contest], torch.nn.Module]] = {
    "logistic": lambda contest: logistic(contest.n_inputs, contest.n_outputs),
    "mlp": lambda contest: mlp(contest.n_inputs, contest.n_outputs),
    "mlp-matched": _matched,
    "cnn": lambda contest: cnn(contest.n_inputs, contest.n_outputs, contest.image_shape),
}


def list_baselines() -> list[str]:
    """Names that `build_baseline` knows.

    Example:
        >>> list_baselines()
        ['logistic', 'mlp', 'mlp-matched', 'cnn']
    """
    return list(BASELINES)


def build_baseline(
    name: str,
    *,
    n_inputs: int,
    n_outputs: int,
    image_shape: tuple[int, int, int] | None = None,
    n_weights: int | None = None,
    seed: int = 0,
) -> torch.nn.Module:
    """An untrained classical model: (N, n_inputs) float32 -> logits (N, n_outputs).

    Args:
        name: see `list_baselines`.
        n_inputs: D, features per row.
        n_outputs: C, one logit per class.
        image_shape: (channels, height, width) of a row, where it is an image; "cnn" needs it, the
            others do not look at it.
        n_weights: trainable scalars of the opponent; "mlp-matched" comes as near to it as whole hidden
            units allow, the others do not look at it.
        seed: of the initial weights (torch's own initialisers); the global generator is left alone.

    Raises:
        UnknownNameError: no such baseline.
        ArgumentError: a number out of range, or what the baseline needs is missing.
        DtypeError: a number that is no integer.

    Example:
        >>> model = build_baseline("mlp-matched", n_inputs=64, n_outputs=10, n_weights=322)
        >>> count_weights(model)
        310
    """
    if name not in BASELINES:
        raise unknown_name("baseline", name, BASELINES)
    numbers = {"n_inputs": (n_inputs, 1), "n_outputs": (n_outputs, 1), "seed": (seed, 0), "n_weights": (n_weights, 1)}
    for argument, (value, least) in numbers.items():
        if not (argument == "n_weights" and value is None):
            _check_integer(argument, value, least)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return BASELINES[name](_Contest(n_inputs, n_outputs, image_shape, n_weights))


def count_weights(model: torch.nn.Module) -> int:
    """Trainable scalars of a model: elements of all parameters that require a gradient, shared ones once.

    Example:
        >>> count_weights(torch.nn.Linear(64, 10))
        650
    """
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def _check_integer(argument: str, value: object, least: int) -> None:
    """Raise unless `value` is an integer of at least `least`."""
    number = whole(value)
    if number is None:
        raise DtypeError(
            f"`{argument}` must be an integer; got {value!r} ({type(value).__name__}). Pass a whole number."
        )
    if not least <= number < 2**63:
        raise ArgumentError(f"`{argument}` must be at least {least}, below 2^63; got {value}. Pass {least} or more.")
