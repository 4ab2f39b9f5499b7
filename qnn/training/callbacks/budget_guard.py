"""Stopping before a budget of circuits, shots or jobs is exceeded."""

from __future__ import annotations

from typing import Any

from qnn._integers import whole
from qnn._meter import Usage
from qnn.errors import ArgumentError
from qnn.training.callbacks.base import Callback, FitState
from qnn.training.callbacks.usage_log import difference, largest


class BudgetGuard(Callback):
    """Ends training before the step, or the evaluation of an epoch, that would exceed a budget.

    The forecast for a step is the most that any step has used so far (a last, smaller batch does not mislead it), and
    for the evaluation at the end of an epoch what the costliest one used. So the budget holds
    unless a step needs more than every step before it; the first step and the first evaluation,
    of which nothing is known beforehand, are always made. What a resumed run had used before counts.

    Args:
        max_circuits: circuits that the whole run may execute; None is any number.
        max_shots: shots, likewise.
        max_jobs: jobs, likewise: calls to a simulator, or what a provider counts.

    Raises:
        ArgumentError: no limit is given, or one that is no whole number above 0.

    Example:
        >>> BudgetGuard(max_shots=1_000_000).limits
        {'shots': 1000000}
    """

    def __init__(
        self, *, max_circuits: int | None = None, max_shots: int | None = None, max_jobs: int | None = None
    ) -> None:
        given = {"circuits": max_circuits, "shots": max_shots, "jobs": max_jobs}
        self.limits: dict[str, int] = {}
        for name, limit in given.items():
            number = whole(limit)
            if limit is not None and (number is None or number < 1):
                raise ArgumentError(f"`max_{name}` must be a whole number above 0, or None; got {limit!r}. Try 1000.")
            if number is not None:
                self.limits[name] = number
        if not self.limits:
            raise ArgumentError(
                "BudgetGuard must have a limit; got none. Give `max_circuits`, `max_shots` or `max_jobs`."
            )
        self._run: FitState | None = None
        self._forget()

    def _forget(self) -> None:
        self._used: Usage | None = None
        self._step, self._evaluation = Usage(), Usage()
        self._next = "step"

    def on_fit_start(self, state: FitState) -> None:
        """Forget an earlier run."""
        self._run = state
        self._forget()

    def on_epoch_start(self, state: FitState) -> None:
        """What was used before the epoch does not count for its first step."""
        self._used = Usage(**state.usage.as_dict())

    def on_step_end(self, state: FitState) -> None:
        """Learn what the step used, and stop if what comes next does not fit."""
        self._step = largest(self._step, self._since(state))
        self._next = "step" if (state.step + 1) % state.steps_per_epoch else "evaluation"
        self._check(state)

    def on_epoch_end(self, state: FitState) -> None:
        """Learn what the evaluation used, and stop if another step does not fit."""
        self._evaluation = largest(self._evaluation, self._since(state))
        self._next = "step"
        self._check(state)

    def on_fit_end(self, state: FitState) -> None:
        """Let go of the run."""
        self._run = None

    def _since(self, state: FitState) -> Usage:
        """What was used since the last joint."""
        before, self._used = self._used, Usage(**state.usage.as_dict())
        return Usage() if before is None else difference(self._used, before)

    def _check(self, state: FitState) -> None:
        forecast = self._step if self._next == "step" else self._evaluation
        used, more = (self._used or Usage()).as_dict(), forecast.as_dict()
        for name, limit in self.limits.items():
            if used[name] + more[name] > limit:
                state.stop_now = True
                reason = f"budget of {limit} {name}: {used[name]} used, the next {self._next} would use {more[name]}"
                state.stop_reason = state.stop_reason or reason

    def state_dict(self) -> dict[str, Any]:
        """What was used so far, and the forecasts."""
        parts = {"used": self._used or Usage(), "step": self._step, "evaluation": self._evaluation}
        return {"next": self._next, **{name: usage.as_dict() for name, usage in parts.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with them; a run that had used up its budget ends at once."""
        self._used, self._step, self._evaluation = (Usage(**state[name]) for name in ("used", "step", "evaluation"))
        self._next = state["next"]
        if self._run is not None:
            self._check(self._run)
            self._run.stop |= self._run.stop_now
