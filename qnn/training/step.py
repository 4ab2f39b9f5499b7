"""One optimisation step: forward, loss, penalties, gradients over all processes, clipping, update."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from qnn._seeding import step_scope
from qnn.errors import ArgumentError, NotFiniteError
from qnn.training.callbacks.base import FitState
from qnn.training.divergence import broken_step, check_step
from qnn.training.evaluation import outputs_of
from qnn.training.optimizers import needs_closure
from qnn.training.pipeline import Pipeline

Notify = Callable[[str], None]


def train_step(state: FitState, rows: Tensor, notify: Notify) -> None:
    """Make one step on the given rows of the training part; `state` knows afterwards what it saw.

    Raises:
        TrainingError: the loss or a gradient is not finite; nothing has been updated.
    """
    state.zero_grad()
    state.step_record = {}
    mine = state.world.share(rows)
    evaluation = _Evaluation(state, mine, rows, notify)
    try:
        with step_scope(state.config.first_step + state.step, mine):
            if needs_closure(state.optimizer):
                state.optimizer.step(evaluation)  # type: ignore[arg-type]  # torch types closures as returning a float
            else:
                evaluation.run()
                state.optimizer.step()
    except NotFiniteError as error:  # of a module that looks at what it is given
        raise broken_step(state, f"({error})") from error
    if state.world.size == 1 or evaluation.calls > 1:
        state.count_usage()
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
        state = self.state
        share = self.run().detach() / state.world.size
        if state.world.size > 1:
            share = torch.as_tensor(state.world.sum([float(share)])[0], dtype=share.dtype)
        if not torch.is_grad_enabled():
            check_step(state, float(share))
        return share + _penalty(state)

    def run(self) -> Tensor:
        """The share of the loss of this process, without penalties; gradients of both where they are enabled."""
        state, first, with_gradients = self.state, self.calls == 0, torch.is_grad_enabled()
        self.calls += 1
        x, y = state.train.select(self.mine, state.reference)
        if not first and with_gradients:
            state.zero_grad()
        if with_gradients and isinstance(state.network, Pipeline):
            if first and state.step == 0:
                _check_outputs(state, state.network.outputs_like(x), len(self.mine))
            outputs, share = state.network.forward_backward(x, partial(self._share_of_rows, y))
            y = y.to(outputs.device)
        else:
            outputs = outputs_of(state.network, x)
            y = y.to(outputs.device)
            if first and state.step == 0:
                _check_outputs(state, outputs, len(self.mine))
            share = self._share_of_loss(outputs, y)
            if with_gradients:
                share.backward()
        if with_gradients:
            _add_gradient_of_penalty(state)
        if first:
            self._report(share, outputs, y)
        if with_gradients:
            self._after_backward(first)
        return share

    def _share_of_loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """What this process adds to the loss, times the number of processes, over which gradients are averaged."""
        state, size = self.state, self.state.world.size
        if len(self.mine) == 0:
            return outputs.sum() * 0.0
        if state.train.weight is not None:
            weight = state.train.weight[self.mine].to(outputs.device, outputs.dtype)
            return (state.loss_function.rows(outputs, y) * weight).sum() * (size / len(self.rows))
        mean = state.loss_function(outputs, y)
        return mean if size == 1 else mean * (size * len(self.mine) / len(self.rows))

    def _share_of_rows(self, y: Tensor, outputs: Tensor, numbers: Tensor) -> Tensor:
        """What some rows of the batch add to the loss, where the model is a pipeline."""
        state, mine = self.state, y.to(outputs.device)[numbers]
        losses = state.loss_function.rows(outputs, mine)
        if state.train.weight is not None:
            losses = losses * state.train.weight[self.mine].to(outputs.device, outputs.dtype)[numbers]
        return losses.sum() / len(self.rows)

    def _report(self, share: Tensor, outputs: Tensor, y: Tensor) -> None:
        """Count the batch in the epoch's metrics, with the mean loss over all processes."""
        state, size = self.state, self.state.world.size
        weight = None if state.train.weight is None else state.train.weight[self.mine].to(outputs.device)
        value, correct = float(share.detach()), state.loss_function.count_correct(outputs.detach(), y, weight)
        if size > 1:
            value, right = state.count_usage(value / size, float(correct or 0))
            correct = None if correct is None else right
        state.loss = value
        total = None if state.train.weight is None else float(state.train.weight[self.rows].sum())
        state.metrics.add(value * len(self.rows), len(self.rows), correct, total)

    def _after_backward(self, first: bool) -> None:
        state = self.state
        if first:
            check_step(state, state.loss)
            self.notify("on_backward_end")
        if state.config.max_gradient_norm is not None:
            if isinstance(state.network, Pipeline):
                state.network.clip(state.weights, state.config.max_gradient_norm)
            else:
                torch.nn.utils.clip_grad_norm_(state.weights, state.config.max_gradient_norm)


def _penalty(state: FitState) -> float:
    """λ₁ Σ|w| + λ₂ Σw² over the weights."""
    l1, l2 = state.config.l1_penalty, state.config.l2_penalty
    first = sum(float(weight.detach().abs().sum()) for weight in state.weights) if l1 else 0.0
    second = sum(float(weight.detach().square().sum()) for weight in state.weights) if l2 else 0.0
    return l1 * first + l2 * second


@torch.no_grad()
def _add_gradient_of_penalty(state: FitState) -> None:
    """Add λ₁ sign w + 2λ₂ w, once for all processes, to weights that the loss does not reach, too."""
    l1, l2 = state.config.l1_penalty, state.config.l2_penalty
    if not (l1 or l2):
        return
    for weight in state.weights:
        gradient = l1 * weight.sign() + 2.0 * l2 * weight
        weight.grad = gradient if weight.grad is None else weight.grad.add_(gradient)


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
