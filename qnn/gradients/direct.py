"""The operator where nothing is traced or transformed: straight to the backend.

`torch.library` and functorch's bookkeeping cost more than a small circuit does. Where tensors are plain and no
transform is at work, this function does the same as `operator._Execute` without them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch


def possible(*tensors: torch.Tensor) -> bool:
    """Whether these are plain tensors and nobody looks on: no compiler, transform, forward mode or dispatch mode."""
    return (
        all(type(t) in (torch.Tensor, torch.nn.Parameter) and not t.is_meta for t in tensors)
        and not torch.compiler.is_compiling()
        and torch._C._functorch.peek_interpreter_stack() is None
        and torch.autograd.forward_ad._current_level < 0
        and not torch._C._len_torch_dispatch_stack()
    )


def _many_at_once() -> bool:
    """Whether `torch.autograd.grad(..., is_grads_batched=True)` runs the backward pass, which shows in nothing else."""
    nesting = torch._C._vmapmode_increment_nesting()
    torch._C._vmapmode_decrement_nesting()
    return nesting > 1


def wanted(
    gradients: Sequence[torch.Tensor], needed: Sequence[bool]
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Gradients of the two sources where autograd asks for them."""
    return gradients[0] if needed[0] else None, gradients[1] if needed[1] else None


class Direct(torch.autograd.Function):
    """(shared, rows) ↦ values, by a `Plan`; `again` is its pullback as a differentiable function."""

    @staticmethod
    def forward(ctx, shared, rows, keys, plan, need_shared, need_rows, again):  # noqa: D102
        angles = plan.angles(shared, rows)
        result, residuals = plan.differentiator.linearize(angles, plan.keys(keys), need_shared, need_rows)
        ctx.plan, ctx.again, ctx.need = plan, again, (need_shared, need_rows)
        ctx.save_for_backward(shared, rows, residuals)
        return result.values

    @staticmethod
    def backward(ctx, cotangent):  # noqa: D102
        shared, rows, residuals = ctx.saved_tensors
        need_shared, need_rows = ctx.need[0] and ctx.needs_input_grad[0], ctx.need[1] and ctx.needs_input_grad[1]
        again = torch.is_grad_enabled() or _many_at_once() or not possible(cotangent)  # create_graph, for one
        pullback = ctx.again if again else ctx.plan.pullback
        grads = pullback(shared, rows, residuals, cotangent, need_shared, need_rows)
        return *wanted(grads, ctx.needs_input_grad), None, None, None, None, None, None
