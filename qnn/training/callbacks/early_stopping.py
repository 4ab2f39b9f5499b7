"""Stopping when a number no longer gets better."""

from __future__ import annotations

import math
from typing import Any

from qnn._integers import whole
from qnn.errors import ArgumentError
from qnn.training.callbacks.base import Callback, FitState
from qnn.training.callbacks.monitor import direction, is_number, monitored_value


class EarlyStopping(Callback):
    """Ends training when the monitored number has not got better for `patience` epochs in a row.

    An epoch is better if it beats the best one so far by more than `min_delta`; NaN never does.

    Args:
        monitor: any number of the epoch's record (see `History.epochs`), also one that a callback or a metric
            put there; callbacks that add entries come before this one in `callbacks`.
        patience: epochs in a row without getting better after which training ends, at least 1.
        min_delta: what counts as better: more than this, in the monitored number's own unit.
        mode: "min" (a loss) or "max" (an accuracy); "auto" goes by the name and raises if that does not tell.

    Attributes:
        best: the best number so far, None before the first epoch.
        best_epoch: its epoch.

    Raises:
        ArgumentError, UnknownNameError: here for options, at the end of the first epoch for an unknown `monitor`.

    Example:
        >>> EarlyStopping("validation_accuracy", patience=5, min_delta=0.001).mode
        'max'
    """

    def __init__(
        self, monitor: str = "monitored_loss", *, patience: int = 10, min_delta: float = 0.0, mode: str = "auto"
    ) -> None:
        number = whole(patience)
        if number is None or number < 1:
            raise ArgumentError(f"`patience` must be a whole number of epochs, at least 1; got {patience!r}. Try 10.")
        if not is_number(min_delta) or not 0 <= min_delta < math.inf:
            raise ArgumentError(f"`min_delta` must be a finite number of at least 0; got {min_delta!r}. Use 0.")
        self.monitor, self.patience, self.min_delta = monitor, number, float(min_delta)
        self.mode = direction(monitor, mode)
        self._run: FitState | None = None
        self._forget()

    def _forget(self) -> None:
        self.best: float | None = None
        self.best_epoch: int | None = None
        self._waited = 0

    def on_fit_start(self, state: FitState) -> None:
        """Forget an earlier run."""
        self._run = state
        self._forget()

    def on_epoch_end(self, state: FitState) -> None:
        """Compare, and stop if it has been long enough."""
        value = monitored_value(state.record, self.monitor)
        if self._is_better(value):
            self.best, self.best_epoch, self._waited = value, state.epoch, 0
            return
        self._waited += 1
        self._check(state)

    def on_fit_end(self, state: FitState) -> None:
        """Let go of the run."""
        self._run = None

    def _check(self, state: FitState) -> None:
        if self._waited >= self.patience:
            state.stop = True
            best = "" if self.best is None else f" since epoch {self.best_epoch} ({self.best:.6g})"
            state.stop_reason = state.stop_reason or f"{self.monitor} did not get better{best}"

    def _is_better(self, value: float) -> bool:
        if math.isnan(value) or self.best is None:
            return not math.isnan(value)
        gain = self.best - value if self.mode == "min" else value - self.best
        return gain > self.min_delta

    def state_dict(self) -> dict[str, Any]:
        """The best number, its epoch, and how long it has been."""
        return {"best": self.best, "best_epoch": self.best_epoch, "waited": self._waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on waiting; where it had been long enough already, the resumed run ends at once."""
        self.best, self.best_epoch, self._waited = state["best"], state["best_epoch"], state["waited"]
        if self._run is not None:
            self._check(self._run)
