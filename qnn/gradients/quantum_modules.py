"""Which modules of a network are quantum layers: told by what they hold, since layers are built upon this room."""

from __future__ import annotations

from typing import Protocol

import torch

from qnn.circuits.angle_map import AngleMap
from qnn.circuits.circuit import Circuit
from qnn.errors import ArgumentError
from qnn.gradients.plan import Plan


class QuantumModule(Protocol):
    """What a quantum layer shows of itself.

    Attributes:
        circuit: the circuit.
        angle_map: how its inputs and weights become angles; each weight is an attribute of that name.
        plan: where and how it runs now.
    """

    circuit: Circuit
    angle_map: AngleMap

    @property
    def plan(self) -> Plan:
        """Where and how it runs now."""
        ...

    def parameters(self) -> object:
        """Those of a torch module."""
        ...


def quantum_modules(model: torch.nn.Module) -> dict[str, torch.nn.Module]:
    """The quantum layers in `model` by their names there, "" for the model itself; each a `QuantumModule`."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(getattr(module, "angle_map", None), AngleMap)
        and isinstance(getattr(module, "circuit", None), Circuit)
        and isinstance(getattr(module, "plan", None), Plan)
    }


def weights_of(layer: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """The trainable weights of a quantum layer, in the order of its angle map.

    Raises:
        ArgumentError: a weight is computed from another parameter.
    """
    found = {}
    angle_map: AngleMap = layer.angle_map  # type: ignore[assignment]
    for name, _ in angle_map.weight_shapes:
        weight = layer._parameters.get(name)
        if weight is None:
            raise ArgumentError(
                f"`model` must hold the weights of its quantum layers as plain parameters; got {name!r}, which is "
                "computed from another one. Remove the parametrization or the pruning mask from that layer first."
            )
        if weight.requires_grad:
            found[name] = weight
    return found


def computed_weights(angle_map: AngleMap, extras: tuple[int, ...]) -> dict[int, set[str]]:
    """For each place in `extras`, the weights that its scalar is computed from."""
    names = [name for name, _ in angle_map.weight_shapes]
    return {
        place: {
            names[angle_map.nodes[i].args[0]] for i in angle_map.needed((extra,)) if angle_map.nodes[i].op == "weight"
        }
        for place, extra in enumerate(extras)
    }
