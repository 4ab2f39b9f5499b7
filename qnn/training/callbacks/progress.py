"""Progress, in the terminal and in notebooks."""

from __future__ import annotations

import math
import sys
import time

from tqdm.auto import tqdm

from qnn.errors import ArgumentError
from qnn.training.callbacks.base import Callback, FitState
from qnn.training.callbacks.monitor import is_number


class ProgressBar(Callback):
    """Shows how far training is: steps made and to come, time left, loss and metrics, those of validation too.

    In a terminal (stderr) and in notebooks it is a bar. Elsewhere (a pipe, the log of a batch job) it
    is quiet: a plain line every `plain_every_s` seconds, none for a run that takes less. The time left is that of the
    remaining steps at the mean pace of this run, evaluations included. Only the main process shows anything.

    Args:
        plain_every_s: seconds from one plain line to the next.

    Raises:
        ArgumentError: `plain_every_s` is negative or no number.

    Example:
        >>> ProgressBar(plain_every_s=600).plain_every_s
        600.0
    """

    def __init__(self, plain_every_s: float = 60.0) -> None:
        if not is_number(plain_every_s) or not plain_every_s >= 0:
            raise ArgumentError(f"`plain_every_s` must be a number of at least 0; got {plain_every_s!r}. Try 60.")
        self.plain_every_s = float(plain_every_s)
        self._bar: tqdm | None = None
        self._plain = False
        self._validation: dict[str, str] = {}
        self._first_step: int | None = None

    def on_fit_start(self, state: FitState) -> None:
        """Draw the empty bar."""
        self._close()
        self._validation, self._first_step = {}, None
        self._shown_s = self._started_s = time.monotonic()
        in_notebook = any(base.__module__ == "tqdm.notebook" for base in tqdm.__mro__)
        shows_bar = in_notebook or sys.stderr.isatty()
        self._plain = state.is_main and not shows_bar
        if state.is_main and shows_bar:
            self._bar = tqdm(total=_total(state), unit="step", dynamic_ncols=True, smoothing=0.0)

    def on_epoch_start(self, state: FitState) -> None:
        """Say which epoch runs; a resumed run's bar starts where the run does."""
        self._place(state)
        if self._bar is not None:
            self._bar.set_description(_epoch(state), refresh=False)

    def on_step_end(self, state: FitState) -> None:
        """Move on by a step, with the training metrics so far."""
        self._place(state)
        if self._bar is not None:
            self._bar.set_postfix(self._shown(state), refresh=False)
            self._bar.update()
        elif self._plain and time.monotonic() - self._shown_s >= self.plain_every_s:
            self._print(state)

    def on_epoch_end(self, state: FitState) -> None:
        """Add the validation metrics."""
        self._validation = {
            key.replace("validation_", "val_", 1): f"{value:.3f}"
            for key, value in state.record.items()
            if key.startswith("validation_") and is_number(value)
        }
        if self._bar is not None:
            self._bar.set_postfix(self._shown(state))

    def on_fit_end(self, state: FitState) -> None:
        """Leave the bar as it stands, with the reason if training was stopped."""
        if self._bar is not None and state.stop_reason is not None:
            self._bar.set_description(f"{_epoch(state)}, stopped: {state.stop_reason}")
        self._close()

    def _place(self, state: FitState) -> None:
        """Start the bar where the run starts, which after a resume may be within an epoch."""
        if self._first_step is None:
            self._first_step = state.step
            if self._bar is not None:
                self._bar.initial = self._bar.n = self._bar.last_print_n = state.step
                self._bar.set_description(_epoch(state), refresh=False)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def _shown(self, state: FitState) -> dict[str, str]:
        shown = {"loss": f"{state.metrics.loss:.3f}"}
        if state.metrics.accuracy is not None:
            shown["accuracy"] = f"{state.metrics.accuracy:.3f}"
        return shown | self._validation

    def _print(self, state: FitState) -> None:
        """A line of text instead of a bar."""
        self._shown_s = time.monotonic()
        made, elapsed_s = state.step + 1, self._shown_s - self._started_s
        left_s = elapsed_s / max(1, made - (self._first_step or 0)) * (_total(state) - made)
        times = f"{tqdm.format_interval(elapsed_s)} elapsed, {tqdm.format_interval(math.ceil(left_s))} left"
        numbers = ", ".join(f"{name}={value}" for name, value in self._shown(state).items())
        print(f"{_epoch(state)}, step {made}/{_total(state)}: {numbers} ({times})", file=sys.stderr, flush=True)


def _epoch(state: FitState) -> str:
    return f"epoch {state.epoch}/{state.config.epochs}"


def _total(state: FitState) -> int:
    return state.config.epochs * state.steps_per_epoch
