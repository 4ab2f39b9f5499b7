"""Rotosolve: one weight after another goes to the best place of the sinusoid that the loss is of it."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch

from qnn._integers import whole
from qnn.circuits.angle_map import AngleMap
from qnn.circuits.circuit import Circuit, Slot
from qnn.circuits.gates import gate_named
from qnn.errors import ArgumentError, UnsupportedError
from qnn.gradients.optimizers import trigonometry
from qnn.gradients.optimizers.split import Classical, Closure, SplitOptimizer, checked_number, evaluate, plain_weights
from qnn.gradients.quantum_modules import computed_weights


class Rotosolve(SplitOptimizer):
    """Coordinate-wise minimisation of the quantum weights of a model, without gradients.

    A loss that is a polynomial of some degree in expectation values is, of one weight, a trigonometric polynomial whose
    frequencies follow from the gates that the weight drives: one frequency for one Pauli rotation and degree 1.
    With R harmonics, 2R + 1 values fix it, and its minimum is known. A step is one sweep over all quantum weights.

    What is guaranteed, for a batch that stays the same within the step: with exact layers the loss never rises. If
    besides `degree` is right, each weight goes to its global minimum given the others. It is right for

    - degree 1: losses linear in the expectation values of one quantum layer (an energy, a fidelity);
    - degree 2: the squared error of an affine function of them (of a linear layer behind the quantum layer); variances.

    A loss of no such form (cross-entropy, penalties on the weights, a nonlinear layer behind, one quantum layer behind
    another) is interpolated at the same places, and a weight moves only where the loss measured there is not higher.
    With shots the minimum is that of a noisy fit, and is always taken.

    A step evaluates the loss once, and 2R + 1 times for each weight. Classical parameters follow after the sweep, by
    their gradients there.

    Args:
        model: has at least one quantum layer. Each angle is a weight itself or free of weights; one that is computed
            from weights, such as ``2 * w`` or ``inputs[0] * w``, is refused.
        lr: the share of the way to the minimum that a weight goes; 1 goes there.
        degree: of the loss in expectation values.
        classical: optimizer of the classical parameters, or a callable that makes it; None for Adam.

    Raises:
        UnsupportedError: an angle is computed from weights.

    References:
        Ostaszewski, Grant and Benedetti, Quantum 5, 391 (2021), algorithm 1.

    Example:
        >>> from qnn import QuantumLayer
        >>> layer = QuantumLayer(1, 1, seed=0, dtype=torch.float64)
        >>> optimizer = Rotosolve(layer)
        >>> energy = lambda: layer(torch.tensor([0.5], dtype=torch.float64)).sum()
        >>> before = optimizer.step(energy)
        >>> round(energy().item(), 6)  # -sin 0.5, the lowest that turning about X can reach
        -0.479426
    """

    needs_closure = True
    _kept: ClassVar = (*SplitOptimizer._kept, "degree", "_weights", "_coordinates")

    def __init__(
        self, model: torch.nn.Module, *, lr: float = 1.0, degree: int = 1, classical: Classical = None
    ) -> None:
        order = whole(degree)
        if order is None or order < 1:
            raise ArgumentError(f"`degree` must be an integer of 1 or more; got {degree!r}. Use 1 for linear losses.")
        lr = checked_number("lr", lr)
        if lr > 1:
            raise ArgumentError(f"`lr` must be at most 1, which goes all the way to the minimum; got {lr}. Use 1.")
        super().__init__(model, {"lr": lr}, classical)
        self.degree = self.defaults["degree"] = order
        self._weights = plain_weights(self.layers)
        self._coordinates = [
            coordinate
            for name, weights in self._weights.items()
            for coordinate in _coordinates(name, self.layers[name], weights, order)
        ]

    @torch.no_grad()
    def step(self, closure: Closure | None = None) -> Any:
        """Sweep over all quantum weights, then update the classical parameters.

        Args:
            closure: returns the loss of the batch; where gradients are enabled it also zeroes and computes them.

        Returns:
            The loss before the step.
        """
        closure = self.needed(closure)
        layers: list[Any] = list(self.layers.values())
        exact = all(layer.plan.shots is None for layer in layers)
        first = value = evaluate(closure)
        for coordinate in self._coordinates:
            value = self._move(closure, coordinate, value, exact)
        self.classical_gradients(closure)
        self.step_classical()
        return self.quantum["params"][0].new_tensor(first)

    def _move(self, closure: Closure, coordinate: _Coordinate, value: float, exact: bool) -> float:
        """Bring one weight to its minimum; the loss there."""
        entry = coordinate.entry
        start = entry.clone()
        shifts = trigonometry.shifts(coordinate.unit, coordinate.n_harmonics)
        try:
            values = [value, *(_value_at(closure, entry, start + float(shift)) for shift in shifts[1:])]
            move = self.quantum["lr"] * trigonometry.minimum(np.array(values), coordinate.unit)
            found = _value_at(closure, entry, start + move)
        except BaseException:
            entry.copy_(start)
            raise
        if exact and found > value:
            entry.copy_(start)
            return value
        return found


class _Coordinate(NamedTuple):
    """One entry of a weight and the frequencies of the loss in it."""

    weight: torch.nn.Parameter
    place: tuple[int, ...]
    unit: float
    n_harmonics: int

    @property
    def entry(self) -> torch.Tensor:
        """A view, shape (); made anew, since moving a model replaces the storage of its parameters."""
        return self.weight.detach()[self.place]


def _value_at(closure: Closure, entry: torch.Tensor, place: torch.Tensor) -> float:
    entry.copy_(place)
    return evaluate(closure)


def _coordinates(name: str, layer: Any, weights: dict[str, torch.nn.Parameter], degree: int) -> list[_Coordinate]:
    """Every entry of the weights of a layer that drives a gate."""
    angle_map: AngleMap = layer.angle_map
    circuit: Circuit = layer.circuit
    _check_copies(name, angle_map, weights)
    gates: dict[int, list[tuple[float, ...]]] = {}
    for column, place in enumerate(angle_map.shared_index):
        operation = circuit.slot_operations[Slot("shared", column)]
        gates.setdefault(place, []).append(gate_named(operation.gate).frequencies)
    found, start = [], 0
    for weight_name, shape in angle_map.weight_shapes:
        if weight_name in weights:
            for i, entry in enumerate(np.ndindex(*shape)):
                if driven := gates.get(start + i):
                    unit, n_harmonics = trigonometry.harmonics(driven, degree)
                    found.append(_Coordinate(weights[weight_name], entry, unit, n_harmonics))
        start += torch.Size(shape).numel()
    return found


def _check_copies(name: str, angle_map: AngleMap, weights: dict[str, torch.nn.Parameter]) -> None:
    for extras in (angle_map.shared_extras, angle_map.row_extras):
        for made_of in computed_weights(angle_map, extras).values():
            if computed := sorted(made_of & weights.keys()):
                raise UnsupportedError(
                    f'Rotosolve needs angles that are weights as they stand; layer "{name}" computes an angle from '
                    f"`{computed[0]}`, so that the frequencies of the loss in it are not those of the gate. "
                    "Use NaturalGradient, SPSA or an optimizer of torch.optim."
                )
