"""Angles as formulas of inputs and weights: for drawings and for OpenQASM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from qnn.circuits.angle_map import MOVES, AngleMap, Node, Ref, references, run_node
from qnn.circuits.circuit import Circuit, Slot
from qnn.circuits.qasm import circuit_to_qasm
from qnn.circuits.qasm.expressions import Expression, Parameter, apply
from qnn.errors import ArgumentError, ShapeError, UnsupportedError

_BINARY = {"add": "+", "sub": "-", "mul": "*", "div": "/", "pow": "**"}
_UNARY = {"sin": "sin", "cos": "cos", "tan": "tan", "asin": "arcsin", "acos": "arccos", "atan": "arctan",
          "exp": "exp", "log": "log", "sqrt": "sqrt", "neg": "neg"}  # fmt: skip


def slot_symbols(angle_map: AngleMap) -> dict[Slot, Any]:
    """For each slot what it is: a `Parameter`, an `Expression`, or "f(...)" where OpenQASM has no such function."""
    reader = _Symbols(angle_map)
    symbols: dict[Slot, Any] = {}
    for slot, source in _slots(angle_map):
        try:
            symbols[slot] = reader.source(slot.block, source)
        except UnsupportedError:
            symbols[slot] = "f(x)" if slot.block == "rows" else "f(w)"
    return symbols


def to_qasm(
    circuit: Circuit,
    angle_map: AngleMap,
    *,
    version: int = 3,
    weights: Mapping[str, torch.Tensor] | None = None,
    inputs: Sequence[float] | None = None,
) -> str:
    """The circuit as OpenQASM, inputs and weights free or bound.

    Args:
        circuit: what to write.
        angle_map: where its angles come from.
        version: 2 or 3.
        weights: values to put in; None leaves them free.
        inputs: values to put in, shape (D,); None leaves them free.

    Raises:
        UnsupportedError: an angle is computed by a function that OpenQASM does not have.
        ArgumentError: version 2, which has no free parameters, without all values.
    """
    if version == 2 and ((weights is None and angle_map.weight_shapes) or (inputs is None and angle_map.n_inputs)):
        raise ArgumentError(
            "`version=2` must have every angle bound, since OpenQASM 2 has no free parameters; got free ones. "
            "Use bind=True and inputs=[...], or version=3."
        )
    if inputs is not None and len(inputs) != angle_map.n_inputs:
        raise ShapeError(f"`inputs` must have {angle_map.n_inputs} values; got {len(inputs)}. Give one per feature.")
    reader = _Symbols(angle_map, weights, inputs)
    angles = {slot: reader.source(slot.block, source) for slot, source in _slots(angle_map)}
    declared = [] if inputs is not None else [reader.input_name(i) for i in range(angle_map.n_inputs)]
    if weights is None:
        declared += reader.weight_names
    return circuit_to_qasm(circuit, version=version, angles=angles, inputs=declared)


def _slots(angle_map: AngleMap) -> list[tuple[Slot, int]]:
    shared = [(Slot("shared", i), source) for i, source in enumerate(angle_map.shared_index)]
    return shared + [(Slot("rows", i), source) for i, source in enumerate(angle_map.rows_index)]


class _Symbols:
    """Evaluates an angle map on symbols instead of numbers."""

    def __init__(
        self,
        angle_map: AngleMap,
        weights: Mapping[str, torch.Tensor] | None = None,
        inputs: Sequence[float] | None = None,
    ) -> None:
        self.map = angle_map
        self._inputs = _array(
            [Parameter(self.input_name(i)) for i in range(angle_map.n_inputs)]
            if inputs is None
            else [float(v) for v in inputs]
        )
        self.weight_names: list[str] = []
        self._weights = [self._weight(name, shape, weights) for name, shape in angle_map.weight_shapes]
        self._values: dict[int, Any] = {}

    @staticmethod
    def input_name(index: int) -> str:
        """The OpenQASM name of a feature."""
        return f"x_{index}"

    def _weight(self, name: str, shape: tuple[int, ...], weights: Mapping[str, torch.Tensor] | None) -> np.ndarray:
        if weights is not None:
            values = [float(v) for v in weights[name].reshape(-1)]
            return _array(values).reshape(shape)
        names = ["_".join([name, *map(str, index)]) for index in np.ndindex(*shape)]
        taken = {*self.weight_names, *(self.input_name(i) for i in range(self.map.n_inputs))}
        while not taken.isdisjoint(names):
            names = [f"{n}_" for n in names]
        self.weight_names += names
        return _array([Parameter(n) for n in names]).reshape(shape)

    def source(self, block: str, place: int) -> Expression | float:
        """The formula of one entry of a source."""
        if block == "rows":
            extras = self.map.row_extras
            return self._inputs[place] if place < self.map.n_inputs else self._scalar(extras[place - self.map.n_inputs])
        flat = np.concatenate([w.reshape(-1) for w in self._weights]) if self._weights else _array([])
        return flat[place] if place < len(flat) else self._scalar(self.map.shared_extras[place - len(flat)])

    def _scalar(self, node: int) -> Any:
        value = np.asarray(self._node(node), dtype=object)
        return value.reshape(-1)[0]

    def _node(self, index: int) -> Any:
        if index not in self._values:
            self._values[index] = self._evaluate(self.map.nodes[index])
        return self._values[index]

    def _evaluate(self, node: Node) -> Any:
        name = node.op.partition(".")[0]
        if node.op == "input":
            return self._inputs[None] if self.map.batched else self._inputs
        if node.op == "weight":
            return self._weights[node.args[0]]
        if node.op == "constant":
            return _array(node.args[0])
        args = [self._node(a.node) if isinstance(a, Ref) else a for a in node.args]
        if name == "index_select":
            return self._selected(*args)
        if node.op in MOVES:
            return self._move(node)
        if node.op == "_to_copy.default":
            return args[0]
        if name in _BINARY and not node.kwargs:
            return _each(_BINARY[name], args[0], args[1])
        if name == "rsub" and not node.kwargs:
            return _each("-", args[1], args[0])
        if name in _UNARY:
            return _each(_UNARY[name], args[0])
        if (value := self._number(node)) is not None:
            return value
        raise UnsupportedError(
            f"OpenQASM has no function for torch's {name!r}, by which an angle is computed. "
            "Bind the values with bind=True and inputs=[...], or write the angle with elementary functions."
        )

    def _number(self, node: Node) -> np.ndarray | None:
        """The value of a node all of whose operands are bound to numbers; None where one is free."""
        values = {}
        for ref in references(node):
            entries = np.asarray(self._node(ref), dtype=object)
            if any(isinstance(entry, Expression) for entry in entries.reshape(-1)):
                return None
            values[ref] = torch.from_numpy(np.array(entries.tolist()))  # float64, or bool where compared
        return np.asarray(run_node(node, values, None).numpy(), dtype=object)

    @staticmethod
    def _selected(data: Any, axis: int, index: Any) -> np.ndarray:
        """Entries along an axis by their numbers."""
        data, index = np.asarray(data, dtype=object), np.asarray(index, dtype=object)
        if any(isinstance(entry, Expression) for entry in index.reshape(-1)):
            raise UnsupportedError(
                "OpenQASM cannot choose an angle by a value that is free, as torch's 'index_select' does here. "
                "Bind the values with bind=True and inputs=[...], or select by constant numbers."
            )
        places = torch.arange(data.size).reshape(data.shape)
        chosen = places.index_select(axis, torch.from_numpy(np.array(index.tolist()).astype(np.int64)))
        return np.asarray(data.reshape(-1)[chosen.numpy()], dtype=object)

    def _move(self, node: Node) -> Any:
        """A movement of symbols: move their places with torch, then look them up."""
        table: list[Any] = []
        places: dict[int, torch.Tensor] = {}
        for ref in references(node):
            value = np.asarray(self._node(ref), dtype=object)
            places[ref] = torch.arange(len(table), len(table) + value.size).reshape(value.shape)
            table += list(value.reshape(-1))
        moved = run_node(node, places, None)
        lookup = _array(table)
        if isinstance(moved, (list, tuple)):
            return [lookup[m.numpy()] for m in moved]
        return np.asarray(lookup[moved.numpy()], dtype=object)


def _array(values: Any) -> np.ndarray:
    """An object array that keeps every entry as it is."""
    plain = np.array(values, dtype=object) if not isinstance(values, list) else np.empty(len(values), dtype=object)
    if isinstance(values, list):
        for i, value in enumerate(values):
            plain[i] = value
    return plain


def _each(function: str, *operands: Any) -> np.ndarray:
    arrays = np.broadcast_arrays(*[np.asarray(o, dtype=object) for o in operands])
    flat = [apply(function, *items) for items in zip(*[a.reshape(-1) for a in arrays], strict=True)]
    return _array(flat).reshape(arrays[0].shape)
