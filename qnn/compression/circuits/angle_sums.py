"""Circuits in a form that can be rewritten: gates whose angles are sums of inputs, weights and constants."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod

import torch

from qnn.circuits.angle_map import AngleMap
from qnn.circuits.circuit import Block, Circuit, Slot
from qnn.gradients.quantum_modules import computed_weights

Source = tuple[Block, int]  # a place in the shared or the row source of an angle map
_NO_GRADIENT = ("eq", "ge", "gt", "le", "lt", "ne", "where", "sign")  # through which a NaN may not be seen


@dataclass(frozen=True)
class Sum:
    """An angle in radians: Σ coefficient · source + constant.

    Attributes:
        terms: pairs of a source and its coefficient, each source once.
        constant: radians.
        of: what the terms are made of: "weights", "inputs", "both", or "" where there are none.
    """

    terms: tuple[tuple[Source, float], ...] = ()
    constant: float = 0.0
    of: str = ""

    def __add__(self, other: Sum) -> Sum:
        """The sum of two angles that may be merged."""
        terms = dict(self.terms)
        for source, coefficient in other.terms:
            terms[source] = terms.get(source, 0.0) + coefficient
        return Sum(tuple(terms.items()), self.constant + other.constant, self.of or other.of)

    def merges_with(self, other: Sum) -> bool:
        """Whether one gate may take both angles.

        An angle made of inputs alone stays apart from one with weights in it: merged, the angles of all inputs would
        be shifted for the gradient of a weight, and pruning the weight would take the input with it.
        """
        return not self.of or not other.of or self.of == other.of


@dataclass(frozen=True)
class Step:
    """A gate, with its angle where it takes one."""

    gate: str
    wires: tuple[int, ...]
    angle: Sum | None = None

    def turned(self, angle: Sum) -> Step:
        """The same gate by another angle."""
        return replace(self, angle=angle)


def taken_apart(circuit: Circuit, angle_map: AngleMap, without: Collection[int] = ()) -> list[Step]:
    """The gates of a circuit, but for the operations of the numbers in `without`."""
    mixed = {i for i, names in computed_weights(angle_map, angle_map.row_extras).items() if names}

    def angle(given: Slot | float | None) -> Sum | None:
        if not isinstance(given, Slot):
            return None if given is None else Sum(constant=given)
        index = angle_map.shared_index if given.block == "shared" else angle_map.rows_index
        place = index[given.index]
        of = "weights" if given.block == "shared" else "both" if place - angle_map.n_inputs in mixed else "inputs"
        return Sum((((given.block, place), 1.0),), 0.0, of)

    kept = (operation for number, operation in enumerate(circuit.operations) if number not in without)
    return [Step(operation.gate, operation.wires, angle(operation.angle)) for operation in kept]


def n_entries(angle_map: AngleMap) -> int:
    """W, how many scalars all weights have."""
    return sum(prod(shape) for _, shape in angle_map.weight_shapes)


@lru_cache(maxsize=64)
def entries_of(angle_map: AngleMap) -> Mapping[Source, frozenset[int]]:
    """For each source that is made of weights, which entries of the flattened weights it depends on.

    A copy depends on one. Of a computed one, an entry is found by making it NaN: what becomes NaN depends on it. Where
    the graph compares, a NaN may get lost, and all entries of the weights that are read count.
    """
    size = n_entries(angle_map)
    found: dict[Source, frozenset[int]] = {("shared", i): frozenset((i,)) for i in range(size)}
    extras: list[tuple[Source, int]] = [(("shared", size + i), n) for i, n in enumerate(angle_map.shared_extras)]
    extras += [(("rows", angle_map.n_inputs + i), n) for i, n in enumerate(angle_map.row_extras)]
    if not extras:
        return found
    read = {source: _read(angle_map, node) for source, node in extras}
    seen = _seen_by_nan(angle_map, sorted(set().union(*read.values())), size)
    for source, node in extras:
        ops = {angle_map.nodes[i].op.partition(".")[0] for i in angle_map.needed((node,))}
        compares = not ops.isdisjoint(_NO_GRADIENT)
        entries = read[source] if compares else {entry for entry in read[source] if source in seen[entry]}
        if entries:
            found[source] = frozenset(entries)
    return found


def _read(angle_map: AngleMap, node: int) -> set[int]:
    """All entries of the weights that a node reads."""
    starts, total = [], 0
    for _, shape in angle_map.weight_shapes:
        starts.append((total, total + prod(shape)))
        total += prod(shape)
    nodes = (angle_map.nodes[i] for i in angle_map.needed((node,)))
    return {entry for n in nodes if n.op == "weight" for entry in range(*starts[n.args[0]])}


def _seen_by_nan(angle_map: AngleMap, entries: list[int], size: int) -> dict[int, set[Source]]:
    """For each entry, the sources that are NaN when it is."""
    generator = torch.Generator().manual_seed(0)
    row = torch.rand(1, angle_map.n_inputs, generator=generator, dtype=torch.float64)
    values = torch.rand(size, generator=generator, dtype=torch.float64)
    sizes = [prod(shape) for _, shape in angle_map.weight_shapes]
    seen: dict[int, set[Source]] = {}
    for entry in entries:
        spoilt = values.clone()
        spoilt[entry] = torch.nan
        parts = zip(angle_map.weight_shapes, spoilt.split(sizes), strict=True)
        shared, rows = angle_map.sources(row, {name: part.reshape(shape) for (name, shape), part in parts})
        seen[entry] = {("shared", int(i)) for i in shared.isnan().nonzero()}
        seen[entry] |= {("rows", int(i)) for i in rows[0].isnan().nonzero()}
    return seen
