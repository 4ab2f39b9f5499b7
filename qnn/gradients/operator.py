"""The seam between circuits and torch: one operator with its gradients.

Outside is a `torch.autograd.Function` with `setup_context` and a static `vmap`; inside are plain
custom ops with shape-only twins and no registered autograd (registered autograd on a custom op raises under
jacrev and gives silent zeros under jacfwd). Angles that copy an input or a weight are gathered inside
the operator. Sampling keys are operands, since torch.compile merges calls with equal operands.

Shapes: N rows, M outputs, S and R columns of the sources out of which angles are picked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial

import torch
from torch._subclasses.fake_tensor import is_fake

from qnn import _seeding
from qnn._forking import ForkLock
from qnn.backends.base import Estimate
from qnn.errors import CapabilityError, NotFiniteError
from qnn.gradients import direct
from qnn.gradients.plan import Plan, plan_of

_MAX_DIMENSIONS = 8  # of residuals
_GOLDEN = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio: spreads successive numbers over all bits
_counting = ForkLock()  # two threads that run one layer draw their own shots
#: Calls drawn within a block of `counted_if_it_ends`: the layer's number, and that within the open step.
_drawn: ContextVar[list[tuple[int, int]]] = ContextVar("qnn_drawn")


def execute(plan: Plan, shared: torch.Tensor, rows: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """Outputs (N, M) of every row, differentiable in both sources.

    Args:
        plan: what to run.
        shared: shape (S,), source of the shared angles.
        rows: shape (N, R), source of the row angles.
        keys: shape (N, 5), sampling keys; shape (0, 5) when exact.

    Raises:
        CapabilityError: while exporting, where the circuit is sampled or runs elsewhere.
    """
    exporting = torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export()
    elsewhere = plan.method == "adjoint" and rows.device.type != "cpu"
    if plan.method == "backprop" or (plan.differentiable and (exporting or elsewhere)):
        return _differentiable(shared, rows, plan.key)
    if exporting:
        raise CapabilityError(plan.not_exportable())
    recording = torch.is_grad_enabled()
    need_shared = recording and shared.requires_grad and bool(plan.shared_index)
    need_rows = recording and rows.requires_grad and bool(plan.rows_index)
    if (need_shared or need_rows) and direct.possible(shared, rows):
        _check_finite(plan, shared, rows)
        return direct.Direct.apply(shared, rows, keys, plan, need_shared, need_rows, partial(_pulled_back, plan.key))
    return _executed(shared, rows, keys, plan.key, need_shared, need_rows)[0]


def _pulled_back(
    key: str,
    shared: torch.Tensor,
    rows: torch.Tensor,
    residuals: torch.Tensor,
    cotangent: torch.Tensor,
    need_shared: bool,
    need_rows: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """`Plan.pullback`, differentiable."""
    shape = _shape_of(residuals)
    return _Pullback.apply(shared, rows, residuals.reshape(-1), shape, cotangent, key, need_shared, need_rows)


def _shape_of(residuals: torch.Tensor) -> torch.Tensor:
    """Their shape filled up with -1: torch.compile must know how many dimensions."""
    return torch.tensor([*residuals.shape, *(-1,) * (_MAX_DIMENSIONS - residuals.ndim)])


@torch.compiler.allow_in_graph
def _executed(
    shared: torch.Tensor, rows: torch.Tensor, keys: torch.Tensor, key: str, need_shared: bool, need_rows: bool
) -> tuple[torch.Tensor, ...]:
    """By the backend; but torch.compile cannot stack, under vmap, residuals whose size it does not know."""
    plan = plan_of(key)
    if torch._C._functorch.peek_interpreter_stack() is not None:
        if is_fake(rows) and plan.method == "adjoint":
            return (_differentiable(shared, rows, key),)
        need_shared = _is_followed(shared) and bool(plan.shared_index)
        need_rows = _is_followed(rows) and bool(plan.rows_index)
    return _Execute.apply(shared, rows, keys, key, need_shared, need_rows)


def _is_followed(tensor: torch.Tensor) -> bool:
    """Whether any transform differentiates by it: the tensor itself only says so of the innermost."""
    while not tensor.requires_grad:
        if not torch._C._functorch.is_functorch_wrapped_tensor(tensor):
            return False
        tensor = torch._C._functorch.get_unwrapped(tensor)
    return True


@torch.compiler.allow_in_graph
def _differentiable(shared: torch.Tensor, rows: torch.Tensor, key: str) -> torch.Tensor:
    """Exact values in torch operations: every derivative goes through them."""
    plan = plan_of(key)
    if _has_values(rows):
        _check_finite(plan, shared, rows)
        plan.amplitudes.reserve(rows.shape[0], None)
        plan.amplitudes.record(rows.shape[0], None)
    return plan.amplitudes.differentiable(plan.angles(shared, rows))


def _has_values(tensor: torch.Tensor) -> bool:
    """Whether its numbers can be looked at: not while tracing, and not inside a transform."""
    inside = torch._C._functorch.peek_interpreter_stack() is not None
    return not (inside or tensor.is_meta or is_fake(tensor))


def estimate(plan: Plan, shared: torch.Tensor, rows: torch.Tensor, keys: torch.Tensor) -> Estimate:
    """Values with variance and counts, without gradients."""
    _check_finite(plan, shared, rows)
    return plan.differentiator.run(plan.angles(shared, rows), plan.keys(keys))


@torch.library.custom_op("qnn::draw_keys", mutates_args={"calls"})
def draw_keys(calls: torch.Tensor, root: int, n_rows: int) -> torch.Tensor:
    """Sampling keys of one call, shape (N, 5); `calls`, the layer's own counter, goes up by one.

    An operator, because torch.compile cannot trace the step that `_seeding` holds.
    """
    with _counting:
        call = int(calls)
        calls += 1
    keys = _seeding.row_keys(root, n_rows, call)
    if n_rows:
        _drawn.get([]).append((call, int(keys[0, 2])))
    return keys


@draw_keys.register_fake
def _(calls, root, n_rows):
    return calls.new_empty(n_rows, 5)


@contextmanager
def counted_if_it_ends(calls: torch.Tensor, root: int) -> Iterator[None]:
    """An error in the block takes back what `draw_keys` has counted in it, in the open step too.

    So the same call, made again, is the same call to a journal, which has its jobs. Where other calls were counted
    meanwhile, nothing is taken back.
    """
    scope, drawn = _seeding.current_scope(), list[tuple[int, int]]()
    token = _drawn.set(drawn)
    try:
        yield
    except BaseException:
        for call, within in reversed(drawn):
            _take_back(calls, call)
            if scope is not None and scope.calls.get(root) == within + 1:
                scope.calls[root] = within
        raise
    finally:
        _drawn.reset(token)


@torch.library.custom_op("qnn::take_back", mutates_args={"calls"})
def _take_back(calls: torch.Tensor, call: int) -> None:
    """Count that call less, if it is the last; an operator, because transforms refuse such changes elsewhere."""
    with _counting:
        if int(calls) == call + 1:
            calls -= 1


@torch.library.custom_op("qnn::run", mutates_args=())
def _run(shared: torch.Tensor, rows: torch.Tensor, keys: torch.Tensor, key: str) -> torch.Tensor:
    plan = plan_of(key)
    return estimate(plan, shared, rows, keys).values.clone(memory_format=torch.contiguous_format)


@_run.register_fake
def _(shared, rows, keys, key):
    return rows.new_empty(rows.shape[0], plan_of(key).circuit.n_outputs)


@torch.library.custom_op("qnn::linearize", mutates_args=())
def _linearize(
    shared: torch.Tensor, rows: torch.Tensor, keys: torch.Tensor, key: str, need_shared: bool, need_rows: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Values, residuals in one row, and their shape."""
    plan = plan_of(key)
    _check_finite(plan, shared, rows)
    result, residuals = plan.differentiator.linearize(
        plan.angles(shared, rows), plan.keys(keys), need_shared, need_rows
    )
    return result.values.contiguous(), residuals.reshape(-1), _shape_of(residuals)


@_linearize.register_fake
def _(shared, rows, keys, key, need_shared, need_rows):
    plan = plan_of(key)
    values = rows.new_empty(rows.shape[0], plan.circuit.n_outputs)
    if plan.method == "adjoint":
        size = torch.library.get_ctx().new_dynamic_size()
    else:  # the Jacobian
        size = values.numel() * (plan.circuit.n_shared + plan.circuit.n_rows)
    return values, rows.new_empty(size), torch.empty(_MAX_DIMENSIONS, dtype=torch.int64)


@torch.library.custom_op("qnn::pullback", mutates_args=())
def _pullback(
    shared: torch.Tensor,
    rows: torch.Tensor,
    residuals: torch.Tensor,
    shape: torch.Tensor,
    cotangent: torch.Tensor,
    key: str,
    need_shared: bool,
    need_rows: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    residuals = residuals.reshape([size for size in shape.tolist() if size >= 0])
    of_shared, of_rows = plan_of(key).pullback(shared, rows, residuals, cotangent, need_shared, need_rows)
    return of_shared.contiguous(), of_rows.contiguous()


@_pullback.register_fake
def _(shared, rows, residuals, shape, cotangent, key, need_shared, need_rows):
    return torch.empty_like(shared), torch.empty_like(rows)


class _Execute(torch.autograd.Function):
    """(shared, rows) ↦ values; the other outputs are the residuals and their shape, without a gradient."""

    @staticmethod
    def forward(shared, rows, keys, key, need_shared, need_rows):
        if not (need_shared or need_rows):
            return _run(shared, rows, keys, key), rows.new_empty(0), torch.zeros(1, dtype=torch.int64)
        return _linearize(shared, rows, keys, key, need_shared, need_rows)

    @staticmethod
    def setup_context(ctx, inputs, output):
        shared, rows, _, ctx.key, ctx.need_shared, ctx.need_rows = inputs
        if not torch.compiler.is_compiling():
            ctx.plan = plan_of(ctx.key)  # so that it lives until the backward pass
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(shared, rows, *output[1:])
        ctx.save_for_forward(shared, rows)

    @staticmethod
    def backward(ctx, cotangent, *_):
        needed = (ctx.need_shared and ctx.needs_input_grad[0], ctx.need_rows and ctx.needs_input_grad[1])
        shared, rows, residuals, shape = ctx.saved_tensors
        grads = _Pullback.apply(shared, rows, residuals, shape, cotangent, ctx.key, *needed)
        return (*direct.wanted(grads, ctx.needs_input_grad), None, None, None, None)

    @staticmethod
    def jvp(ctx, d_shared, d_rows, *_):
        plan = plan_of(ctx.key)
        if not plan.twice_differentiable:
            raise CapabilityError(plan.first_derivatives_only("a derivative in forward mode"))
        values = _jvp(lambda *s: _differentiable(*s, plan.key), ctx.saved_tensors, (d_shared, d_rows))
        return values, None, None

    @staticmethod
    def vmap(info, in_dims, shared, rows, keys, key, need_shared, need_rows):
        results = []
        for index, operands in enumerate(_unbatched(info, in_dims[:3], (shared, rows, keys))):
            if in_dims[2] is None:
                operands[2] = _member_keys(keys, index)
            results.append(_Execute.apply(*operands, key, need_shared, need_rows))
        return _stacked(results), (0, 0, 0)


class _Pullback(torch.autograd.Function):
    """The vector-Jacobian product of `_Execute`; differentiated again by way of torch operations."""

    @staticmethod
    def forward(shared, rows, residuals, shape, cotangent, key, need_shared, need_rows):
        return _pullback(shared, rows, residuals, shape, cotangent, key, need_shared, need_rows)

    @staticmethod
    def setup_context(ctx, inputs, output):
        shared, rows, _, _, cotangent, ctx.key, ctx.need_shared, ctx.need_rows = inputs
        if not torch.compiler.is_compiling():
            ctx.plan = plan_of(ctx.key)
        ctx.save_for_backward(shared, rows, cotangent)
        ctx.save_for_forward(shared, rows, cotangent)

    @staticmethod
    def backward(ctx, *cotangents):
        if not plan_of(ctx.key).twice_differentiable:
            shared, rows, cotangent = _refuse_second(*ctx.saved_tensors, *cotangents, ctx.key)
        else:
            product = _pullback_in_torch(ctx.key, ctx.need_shared, ctx.need_rows)
            shared, rows, cotangent = torch.func.vjp(product, *ctx.saved_tensors)[1](cotangents)
        return shared, rows, None, None, cotangent, None, None, None

    @staticmethod
    def jvp(ctx, d_shared, d_rows, _, __, d_cotangent, *___):
        plan = plan_of(ctx.key)
        if not plan.twice_differentiable:
            raise CapabilityError(plan.first_derivatives_only("a second derivative"))
        product = _pullback_in_torch(ctx.key, ctx.need_shared, ctx.need_rows)
        return _jvp(product, ctx.saved_tensors, (d_shared, d_rows, d_cotangent))

    @staticmethod
    def vmap(info, in_dims, shared, rows, residuals, shape, cotangent, key, need_shared, need_rows):
        results = [
            _Pullback.apply(*operands, key, need_shared, need_rows)
            for operands in _unbatched(info, in_dims[:5], (shared, rows, residuals, shape, cotangent))
        ]
        return _stacked(results), (0, 0)


def _jvp(function, operands, tangents):
    """The derivative of a function along `tangents`, where None is zero."""
    full = tuple(torch.zeros_like(o) if d is None else d for o, d in zip(operands, tangents, strict=True))
    if torch._C._functorch.peek_interpreter_stack() is None:  # torch.autograd.forward_ad, which does not nest
        values, pullback = torch.func.vjp(function, *operands)[:2]
        zero = torch.zeros_like(values) if isinstance(values, torch.Tensor) else tuple(map(torch.zeros_like, values))
        return torch.func.vjp(pullback, zero)[1](full)[0]  # the pullback is linear, and this its transpose
    # Cloned: a tangent takes the strides of its operand, and the cotangent of a sum is one number seen many times.
    return torch.func.jvp(function, tuple(o.clone() for o in operands), full)[1]


def _pullback_in_torch(key: str, need_shared: bool, need_rows: bool) -> Callable[..., tuple[torch.Tensor, ...]]:
    """What `_pullback` computes, of (shared, rows, cotangent), in torch operations."""

    def product(shared, rows, cotangent):
        grads = torch.func.vjp(lambda *s: _differentiable(*s, key), shared, rows)[1](cotangent)
        return tuple(g if need else g * 0 for g, need in zip(grads, (need_shared, need_rows), strict=True))

    return product


@torch.library.custom_op("qnn::refuse_second", mutates_args=())
def _refuse_second(
    shared: torch.Tensor,
    rows: torch.Tensor,
    cotangent: torch.Tensor,
    of_shared: torch.Tensor,
    of_rows: torch.Tensor,
    key: str,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """An error when run and not when traced: torch.compile traces second derivatives that nobody asks for later."""
    raise CapabilityError(plan_of(key).first_derivatives_only("a second derivative"))


@_refuse_second.register_fake
def _(shared, rows, cotangent, of_shared, of_rows, key):
    return torch.empty_like(shared), torch.empty_like(rows), torch.empty_like(cotangent)


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
                where = f"an angle that is computed from row {place[0]} (a row of zeros has no amplitudes)"
            raise NotFiniteError(
                f"`{name}` must be finite; got {float(block[place])} at {where}. "
                "Check the data, the learning rate, and the layer before this one."
            )
