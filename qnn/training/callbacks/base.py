"""Callbacks: what happens at the joints of the training loop.

The loop calls `on_fit_start`, then per epoch `on_epoch_start`, per step `on_backward_end` (gradients are there,
nothing has changed yet) and `on_step_end`, then `on_epoch_end`, and last `on_fit_end`, which comes after Ctrl-C and
errors too. What a callback must remember for a resumed run to be the undisturbed one, it gives in `state_dict`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from qnn._meter import Usage
from qnn.training.config import FitConfig
from qnn.training.data import Rows
from qnn.training.losses import Metrics

if TYPE_CHECKING:
    from qnn.training.history import History


@dataclass
class FitState:
    """Where the loop is; callbacks read it, and may set `stop` or add entries to `record`.

    Attributes:
        model, optimizer, config, train, validation: what is trained, with what, on what.
        steps_per_epoch: optimisation steps in each epoch.
        history: the record so far.
        metrics: loss and accuracy over the current epoch's steps so far.
        epoch: number of the current epoch, from 1; 0 before the first.
        step: number of the current optimisation step over the whole run, from 0; in `on_step_end` the
            step just made, in `on_epoch_end` and `on_fit_end` the number of steps made.
        loss: mean loss of the step just made, before the update.
        usage: circuits, shots and jobs of the whole run so far, up to the step just made.
        record: what is known of the epoch that just ended, see `History.epochs`.
        stop: set it to True to end training after the current epoch.
        stop_now: set it to True to end training right after the current step; its epoch stays unfinished.
        stop_reason: why it was stopped, in a few words; None where training ran to its end.
        scheduler: of the learning rate; None where it stays.
        rank: number of this process among those that train together, 0 where there is only one.
        world_size: how many processes train together.
    """

    model: torch.nn.Module
    optimizer: torch.optim.Optimizer
    config: FitConfig
    train: Rows
    validation: Rows | None
    steps_per_epoch: int
    history: History
    metrics: Metrics
    epoch: int = 0
    step: int = 0
    loss: float = float("nan")
    usage: Usage = field(default_factory=Usage)
    record: dict[str, Any] = field(default_factory=dict)
    stop: bool = False
    stop_now: bool = False
    stop_reason: str | None = None
    scheduler: Any = None
    rank: int = 0
    world_size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes and prints."""
        return self.rank == 0


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
