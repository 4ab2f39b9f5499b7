"""Feature maps: an encoding spread over as many rounds as there are features, and the overlap of two such states."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pennylane as qml

from qnn.circuits.encodings import ENCODINGS, Encoding, amplitude_encoding, encoding_named, iqp_encoding, n_features
from qnn.errors import ArgumentError


@dataclass(frozen=True)
class FeatureMap:
    """A quantum function of one row of features, without weights.

    Attributes:
        function: queues U(x) for inputs of length `n_inputs`.
        n_inputs: number of features, filled up with zeros to whole rounds.
        n_qubits: wires in use.
        idle: wires beyond the features, on which nothing depends on the features.
    """

    function: Callable[[Any], None]
    n_inputs: int
    n_qubits: int
    idle: int

    def overlap(self) -> FeatureMap:
        """U(y)†U(x) as a map of (x, y), end to end: the chance of all zeros is |<ψ(y)|ψ(x)>|²."""
        n, function = self.n_inputs, self.function

        def both(inputs: Any) -> None:
            function(inputs[..., :n])
            qml.adjoint(function)(inputs[..., n:])

        return FeatureMap(both, 2 * n, self.n_qubits, self.idle)


def feature_map(
    encoding: str | Encoding, features: int, *, n_qubits: int | None = None, n_layers: int = 1
) -> FeatureMap:
    """The map x ↦ U(x) of `features` features on a register.

    A round of the encoding takes one feature per wire (an amplitude encoding: one per amplitude). Features that do
    not fit into one round follow in further ones, the last filled up with zeros. Before each further round comes S on
    every wire and CNOT along the line of wires, so that its rotations turn about another axis and do not merely
    add up; an IQP round begins with Hadamard gates of its own and needs nothing between.

    Args:
        encoding: a name, or a PennyLane quantum function f(inputs, wires) of as many inputs as wires.
        features: number of features of a row.
        n_qubits: wires; None is one for each feature, or as few as hold the amplitudes.
        n_layers: how often all features are encoded.

    Raises:
        ArgumentError: more features than amplitudes, or amplitudes encoded twice.
    """
    encode = encoding_named(encoding)
    amplitudes = encode is amplitude_encoding
    if n_qubits is None:
        n_qubits = max(1, math.ceil(math.log2(features))) if amplitudes else features
    size = n_features(encode, n_qubits)
    if amplitudes and (features > size or n_layers > 1):
        broken = f"n_layers={n_layers}" if n_layers > 1 else f"{features} features for {size} amplitudes"
        raise ArgumentError(
            f'`encoding="amplitude"` must hold all features in one state, once; got {broken}. '
            "Use n_layers=1 and enough qubits, or another encoding."
        )
    wires = list(range(n_qubits))
    places = range(0, size * math.ceil(features / size), size)

    def function(inputs: Any) -> None:
        for number, place in enumerate([*places] * n_layers):
            if number and encode is not iqp_encoding:
                _turn(wires)
            encode(inputs[..., place : place + size], wires)

    named = not amplitudes and encode in ENCODINGS.values()
    return FeatureMap(function, places.stop, n_qubits, max(0, n_qubits - features) if named else 0)


def _turn(wires: list[int]) -> None:
    """Other axes and entanglement; |0…0> stays as it is, so that no round meets an eigenstate of its gates there."""
    for wire in wires:
        qml.S(wires=wire)
    for control, target in pairwise(wires):
        qml.CNOT(wires=[control, target])
