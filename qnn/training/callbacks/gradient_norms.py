"""How large gradients are, layer by layer."""

from __future__ import annotations

import warnings
from typing import Any

import torch

from qnn.errors import NoEffectWarning
from qnn.training.callbacks.base import Callback, FitState
from qnn.training.callbacks.parameter_groups import check_grouping, dense_gradient, trainable_groups


class GradientNorms(Callback):
    """Euclidean norms of the gradient: of all trainable parameters, and of each layer's or each parameter's part.

    Of every step, before clipping, in `latest` and `state.step_record`; their means over the epoch's steps in
    `state.record`. Entries are `gradient_norm` (all) and `gradient_norm/NAME`; a parameter that no gradient
    reached counts as 0.

    Args:
        per: "layer" (the module that owns the parameters; the model's own are called `model`) or "parameter".

    Attributes:
        latest: the norms of the last step.

    Example:
        >>> GradientNorms(per="parameter").latest
        {}
    """

    def __init__(self, per: str = "layer") -> None:
        self.per = check_grouping(per)
        self._forget()

    def _forget(self) -> None:
        self.latest: dict[str, float] = {}
        self._sums: dict[str, float] = {}
        self._n_steps, self._warned = 0, False

    def on_fit_start(self, state: FitState) -> None:
        """Forget an earlier run."""
        self._forget()

    def on_backward_end(self, state: FitState) -> None:
        """Take the norms."""
        parameters = dict(state.model.named_parameters())
        norms: dict[str, float] = {}
        for group, names in trainable_groups(state.model, self.per).items():
            parts = [torch.linalg.vector_norm(dense_gradient(parameters[name])) for name in names]
            norms[f"gradient_norm/{group}"] = _norm([float(part) for part in parts])
        self.latest = {"gradient_norm": _norm(list(norms.values())), **norms}
        state.step_record.update(self.latest)
        for name, value in self.latest.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._n_steps += 1

    def on_epoch_end(self, state: FitState) -> None:
        """Put the means over the epoch's steps into the record."""
        if self._n_steps:
            state.record.update({name: total / self._n_steps for name, total in self._sums.items()})
        elif not self._warned:
            self._warned = True
            warnings.warn(
                "GradientNorms has no effect: the optimizer works without gradients. Leave the callback out.",
                NoEffectWarning,
                stacklevel=2,
            )
        self._sums, self._n_steps = {}, 0

    def state_dict(self) -> dict[str, Any]:
        """Sums over the steps of an epoch that is not finished."""
        return {"latest": dict(self.latest), "sums": dict(self._sums), "n_steps": self._n_steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on adding."""
        self.latest, self._sums, self._n_steps = dict(state["latest"]), dict(state["sums"]), state["n_steps"]


def _norm(parts: list[float]) -> float:
    """Norm of what has parts of these norms."""
    return float(torch.linalg.vector_norm(torch.tensor(parts, dtype=torch.float64)))
