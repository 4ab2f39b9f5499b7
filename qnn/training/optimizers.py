"""Optimizers and schedules of the learning rate, from torch, by name or as they are. Adding one is a row."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR, LRScheduler, ReduceLROnPlateau

from qnn.errors import ArgumentError, DtypeError

if TYPE_CHECKING:
    from qnn.training.config import FitConfig

Weights = list[torch.nn.Parameter]


def _sgd(weights: Weights, config: FitConfig) -> torch.optim.Optimizer:
    """Gradient descent, with momentum when asked."""
    return torch.optim.SGD(weights, lr=config.learning_rate, momentum=config.momentum, weight_decay=config.weight_decay)


def _rmsprop(weights: Weights, config: FitConfig) -> torch.optim.Optimizer:
    """RMSprop (Tieleman and Hinton 2012), with momentum when asked."""
    rate, decay = config.learning_rate, config.weight_decay
    return torch.optim.RMSprop(weights, lr=rate, momentum=config.momentum, weight_decay=decay)


def _adam(weights: Weights, config: FitConfig) -> torch.optim.Optimizer:
    """Adam (Kingma and Ba 2015); `weight_decay` is an L2 term in the gradient."""
    return torch.optim.Adam(weights, lr=config.learning_rate, weight_decay=config.weight_decay)


def _adamw(weights: Weights, config: FitConfig) -> torch.optim.Optimizer:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""
    return torch.optim.AdamW(weights, lr=config.learning_rate, weight_decay=config.weight_decay)


def _lbfgs(weights: Weights, config: FitConfig) -> torch.optim.Optimizer:
    """L-BFGS with a strong Wolfe line search (Nocedal and Wright 2006, chapter 7); meant for `batch_size=None`."""
    return torch.optim.LBFGS(weights, lr=config.learning_rate, line_search_fn="strong_wolfe")


OPTIMIZERS: dict[str, Callable[[Weights, FitConfig], torch.optim.Optimizer]] = {
    "adam": _adam,
    "adamw": _adamw,
    "lbfgs": _lbfgs,
    "rmsprop": _rmsprop,
    "sgd": _sgd,
}
USES_MOMENTUM = frozenset({"sgd", "rmsprop"})
USES_WEIGHT_DECAY = frozenset({"adam", "adamw", "rmsprop", "sgd"})

SCHEDULERS: dict[str, Callable[[torch.optim.Optimizer, int], LRScheduler]] = {
    # (optimizer, number of times the schedule will be stepped) -> scheduler
    "cosine": lambda optimizer, n: CosineAnnealingLR(optimizer, T_max=n),
    "exponential": lambda optimizer, n: ExponentialLR(optimizer, gamma=0.01 ** (1 / n)),
}


def make_optimizer(weights: Weights, config: FitConfig) -> torch.optim.Optimizer:
    """The optimizer of `config`, over the trainable parameters `weights`.

    Raises:
        ArgumentError: an optimizer over other parameters than the model's.
        DtypeError: a callable that gives no optimizer.
    """
    if isinstance(config.optimizer, str):
        return OPTIMIZERS[config.optimizer](weights, config)
    made = config.optimizer if isinstance(config.optimizer, torch.optim.Optimizer) else config.optimizer(weights)
    if not isinstance(made, torch.optim.Optimizer):
        raise DtypeError(
            "`optimizer` must give a torch.optim.Optimizer when called with the parameters; got "
            f"{type(made).__name__}. Write for example functools.partial(torch.optim.Adam, lr=0.01)."
        )
    ours = {id(weight) for weight in weights}
    if not any(id(weight) in ours for group in made.param_groups for weight in group["params"]):
        raise ArgumentError(
            "`optimizer` must hold parameters of the model; got one that holds none of them. "
            "Make it from model.parameters(), after the model is where it is to be trained."
        )
    return made


def make_scheduler(optimizer: torch.optim.Optimizer, config: FitConfig, steps_per_epoch: int) -> Any:
    """The schedule of `config`, or None.

    Raises:
        DtypeError: a callable that gives no scheduler.
    """
    if config.scheduler is None:
        return None
    if isinstance(config.scheduler, str):
        times = config.epochs * (steps_per_epoch if config.scheduler_step == "step" else 1)
        return SCHEDULERS[config.scheduler](optimizer, times)
    made = config.scheduler if isinstance(config.scheduler, LRScheduler) else config.scheduler(optimizer)
    if not isinstance(made, LRScheduler):
        raise DtypeError(
            f"`scheduler` must give a torch learning rate scheduler when called with the optimizer; got "
            f"{type(made).__name__}. Write for example functools.partial(torch.optim.lr_scheduler.StepLR, step_size=5)."
        )
    if made.optimizer is not optimizer:
        raise ArgumentError(
            "`scheduler` must be one of the optimizer that trains; got one that was made for another. "
            "Pass both as objects, or a callable that makes it of the optimizer."
        )
    if isinstance(made, ReduceLROnPlateau) and config.scheduler_step == "step":
        raise ArgumentError(
            '`scheduler_step` must be "epoch" with ReduceLROnPlateau, which follows the loss at the end of an epoch; '
            'got "step". Leave it out.'
        )
    return made


def needs_closure(optimizer: torch.optim.Optimizer) -> bool:
    """Whether `step` must be given a function that evaluates the loss again: L-BFGS, SPSA and their like."""
    return getattr(optimizer, "needs_closure", False) or isinstance(optimizer, torch.optim.LBFGS)


def learning_rate(optimizer: torch.optim.Optimizer) -> float | None:
    """The present rate of the first group of parameters, if there is such a thing."""
    rate = optimizer.param_groups[0].get("lr")
    return None if rate is None else float(rate)
