"""SPSA: the gradient along one random direction, from two losses, whatever the number of weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from qnn import _seeding
from qnn._integers import checked_seed
from qnn.gradients.optimizers.split import Classical, Closure, SplitOptimizer, checked_number, evaluate

_STREAM = 2**34  # apart from those of measurement settings, of gradient="spsa" and of the order of samples


class SPSA(SplitOptimizer):
    """Simultaneous perturbation stochastic approximation for the quantum weights of a model.

    In step k = 0, 1, … all quantum weights move at once by ±c_k in random directions Δ of ±1,

        ĝ = (L(θ + c_k Δ) - L(θ - c_k Δ)) / (2 c_k) · Δ,   θ ← θ - a_k ĝ,

    with Spall's gains a_k = lr/(k + 1 + stability)^lr_decay and c_k = perturbation/(k + 1)^perturbation_decay. The mean
    of ĝ is the gradient up to O(c_k²). A model of quantum layers alone costs two evaluations of the loss a step; where
    there are classical parameters too, one more, with their gradients by backpropagation. Directions follow from
    `seed` and k alone, so that a run repeats, and with it its shots.

    Args:
        model: has at least one quantum layer, on any backend, exact or with shots.
        lr: a, the numerator of the gain a_k; a scheduler multiplies it.
        perturbation: c, in radians.
        lr_decay: α; 0.602 in practice, 1 is best in the limit, 0 keeps the gain.
        perturbation_decay: γ; 0.101 in practice, 1/6 is best in the limit.
        stability: A, about a tenth of the steps planned, lets lr be larger without wild first steps.
        seed: of the directions; None draws it from torch's default generator. Processes that train one model need the
            same one.
        classical: optimizer of the classical parameters, or a callable that makes it; None for Adam.

    References:
        Spall, IEEE Trans. Aerospace and Electronic Systems 34, 817 (1998), section III.

    Example:
        >>> from qnn import QuantumLayer
        >>> layer = QuantumLayer(2, 1, seed=0)
        >>> optimizer = SPSA(layer, lr=0.2, seed=0)
        >>> loss = lambda: layer(torch.ones(2)).sum()
        >>> before = loss()
        >>> for _ in range(20):
        ...     _ = optimizer.step(loss)
        >>> bool(loss() < before)
        True
    """

    needs_closure = True

    def __init__(
        self,
        model: torch.nn.Module,
        lr: float = 0.1,
        perturbation: float = 0.1,
        *,
        lr_decay: float = 0.602,
        perturbation_decay: float = 0.101,
        stability: float = 0.0,
        seed: int | None = 0,
        classical: Classical = None,
    ) -> None:
        options = {
            "lr": checked_number("lr", lr),
            "perturbation": checked_number("perturbation", perturbation, above=True),
            "lr_decay": checked_number("lr_decay", lr_decay),
            "perturbation_decay": checked_number("perturbation_decay", perturbation_decay),
            "stability": checked_number("stability", stability),
            "seed": _seeding.draw_root(checked_seed(seed)),
        }
        super().__init__(model, options, classical)
        self.state[self.quantum["params"][0]]["step"] = torch.zeros((), dtype=torch.int64)

    @torch.no_grad()
    def step(self, closure: Closure | None = None) -> Any:
        """Update all parameters.

        Args:
            closure: returns the loss of the batch; where gradients are enabled it also zeroes and computes them.

        Returns:
            The loss before the step; without classical parameters, the mean of the two losses beside it, which is the
            loss up to O(c_k²).
        """
        closure = self.needed(closure)
        group, weights = self.quantum, self.quantum["params"]
        count = self.state[weights[0]]["step"]
        k = int(count)
        c = group["perturbation"] / (k + 1) ** group["perturbation_decay"]
        gain = group["lr"] / (k + 1 + group["stability"]) ** group["lr_decay"]
        loss = self.classical_gradients(closure)
        directions = _directions(group["seed"], k, weights)
        above, below = self._beside(closure, directions, c)
        slope = (above - below) / (2 * c)
        for weight, direction in zip(weights, directions, strict=True):
            weight.grad = slope * direction
            weight.sub_(gain * weight.grad)
        self.step_classical()
        count += 1
        return weights[0].new_tensor((above + below) / 2) if loss is None else loss

    def _beside(self, closure: Closure, directions: list[torch.Tensor], c: float) -> tuple[float, float]:
        """The losses at θ ± cΔ; the weights are θ again afterwards, bit by bit."""
        weights = self.quantum["params"]
        before = [weight.clone() for weight in weights]
        losses = []
        try:
            for sign in (c, -c):
                for weight, start, direction in zip(weights, before, directions, strict=True):
                    weight.copy_(start + sign * direction)
                losses.append(evaluate(closure))
        finally:
            for weight, start in zip(weights, before, strict=True):
                weight.copy_(start)
        return losses[0], losses[1]


def _directions(seed: int, step: int, weights: list[torch.Tensor]) -> list[torch.Tensor]:
    """Random signs in the shapes of the weights: a function of seed and step."""
    generator = _seeding.generator(np.array([seed, step, 0, 0, 0]), _STREAM)
    return [torch.from_numpy(generator.choice([-1.0, 1.0], size=tuple(w.shape))).to(w) for w in weights]
