"""One optimisation step: forward, loss, penalties, gradients over all processes, clipping, update."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from qnn._seeding import step_scope
from qnn.errors import ArgumentError
from qnn.training.callbacks.base import FitState
from qnn.training.divergence import check_step
from qnn.training.optimizers import needs_closure

Notify = Callable[[str], None]


def train_step(state: FitState, rows: Tensor, notify: Notify) -> None:
    """Make one step on the given rows of the training part; `state` knows afterwards what it saw.

    Raises:
        TrainingError: the loss or a gradient is not finite; nothing has been updated.
    """
    state.optimizer.zero_grad()
    mine = state.world.share(rows)
    with step_scope(state.config.first_step + state.step, mine):
        evaluation = _Evaluation(state, mine, rows, notify)
        if needs_closure(state.optimizer):
            state.optimizer.step(evaluation)  # type: ignore[arg-type]  # torch types closures as returning a float
        else:
            evaluation.run()
            state.optimizer.step()
    if state.scheduler is not None and state.config.scheduler_step == "step":
        state.scheduler.step()


@dataclass
class _Evaluation:
    """The loss on one batch, to be called once or, by optimizers that search, as often as they like.

    With gradients enabled it sets them anew; under ``torch.no_grad()`` it only evaluates. Each call samples afresh.
    """

    state: FitState
    mine: Tensor  # shape: (B,), this process's rows
    rows: Tensor  # shape: (B,), those of all processes
    notify: Notify
    calls: int = 0

    def __call__(self) -> Tensor:
        """What is minimised, over all processes; a scalar."""
        share, penalty = self.run()
        mean = share.detach() / self.state.world.size
        if self.state.world.size > 1:
            mean = torch.as_tensor(self.state.world.sum([float(mean)])[0], dtype=share.dtype)
        return mean if penalty is None else mean + penalty.detach().to(mean.device)

    def run(self) -> tuple[Tensor, Tensor | None]:
        """This process's share of the loss, and the penalty; gradients where they are enabled."""
        state, first, with_gradients = self.state, self.calls == 0, torch.is_grad_enabled()
        self.calls += 1
        x, y = state.train.select(self.mine, state.reference)
        if not first and with_gradients:
            state.optimizer.zero_grad()
        outputs = state.network(x)
        y = y.to(outputs.device)
        if first and state.step == 0:
            _check_outputs(state, outputs, len(self.mine))
        share, penalty = self._share_of_loss(outputs, y), _penalty(state)
        if with_gradients:
            (share if penalty is None else share + penalty).backward()
        if first:
            self._report(share, outputs, y)
        if with_gradients:
            self._after_backward(first)
        return share, penalty

    def _share_of_loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """What this process adds to the loss, times the number of processes, over which gradients are averaged."""
        state, size = self.state, self.state.world.size
        if len(self.mine) == 0:
            return outputs.sum() * 0.0
        if state.train.weight is not None:
            weight = state.train.weight.to(outputs.device, outputs.dtype)
            total = weight[self.rows].sum().clamp_min(torch.finfo(outputs.dtype).tiny)
            return (state.loss_function.rows(outputs, y) * weight[self.mine]).sum() * (size / total)
        mean = state.loss_function(outputs, y)
        return mean if size == 1 else mean * (size * len(self.mine) / len(self.rows))

    def _report(self, share: Tensor, outputs: Tensor, y: Tensor) -> None:
        """Count the batch in the epoch's metrics, with the mean loss over all processes."""
        state, size = self.state, self.state.world.size
        value, correct = float(share.detach()), state.loss_function.count_correct(outputs.detach(), y)
        if size > 1:
            value, right = state.world.sum([value / size, float(correct or 0)])
            correct = None if correct is None else int(right)
        state.loss = value
        state.metrics.add(value, len(self.rows), correct)

    def _after_backward(self, first: bool) -> None:
        state = self.state
        if first:
            check_step(state, state.loss)
            self.notify("on_backward_end")
        if state.config.max_gradient_norm is not None:
            torch.nn.utils.clip_grad_norm_(state.weights, state.config.max_gradient_norm)


def _penalty(state: FitState) -> Tensor | None:
    """λ₁ Σ|w| + λ₂ Σw² over the trainable weights, None where both are zero."""
    config = state.config
    if not (config.l1_penalty or config.l2_penalty):
        return None
    device = state.weights[0].device
    l1 = sum((weight.abs().sum().to(device) for weight in state.weights), torch.zeros((), device=device))
    l2 = sum((weight.square().sum().to(device) for weight in state.weights), torch.zeros((), device=device))
    return config.l1_penalty * l1 + config.l2_penalty * l2


def _check_outputs(state: FitState, outputs: Tensor, n_rows: int) -> None:
    """At the first forward: raise if outputs and targets do not belong together, in either part."""
    for part, rows in (("training", state.train), ("validation", state.validation)):
        if rows is not None:
            state.loss_function.check_outputs(outputs, n_rows, rows.y, part)
    if torch.is_grad_enabled() and not outputs.requires_grad:
        raise ArgumentError(
            "`model` must give outputs that depend on its trainable parameters; got outputs without a gradient. "
            "Look for detach(), torch.no_grad() or a NumPy detour in its forward."
        )
