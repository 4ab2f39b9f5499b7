"""Ansätze by name: the trainable part of a layer, as PennyLane quantum functions.

An ansatz is any ``f(weights, wires)`` whose `weights` have the layers in front. Adding one is adding
a row to `ANSATZE`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pennylane as qml
import torch

from qnn.errors import ArgumentError, unknown_name


@dataclass(frozen=True)
class Ansatz:
    """A quantum function ``f(weights, wires)`` and the shape of its weights.

    Attributes:
        function: applies all layers in `weights`, whose leading dimension counts them.
        shape: (n_layers, n_qubits) ↦ shape of the weights.
    """

    function: Callable[[Any, Any], Any]
    shape: Callable[[int, int], tuple[int, ...]]


def h_rx_cnot(weights: torch.Tensor, wires: Any) -> None:
    """Per layer: H on every wire, RX(w_i) on wire i, CNOT from wire i to wire i+1 mod n (none for one wire).

    H·RX(w)·H = RZ(w), so successive layers turn about both axes. `weights`: shape (n_layers, n).
    """
    for layer in weights:
        for wire in wires:
            qml.Hadamard(wires=wire)
        for weight, wire in zip(layer, wires, strict=True):
            qml.RX(weight, wires=wire)
        _ring(wires)


def hardware_efficient(weights: torch.Tensor, wires: Any) -> None:
    """Per layer: RZ(w_i0) and RY(w_i1) on wire i, then CNOT along a line of neighbours.

    RY comes last because an RZ in front of CNOTs alone could not change any <Z>.

    `weights`: shape (n_layers, n, 2). After Kandala et al., Nature 549, 242 (2017).
    """
    for layer in weights:
        for weight, wire in zip(layer, wires, strict=True):
            qml.RZ(weight[0], wires=wire)
            qml.RY(weight[1], wires=wire)
        for control, target in pairwise(wires):
            qml.CNOT(wires=[control, target])


def strongly_entangling(weights: torch.Tensor, wires: Any) -> None:
    """PennyLane's StronglyEntanglingLayers: a general rotation per wire, then CNOTs of growing range.

    The last angle of each wire in the last layer is an RZ in front of CNOTs alone, which no <Z> can see: measure in
    other bases too, such as ``observables=[qml.X(0), qml.Z(1)]``, or take the warning for what it is.

    `weights`: shape (n_layers, n, 3). After Schuld et al., Phys. Rev. A 101, 032308 (2020).
    """
    qml.StronglyEntanglingLayers(weights, wires=wires)


def _ring(wires: Any) -> None:
    n = len(wires)
    for i in range(n if n > 1 else 0):
        qml.CNOT(wires=[wires[i], wires[(i + 1) % n]])


ANSATZE: dict[str, Ansatz] = {
    "h_rx_cnot": Ansatz(h_rx_cnot, lambda n_layers, n: (n_layers, n)),
    "hardware_efficient": Ansatz(hardware_efficient, lambda n_layers, n: (n_layers, n, 2)),
    "strongly_entangling": Ansatz(strongly_entangling, lambda n_layers, n: (n_layers, n, 3)),
}


def ansatz_named(ansatz: str | Callable[[Any, Any], Any] | Ansatz) -> Ansatz:
    """The ansatz of that name.

    A PennyLane template class such as ``qml.BasicEntanglerLayers`` brings the shape of its weights; any other
    function ``f(weights, wires)`` gets weights of shape (n_layers, n_qubits).

    Raises:
        UnknownNameError: no such ansatz.
    """
    if isinstance(ansatz, str):
        if ansatz not in ANSATZE:
            raise unknown_name("ansatz", ansatz, ANSATZE)
        return ANSATZE[ansatz]
    if isinstance(ansatz, Ansatz):
        return ansatz
    if not callable(ansatz):
        raise ArgumentError(
            f"`ansatz` must be a name or a quantum function f(weights, wires); got {ansatz!r}. "
            f"Known names: {', '.join(sorted(ANSATZE))}."
        )
    shape = getattr(ansatz, "shape", None)
    if callable(shape):
        return Ansatz(ansatz, lambda n_layers, n: _template_shape(ansatz, n_layers, n))
    return Ansatz(ansatz, lambda n_layers, n: (n_layers, n))


def _template_shape(template: Any, n_layers: int, n: int) -> tuple[int, ...]:
    """The shape of the weights of a PennyLane template that takes one tensor."""
    try:
        shape = tuple(template.shape(n_layers=n_layers, n_wires=n))
    except TypeError as error:
        raise _no_single_shape(template) from error
    if not all(isinstance(size, int) for size in shape):
        raise _no_single_shape(template)
    return shape


def _no_single_shape(template: Any) -> ArgumentError:
    name = getattr(template, "__name__", repr(template))
    return ArgumentError(
        f"`ansatz` must have one tensor of weights, of a shape that follows from layers and wires; got {name}. "
        "Use QuantumLayer.from_pennylane with `weight_shapes`, or an Ansatz(function, shape)."
    )
