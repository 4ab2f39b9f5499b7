"""How inputs and weights become angles: a graph over a closed list of pure torch operations.

The graph is data (`to_json`), not code: loading one executes nothing but the operations listed
here. Angles that merely copy an input or a weight are not in the graph at all, they are an index;
only what is computed, ``inputs[0] * weights[1]`` say, has nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import numpy as np
import torch

from qnn.errors import ArgumentError, CaptureError

Scalar = None | bool | int | float | complex | str

MOVES = frozenset({
    "alias.default", "as_strided.default", "cat.default", "clone.default", "detach.default", "diagonal.default",
    "expand.default", "flip.default", "getitem", "index_select.default", "permute.default", "repeat.default",
    "reshape.default", "roll.default", "select.int", "slice.Tensor", "split.Tensor", "split_with_sizes.default",
    "squeeze.default", "squeeze.dim", "squeeze.dims", "stack.default", "t.default", "transpose.int",
    "unbind.int", "unsqueeze.default", "view.default", "_unsafe_view.default",
})  # fmt: skip
"""Operations that only move values about: angles made of these alone are copies."""

ARITHMETIC = frozenset({
    "abs.default", "acos.default", "acosh.default", "add.Scalar", "add.Tensor", "asin.default", "asinh.default",
    "atan.default", "atan2.default", "atanh.default", "bmm.default", "clamp.default", "clamp_max.default",
    "clamp_min.default", "cos.default", "cosh.default", "cumsum.default", "div.Scalar", "div.Tensor", "dot.default",
    "elu.default", "erf.default", "exp.default", "expm1.default", "gelu.default", "hypot.default",
    "leaky_relu.default", "linalg_vector_norm.default", "log.default", "log1p.default", "logsumexp.default",
    "matmul.default", "max.default", "maximum.default", "mean.default", "mean.dim", "min.default",
    "minimum.default", "mm.default", "mul.Scalar", "mul.Tensor", "mv.default", "neg.default", "outer.default",
    "pow.Scalar", "pow.Tensor_Scalar", "pow.Tensor_Tensor", "prod.default", "prod.dim_int", "real.default",
    "reciprocal.default", "relu.default", "remainder.Scalar", "rsqrt.default", "rsub.Scalar", "rsub.Tensor",
    "sigmoid.default", "sign.default", "sin.default", "sinh.default", "softplus.default", "_softmax.default",
    "sqrt.default", "sub.Scalar", "sub.Tensor", "sum.default", "sum.dim_IntList", "tan.default", "tanh.default",
    "view_as_real.default", "_to_copy.default", "ones_like.default", "zeros_like.default", "where.self",
    "full_like.default", "silu.default", "select_scatter.default", "slice_scatter.default",
    "eq.Scalar", "eq.Tensor", "ge.Scalar", "ge.Tensor", "gt.Scalar", "gt.Tensor", "le.Scalar", "le.Tensor",
    "lt.Scalar", "lt.Tensor", "ne.Scalar", "ne.Tensor",
})  # fmt: skip
"""Operations that compute. All are pure: no randomness, no in-place writes, no values read back."""

_KNOWN = MOVES | ARITHMETIC
_DTYPES = {"float32": torch.float32, "float64": torch.float64, "complex64": torch.complex64,
           "complex128": torch.complex128, "int64": torch.int64, "bool": torch.bool}  # fmt: skip
_MAX_NODES = 1_000_000


@dataclass(frozen=True)
class Ref:
    """The value of an earlier node."""

    node: int


@dataclass(frozen=True)
class Node:
    """One step of the graph: an operation on earlier nodes and literals, or a constant tensor.

    `op` is "input", "weight", "constant", or a name of the closed list.
    """

    op: str
    args: tuple[Any, ...] = ()
    kwargs: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class AngleMap:
    """From inputs (N, D) and weights to the two source blocks, out of which angles are picked by index.

    Attributes:
        n_inputs: D.
        weight_shapes: (name, shape) of every weight tensor, in the order of the shared source.
        batched: whether the function was traced with inputs of shape (1, D) rather than (D,).
        nodes: the graph, each node referring to earlier ones.
        shared_extras: nodes whose scalars follow the flattened weights in the shared source.
        row_extras: nodes whose scalars follow the inputs in the row source.
        shared_index: for each column of the circuit's shared block, its place in the shared source.
        rows_index: for each column of the rows block, its place in the row source.
    """

    n_inputs: int
    weight_shapes: tuple[tuple[str, tuple[int, ...]], ...]
    batched: bool
    nodes: tuple[Node, ...]
    shared_extras: tuple[int, ...]
    row_extras: tuple[int, ...]
    shared_index: tuple[int, ...]
    rows_index: tuple[int, ...]

    def sources(self, inputs: torch.Tensor, weights: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """The shared source (W + extras,) and the row source (N, D + extras).

        Args:
            inputs: shape (N, D).
            weights: a tensor of the declared shape for every name; cast to the dtype of `inputs`.
        """
        tensors = [weights[name].to(inputs.dtype) for name, _ in self.weight_shapes]
        flat = [t.reshape(-1) for t in tensors]
        shared, rows = (flat[0] if len(flat) == 1 else torch.cat([*flat, inputs.new_zeros(0)])), inputs
        if self.shared_extras:
            extras = self._evaluate(self.shared_extras, None, tensors)
            shared = torch.cat([shared, extras.to(inputs.dtype)])
        if self.row_extras:
            exporting = torch.compiler.is_exporting()  # what is written down now is to serve batches without rows too
            empty = exporting or not inputs.shape[0]  # vmap needs a row at least
            some = torch.cat([inputs, inputs.new_zeros(1, self.n_inputs)]) if empty else inputs
            extras = torch.vmap(lambda row: self._evaluate(self.row_extras, row, tensors))(some)
            rows = torch.cat([rows, extras[: inputs.shape[0]].to(inputs.dtype)], dim=1)
        return shared, rows

    def _evaluate(self, wanted: tuple[int, ...], row: torch.Tensor | None, weights: list[torch.Tensor]) -> torch.Tensor:
        """The scalars of the wanted nodes, shape (len(wanted),)."""
        values: dict[int, Any] = {}
        for index in self.needed(wanted):
            node = self.nodes[index]
            if node.op == "input":
                assert row is not None
                values[index] = row[None] if self.batched else row
            elif node.op == "weight":
                values[index] = weights[node.args[0]]
            else:
                values[index] = run_node(node, values, weights[0] if weights else row)
        return torch.stack([values[index].reshape(()) for index in wanted])

    def needed(self, wanted: tuple[int, ...]) -> list[int]:
        """The nodes by which the wanted ones are computed, themselves included, in order."""
        seen: set[int] = set()
        stack = list(wanted)
        while stack:
            index = stack.pop()
            if index not in seen:
                seen.add(index)
                stack.extend(references(self.nodes[index]))
        return sorted(seen)

    def names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Readable names of the entries of the shared and the row source, such as ``weights[0, 2]``."""
        shared: list[str] = []
        for name, shape in self.weight_shapes:
            places = [", ".join(map(str, index)) for index in np.ndindex(*shape)]
            shared += [f"{name}[{place}]" if place else name for place in places]
        shared += [f"computed weight {i}" for i in range(len(self.shared_extras))]
        rows = [f"inputs[{i}]" for i in range(self.n_inputs)]
        return tuple(shared), (*rows, *(f"computed input {i}" for i in range(len(self.row_extras))))

    def to_json(self) -> dict[str, Any]:
        """Plain data from which `from_json` makes an equal map."""
        return {
            "n_inputs": self.n_inputs,
            "weight_shapes": [[name, list(shape)] for name, shape in self.weight_shapes],
            "batched": self.batched,
            "nodes": [[n.op, _pack(n.args), {k: _pack(v) for k, v in n.kwargs}] for n in self.nodes],
            "shared_extras": list(self.shared_extras),
            "row_extras": list(self.row_extras),
            "shared_index": list(self.shared_index),
            "rows_index": list(self.rows_index),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> AngleMap:
        """The map described by `to_json`.

        Raises:
            CaptureError: an operation outside the closed list.
            ArgumentError: a reference to a later node, or to what does not exist.
        """
        if len(data["nodes"]) > _MAX_NODES:
            raise ArgumentError(f"`nodes` must be at most {_MAX_NODES}; got {len(data['nodes'])}. Use a smaller map.")
        nodes = []
        for index, (op, args, kwargs) in enumerate(data["nodes"]):
            node = Node(str(op), _unpack(args), tuple((str(k), _unpack(v)) for k, v in kwargs.items()))
            check_operation(node.op)
            if any(not 0 <= ref < index for ref in references(node)):
                raise ArgumentError(f"`nodes` must refer backwards; node {index} ({op}) does not. Correct the data.")
            if node.op == "weight" and node.args not in {(place,) for place in range(len(data["weight_shapes"]))}:
                raise ArgumentError(
                    f"`nodes` must name one of {len(data['weight_shapes'])} weights; node {index} names "
                    f"{', '.join(map(str, node.args)) or 'none'}. Correct the data."
                )
            nodes.append(node)
        read = cls(
            n_inputs=int(data["n_inputs"]),
            weight_shapes=tuple((str(n), tuple(int(d) for d in s)) for n, s in data["weight_shapes"]),
            batched=bool(data["batched"]),
            nodes=tuple(nodes),
            shared_extras=tuple(int(i) for i in data["shared_extras"]),
            row_extras=tuple(int(i) for i in data["row_extras"]),
            shared_index=tuple(int(i) for i in data["shared_index"]),
            rows_index=tuple(int(i) for i in data["rows_index"]),
        )
        n_weights = sum(prod(shape) for _, shape in read.weight_shapes)
        _check_within("shared_extras", read.shared_extras, len(nodes))
        _check_within("row_extras", read.row_extras, len(nodes))
        _check_within("shared_index", read.shared_index, n_weights + len(read.shared_extras))
        _check_within("rows_index", read.rows_index, read.n_inputs + len(read.row_extras))
        return read


def _check_within(name: str, places: tuple[int, ...], bound: int) -> None:
    for place in places:
        if not 0 <= place < bound:
            raise ArgumentError(f"`{name}` must be within 0 to {bound - 1}; got {place}. Correct the data.")


def check_operation(op: str) -> None:
    """Refuse an operation outside the closed list."""
    if op not in _KNOWN and op not in ("input", "weight", "constant"):
        raise CaptureError(
            f"An angle is computed with torch's {op.partition('.')[0]!r}, which is not among the pure operations that "
            "angles may be made of. Compute it before the layer, or write it with arithmetic and elementary functions."
        )


def references(node: Node) -> list[int]:
    """The nodes that `node` reads."""
    found: list[int] = []

    def visit(value: Any) -> None:
        if isinstance(value, Ref):
            found.append(value.node)
        elif isinstance(value, tuple):
            for item in value:
                visit(item)

    visit(node.args)
    visit(tuple(v for _, v in node.kwargs))
    return found


def run_node(node: Node, values: Mapping[int, Any], like: torch.Tensor | None) -> Any:
    """The value of one node, given those of earlier ones."""

    def fill(value: Any) -> Any:
        if isinstance(value, Ref):
            return values[value.node]
        return [fill(item) for item in value] if isinstance(value, tuple) else value

    if node.op == "constant":
        data, dtype = node.args
        device = like.device if like is not None else None
        return torch.tensor(fill(data), dtype=_DTYPES[dtype], device=device)
    args = [fill(a) for a in node.args]
    if node.op == "getitem":
        return args[0][args[1]]
    kwargs = {k: _DTYPES[v] if k == "dtype" and v is not None else fill(v) for k, v in node.kwargs}
    if node.op in ("reshape.default", "view.default", "_unsafe_view.default"):
        return args[0].reshape(args[1])  # a view that vmap may not be able to take
    name, _, overload = node.op.partition(".")
    return getattr(getattr(torch.ops.aten, name), overload)(*args, **kwargs)


def dtype_name(dtype: torch.dtype) -> str:
    """The stored name of a dtype."""
    for name, known in _DTYPES.items():
        if known == dtype:
            return name
    raise CaptureError(f"An angle is computed in {dtype}, which is not supported. Use torch.float64 or torch.float32.")


Block = Literal["shared", "rows"]


def _pack(value: Any) -> Any:
    if isinstance(value, Ref):
        return {"node": value.node}
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    if isinstance(value, tuple):
        return [_pack(item) for item in value]
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return {"infinity": 1 if value > 0 else -1}
    return value


def _unpack(value: Any) -> Any:
    if isinstance(value, dict):
        if "node" in value:
            return Ref(int(value["node"]))
        if "complex" in value:
            return complex(*map(float, value["complex"]))
        return float("inf") * int(value["infinity"])
    if isinstance(value, list):
        return tuple(_unpack(item) for item in value)
    return value
