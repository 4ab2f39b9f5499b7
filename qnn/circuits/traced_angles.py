"""From a traced graph of torch operations to angles: constants, copies, and what must be computed."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import torch
from torch.fx import GraphModule
from torch.fx import Node as FxNode

from qnn.circuits.angle_map import MOVES, AngleMap, Node, Ref, check_operation, dtype_name, references, run_node
from qnn.circuits.circuit import Block, Slot
from qnn.errors import CaptureError

_COPIES = frozenset({
    "cat.default", "clone.default", "flip.default", "index_select.default", "repeat.default", "roll.default",
    "stack.default",
})  # fmt: skip


class TracedAngles:
    """Sorts traced angles into copies and computed values, shared and per row."""

    def __init__(
        self, graph: GraphModule, n_inputs: int, weight_shapes: Mapping[str, tuple[int, ...]], batched: bool
    ) -> None:
        self.n_inputs, self.weight_shapes, self.batched = n_inputs, weight_shapes, batched
        self.nodes: list[Node] = []
        self.depends: list[set[str]] = []  # "input" and the names of weights
        self.index: dict[Block, list[int]] = {"shared": [], "rows": []}
        self.extras: dict[Block, list[int]] = {"shared": [], "rows": []}
        self._copies: dict[int, Any] = {}  # node -> its value when inputs and weights are their own indices
        self._place: dict[FxNode, int] = {}
        self._storage: list[int] = []  # for each node, the node whose memory it looks at
        self._written: dict[int, str] = {}  # memory written in place, and by what
        names = (["inputs"] if n_inputs else []) + list(weight_shapes)
        placeholders = iter(names)
        for fx_node in graph.graph.nodes:
            if fx_node.op == "output":
                self._outputs = [self._place[n] for n in fx_node.args[0]]
            elif fx_node.op == "placeholder":
                self._place[fx_node] = self._placeholder(next(placeholders))
            else:
                self._place[fx_node] = self._add(_as_node(fx_node, graph, self._place))
                schema = getattr(fx_node.target, "_schema", None)
                if schema is not None and schema.is_mutable:
                    self._written[self._storage[self._place[fx_node.args[0]]]] = schema.name.removeprefix("aten::")

    def _placeholder(self, name: str) -> int:
        offset = 0
        if name == "inputs" and self.n_inputs:
            node, depends = Node("input"), {"input"}
            shape: tuple[int, ...] = (1, self.n_inputs) if self.batched else (self.n_inputs,)
        else:
            place = list(self.weight_shapes).index(name)
            node, shape, depends = Node("weight", (place,)), self.weight_shapes[name], {name}
            offset = sum(prod(s) for s in list(self.weight_shapes.values())[:place])
        self.nodes.append(node)
        self._storage.append(len(self.nodes) - 1)
        self.depends.append(depends)
        self._copies[len(self.nodes) - 1] = torch.arange(offset, offset + prod(shape)).reshape(shape)
        return len(self.nodes) - 1

    def _add(self, node: Node) -> int:
        sources = references(node)
        self.nodes.append(node)
        index = len(self.nodes) - 1
        in_place = node.op.partition(".")[0].endswith("_")
        looks = in_place or (node.op in MOVES - _COPIES and sources)
        self._storage.append(self._storage[sources[0]] if looks else index)
        self.depends.append(set().union(*(self.depends[s] for s in sources)) if sources else set())
        if node.op in MOVES and all(s in self._copies for s in sources):
            self._copies[index] = run_node(node, self._copies, None)
        return index

    def angle(self, position: int) -> Slot | float:
        """The traced angle at `position` of the outputs: a new slot, or a constant in radians."""
        node = self._outputs[position]
        depends = self.depends[node]
        self._refuse_written(node)
        if not depends:
            return self._constant(node)
        block: Block = "rows" if "input" in depends else "shared"
        if node in self._copies and ("input" not in depends or len(depends) == 1):
            source = int(self._copies[node].reshape(()))
        else:
            base = self.n_inputs if block == "rows" else sum(prod(s) for s in self.weight_shapes.values())
            if node not in self.extras[block]:
                self.extras[block].append(node)
            source = base + self.extras[block].index(node)
        self.index[block].append(source)
        return Slot(block, len(self.index[block]) - 1)

    def _refuse_written(self, node: int) -> None:
        """The graph has values, not memory: an angle read from memory that was written in place would be wrong."""
        seen: set[int] = set()
        stack = [node]
        while stack:
            index = stack.pop()
            if index in seen:
                continue
            seen.add(index)
            stack.extend(references(self.nodes[index]))
            if self._storage[index] in self._written:
                raise CaptureError(
                    f"An angle is computed with torch's in-place {self._written[self._storage[index]]!r}, which cannot "
                    "be followed. Use an operation that returns a new tensor, such as torch.stack."
                )

    def _constant(self, node: int) -> float:
        values: dict[int, Any] = {}
        for i in range(node + 1):
            if not self.depends[i]:
                values[i] = run_node(self.nodes[i], values, None)
        return float(values[node])

    def angle_map(self) -> AngleMap:
        """The map, without the nodes that no angle needs."""
        wanted = self.extras["shared"] + self.extras["rows"]
        full = AngleMap(
            self.n_inputs,
            tuple((name, tuple(shape)) for name, shape in self.weight_shapes.items()),
            self.batched,
            tuple(self.nodes),
            tuple(self.extras["shared"]),
            tuple(self.extras["rows"]),
            tuple(self.index["shared"]),
            tuple(self.index["rows"]),
        )
        return _pruned(full, tuple(wanted))


def _pruned(full: AngleMap, wanted: tuple[int, ...]) -> AngleMap:
    kept = full.needed(wanted)
    for index in kept:
        check_operation(full.nodes[index].op)
    place = {old: new for new, old in enumerate(kept)}

    def move(value: Any) -> Any:
        if isinstance(value, Ref):
            return Ref(place[value.node])
        return tuple(move(item) for item in value) if isinstance(value, tuple) else value

    nodes = tuple(
        Node(n.op, move(n.args), tuple((k, move(v)) for k, v in n.kwargs)) for n in (full.nodes[i] for i in kept)
    )
    return AngleMap(
        full.n_inputs,
        full.weight_shapes,
        full.batched,
        nodes,
        tuple(place[i] for i in full.shared_extras),
        tuple(place[i] for i in full.row_extras),
        full.shared_index,
        full.rows_index,
    )


def _as_node(fx_node: FxNode, graph: GraphModule, place: Mapping[FxNode, int]) -> Node:
    def convert(value: Any) -> Any:
        if isinstance(value, FxNode):
            return Ref(place[value])
        if isinstance(value, (list, tuple)):
            return tuple(convert(item) for item in value)
        if isinstance(value, torch.dtype):
            return dtype_name(value)
        return value

    if fx_node.op == "get_attr":
        return _constant_node(getattr(graph, str(fx_node.target)))
    name = str(fx_node.target).removeprefix("aten.")
    if "getitem" in name:
        name = "getitem"
    if name.startswith("lift_fresh") or name == "lift.default":
        name = "alias.default"
    kept = {k: v for k, v in fx_node.kwargs.items() if k not in ("device", "layout", "pin_memory", "memory_format")}
    return Node(name, convert(fx_node.args), tuple((k, convert(v)) for k, v in kept.items()))


def _constant_node(tensor: torch.Tensor) -> Node:
    def listed(value: Any) -> Any:
        return tuple(listed(v) for v in value) if isinstance(value, list) else value

    return Node("constant", (listed(tensor.tolist()), dtype_name(tensor.dtype)))
