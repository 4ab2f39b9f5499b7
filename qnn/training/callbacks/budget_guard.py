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

    The forecast for a step is the most that a step has used so far; the last step of an epoch, whose batch may be
    smaller, and the evaluation after it have forecasts of their own. So the budget holds unless a
    step needs more than every one of its kind before; the first step and the first evaluation, of which nothing is
    known beforehand, are always made. What a run had used before it was resumed counts, and a resumed run may have
    a larger budget.

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
        self._costs: dict[str, Usage] = {}  # the most used so far, by kind of work
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
        kind = _kind(state, state.step)
        self._learn(state, kind)
        self._next = "evaluation" if kind == "last step" else _kind(state, state.step + 1)
        self._check(state)

    def on_epoch_end(self, state: FitState) -> None:
        """Learn what the evaluation used, and stop if another step does not fit."""
        self._learn(state, "evaluation")
        self._next = _kind(state, state.step)
        self._check(state)

    def on_fit_end(self, state: FitState) -> None:
        """Let go of the run."""
        self._run = None

    def _learn(self, state: FitState, kind: str) -> None:
        """Remember what was used since the last joint."""
        before, self._used = self._used, Usage(**state.usage.as_dict())
        if before is not None:
            self._costs[kind] = largest(self._costs.get(kind, Usage()), difference(self._used, before))

    def _check(self, state: FitState) -> None:
        unknown = Usage() if self._next == "evaluation" else self._costs.get("step", Usage())
        forecast = self._costs.get(self._next, unknown)
        used, more = (self._used or Usage()).as_dict(), forecast.as_dict()
        for name, limit in self.limits.items():
            if used[name] + more[name] > limit:
                state.stop_now = True
                reason = f"budget of {limit} {name}: {used[name]} used, the next {self._next} would use {more[name]}"
                state.stop_reason = state.stop_reason or reason

    def state_dict(self) -> dict[str, Any]:
        """What was used so far, and the forecasts."""
        costs = {kind: usage.as_dict() for kind, usage in self._costs.items()}
        return {"used": (self._used or Usage()).as_dict(), "costs": costs, "next": self._next}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with them; a run that had used up its budget ends at once."""
        self._used = Usage(**state["used"])
        self._costs = {kind: Usage(**counts) for kind, counts in state["costs"].items()}
        self._next = state["next"]
        if self._run is not None:
            self._check(self._run)
            self._run.stop |= self._run.stop_now


def _kind(state: FitState, step: int) -> str:
    """Whether the step is the last of its epoch."""
    return "step" if (step + 1) % state.steps_per_epoch else "last step"
