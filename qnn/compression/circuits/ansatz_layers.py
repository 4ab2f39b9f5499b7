"""The layers of an ansatz: which operations of a circuit are the repetitions that its weights count."""

from __future__ import annotations

from math import prod

from qnn.circuits.circuit import Slot
from qnn.compression.circuits.angle_sums import entries_of
from qnn.errors import ArgumentError
from qnn.layers import QuantumLayer


def ansatz_layers(layer: QuantumLayer, name: str = "") -> list[list[int]]:
    """Numbers of the operations of each layer of the ansatz, first to last.

    The layers are what the first dimension of every weight counts, L blocks of equally many operations with the same
    gates. What comes before the blocks belongs to none of them. In re-uploading, where the encoding is repeated with
    the layers, it belongs to them.

    Raises:
        ArgumentError: the circuit has no such form.
    """
    shapes = [shape for _, shape in layer.angle_map.weight_shapes]
    counts = {shape[0] if shape else 0 for shape in shapes}
    blocks = _blocks(layer, counts.pop()) if len(counts) == 1 else []
    if not blocks:
        raise ArgumentError(
            f'`method="layer"` needs a circuit of repeated blocks that the first dimension of its weights counts; the '
            f'layer "{name}" has weights of shape {", ".join(map(str, shapes)) or "none"} in a circuit without such '
            'blocks. Use method="fisher".'
        )
    return [list(block) for block in blocks]


def _blocks(layer: QuantumLayer, n_layers: int) -> list[range]:
    """The blocks, or none."""
    operations = layer.circuit.operations
    of_layer = _layers_read(layer)
    first = [min((n for n, read in of_layer.items() if number in read), default=-1) for number in range(n_layers)]
    if not first or min(first) < 0 or any(len(read) > 1 for read in of_layer.values()):
        return []
    length = first[1] - first[0] if n_layers > 1 else len(operations) - first[0]
    if length < 1:
        return []
    for start in range(len(operations) - n_layers * length, first[0] - length, -1):
        if start < 0:
            break
        blocks = [range(start + i * length, start + (i + 1) * length) for i in range(n_layers)]
        gates = {tuple(operations[n].gate for n in block) for block in blocks}
        if len(gates) == 1 and all(n in blocks[next(iter(read))] for n, read in of_layer.items()):
            return blocks
    return []


def _layers_read(layer: QuantumLayer) -> dict[int, set[int]]:
    """For each operation whose angle depends on weights, which places of their first dimension it reads."""
    place = [i for _, shape in layer.angle_map.weight_shapes for i in range(shape[0]) for _ in range(prod(shape[1:]))]
    depends = entries_of(layer.angle_map)
    index = {"shared": layer.angle_map.shared_index, "rows": layer.angle_map.rows_index}
    read = {}
    for number, operation in enumerate(layer.circuit.operations):
        if isinstance(operation.angle, Slot):
            entries = depends.get((operation.angle.block, index[operation.angle.block][operation.angle.index]))
            if entries:
                read[number] = {place[entry] for entry in entries}
    return read
