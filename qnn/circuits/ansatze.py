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


def qcnn(weights: torch.Tensor, wires: Any) -> None:
    """A quantum convolutional network: stages of convolution and pooling, until one wire is left.

    A stage convolves all neighbours on a ring of the n' wires still active, even pairs first, each pair by
    RY(w_0), RY(w_1) on its wires, then XX(w_2), YY(w_3) and ZZ(w_4) rotations. It pools the second wire of each pair
    into the first, by RZ(w_5) then RX(w_6) on the first where the second is 1. Every second wire goes on, so
    that wire 0 is the last one kept: read it with ``observables=qml.Z(0)``. A stage shares its seven
    weights between its pairs; a layer is the whole network.

    `weights`: shape (n_layers, ⌈log2 n⌉, 7), n of 2 or more. After Cong et al., Nature Physics 15, 1273 (2019).
    """
    for layer in weights:
        active = list(wires)
        for stage in layer:
            for pair in _neighbours(active):
                _convolve(stage, pair)
            for kept, pooled in zip(active[::2], active[1::2], strict=False):
                qml.CRZ(stage[5], wires=[pooled, kept])
                qml.CRX(stage[6], wires=[pooled, kept])
            active = active[::2]


def tree(weights: torch.Tensor, wires: Any) -> None:
    """A tree tensor network: neighbours merge pair by pair until wire 0 carries the result, ``observables=qml.Z(0)``.

    Merging two wires is RZ(w_0), RY(w_1) on the first, RZ(w_2), RY(w_3) on the second, and CNOT from the second to the
    first, which goes on. A tree on n wires has n - 1 merges, each with weights of its own, counted level by
    level and from left to right; a layer is a whole tree.

    `weights`: shape (n_layers, n - 1, 4), n of 2 or more. After Grant et al., npj Quantum Information 4, 65 (2018).
    """
    for layer in weights:
        active, merges = list(wires), iter(layer)
        while len(active) > 1:
            for kept, other in zip(active[::2], active[1::2], strict=False):
                weight = next(merges)
                for i, wire in enumerate((kept, other)):
                    qml.RZ(weight[2 * i], wires=wire)
                    qml.RY(weight[2 * i + 1], wires=wire)
                qml.CNOT(wires=[other, kept])
            active = active[::2]


def _neighbours(wires: list[Any]) -> list[tuple[Any, Any]]:
    """Neighbours on a ring: pairs that start at even places, then those at odd ones; one pair for two wires."""
    ring = [(wires[i], wires[(i + 1) % len(wires)]) for i in range(len(wires))]
    return ring[:1] if len(wires) == 2 else ring[::2] + ring[1::2]


def _convolve(weights: torch.Tensor, wires: tuple[Any, Any]) -> None:
    for i, wire in enumerate(wires):
        qml.RY(weights[i], wires=wire)
    for i, rotation in enumerate((qml.IsingXX, qml.IsingYY, qml.IsingZZ), start=2):
        rotation(weights[i], wires=wires)


def _qcnn_shape(n_layers: int, n: int) -> tuple[int, ...]:
    _check_pairs("qcnn", n)
    return n_layers, (n - 1).bit_length(), 7


def _tree_shape(n_layers: int, n: int) -> tuple[int, ...]:
    _check_pairs("tree", n)
    return n_layers, n - 1, 4


def _check_pairs(name: str, n: int) -> None:
    if n < 2:
        raise ArgumentError(f'`n_qubits` must be at least 2 for ansatz="{name}", which joins wires; got {n}. Use 2.')


def _ring(wires: Any) -> None:
    n = len(wires)
    for i in range(n if n > 1 else 0):
        qml.CNOT(wires=[wires[i], wires[(i + 1) % n]])


ANSATZE: dict[str, Ansatz] = {
    "h_rx_cnot": Ansatz(h_rx_cnot, lambda n_layers, n: (n_layers, n)),
    "hardware_efficient": Ansatz(hardware_efficient, lambda n_layers, n: (n_layers, n, 2)),
    "strongly_entangling": Ansatz(strongly_entangling, lambda n_layers, n: (n_layers, n, 3)),
    "qcnn": Ansatz(qcnn, _qcnn_shape),
    "tree": Ansatz(tree, _tree_shape),
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
