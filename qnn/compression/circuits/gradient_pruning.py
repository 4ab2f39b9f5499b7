"""Gradient pruning: in most steps only some weights of a circuit are shifted, those whose gradients were large before.

References:
    Wang, Li, Gu, Ding, Pan and Han, QOC: Quantum On-Chip Training with Parameter Shift and Gradient Pruning, DAC 2022,
    arXiv:2202.13239, section 3.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import Token
from functools import partial
from math import isfinite
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch.utils.hooks import RemovableHandle

from qnn import _seeding
from qnn._integers import checked_seed, whole
from qnn.compression.circuits.angle_sums import entries_of
from qnn.compression.circuits.circuit_layers import quantum_layers
from qnn.errors import ArgumentError, DtypeError
from qnn.gradients import subset
from qnn.gradients.quantum_modules import quantum_modules, weights_of
from qnn.layers import QuantumLayer
from qnn.training.callbacks.base import Callback, FitState
from qnn.training.processes import Stages

_METHODS = ("parameter-shift", "finite-difference")
_STREAM = 2**34  # apart from what layers draw
_LAST = 1e9


class GradientPruning(Callback):
    """Evaluates only some of the weights' gradients in some of the steps: a callback of `qnn.fit`.

    Steps come in stages. In the first `accumulation` steps of a stage all gradients are evaluated, and their magnitudes
    are summed up for each weight. In the `pruning` steps after these, the share `ratio` of the weights of each
    quantum layer is frozen: their gradients are zero, and their angles are not shifted. The others are drawn anew in
    each step without replacement, with probabilities in proportion to the sums. Of the shifted circuits of weights,
    each with as many as any other, this saves ratio · pruning / (accumulation + pruning): one third by default.

    What is drawn follows from the seed, the layer, the step and the sums, which checkpoints keep, so that a resumed run
    and runs in several processes draw the same; a stage of a `qnn.training.Pipeline` may be without circuits. An
    optimizer with momentum still moves a frozen weight.

    Args:
        accumulation: steps with all gradients, at least 1.
        pruning: steps with some of them, at least 1.
        ratio: share of the weights that is frozen, between 0 and 1; one weight at least is left.
        probabilistic: False takes the weights with the largest sums.
        seed: of the drawing.

    Raises:
        ArgumentError: an option out of range; in `fit`, no quantum layer with trainable weights, or one whose
            gradients are not evaluated by shifting angles.

    Example:
        >>> import torch
        >>> from qnn import QuantumLayer, fit
        >>> layer = QuantumLayer(2, 2, gradient="parameter-shift", seed=0)
        >>> x, y = torch.rand(8, 2), torch.rand(8, 2)
        >>> options = dict(epochs=3, batch_size=None, loss="mse", restore_best=False, progress=False)
        >>> full = fit(layer, (x, y), **options).usage.circuits
        >>> pruned = fit(layer, (x, y), callbacks=[GradientPruning()], **options).usage.circuits
        >>> full, pruned
        (216, 152)
    """

    def __init__(
        self,
        accumulation: int = 1,
        pruning: int = 2,
        ratio: float = 0.5,
        *,
        probabilistic: bool = True,
        seed: int = 0,
    ) -> None:
        for name, value in (("accumulation", accumulation), ("pruning", pruning)):
            if (whole(value) or 0) < 1:
                raise ArgumentError(f"`{name}` must be a number of steps from 1 up; got {value!r}. Use {name}=1.")
        if isinstance(ratio, bool) or not isinstance(ratio, Real) or not (isfinite(ratio) and 0 < ratio < 1):
            raise ArgumentError(f"`ratio` must be between 0 and 1; got {ratio!r}. Use ratio=0.5.")
        if not isinstance(probabilistic, bool):
            raise DtypeError(f"`probabilistic` must be True or False; got {probabilistic!r}. Pass a bool.")
        self.accumulation: int = accumulation
        self.pruning: int = pruning
        self.ratio: float = float(ratio)
        self.probabilistic: bool = probabilistic
        self.seed: int = checked_seed(seed) or 0
        self._layers: dict[str, _Weights] = {}
        self._handles: list[RemovableHandle] = []
        self._state: FitState | None = None
        self._first: int = 0  # number of this process's first layer in the whole model

    def on_fit_start(self, state: FitState) -> None:
        """Look at the circuits of this process, and be there when they run; all refuse what one of them cannot do."""
        layers, problem = _shifted_layers(state.model)
        told = state.world.gather((len(layers), problem))
        problems = [text for _, text in told if text]
        if not (problems or any(n_layers for n_layers, _ in told)):
            problems = [
                "`model` must have a quantum layer with trainable weights for GradientPruning; got none. Leave it out."
            ]
        if problems:
            raise ArgumentError(problems[0])
        self._first = sum(n for n, _ in told[: state.rank]) if isinstance(state.world, Stages) else 0
        self._state = state
        self._layers = {name: _Weights(layer) for name, layer in layers.items()}
        for number, (name, layer) in enumerate(layers.items(), start=self._first):
            tokens: list[Token] = []
            self._handles += [
                layer.register_forward_pre_hook(partial(self._begin, name, number, tokens)),
                layer.register_forward_hook(partial(_end, tokens), always_call=True),
            ]

    def on_backward_end(self, state: FitState) -> None:
        """Add to the sums, or freeze what was not drawn."""
        phase = state.step % (self.accumulation + self.pruning)
        for number, (name, weights) in enumerate(self._layers.items(), start=self._first):
            if phase < self.accumulation:
                weights.accumulate(anew=phase == 0)
            else:
                weights.freeze_all_but(self._drawn(name, number))

    def on_fit_end(self, state: FitState) -> None:
        """Leave the layers as they were."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._state = [], None

    def state_dict(self) -> dict[str, Any]:
        """The sums of the present stage."""
        return {name: weights.sums for name, weights in self._layers.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with these sums."""
        for name, weights in self._layers.items():
            weights.sums = state[name].clone()

    def _begin(self, name: str, number: int, tokens: list[Token], layer: QuantumLayer, args: Any) -> None:
        """Before a layer runs: shift the angles of what was drawn, and those of inputs."""
        assert self._state is not None
        accumulating = self._state.step % (self.accumulation + self.pruning) < self.accumulation
        columns = None if accumulating else self._layers[name].columns(self._drawn(name, number))
        tokens.append(subset.begin(columns))

    def _drawn(self, name: str, number: int) -> np.ndarray:
        """Which weights' gradients are evaluated in this step: places among all of the layer's."""
        assert self._state is not None
        sums = self._layers[name].sums.numpy()
        n_left = max(1, round((1 - self.ratio) * len(sums)))
        key = (self.seed, self._state.config.first_step + self._state.step, number, 0, 0)
        return drawn(sums, n_left, key if self.probabilistic else None)


def _shifted_layers(model: torch.nn.Module) -> tuple[dict[str, QuantumLayer], str | None]:
    """Layers with trainable weights by name, of a stage perhaps none; and why it cannot be done, if so."""
    if not quantum_modules(model):
        return {}, None
    try:
        layers = {name: layer for name, layer in quantum_layers(model).items() if weights_of(layer)}
    except ArgumentError as error:
        return {}, str(error)
    for name, layer in layers.items():
        if layer.plan.method not in _METHODS:
            return layers, (
                f'GradientPruning needs gradient="parameter-shift"; got "{layer.plan.method}" in the layer '
                f'"{name}", which shifts no angles one by one. Choose it, or leave GradientPruning out.'
            )
    return layers, None


def drawn(sums: np.ndarray, n: int, key: Sequence[int] | None) -> np.ndarray:
    """Places of `n` of the sums (W,), ascending: drawn without replacement in proportion to them, or the largest.

    Sums of zero come last, in random order.

    Args:
        sums: shape (W,), 0 or more.
        n: up to W.
        key: of five integers, which fixes the draw; None for the largest.
    """
    with np.errstate(divide="ignore"):
        order = np.log(sums)
    if key is not None:  # the largest of log p + Gumbel noise are such a draw
        noise = _seeding.generator(np.array(key), _STREAM).gumbel(size=len(sums))
        order = np.where(sums > 0, order + noise, noise - _LAST)
    return np.sort(np.argsort(-order, kind="stable")[:n])


def _end(tokens: list[Token], layer: QuantumLayer, args: Any, output: Any) -> None:
    """After a layer ran, or failed."""
    subset.end(tokens.pop())


class _Weights:
    """The trainable weights of a layer, entry by entry, and the angles that depend on them.

    Attributes:
        sums: shape (W,), float64, magnitudes of gradients in the present stage.
    """

    def __init__(self, layer: QuantumLayer) -> None:
        self.parameters = weights_of(layer)
        self.sums = torch.zeros(sum(w.numel() for w in self.parameters.values()), dtype=torch.float64)
        depends, angle_map = entries_of(layer.angle_map), layer.angle_map
        place: dict[int, int] = {}  # of an entry of all weights among those that are trained
        start = offset = 0
        for name, shape in angle_map.weight_shapes:
            size = torch.Size(shape).numel()
            if name in self.parameters:
                place |= {start + i: offset + i for i in range(size)}
                offset += size
            start += size
        dense = [("shared", i) for i in angle_map.shared_index] + [("rows", i) for i in angle_map.rows_index]
        self._made_of = [  # of each column of the dense angles; None where it is of inputs, or of no weight
            {place[entry] for entry in depends[source] if entry in place}  # type: ignore[index]
            if source in depends and source[0] == "shared"
            else None
            for source in dense
        ]

    def columns(self, drawn: np.ndarray) -> set[int]:
        """Columns of the dense angles that are shifted when these weights are to have gradients."""
        wanted = set(drawn.tolist())
        return {c for c, made_of in enumerate(self._made_of) if made_of is None or not made_of.isdisjoint(wanted)}

    def accumulate(self, *, anew: bool) -> None:
        """Add the magnitudes of the gradients to the sums, which begin anew with a stage."""
        found = [
            torch.zeros(w.numel(), dtype=torch.float64)
            if w.grad is None
            else w.grad.detach().reshape(-1).double().cpu()
            for w in self.parameters.values()
        ]
        magnitudes = torch.cat(found).abs()
        self.sums = magnitudes if anew else self.sums + magnitudes

    def freeze_all_but(self, drawn: np.ndarray) -> None:
        """Set the other gradients to zero: that of an angle made of several weights reaches them all."""
        mask = torch.zeros(len(self.sums), dtype=torch.bool)
        mask[torch.from_numpy(drawn)] = True
        for weight, kept in zip(
            self.parameters.values(), mask.split([w.numel() for w in self.parameters.values()]), strict=True
        ):
            if weight.grad is not None:
                weight.grad.mul_(kept.reshape(weight.shape).to(weight.grad))
