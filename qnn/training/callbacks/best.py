"""The best weights of a run, brought back at its end."""

from __future__ import annotations

import copy
from typing import Any

from qnn.training.callbacks.base import Callback, FitState


class RestoreBest(Callback):
    """Brings back the weights and buffers of the epoch with the lowest monitored loss, the first of equals.

    They come back at the end, on Ctrl-C and after an error alike; before the first epoch
    has ended there is nothing to bring back, and the weights stay as they are.
    """

    _loss = float("inf")
    _best: dict[str, Any] | None = None

    def on_fit_start(self, state: FitState) -> None:
        """Forget an earlier run."""
        self._best, self._loss = None, float("inf")

    def on_epoch_end(self, state: FitState) -> None:
        """Copy the weights if the epoch is the best so far."""
        loss = state.record["monitored_loss"]
        if loss is not None and loss < self._loss:
            self._best, self._loss = copy.deepcopy(state.model.state_dict()), loss

    def state_dict(self) -> dict[str, Any]:
        """The best weights so far."""
        return {} if self._best is None else {"loss": self._loss, "best": self._best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with them."""
        self._best, self._loss = state.get("best"), state.get("loss", float("inf"))

    def on_fit_end(self, state: FitState) -> None:
        """Load the copy."""
        if self._best is not None:
            state.model.load_state_dict(self._best)
