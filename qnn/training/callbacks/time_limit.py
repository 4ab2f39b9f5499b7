"""A limit of wall-clock time."""

from __future__ import annotations

import math
import re
import time
from typing import Any

from qnn.errors import ArgumentError
from qnn.training.callbacks.base import Callback, FitState
from qnn.training.callbacks.monitor import is_number

_SECONDS = {"d": 86400.0, "h": 3600.0, "min": 60.0, "m": 60.0, "s": 1.0}
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(d|h|min|m|s)(?![a-z])\s*")


class TimeLimit(Callback):
    """Ends training after the step during which the limit was reached.

    What counts is time spent in `fit`, on a clock that nobody can set back: a resumed run goes on with the time that
    its checkpoint had used, and the pause between does not count. The run is over the limit by at most one step,
    or the evaluation at the end of an epoch.

    Args:
        limit: seconds, or text such as "2h", "90min", "1h30m", "1d 12h".

    Attributes:
        limit_s: the limit in seconds.
        elapsed_s: what has been used so far, before and after resumes.

    Raises:
        ArgumentError: `limit` is neither.

    Example:
        >>> TimeLimit("1h30m").limit_s
        5400.0
    """

    def __init__(self, limit: float | str) -> None:
        self.limit_s = _seconds(limit)
        self._run: FitState | None = None
        self._started: float | None = None
        self._before_s = 0.0

    @property
    def elapsed_s(self) -> float:
        """Seconds of this run, with those before a resume."""
        return self._before_s + (0.0 if self._started is None else time.monotonic() - self._started)

    def on_fit_start(self, state: FitState) -> None:
        """Start the clock."""
        self._run, self._started, self._before_s = state, time.monotonic(), 0.0

    def on_step_end(self, state: FitState) -> None:
        """Stop if the time is over."""
        self._check(state)

    def on_epoch_end(self, state: FitState) -> None:
        """Stop if the time is over."""
        self._check(state)

    def on_fit_end(self, state: FitState) -> None:
        """Stop the clock."""
        self._before_s, self._started, self._run = self.elapsed_s, None, None

    def _check(self, state: FitState) -> None:
        if state.world.any(self.elapsed_s >= self.limit_s):  # clocks of several processes differ
            state.stop_now = True
            state.stop_reason = state.stop_reason or f"time limit of {self.limit_s:g} s"

    def state_dict(self) -> dict[str, Any]:
        """The time used so far."""
        return {"elapsed_s": self.elapsed_s}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Count on from there; a run that had used up its time ends at once."""
        self._before_s = state["elapsed_s"]
        if self._run is not None:
            self._check(self._run)
            self._run.stop |= self._run.stop_now


def _seconds(limit: float | str) -> float:
    """The limit in seconds."""
    if is_number(limit):
        value = float(limit)
    elif isinstance(limit, str) and _PART.sub("", limit) == "" and limit.strip():
        value = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(limit))
    else:
        value = math.nan
    if not 0 < value < math.inf:
        raise ArgumentError(
            f'`limit` must be a time above 0, in seconds or as text with units d, h, min, s; got {limit!r}. Try "2h".'
        )
    return value
