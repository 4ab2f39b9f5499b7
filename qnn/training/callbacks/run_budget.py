"""A budget that counts what a whole run uses, resumes and other processes included."""

from __future__ import annotations

from typing import Any

from qnn._meter import Budget
from qnn.training.callbacks.base import Callback, FitState


class RunBudget(Callback):
    """Has a budget count what the run used before it was resumed, and what its other processes use.

    It opens nothing: whoever opened the budget has it refuse what would exceed it, also before and after the training.

    Args:
        budget: one that is open where training begins.

    Example:
        >>> from qnn import _meter
        >>> with _meter.budget(max_jobs=1000) as left:
        ...     team = [RunBudget(left)]  # callbacks of `fit`
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._run: FitState | None = None
        self._before = dict(budget.used)  # the training
        self._seconds = budget.used["seconds"]  # of all processes, when they were last added up

    def on_fit_start(self, state: FitState) -> None:
        """Hold on to the run, and to what was used before it."""
        self._run = state
        self._before = dict(self._budget.used)
        self._seconds = self._budget.used["seconds"]

    def on_step_end(self, state: FitState) -> None:
        """Count the step of the other processes."""
        if not state.world.alone:
            self._count(state)

    def on_epoch_end(self, state: FitState) -> None:
        """Count the evaluation of the other processes."""
        self.on_step_end(state)

    def on_fit_end(self, state: FitState) -> None:
        """Let go of the run."""
        self._run = None

    def _count(self, state: FitState) -> None:
        """Count what all processes have used up to now, from before a resume too."""
        self._add(state)
        if self._budget.max_seconds is not None and not state.world.alone:
            (others,) = state.world.sum([self._budget.used["seconds"] - self._seconds])
            self._budget.used["seconds"] = self._seconds + others
        self._seconds = self._budget.used["seconds"]

    def _add(self, state: FitState) -> None:
        """All that the training has used, to what was used before it."""
        self._budget.used |= {name: self._before[name] + used for name, used in state.usage.as_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        """Seconds used so far; the run itself knows the rest."""
        return {"seconds": self._budget.used["seconds"] - self._before["seconds"]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Count what the run has used."""
        if self._run is not None:
            self._add(self._run)
        self._budget.used["seconds"] = self._seconds = self._before["seconds"] + state["seconds"]
