"""How much gradients vary, layer by layer: the sign of a barren plateau."""

from __future__ import annotations

import warnings
from typing import Any

import torch

from qnn.errors import NoEffectWarning
from qnn.training.callbacks.base import Callback, FitState
from qnn.training.callbacks.parameter_groups import check_grouping, dense_gradient, trainable_groups


class GradientVariance(Callback):
    """Variance of the gradient over the steps of an epoch, reported layer by layer.

    Of every trainable parameter's every element, the unbiased variance s^2 = sum_t (g_t - mean g)^2 / (T - 1) over the
    T steps; a layer's number is the mean over its elements. On a barren plateau a quantum layer's number lies far
    below that of the other layers, and falls exponentially with the number of qubits. Entries of `state.record` are
    `gradient_variance` (mean over all elements) and `gradient_variance/NAME`; None where an epoch has one step.
    Gradients are taken before clipping; a parameter that no gradient reached counts as 0.

    Cost: two float64 copies of the trainable parameters.

    Args:
        per: "layer" (the module that owns the parameters; the model's own are called `model`) or "parameter".

    References:
        Welford, Technometrics 4, 419 (1962), for the running sums.

    Example:
        >>> GradientVariance().per
        'layer'
    """

    def __init__(self, per: str = "layer") -> None:
        self.per = check_grouping(per)
        self._forget()

    def _forget(self) -> None:
        self._warned = False
        self._begin_epoch()

    def _begin_epoch(self) -> None:
        self._n_steps = 0
        self._mean: dict[str, torch.Tensor] = {}
        self._squares: dict[str, torch.Tensor] = {}

    def on_fit_start(self, state: FitState) -> None:
        """Forget an earlier run."""
        self._forget()
        self._trainable = {name for name, weight in state.model.named_parameters() if weight.requires_grad}

    def on_backward_end(self, state: FitState) -> None:
        """Add the step to the running means and sums of squared deviations."""
        self._n_steps += 1
        for name, parameter in state.model.named_parameters():
            if name not in self._trainable:  # some optimizers freeze weights for a moment
                continue
            gradient = dense_gradient(parameter)
            if name not in self._mean:
                self._mean[name], self._squares[name] = torch.zeros_like(gradient), torch.zeros_like(gradient)
            mean, squares = self._mean[name].to(gradient.device), self._squares[name].to(gradient.device)
            deviation = gradient - mean
            mean = mean + deviation / self._n_steps
            self._mean[name], self._squares[name] = mean, squares + deviation * (gradient - mean)

    def on_epoch_end(self, state: FitState) -> None:
        """Put the variances into the record."""
        if self._n_steps < 2 and not self._warned:
            self._warned = True
            warnings.warn(
                f"GradientVariance has no effect: a variance needs two steps with gradients in an epoch; got "
                f"{self._n_steps}. Choose a smaller `batch_size`, or leave the callback out.",
                NoEffectWarning,
                stacklevel=2,
            )
        groups = trainable_groups(state.model, self.per)
        state.record["gradient_variance"] = self._variance([name for names in groups.values() for name in names])
        for group, names in groups.items():
            state.record[f"gradient_variance/{group}"] = self._variance(names)
        self._begin_epoch()

    def _variance(self, names: list[str]) -> float | None:
        """Mean over the elements of these parameters."""
        if self._n_steps < 2:
            return None
        total = sum(float(self._squares[name].sum()) for name in names)
        return total / (self._n_steps - 1) / max(1, sum(self._squares[name].numel() for name in names))

    def state_dict(self) -> dict[str, Any]:
        """Sums over the steps of an epoch that is not finished."""
        return {"n_steps": self._n_steps, "mean": dict(self._mean), "squares": dict(self._squares)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on adding."""
        self._n_steps, self._mean, self._squares = state["n_steps"], dict(state["mean"]), dict(state["squares"])
