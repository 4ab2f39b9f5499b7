"""Which wires a gate call names: registers, indices, ranges, aliases, broadcasting; and what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from openqasm3 import ast

from qnn.circuits.qasm.names import Bits, Names, Qubits
from qnn.circuits.qasm.source import Place, Source

MAX_QUBITS = 1024


class QubitMemory:
    """The qubits of a program in the order of their declaration, and what has happened to each."""

    def __init__(self, source: Source, names: Names) -> None:
        self.source = source
        self.names = names
        self.labels: list[str] = []
        self._touched: set[int] = set()
        self._measured: dict[int, Place | None] = {}

    @property
    def measured(self) -> tuple[int, ...]:
        """Measured wires, ascending."""
        return tuple(sorted(self._measured))

    def declare(self, node: ast.QubitDeclaration) -> None:
        """Add the qubits of a declaration."""
        name = node.qubit.name
        size = 1 if node.size is None else self.names.integer(node.size, "The size of a register")
        first = len(self.labels)
        if size < 1:
            raise self.source.error(node, f'the register "{name}" must have at least 1 qubit; got {size}.')
        if first + size > MAX_QUBITS:
            message = f"a program must have at most {MAX_QUBITS} qubits; this one has {first + size}. Use fewer."
            raise self.source.error(node, message)
        is_register = node.size is not None
        self.names.declare(name, Qubits(tuple(range(first, first + size)), is_register), node)
        self.labels += [f"{name}[{i}]" for i in range(size)] if is_register else [name]

    def operand(self, node: ast.QASMNode) -> Qubits:
        """The wires of one operand."""
        match node:
            case ast.Identifier():
                return self.names.qubits(node.name, node)
            case ast.IndexedIdentifier():
                chosen = self.names.qubits(node.name.name, node)
                for index in node.indices:
                    chosen = self._indexed(chosen, node.name.name, index, node)
                return chosen
            case ast.IndexExpression(collection=collection):
                inner = self.operand(collection)
                return self._indexed(inner, getattr(collection, "name", "this register"), node.index, node)
            case ast.Concatenation():
                return Qubits(self.operand(node.lhs).wires + self.operand(node.rhs).wires, True)
        raise self.source.error(node, "this must name qubits.")

    def _indexed(self, qubits: Qubits, name: str, index: ast.IndexElement, node: ast.QASMNode) -> Qubits:
        if not qubits.is_register:
            raise self.source.error(node, f'"{name}" is a single qubit and has no index. Leave the index out.')
        if isinstance(index, ast.DiscreteSet):
            chosen = [self.names.integer(value, "An index") for value in index.values]
            return Qubits(tuple(self._wire(qubits, name, place, node) for place in chosen), True)
        if len(index) != 1:
            raise self.source.error(node, f'"{name}" has one dimension; got {len(index)} indices. Choose one.')
        if isinstance(index[0], ast.RangeDefinition):
            places = self.range(index[0], len(qubits.wires))
            return Qubits(tuple(self._wire(qubits, name, place, node) for place in places), True)
        return Qubits((self._wire(qubits, name, self.names.integer(index[0], "An index"), node),), False)

    def range(self, node: ast.RangeDefinition, size: int | None = None) -> range:
        """The integers of `start:step:end`, end included; for a register of `size`, ends may be left out."""
        step = 1 if node.step is None else self.names.integer(node.step, "The step of a range")
        if step == 0:
            raise self.source.error(node, "the step of a range must not be 0.")
        if size is None and (node.start is None or node.end is None):
            raise self.source.error(node, "the range of a loop must have a start and an end.")
        default = (0, (size or 0) - 1) if step > 0 else ((size or 0) - 1, 0)
        ends = []
        for end, otherwise in zip((node.start, node.end), default, strict=True):
            place = otherwise if end is None else self.names.integer(end, "The end of a range")
            ends.append(place + size if size is not None and place < 0 else place)
        return range(ends[0], ends[1] + (1 if step > 0 else -1), step)

    def _wire(self, qubits: Qubits, name: str, place: int, node: ast.QASMNode) -> int:
        size = len(qubits.wires)
        if not -size <= place < size:
            message = f'an index of "{name}" must be within 0 to {size - 1}; got {place}. Correct the index.'
            raise self.source.error(node, message)
        return qubits.wires[place]

    def broadcast(self, operands: Sequence[Qubits], node: ast.QASMNode) -> list[tuple[int, ...]]:
        """The wires of each single call: registers of one size in step, single qubits repeated."""
        sizes = {len(q.wires) for q in operands if q.is_register}
        if len(sizes) > 1:
            message = f"registers in one call must have the same size; got sizes {sorted(sizes)}. Use equal registers."
            raise self.source.error(node, message)
        calls = [
            tuple(q.wires[i] if q.is_register else q.wires[0] for q in operands) for i in range(max(sizes, default=1))
        ]
        for wires in calls:
            if len(set(wires)) != len(wires):
                twice = next(self.labels[w] for w in wires if wires.count(w) > 1)
                raise self.source.error(node, f"a gate must act on different qubits; got {twice} twice.")
        return calls

    def touch(self, wires: Sequence[int], node: ast.QASMNode) -> None:
        """Note that a gate acts on `wires`, which must not have been measured."""
        for wire in wires:
            if wire in self._measured:
                place = self._measured[wire]
                where = f" on line {place.line}" if place else ""
                what = f"a gate on {self.labels[wire]} after its measurement{where} (mid-circuit measurement)"
                raise self.source.unsupported(node, what, "Measure at the end only.")
        self._touched.update(wires)

    def measure(self, node: ast.QASMNode, operand: ast.QASMNode, target: ast.QASMNode | None = None) -> None:
        """Note a measurement into `target`, if it has one."""
        qubits = self.operand(operand)
        if target is not None:
            self._check_target(target, len(qubits.wires), node)
        for wire in qubits.wires:
            if wire in self._measured:
                raise self.source.unsupported(
                    node, f"a second measurement of {self.labels[wire]}", "Measure each qubit once, at the end."
                )
            self._measured[wire] = self.source.place(node)

    def _check_target(self, target: Any, n_measured: int, node: ast.QASMNode) -> None:
        is_indexed = isinstance(target, ast.IndexedIdentifier)
        name: str = target.name.name if is_indexed else target.name
        bits = self.names.meaning(name, node)
        if not isinstance(bits, Bits):
            raise self.source.error(node, f'"{name}" must be classical bits; it is not. Declare: bit[{n_measured}] c;')
        found = bits.size or 1
        if is_indexed and bits.size is None:
            raise self.source.error(node, f'"{name}" is a single bit and has no index. Leave the index out.')
        if is_indexed:
            places = Qubits(tuple(range(found)), True)
            for index in target.indices:
                places = self._indexed(places, name, index, target)
            found = len(places.wires)
        if found != n_measured:
            message = f"a measurement needs as many bits as qubits; got {found} and {n_measured}. Make them equal."
            raise self.source.error(node, message)

    def reset(self, node: ast.QuantumReset) -> None:
        """Accept a reset of qubits that nothing has acted on."""
        for wire in self.operand(node.qubits).wires:
            if wire in self._touched or wire in self._measured:
                what = f"reset of {self.labels[wire]} in the middle of the circuit"
                raise self.source.unsupported(node, what, "Qubits start in |0>; reset them at the start only.")
