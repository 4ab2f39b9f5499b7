"""Circuits, shots and jobs, step by step and in total."""

from __future__ import annotations

from typing import Any

from qnn._meter import Usage
from qnn.training.callbacks.base import Callback, FitState


class UsageLog(Callback):
    """Circuits, shots and jobs of each step and of the whole run so far, for logs to write and rules to monitor.

    An epoch's own `circuits`, `shots` and `jobs` are in its record anyway; this adds `total_circuits`, `total_shots`
    and `total_jobs`, up to the end of the epoch and before a resume too. To `state.step_record` it adds the
    three numbers of the step itself, and the totals up to it.

    Attributes:
        total: what the run has used so far.

    Example:
        >>> UsageLog().total
        Usage(circuits=0, shots=0, jobs=0)
    """

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self.total = Usage()
        self._knows = False  # what was used before the step

    def on_fit_start(self, state: FitState) -> None:
        """Forget an earlier run."""
        self._forget()

    def on_epoch_start(self, state: FitState) -> None:
        """What was used before the epoch does not count for its first step."""
        self._learn(state)

    def on_step_end(self, state: FitState) -> None:
        """Add the step's numbers to `state.step_record`."""
        step = difference(state.usage, self.total).as_dict() if self._knows else {}
        self._learn(state)
        state.step_record |= {**step, **self._totals()}

    def on_epoch_end(self, state: FitState) -> None:
        """Add the totals to the record."""
        self._learn(state)
        state.record.update(self._totals())

    def _learn(self, state: FitState) -> None:
        self.total, self._knows = Usage(**state.usage.as_dict()), True

    def _totals(self) -> dict[str, int]:
        return {f"total_{name}": count for name, count in self.total.as_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        """What was used up to the last step."""
        return self.total.as_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Count on from there."""
        self.total, self._knows = Usage(**state), True


def difference(later: Usage, earlier: Usage) -> Usage:
    """What was used between two moments."""
    return Usage(*(after - before for after, before in zip(_counts(later), _counts(earlier), strict=True)))


def largest(first: Usage, second: Usage) -> Usage:
    """The larger of each count."""
    return Usage(*map(max, _counts(first), _counts(second)))


def _counts(usage: Usage) -> tuple[int, int, int]:
    return usage.circuits, usage.shots, usage.jobs
