"""Noticing that training has gone wrong, before the weights are touched."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from qnn.errors import TrainingError
from qnn.training.optimizers import learning_rate

if TYPE_CHECKING:
    from qnn.training.callbacks.base import FitState


def check_step(state: FitState, loss: float) -> None:
    """Raise if the loss or any gradient of the step is NaN or infinite.

    Called between backward and the optimizer's step, so the weights are still those that gave `loss`.

    Raises:
        TrainingError: names step, epoch, seed and the first parameter concerned.
    """
    gradients = [weight.grad for weight in state.weights if weight.grad is not None]
    if math.isfinite(loss) and math.isfinite(_sum(gradients)):
        return
    culprit = first_non_finite(state.model)
    if culprit is None and math.isfinite(loss):
        return  # only the sum overflowed: large, but still numbers
    raise broken_step(state, f"a loss of {loss}" if not math.isfinite(loss) else "a gradient that is not")


def broken_step(state: FitState, got: str) -> TrainingError:
    """The error that names step, epoch, seed and the first parameter that is not finite."""
    culprit = first_non_finite(state.model)
    where = "every weight and gradient is finite" if culprit is None else f"{culprit} is the first not finite"
    return TrainingError(
        f"Loss and gradients must stay finite; got {got} at step {state.step} "
        f"(epoch {state.epoch}, seed {state.config.seed}): {where}. "
        f"Lower `learning_rate` (now {learning_rate(state.optimizer)}), or look at what the model does there."
    )


def _sum(gradients: list[torch.Tensor]) -> float:
    """Sum of all entries, which is finite if they are, unless it overflows; the cheapest way to look at them all."""
    if len({gradient.device for gradient in gradients}) > 1:
        return sum(float(gradient.sum()) for gradient in gradients)
    return float(torch.cat([gradient.reshape(-1) for gradient in gradients]).sum()) if gradients else 0.0


def check_monitored(state: FitState, loss: float, part: str) -> None:
    """Raise if the loss at the end of an epoch is NaN or infinite.

    Raises:
        TrainingError: names epoch, step and seed.
    """
    if math.isfinite(loss):
        return
    culprit = first_non_finite(state.model, gradients=False)
    where = "every weight is finite" if culprit is None else f"{culprit} is the first not finite"
    raise TrainingError(
        f"The {part} loss must stay finite; got {loss} at the end of epoch {state.epoch} "
        f"(after step {state.step - 1}, seed {state.config.seed}): {where}. "
        f"Lower `learning_rate` (now {learning_rate(state.optimizer)}), or look for extreme values in the {part} "
        "inputs."
    )


def first_non_finite(model: torch.nn.Module, *, gradients: bool = True) -> str | None:
    """The first parameter, in the model's order, with a value or else a gradient that is not finite."""
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            return f'the value of parameter "{name}"'
    for name, parameter in model.named_parameters():
        if gradients and parameter.grad is not None and not torch.isfinite(parameter.grad).all():
            return f'the gradient of parameter "{name}"'
    return None
