"""Callbacks: what happens at the joints of the training loop.

The loop calls `on_fit_start`, then per epoch `on_epoch_start`, `on_step_end` after every step
and `on_epoch_end`, and last `on_fit_end`, which comes after Ctrl-C and errors too.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from tqdm.auto import tqdm

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
        record: what is known of the epoch that just ended, see `History.epochs`.
        stop: set it to True to end training after the current epoch.
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
    record: dict[str, Any] = field(default_factory=dict)
    stop: bool = False


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

    def on_step_end(self, state: FitState) -> None:
        """After the weights have been updated."""

    def on_epoch_end(self, state: FitState) -> None:
        """After the epoch's evaluation; `state.record` is filled in."""

    def on_fit_end(self, state: FitState) -> None:
        """After the last epoch, or when an exception (Ctrl-C included) is on its way out."""


class RestoreBest(Callback):
    """Brings back the weights and buffers of the epoch with the lowest monitored loss, the first of equals.

    They come back at the end, on Ctrl-C and after an error alike; before the first epoch
    has ended there is nothing to bring back, and the weights stay as they are.
    """

    _loss = float("inf")
    _best: dict[str, Any] | None = None

    def on_fit_start(self, state: FitState) -> None:
        """Forget an earlier run."""
        self._best, self._loss = None, float("inf")

    def on_epoch_end(self, state: FitState) -> None:
        """Copy the weights if the epoch is the best so far."""
        loss = state.record["monitored_loss"]
        if loss is not None and loss < self._loss:
            self._best, self._loss = copy.deepcopy(state.model.state_dict()), loss

    def on_fit_end(self, state: FitState) -> None:
        """Load the copy."""
        if self._best is not None:
            state.model.load_state_dict(self._best)


class ProgressBar(Callback):
    """A bar over all steps on stderr (or in the notebook), with loss and metrics beside it."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None
        self._validation: dict[str, str] = {}

    def on_fit_start(self, state: FitState) -> None:
        """Draw the empty bar."""
        self._validation = {}
        self._bar = tqdm(total=state.config.epochs * state.steps_per_epoch, unit="step", dynamic_ncols=True)

    def on_epoch_start(self, state: FitState) -> None:
        """Say which epoch runs."""
        assert self._bar is not None
        self._bar.set_description(f"epoch {state.epoch}/{state.config.epochs}", refresh=False)

    def on_step_end(self, state: FitState) -> None:
        """Move on by a step, with the training metrics so far."""
        assert self._bar is not None
        self._bar.set_postfix(self._postfix(state), refresh=False)
        self._bar.update()

    def on_epoch_end(self, state: FitState) -> None:
        """Add the validation metrics."""
        assert self._bar is not None
        names = {"val_loss": "validation_loss", "val_accuracy": "validation_accuracy"}
        self._validation = {
            short: f"{state.record[key]:.3f}" for short, key in names.items() if state.record[key] is not None
        }
        self._bar.set_postfix(self._postfix(state))

    def on_fit_end(self, state: FitState) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.close()

    def _postfix(self, state: FitState) -> dict[str, str]:
        shown = {"loss": f"{state.metrics.loss:.3f}"}
        if state.metrics.accuracy is not None:
            shown["accuracy"] = f"{state.metrics.accuracy:.3f}"
        return shown | self._validation
