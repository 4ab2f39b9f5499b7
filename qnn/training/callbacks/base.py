"""Callbacks: what happens at the joints of the training loop.

The loop calls `on_fit_start`, then per epoch `on_epoch_start`, per step `on_backward_end` (gradients are there,
nothing has changed yet) and `on_step_end`, then `on_epoch_end`, and last `on_fit_end`, which comes after Ctrl-C and
errors too. What a callback must remember for a resumed run to be the undisturbed one, it gives in `state_dict`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import torch

from qnn._meter import Usage
from qnn._run import Run
from qnn.training.config import FitConfig
from qnn.training.data import Order, Rows
from qnn.training.losses import Loss
from qnn.training.metrics import Metrics
from qnn.training.processes import ALONE, World

if TYPE_CHECKING:
    from qnn.training.history import History


@dataclass
class FitState:
    """Where the loop is; callbacks read it, and may set `stop`, `stop_now`, `stop_reason` or add entries to `record`.

    Attributes:
        model, optimizer, scheduler, config, train, validation: what is trained, with what, on what; the scheduler of
            the learning rate may be None.
        weights: the trainable parameters that the optimizer holds; `others` are those that it leaves alone.
        reference: the model's first parameter or buffer, whose device and dtype inputs are given.
        network: what is called in training: the model, or the model wrapped for several processes.
        loss_function: what is minimised, but for penalties.
        order: the order of the rows.
        steps_per_epoch: optimisation steps in each epoch.
        history: the record so far.
        metrics: loss and accuracy over the current epoch's steps so far.
        world: the processes that train together.
        run: the run that jobs at providers belong to; a checkpoint keeps its id, and what it has counted once.
        callbacks: all of them, in the order in which they are called.
        epoch: number of the current epoch, from 1; 0 before the first.
        position: steps made in the current epoch; 0 again in `on_epoch_end`.
        step: number of the current optimisation step over the whole run, from 0; in `on_step_end` the
            step just made, in `on_epoch_end` and `on_fit_end` the number of steps made.
        loss: mean loss of the step just made, before the update.
        usage: circuits, shots and jobs of the whole run so far, in all processes, up to the step just made.
        record: what is known of the epoch that just ended, see `History.epochs`.
        step_record: what callbacks found out about the step just made, for logs with a row per step to write.
        stop: set it to True to end training after the current epoch.
        stop_now: set it to True to end training right after the current step; its epoch stays unfinished.
        stop_reason: why it was stopped, in a few words; None where training ran to its end.
        spent, used_before: circuits, shots and jobs of this call and process, and of the calls before a resume.
        agreed: whether the processes have agreed on `stop` and `stop_now` since the last step or epoch.
        epoch_started, epoch_usage: time (`time.perf_counter`) and usage when the current epoch began.
    """

    model: torch.nn.Module
    weights: list[torch.nn.Parameter]
    others: list[torch.nn.Parameter]
    reference: torch.Tensor
    network: torch.nn.Module
    optimizer: torch.optim.Optimizer
    config: FitConfig
    loss_function: Loss
    train: Rows
    validation: Rows | None
    order: Order
    steps_per_epoch: int
    history: History
    metrics: Metrics
    world: World = ALONE
    run: Run = field(default_factory=lambda: Run(uuid4().hex))
    scheduler: Any = None
    callbacks: list[Callback] = field(default_factory=list)
    epoch: int = 0
    position: int = 0
    step: int = 0
    loss: float = float("nan")
    usage: Usage = field(default_factory=Usage)
    record: dict[str, Any] = field(default_factory=dict)
    step_record: dict[str, Any] = field(default_factory=dict)
    stop: bool = False
    stop_now: bool = False
    stop_reason: str | None = None
    spent: Usage = field(default_factory=Usage)
    used_before: Usage = field(default_factory=Usage)
    agreed: bool = False
    epoch_started: float = 0.0
    epoch_usage: Usage = field(default_factory=Usage)

    def zero_grad(self) -> None:
        """Forget all gradients, those of parameters that the optimizer does not hold included."""
        self.optimizer.zero_grad()
        for weight in self.others:
            weight.grad = None

    def agree(self, *flags: bool) -> list[bool]:
        """Stop in all processes where one wants to stop; every process must call it at the same place.

        Args:
            *flags: further wishes to be agreed on in the same exchange.

        Returns:
            For each flag, whether it is true in any process.
        """
        self.agreed = True
        if self.world.alone:
            return list(flags)
        wishes = self.world.sum([float(flag) for flag in (self.stop, self.stop_now, *flags)])
        self.stop, self.stop_now, *others = (n > 0 for n in wishes)
        return others

    def count_usage(self, *further: float) -> Sequence[float]:
        """Bring `usage` up to date over all processes; `further` numbers are summed in the same exchange."""
        before, spent = self.used_before, self.spent
        circuits, shots, jobs, *rest = self.world.sum([spent.circuits, spent.shots, spent.jobs, *further])
        self.usage = Usage(before.circuits + int(circuits), before.shots + int(shots), before.jobs + int(jobs))
        return rest

    @property
    def rank(self) -> int:
        """Number of this process among those that train together."""
        return self.world.rank

    @property
    def world_size(self) -> int:
        """How many processes train together."""
        return self.world.size

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes and prints."""
        return self.world.rank == 0


class Callback:
    """Base class: override the joints you need.

    Example:
        >>> class StopAt(Callback):
        ...     def __init__(self, accuracy):
        ...         self.accuracy = accuracy
        ...     def on_epoch_end(self, state):
        ...         state.stop = state.record["train_accuracy"] >= self.accuracy
    """

    def on_fit_start(self, state: FitState) -> None:
        """Before the first epoch; data and options have been checked."""

    def on_epoch_start(self, state: FitState) -> None:
        """Before the first step of an epoch."""

    def on_backward_end(self, state: FitState) -> None:
        """After the gradients, before they are clipped and used; optimizers that need none skip it."""

    def on_step_end(self, state: FitState) -> None:
        """After the weights have been updated."""

    def on_epoch_end(self, state: FitState) -> None:
        """After the epoch's evaluation; `state.record` is filled in."""

    def on_fit_end(self, state: FitState) -> None:
        """After the last epoch, or when an exception (Ctrl-C included) is on its way out."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of this callback: JSON values and tensors, nested as you like."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave; called after `on_fit_start`."""
