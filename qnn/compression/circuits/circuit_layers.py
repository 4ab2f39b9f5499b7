"""Quantum layers of a model: found, rewritten with fewer gates, and put back."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping

import torch

from qnn.circuits.circuit import Slot
from qnn.compression.circuits.angle_sums import entries_of, taken_apart
from qnn.compression.circuits.reassembly import put_together
from qnn.compression.circuits.simplification import simplified
from qnn.errors import ArgumentError
from qnn.gradients.quantum_modules import quantum_modules, weights_of
from qnn.layers import QuantumLayer


def quantum_layers(model: torch.nn.Module) -> dict[str, QuantumLayer]:
    """The quantum layers of a model by name, "" for the model itself.

    Raises:
        ArgumentError: it has none, or their weights are computed from other parameters or tied.
    """
    layers = {name: layer for name, layer in quantum_modules(model).items() if isinstance(layer, QuantumLayer)}
    if not layers:
        raise ArgumentError(
            "`model` must have a quantum layer for its circuits to be pruned; got none. "
            "Prune its classical part, with another method."
        )
    owner: dict[int, str] = {}
    for name, layer in layers.items():
        weights_of(layer)
        for weight in layer.parameters():
            other = owner.setdefault(id(weight), name)
            if other != name:
                raise ArgumentError(
                    f'`model` must not tie the weights of quantum layers; got one tensor in "{other}" and "{name}". '
                    "Use the same layer twice instead, which is pruned as one."
                )
    return layers


def check_replaceable(name: str, layer: torch.nn.Module) -> None:
    """Refuse a layer that does more than a `QuantumLayer`, and would do less when one stands in its place.

    Raises:
        ArgumentError: it has a `forward` of its own.
    """
    if type(layer).forward is not QuantumLayer.forward or "forward" in vars(layer):
        raise ArgumentError(
            f'`model` must have quantum layers whose `forward` is that of QuantumLayer; "{name}" has one of its own, '
            "which the new layer would not have. Put what it does beside the layer into a module of its own."
        )


def trainable_rotations(layer: QuantumLayer) -> dict[int, Slot]:
    """Numbers of the operations whose angles depend on a trainable weight, with their slots.

    A weight that is used twice is two of them.
    """
    depends, trainable, start = entries_of(layer.angle_map), set[int](), 0
    for name, _ in layer.angle_map.weight_shapes:
        weight = getattr(layer, name)
        trainable |= set(range(start, start + weight.numel())) if weight.requires_grad else set()
        start += weight.numel()
    index = {"shared": layer.angle_map.shared_index, "rows": layer.angle_map.rows_index}
    return {
        number: operation.angle
        for number, operation in enumerate(layer.circuit.operations)
        if isinstance(operation.angle, Slot)
        and not trainable.isdisjoint(
            depends.get((operation.angle.block, index[operation.angle.block][operation.angle.index]), ())
        )
    }


def rewritten(layer: QuantumLayer, without: Collection[int] = (), *, simplify: bool = True) -> QuantumLayer:
    """A new layer without the operations of these numbers, in the same place and with the same sampling.

    Args:
        layer: stays as it is.
        without: numbers of operations.
        simplify: merge and cancel what can be.
    """
    steps = taken_apart(layer.circuit, layer.angle_map, without)
    if simplify:
        steps = simplified(steps, layer.circuit.measurements)
    weights = {name: getattr(layer, name) for name, _ in layer.angle_map.weight_shapes}
    fixed = [name for name, weight in weights.items() if not weight.requires_grad]
    circuit, angle_map, values = put_together(steps, layer.circuit, layer.angle_map, weights, fixed)
    made = QuantumLayer.from_circuit(
        circuit,
        angle_map,
        backend=layer.backend,
        shots=layer.shots,
        gradient=layer.gradient,
        init=lambda shape, generator: torch.zeros(shape),
        seed=layer.seed,
    )
    for name, value in values.items():
        made.register_parameter(name, torch.nn.Parameter(value, requires_grad=weights[name].requires_grad))
    made.load_sampling_state(layer.sampling_state())
    return made.train(layer.training)


def with_layers(model: torch.nn.Module, layers: Mapping[str, QuantumLayer]) -> torch.nn.Module:
    """A copy of a model with other quantum layers in the places of those named, wherever these are used."""
    if "" in layers:
        return layers[""]
    copied = copy.deepcopy(model)
    modules = dict(copied.named_modules())
    new = {id(modules[name]): layer for name, layer in layers.items()}
    for module in modules.values():
        for name, child in module._modules.items():
            if id(child) in new:
                module._modules[name] = new[id(child)]
    return copied
