"""What happened in a training run, as plain data, and the callback that writes it down."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from qnn._meter import Usage
from qnn.training.callbacks.base import Callback, FitState


@dataclass
class History:
    """The record of one run of `fit`.

    Attributes:
        epochs: one dictionary per epoch: `epoch` (from 1), `train_loss` and `train_accuracy` (means
            over the epoch's steps, each with the weights of its moment), `validation_loss` and
            `validation_accuracy` (at the end of the epoch; None without a validation part),
            `monitored_loss` (what decides which epoch is best: the validation loss, without a validation
            part the training loss at the end of the epoch; None when that is not asked for), the metrics that
            were asked for, as `validation_NAME` or `train_NAME`, `learning_rate` (of its last step), `wall_s`,
            and `circuits`, `shots`, `jobs` (used by its steps and its evaluation).
        steps: optimisation steps made.
        usage: circuits, shots and jobs of the whole run, those of an unfinished epoch included.
        stop_reason: why a callback ended training before the last epoch; None where it came to its end.
    """

    epochs: list[dict[str, Any]] = field(default_factory=list)
    steps: int = 0
    usage: Usage = field(default_factory=Usage)
    stop_reason: str | None = None

    @property
    def best_epoch(self) -> int | None:
        """Number (from 1) of the first epoch with the lowest monitored loss; None if none was monitored."""
        seen = [e for e in self.epochs if e["monitored_loss"] is not None]
        return min(seen, key=lambda e: e["monitored_loss"])["epoch"] if seen else None

    def as_dict(self) -> dict[str, Any]:
        """The history as plain data that `json.dumps` takes."""
        return {
            "epochs": [dict(epoch) for epoch in self.epochs],
            "best_epoch": self.best_epoch,
            "steps": self.steps,
            "usage": self.usage.as_dict(),
            "stop_reason": self.stop_reason,
        }

    def load(self, data: dict[str, Any]) -> None:
        """Become the history that `as_dict` gave."""
        self.epochs, self.steps, self.usage = list(data["epochs"]), data["steps"], Usage(**data["usage"])


class HistoryRecorder(Callback):
    """Writes the history: counts steps, and keeps the record of each finished epoch."""

    def on_step_end(self, state: FitState) -> None:
        """Count the step."""
        state.history.steps += 1

    def on_epoch_end(self, state: FitState) -> None:
        """Keep the epoch's record; callbacks that come later may still add entries to it."""
        state.history.epochs.append(state.record)
        state.history.usage = state.usage

    def on_fit_end(self, state: FitState) -> None:
        """Write down what was used in all, and why training stopped."""
        state.history.usage, state.history.stop_reason = state.usage, state.stop_reason
