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

    def on_fit_start(self, state: FitState) -> None:
        """Hold on to the run."""
        self._run = state

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
        self._budget.used |= state.usage.as_dict()

    def state_dict(self) -> dict[str, Any]:
        """Seconds used so far; the run itself knows the rest."""
        return {"seconds": self._budget.used["seconds"]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Count what the run has used."""
        assert self._run is not None
        self._count(self._run)
        self._budget.used["seconds"] = state["seconds"]
