"""Rewritten gates back as a circuit and an angle map, with smaller weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import torch

from qnn.circuits.angle_map import AngleMap, Node, Ref
from qnn.circuits.circuit import Block, Circuit, Operation, Slot
from qnn.compression.circuits.angle_sums import Source, Step, Sum, entries_of, n_entries

Parts = tuple[Circuit, AngleMap, dict[str, torch.Tensor]]


def put_together(
    steps: Sequence[Step],
    circuit: Circuit,
    angle_map: AngleMap,
    weights: Mapping[str, torch.Tensor],
    fixed: Collection[str] = (),
) -> Parts:
    """A circuit, its angle map and its weights.

    Weights that no gate depends on leave; their tensors keep their names, and their shape as far as whole rows or
    columns leave, otherwise what is left of them is a vector. Of several weights that only act as a sum, the first
    takes the value of the sum, and constants beside it.

    Args:
        steps: the gates.
        circuit: from which they were taken: wires and measurements.
        angle_map: in whose sources their angles are written.
        weights: values, by name.
        fixed: names of weights whose values must stay.
    """
    values = [weights[name].detach().reshape(-1).double().cpu() for name, _ in angle_map.weight_shapes]
    flat = torch.cat([torch.zeros(0, dtype=torch.float64), *values])
    depends = entries_of(angle_map)
    steps, flat = _absorbed(steps, angle_map, depends, flat, fixed)
    sources = {source for step in steps if step.angle is not None for source, _ in step.angle.terms}
    entries = sorted({entry for source in sources for entry in depends.get(source, ())})
    layout = _Layout(angle_map, entries, sources)
    graph = _Graph(angle_map, layout)
    operations, index = [], {"shared": list[Any](), "rows": list[Any]()}
    for step in steps:
        angle: Slot | float | None = None if step.angle is None else step.angle.constant
        if step.angle is not None and step.angle.terms:
            block: Block = "rows" if any(block == "rows" for (block, _), _ in step.angle.terms) else "shared"
            angle = Slot(block, len(index[block]))
            index[block].append(graph.place(block, step.angle))
        operations.append(Operation(step.gate, step.wires, angle))
    made = Circuit(circuit.n_wires, tuple(operations), circuit.measurements, len(index["shared"]), len(index["rows"]))
    return made, graph.angle_map(index), layout.tensors(flat, weights)


def _absorbed(
    steps: Sequence[Step],
    angle_map: AngleMap,
    depends: Mapping[Source, frozenset[int]],
    flat: torch.Tensor,
    fixed: Collection[str],
) -> tuple[list[Step], torch.Tensor]:
    """Sums of weights that act nowhere else as one weight each."""
    flat, size = flat.clone(), n_entries(angle_map)
    names = [name for name, shape in angle_map.weight_shapes for _ in range(prod(shape))]
    sums = [step.angle for step in steps if step.angle is not None]
    uses = Counter(entry for angle in sums for source, _ in angle.terms for entry in depends.get(source, ()))

    def alone(angle: Sum) -> bool:
        return all(
            block == "shared" and place < size and coefficient == 1.0 and uses[place] == 1 and names[place] not in fixed
            for (block, place), coefficient in angle.terms
        )

    rewritten = []
    for step in steps:
        angle = step.angle
        if angle is not None and angle.terms and (len(angle.terms) > 1 or angle.constant) and alone(angle):
            places = [place for (_, place), _ in angle.terms]
            flat[places[0]] = flat[places].sum() + angle.constant
            step = step.turned(replace(angle, terms=angle.terms[:1], constant=0.0))
        rewritten.append(step)
    return rewritten, flat


class _Layout:
    """Which entries of the weights stay, and where."""

    def __init__(self, old: AngleMap, entries: Sequence[int], sources: Collection[Source]) -> None:
        self.old_shapes = dict(old.weight_shapes)
        extras = [
            old.shared_extras[i - n_entries(old)] for block, i in sources if block == "shared" and i >= n_entries(old)
        ]
        extras += [old.row_extras[i - old.n_inputs] for block, i in sources if block == "rows" and i >= old.n_inputs]
        read = {old.nodes[i].args[0] for i in old.needed(tuple(extras)) if old.nodes[i].op == "weight"}
        self.kept: dict[str, list[int]] = {}
        start = 0
        for number, (name, shape) in enumerate(old.weight_shapes):
            kept = [entry - start for entry in entries if start <= entry < start + prod(shape)]
            if not kept and number in read and prod(shape) > 0:
                kept = [0]  # for its dtype or shape
            if kept:
                self.kept[name] = kept
            start += prod(shape)
        self.names = list(self.kept)
        self.shapes = {name: _box(kept, self.old_shapes[name]) for name, kept in self.kept.items()}
        self.place = {}  # entry of the old flattened weights -> of the new ones
        start, offset = 0, 0
        for name, shape in old.weight_shapes:
            for i, entry in enumerate(self.kept.get(name, ())):
                self.place[start + entry] = offset + i
            start, offset = start + prod(shape), offset + len(self.kept.get(name, ()))
        self.size = offset

    def tensors(self, flat: torch.Tensor, weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The values that stay, by name, in the dtype and on the device of before."""
        old = dict(zip(self.old_shapes, flat.split([prod(s) for s in self.old_shapes.values()]), strict=True))
        return {name: old[name][kept].reshape(self.shapes[name]).to(weights[name]) for name, kept in self.kept.items()}


def _box(kept: Sequence[int], shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of entries that stay: as before where they are all of some rows, columns and so on, else a vector."""
    if not shape:
        return ()
    axes: tuple[int, ...] = tuple(len(set(axis.tolist())) for axis in np.unravel_index(np.array(kept), shape))
    return axes if prod(axes) == len(kept) else (len(kept),)


class _Graph:
    """The nodes of a new angle map."""

    def __init__(self, old: AngleMap, layout: _Layout) -> None:
        self.old, self.layout = old, layout
        self.nodes: list[Node] = []
        self._known: dict[Node, int] = {}
        self._copies: dict[int, int] = {}
        self._extras: dict[Block, list[int]] = {"shared": [], "rows": []}

    def place(self, block: Block, angle: Sum) -> tuple[bool, int]:
        """Where an angle is in its source: whether it is computed, and its place among these or among the others."""
        if len(angle.terms) == 1 and angle.terms[0][1] == 1.0 and not angle.constant:
            (_, place), _ = angle.terms[0]
            copied = self.layout.place.get(place) if block == "shared" else place
            if place < (n_entries(self.old) if block == "shared" else self.old.n_inputs):
                assert copied is not None
                return False, copied
        node, extras = self._sum(angle), self._extras[block]
        if node not in extras:
            extras.append(node)
        return True, extras.index(node)

    def angle_map(self, index: Mapping[str, Sequence[tuple[bool, int]]]) -> AngleMap:
        """The new map, whose angles are at these places."""
        starts = {"shared": self.layout.size, "rows": self.old.n_inputs}
        places = {
            block: tuple(place + starts[block] * computed for computed, place in index[block]) for block in starts
        }
        return AngleMap(
            self.old.n_inputs,
            tuple((name, self.layout.shapes[name]) for name in self.layout.names),
            self.old.batched,
            tuple(self.nodes),
            tuple(self._extras["shared"]),
            tuple(self._extras["rows"]),
            places["shared"],
            places["rows"],
        )

    def _add(self, op: str, *args: Any) -> int:
        return self._append(Node(op, args))

    def _append(self, node: Node) -> int:
        if node not in self._known:
            self._known[node] = len(self.nodes)
            self.nodes.append(node)
        return self._known[node]

    def _sum(self, angle: Sum) -> int:
        total: int | None = None
        for source, coefficient in angle.terms:
            node = self._source(*source)
            if coefficient != 1.0:
                node = self._add("mul.Tensor", Ref(node), coefficient)
            total = node if total is None else self._add("add.Tensor", Ref(total), Ref(node))
        assert total is not None
        return self._add("add.Tensor", Ref(total), angle.constant) if angle.constant else total

    def _source(self, block: Block, place: int) -> int:
        """The scalar of a place in a source of the old map."""
        if block == "rows":
            if place < self.old.n_inputs:
                inputs = self._add("input")
                if self.old.batched:
                    inputs = self._add("select.int", Ref(inputs), 0, 0)
                return self._add("select.int", Ref(inputs), 0, place)
            return self._scalar(self.old.row_extras[place - self.old.n_inputs])
        if place >= n_entries(self.old):
            return self._scalar(self.old.shared_extras[place - n_entries(self.old)])
        start = 0
        for name, shape in self.old.weight_shapes:
            if place < start + prod(shape):
                return self._entry(name, place - start)
            start += prod(shape)
        raise AssertionError("a place beyond all weights")

    def _entry(self, name: str, entry: int) -> int:
        """An entry of a weight, by its place among those of before."""
        kept = self.layout.kept[name]
        weight = self._add("weight", self.layout.names.index(name))
        flat = self._add("reshape.default", Ref(weight), (len(kept),))
        return self._add("select.int", Ref(flat), 0, kept.index(entry))

    def _scalar(self, node: int) -> int:
        return self._add("reshape.default", Ref(self._copied(node)), ())

    def _copied(self, wanted: int) -> int:
        for index in self.old.needed((wanted,)):
            if index not in self._copies:
                node = self.old.nodes[index]
                moved = self._weight(node.args[0]) if node.op == "weight" else self._append(self._moved(node))
                self._copies[index] = moved
        return self._copies[wanted]

    def _moved(self, node: Node) -> Node:
        def move(value: Any) -> Any:
            if isinstance(value, Ref):
                return Ref(self._copies[value.node])
            return tuple(move(item) for item in value) if isinstance(value, tuple) else value

        return Node(node.op, move(node.args), tuple((k, move(v)) for k, v in node.kwargs))

    def _weight(self, number: int) -> int:
        """A weight in its shape of before, a copy of one that stays for each entry that left, which changes nothing."""
        name, shape = self.old.weight_shapes[number]
        kept = self.layout.kept[name]
        if len(kept) == prod(shape):
            return self._add("weight", self.layout.names.index(name))
        entries = [self._entry(name, entry if entry in kept else kept[0]) for entry in range(prod(shape))]
        stacked = self._add("stack.default", tuple(Ref(entry) for entry in entries), 0)
        return self._add("reshape.default", Ref(stacked), shape)
