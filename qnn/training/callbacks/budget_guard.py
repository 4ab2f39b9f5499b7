"""Stopping before a budget of circuits, shots, jobs or seconds is exceeded."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from qnn._meter import Budget, Usage, within
from qnn.training.callbacks.base import FitState
from qnn.training.callbacks.run_budget import RunBudget
from qnn.training.callbacks.usage_log import difference, largest


class BudgetGuard(RunBudget):
    """Ends training before the step, or the evaluation of an epoch, that would exceed a budget.

    The forecast for a step is the most that a step has used so far, after the first, which may have done what is done
    once; the last step of an epoch, whose batch may be smaller, and the evaluation after it have forecasts of their
    own. Where a step needs more than every one of its kind before, and in the first step, of which nothing is known
    beforehand, the call that would exceed the budget is refused before anything of it is executed or submitted, and
    `fit` raises `BudgetError`. What a run had used before it was resumed counts, and a resumed run may have a larger
    budget. In several processes the forecasts are of all of them together, and each refuses what alone exceeds the
    budget.

    Args:
        max_circuits: circuits that the whole run may execute; None is any number.
        max_shots: shots, likewise.
        max_jobs: jobs, likewise: calls to a simulator, or what a provider counts.
        max_seconds: estimated seconds on machines that bill them, likewise; calls are refused, without a forecast.

    Raises:
        ArgumentError: no limit is given, or one that is no number above 0.

    Example:
        >>> BudgetGuard(max_shots=1_000_000).limits
        {'shots': 1000000}
    """

    def __init__(
        self,
        *,
        max_circuits: int | None = None,
        max_shots: int | None = None,
        max_jobs: int | None = None,
        max_seconds: float | None = None,
    ) -> None:
        super().__init__(Budget(max_jobs, max_shots, max_circuits, max_seconds))
        limits = {"circuits": max_circuits, "shots": max_shots, "jobs": max_jobs, "seconds": max_seconds}
        self.limits = {name: limit for name, limit in limits.items() if limit is not None}
        self._refusing = ExitStack()
        self._forget()

    def _forget(self) -> None:
        self._used: Usage | None = None
        self._costs: dict[str, Usage] = {}  # the most used so far, by kind of work, but for the first time
        self._seen: dict[str, int] = {}  # how often
        self._next = "step"

    def on_fit_start(self, state: FitState) -> None:
        """Forget an earlier run, and refuse from now on what would exceed the budget."""
        self._forget()
        self._budget.used = dict.fromkeys(self._budget.used, 0)
        super().on_fit_start(state)
        self._refusing.enter_context(within(self._budget))

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
        self._refusing.close()
        super().on_fit_end(state)

    def _learn(self, state: FitState, kind: str) -> None:
        """Remember what was used since the last joint."""
        before, self._used = self._used, Usage(**state.usage.as_dict())
        self._count(state)
        if before is None:
            return
        cost, self._seen[kind] = difference(self._used, before), self._seen.get(kind, 0) + 1
        # The first of its kind may hold what is done once, such as a calibration.
        self._costs[kind] = cost if self._seen[kind] <= 2 else largest(self._costs[kind], cost)

    def _check(self, state: FitState) -> None:
        unknown = Usage() if self._next == "evaluation" else self._costs.get("step", Usage())
        forecast = self._costs.get(self._next, unknown)
        used, more = (self._used or Usage()).as_dict(), forecast.as_dict()
        for name, limit in self.limits.items():
            if name != "seconds" and used[name] + more[name] > limit:
                state.stop_now = True
                reason = f"budget of {limit} {name}: {used[name]} used, the next {self._next} would use {more[name]}"
                state.stop_reason = state.stop_reason or reason

    def state_dict(self) -> dict[str, Any]:
        """What was used so far, and the forecasts."""
        costs = {kind: usage.as_dict() for kind, usage in self._costs.items()}
        return super().state_dict() | {
            "used": (self._used or Usage()).as_dict(),
            "costs": costs,
            "seen": dict(self._seen),
            "next": self._next,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with them; a run that had used up its budget ends at once."""
        super().load_state_dict(state)
        self._used = Usage(**state["used"])
        self._costs = {kind: Usage(**counts) for kind, counts in state["costs"].items()}
        self._seen = dict(state["seen"])
        self._next = state["next"]
        if self._run is not None:
            self._check(self._run)
            self._run.stop |= self._run.stop_now


def _kind(state: FitState, step: int) -> str:
    """Whether the step is the last of its epoch."""
    return "step" if (step + 1) % state.steps_per_epoch else "last step"
