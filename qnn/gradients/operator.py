"""The seam between circuits and torch: one operator with its gradients.

Outside is a `torch.autograd.Function` with `setup_context` and a static `vmap`; inside are plain
custom ops with shape-only twins and no registered autograd (registered autograd on a custom op raises under
jacrev and gives silent zeros under jacfwd). Angles that copy an input or a weight are gathered inside
the operator. Sampling keys are operands, since torch.compile merges calls with equal operands.

Shapes: N rows, M outputs, S and R columns of the sources out of which angles are picked.
"""

from __future__ import annotations

import itertools
import json
import math
import weakref
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import torch

from qnn import _seeding
from qnn._fingerprint import canonical_json
from qnn.backends.base import Angles, Backend, Estimate
from qnn.circuits.circuit import Circuit
from qnn.errors import CapabilityError, NotFiniteError
from qnn.gradients.methods import Differentiator, differentiator


@dataclass(frozen=True, eq=False)
class Plan:
    """All that fixes an operator: circuit, where it runs, how it is differentiated, which angles are copies.

    Attributes:
        circuit: the circuit.
        backend: where it runs.
        method: gradient method, as chosen by `methods.choose`.
        shots: None is exact.
        shared_index: for each shared slot, its place in the shared source.
        rows_index: for each row slot, its place in the row source.
        n_inputs: D; places from D on in the row source are computed.
        key: the name under which the custom ops find this plan: JSON from which it can be rebuilt.
        gather_shared: `shared_index` as a tensor.
        gather_rows: `rows_index` as a tensor.
    """

    circuit: Circuit
    backend: Backend
    method: str
    shots: int | None
    shared_index: tuple[int, ...]
    rows_index: tuple[int, ...]
    n_inputs: int
    key: str = field(init=False)
    gather_shared: torch.Tensor = field(init=False, repr=False)
    gather_rows: torch.Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # Made now and not when first used: torch.compile may trace the first use, or it may be in inference mode,
        # whose tensors autograd refuses later.
        with torch.inference_mode(False):
            object.__setattr__(self, "gather_shared", torch.tensor(self.shared_index, dtype=torch.int64))
            object.__setattr__(self, "gather_rows", torch.tensor(self.rows_index, dtype=torch.int64))
        object.__setattr__(self, "key", self._register())

    def _register(self) -> str:
        """Enter the plan where the custom ops look it up.

        A backend that holds live objects cannot be written down; its plan is found while it lives.
        """
        specification = self.backend.specification()
        if specification is None:
            key = f"object:{next(_numbers)}"
            _living[key] = self
            return key
        key = canonical_json(
            {
                "circuit": self.circuit.to_json(),
                "backend": specification,
                "method": self.method,
                "shots": self.shots,
                "shared_index": list(self.shared_index),
                "rows_index": list(self.rows_index),
                "n_inputs": self.n_inputs,
            }
        )
        _living.setdefault(key, self)
        return key

    @cached_property
    def differentiator(self) -> Differentiator:
        """The compiled circuit with its gradient rule."""
        return differentiator(self.circuit, self.backend, self.method, self.shots)

    def keys(self, keys: torch.Tensor) -> torch.Tensor | None:
        """Sampling keys (N, 5), or None where nothing is drawn."""
        return keys if self.shots is not None or self.method == "spsa" else None

    def angles(self, shared: torch.Tensor, rows: torch.Tensor) -> Angles:
        """Angles picked from the two sources."""
        picked_shared, picked_rows = shared, rows
        if self.shared_index != tuple(range(len(shared))):
            picked_shared = shared.index_select(0, _index(self.gather_shared, shared))
        if self.rows_index != tuple(range(rows.shape[1])):
            picked_rows = rows.index_select(1, _index(self.gather_rows, rows))
        return Angles(picked_shared, picked_rows)


def _index(places: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    """`places` beside `source`; made anew where torch.compile traces with tensors that have no values."""
    if type(source) is not torch.Tensor and not isinstance(source, torch.nn.Parameter):
        return torch.tensor(places.tolist(), dtype=torch.int64, device=source.device)
    return places.to(source.device)


_GOLDEN = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio: spreads successive numbers over all bits
_numbers = itertools.count()
_living: weakref.WeakValueDictionary[str, Plan] = weakref.WeakValueDictionary()


def plan_of(key: str) -> Plan:
    """The plan of that name: the one in use, or rebuilt from its name if need be."""
    return _living.get(key) or _rebuilt(key)


@lru_cache(maxsize=64)
def _rebuilt(key: str) -> Plan:
    from qnn.backends.registry import from_specification

    data = json.loads(key)
    return Plan(
        Circuit.from_json(data["circuit"]),
        from_specification(data["backend"]),
        data["method"],
        data["shots"],
        tuple(data["shared_index"]),
        tuple(data["rows_index"]),
        data["n_inputs"],
    )


def execute(plan: Plan, shared: torch.Tensor, rows: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """Outputs (N, M) of every row, differentiable in both sources.

    Args:
        plan: what to run.
        shared: shape (S,), source of the shared angles.
        rows: shape (N, R), source of the row angles.
        keys: shape (N, 5), sampling keys; shape (0, 5) when exact.
    """
    if plan.method == "backprop" or (plan.method == "adjoint" and rows.device.type != "cpu"):
        return _differentiable(shared, rows, plan.key)
    recording = torch.is_grad_enabled()
    need_shared = recording and shared.requires_grad and bool(plan.shared_index)
    need_rows = recording and rows.requires_grad and bool(plan.rows_index)
    values, _ = _Execute.apply(shared, rows, keys, plan.key, need_shared, need_rows)
    return values


@torch.compiler.allow_in_graph
def _differentiable(shared: torch.Tensor, rows: torch.Tensor, key: str) -> torch.Tensor:
    """Exact values in torch operations: autograd goes through them."""
    plan = plan_of(key)
    if type(rows) is torch.Tensor and torch._C._functorch.peek_interpreter_stack() is None:  # tensors with values
        _check_finite(plan, shared, rows)
    angles = plan.angles(shared, rows)
    executable: Any = plan.differentiator.executable
    executable.record(angles.n_rows, None)
    return executable.differentiable(angles)


def estimate(plan: Plan, shared: torch.Tensor, rows: torch.Tensor, keys: torch.Tensor) -> Estimate:
    """Values with variance and counts, without gradients."""
    _check_finite(plan, shared, rows)
    return plan.differentiator.run(plan.angles(shared, rows), plan.keys(keys))


@torch.library.custom_op("qnn::draw_keys", mutates_args={"calls"})
def draw_keys(calls: torch.Tensor, root: int, n_rows: int) -> torch.Tensor:
    """Sampling keys of one call, shape (N, 5); `calls`, the layer's own counter, goes up by one.

    An operator, because torch.compile cannot trace the step that `_seeding` holds.
    """
    keys = _seeding.row_keys(root, n_rows, int(calls))
    calls += 1
    return keys


@draw_keys.register_fake
def _(calls, root, n_rows):
    return calls.new_empty(n_rows, 5)


@torch.library.custom_op("qnn::run", mutates_args=())
def _run(shared: torch.Tensor, rows: torch.Tensor, keys: torch.Tensor, key: str) -> torch.Tensor:
    plan = plan_of(key)
    return estimate(plan, shared, rows, keys).values.clone()


@_run.register_fake
def _(shared, rows, keys, key):
    return rows.new_empty(rows.shape[0], plan_of(key).circuit.n_outputs)


@torch.library.custom_op("qnn::linearize", mutates_args=())
def _linearize(
    shared: torch.Tensor, rows: torch.Tensor, keys: torch.Tensor, key: str, need_shared: bool, need_rows: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    plan = plan_of(key)
    _check_finite(plan, shared, rows)
    result, residuals = plan.differentiator.linearize(
        plan.angles(shared, rows), plan.keys(keys), need_shared, need_rows
    )
    return result.values, residuals


@_linearize.register_fake
def _(shared, rows, keys, key, need_shared, need_rows):
    context = torch.library.get_ctx()
    return rows.new_empty(rows.shape[0], plan_of(key).circuit.n_outputs), rows.new_empty(context.new_dynamic_size())


@torch.library.custom_op("qnn::pullback", mutates_args=())
def _pullback(
    shared: torch.Tensor,
    rows: torch.Tensor,
    residuals: torch.Tensor,
    cotangent: torch.Tensor,
    key: str,
    need_shared: bool,
    need_rows: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    plan = plan_of(key)
    angles = plan.angles(shared, rows)
    picked = plan.differentiator.pullback(angles, residuals, cotangent.contiguous(), need_shared, need_rows)
    grad_shared, grad_rows = torch.zeros_like(shared), torch.zeros_like(rows)
    if need_shared:
        grad_shared.index_add_(0, plan.gather_shared.to(shared.device), picked.shared)
    if need_rows:
        grad_rows.index_add_(1, plan.gather_rows.to(rows.device), picked.rows)
    return grad_shared, grad_rows


@_pullback.register_fake
def _(shared, rows, residuals, cotangent, key, need_shared, need_rows):
    return torch.empty_like(shared), torch.empty_like(rows)


class _Execute(torch.autograd.Function):
    """(shared, rows) ↦ values; the second output is the residuals, without a gradient."""

    @staticmethod
    def forward(shared, rows, keys, key, need_shared, need_rows):
        if not (need_shared or need_rows):
            return _run(shared, rows, keys, key), rows.new_empty(0)
        return _linearize(shared, rows, keys, key, need_shared, need_rows)

    @staticmethod
    def setup_context(ctx, inputs, output):
        shared, rows, _, ctx.key, ctx.need_shared, ctx.need_rows = inputs
        if not torch.compiler.is_compiling():
            ctx.plan = plan_of(ctx.key)  # so that it lives until the backward pass
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(shared, rows, output[1])

    @staticmethod
    def backward(ctx, cotangent, _):
        shared, rows, residuals = ctx.saved_tensors
        grad_shared, grad_rows = _Pullback.apply(
            shared, rows, residuals, cotangent, ctx.key, ctx.need_shared, ctx.need_rows
        )
        return (
            grad_shared if ctx.need_shared else None, grad_rows if ctx.need_rows else None, None, None, None, None
        )  # fmt: skip

    @staticmethod
    def vmap(info, in_dims, shared, rows, keys, key, need_shared, need_rows):
        results = []
        for index, operands in enumerate(_unbatched(info, in_dims[:3], (shared, rows, keys))):
            if in_dims[2] is None:
                operands[2] = _member_keys(keys, index)
            results.append(_Execute.apply(*operands, key, need_shared, need_rows))
        return _stacked(results), (0, 0)


class _Pullback(torch.autograd.Function):
    """The vector-Jacobian product of `_Execute`."""

    @staticmethod
    def forward(shared, rows, residuals, cotangent, key, need_shared, need_rows):
        return _pullback(shared, rows, residuals, cotangent, key, need_shared, need_rows)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.method = plan_of(inputs[4]).method

    @staticmethod
    def backward(ctx, *cotangents):
        raise CapabilityError(
            f'`gradient="{ctx.method}"` gives first derivatives only; a second derivative was asked for. '
            'Use gradient="backprop" on backend="statevector".'
        )

    @staticmethod
    def vmap(info, in_dims, shared, rows, residuals, cotangent, key, need_shared, need_rows):
        results = [
            _Pullback.apply(*operands, key, need_shared, need_rows)
            for operands in _unbatched(info, in_dims[:4], (shared, rows, residuals, cotangent))
        ]
        return _stacked(results), (0, 0)


def _unbatched(info, in_dims, operands):
    for index in range(info.batch_size):
        yield [o if d is None else o.select(d, index) for o, d in zip(operands, in_dims, strict=True)]


def _member_keys(keys, index):
    """Keys of one member of a vmap, with a root of its own, so that members do not share noise."""
    if not index or not len(keys):
        return keys
    member = keys.clone()
    member[:, 0] ^= (index * _GOLDEN) % (1 << 63)
    return member


def _stacked(results):
    return tuple(torch.stack(parts) for parts in zip(*results, strict=True))


def _check_finite(plan: Plan, shared: torch.Tensor, rows: torch.Tensor) -> None:
    for name, block in (("weights", shared.detach()), ("inputs", rows.detach())):
        if math.isfinite(float(block.sum())):
            continue
        bad = (~torch.isfinite(block)).nonzero()
        if len(bad):
            place = tuple(int(i) for i in bad[0])
            where = f"position {place[0]}" if name == "weights" else f"row {place[0]}, feature {place[1]}"
            if name == "inputs" and place[1] >= plan.n_inputs:
                where = f"an angle that is computed from row {place[0]}"
            raise NotFiniteError(
                f"`{name}` must be finite; got {float(block[place])} at {where}. "
                "Check the data, the learning rate, and the layer before this one."
            )
