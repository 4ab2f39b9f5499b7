"""A log that TensorBoard shows."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from qnn._optional import require
from qnn.errors import unknown_name
from qnn.training.callbacks.base import Callback, FitState
from qnn.training.callbacks.monitor import is_number


class TensorBoardLog(Callback):
    """Writes the numbers of every epoch's record, and with every="step" those of every step, for TensorBoard.

    The horizontal axis of all is the number of optimisation steps made; numbers of steps are tagged `step/...`.
    A resumed run writes a further file and tells TensorBoard to drop what came after the checkpoint; so does a new run
    in the same folder with all that was there before. Only the main process writes. Callbacks that add entries come
    before this one. Needs the extra `logs`.

    Args:
        folder: where the event files go; TensorBoard shows each subfolder of its log folder as one run.
        every: "epoch", or "step" for `loss` and `state.step_record` of each step as well.

    Raises:
        MissingDependencyError: tensorboard is not installed.

    Example:
        >>> TensorBoardLog("runs/a").every
        'epoch'
    """

    def __init__(self, folder: str | Path, *, every: str = "epoch") -> None:
        if every not in ("epoch", "step"):
            raise unknown_name("rhythm of a log", every, ("epoch", "step"))
        require("tensorboard", extra="logs", purpose="TensorBoardLog")
        self._library = require("torch.utils.tensorboard", extra="logs", purpose="TensorBoardLog")
        self.folder, self.every = Path(folder), every
        self._writer: Any = None
        self._writes, self._steps = False, -1

    def on_fit_start(self, state: FitState) -> None:
        """Forget an earlier run; files are made when there is something to write."""
        self._close()
        self._writes, self._steps = state.is_main, -1

    def on_step_end(self, state: FitState) -> None:
        """Write the step's numbers if asked to."""
        if self.every == "step":
            numbers = {"loss": state.loss, **state.step_record}
            self._write({f"step/{name}": value for name, value in numbers.items()}, state.step + 1)

    def on_epoch_end(self, state: FitState) -> None:
        """Write the epoch's numbers, on disk before training goes on."""
        self._write({name: value for name, value in state.record.items() if name != "epoch"}, state.step)
        self._flush()

    def on_fit_end(self, state: FitState) -> None:
        """Close the file."""
        self._close()

    def state_dict(self) -> dict[str, Any]:
        """The last step that is in the file; by then it is on disk."""
        self._flush()
        return {"steps": self._steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Have TensorBoard drop what came later."""
        self._steps = state["steps"]

    def _write(self, entries: dict[str, Any], steps: int) -> None:
        if not self._writes:
            return
        if self._writer is None:
            _wait_for_later_name(self.folder)
            self._writer = self._library.SummaryWriter(str(self.folder), purge_step=self._steps + 1)
        for name, value in entries.items():
            if is_number(value):
                self._writer.add_scalar(name, value, steps)
        self._steps = steps

    def _flush(self) -> None:
        if self._writer is not None:
            self._writer.flush()

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _wait_for_later_name(folder: Path) -> None:
    """Let the second pass in which the newest file was begun: TensorBoard reads files in the order of their names."""
    seconds = [re.match(r"events\.out\.tfevents\.(\d+)", path.name) for path in folder.glob("events.out.tfevents.*")]
    newest = max((int(match[1]) for match in seconds if match), default=0)
    time.sleep(min(max(0.0, newest + 1 - time.time()), 1.0))
