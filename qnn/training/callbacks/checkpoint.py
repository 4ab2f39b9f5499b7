"""Checkpoints: what is needed to go on after a crash or Ctrl-C, and the best weights."""

from __future__ import annotations

import math
import signal
import time
from numbers import Real
from pathlib import Path
from typing import Any

from qnn._integers import whole
from qnn.errors import ArgumentError, CheckpointError, DtypeError
from qnn.training.callbacks.base import Callback, FitState
from qnn.training.interrupts import PendingInterrupt
from qnn.training.pipeline import Pipeline
from qnn.training.resume import capture, identity, restore
from qnn.training.state_file import create_state, read_state, write_state

LAST, BEST = "last.safetensors", "best.safetensors"


class Checkpoint(Callback):
    """Saves a run in a folder, and goes on from what is there.

    The folder holds ``last.safetensors``: weights, optimizer, scheduler, all random generators and roots of sampling,
    the order of the rows, history and what callbacks remember; and ``best.safetensors``: the weights with the lowest
    monitored loss so far. Both are safetensors with JSON in their header; nothing is unpickled. A run that goes on ends
    with the same weights and history as one that never stopped, on backends whose shots follow the seed.

    Ctrl-C (and SIGTERM) saves after the current step and says how to go on; a second one stops at once.

    Args:
        folder: made if it is not there.
        every_epochs: save after every so many epochs.
        every_steps: save after every so many steps too.
        every_s: save after a step when this many seconds have passed since the last time; None never does.
        keep: how many checkpoints of earlier epochs to keep beside the last, as ``epoch_0007.safetensors``.

    Raises:
        ArgumentError, DtypeError: a number that makes no sense.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        every_epochs: int = 1,
        every_steps: int | None = None,
        every_s: float | None = 60.0,
        keep: int = 0,
    ) -> None:
        for name, value, least in (
            ("every_epochs", every_epochs, 1),
            ("every_steps", every_steps, 1),
            ("keep", keep, 0),
        ):
            number = least if value is None and name == "every_steps" else whole(value)
            if number is None or number < least:
                raise ArgumentError(
                    f"`{name}` must be an integer of at least {least}; got {value!r}. Use {name}={least}."
                )
        if every_s is not None and (isinstance(every_s, bool) or not isinstance(every_s, Real) or not every_s >= 0):
            raise ArgumentError(f"`every_s` must be a number of seconds, or None; got {every_s!r}. Use every_s=60.")
        if not isinstance(folder, str | Path):
            raise DtypeError(f'`checkpoint` must be a folder; got {folder!r}. Use a path such as "runs/mine".')
        self.folder = Path(folder)
        self.every_epochs, self.every_steps, self.keep = every_epochs, every_steps, keep
        self.every_s = math.inf if every_s is None else float(every_s)
        self.resumed_from: int | None = None
        self._interrupt = PendingInterrupt()
        self._saved_at, self._raised = 0.0, False
        self._run: dict[str, Any] = {}
        self._best = math.inf

    def on_fit_start(self, state: FitState) -> None:
        """Go on from the folder, or save the state before the first step in it."""
        if isinstance(state.model, Pipeline):
            raise CheckpointError(
                "`checkpoint` must be left out for a pipeline, whose processes have different weights. Save "
                "pipeline.whole() after training."
            )
        last, self.resumed_from, self._best = self.folder / LAST, None, math.inf
        seen = state.world.gather(last.exists())
        if any(seen) and not all(seen):
            raise CheckpointError(
                f'`checkpoint` must be a folder that every process sees; "{last}" is there for {sum(seen)} of '
                f"{len(seen)} processes only. Use a folder on a shared disk."
            )
        self._run = identity(state)
        if any(seen) or not self._created(state, last):  # by another start of this training, in this very moment
            restore(state, self._run, read_state(last), last)
            self.resumed_from = state.step
        self._saved_at, self._raised = time.monotonic(), False
        self._interrupt.open()

    def on_step_end(self, state: FitState) -> None:
        """Save when it is time; after Ctrl-C save and stop.

        Raises:
            KeyboardInterrupt: after Ctrl-C; SystemExit after SIGTERM.
        """
        made = state.step + 1
        due = self.every_steps is not None and made % self.every_steps == 0
        late = time.monotonic() - self._saved_at >= self.every_s
        interrupted, late = state.agree(self._interrupt.signal is not None, late)
        if due or late or interrupted or state.stop_now:
            self._save(state, within_epoch=True)
        if interrupted:
            self._raise(made)

    def on_epoch_end(self, state: FitState) -> None:
        """Keep the weights if they are the best so far, and save; after Ctrl-C stop."""
        (interrupted,) = state.agree(self._interrupt.signal is not None)
        loss = state.record["monitored_loss"]
        if loss is not None and loss < self._best:  # before `last`: a run that goes on must not find an older best
            self._best = loss
            best = {"epoch": state.epoch, "model": dict(state.model.state_dict())}
            state.world.attempt(lambda: self._write(BEST, best))
        done = state.stop or state.stop_now or state.epoch == state.config.epochs
        if done or interrupted or state.epoch % self.every_epochs == 0:
            self._save(state, within_epoch=False)
        if interrupted:
            self._raise(state.step)

    def on_fit_end(self, state: FitState) -> None:
        """Give the handlers of signals back; one that came after the last joint takes effect now."""
        self._interrupt.close()
        if self._interrupt.signal is not None and not self._raised:
            signal.raise_signal(self._interrupt.signal)

    def _raise(self, made: int) -> None:
        self._raised = True
        text = f'Interrupted after step {made}. Saved in "{self.folder}"; the same call goes on from there.'
        if self._interrupt.signal == signal.SIGTERM:
            raise SystemExit(text)
        raise KeyboardInterrupt(text)

    def state_dict(self) -> dict[str, Any]:
        """The lowest loss so far."""
        return {"best": self._best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with it."""
        self._best = state["best"]

    def _created(self, state: FitState, last: Path) -> bool:
        """Whether the state before the first step was saved: not where another start of the training was quicker."""
        saved, made = capture(state, self._run, within_epoch=False), []
        state.world.attempt(lambda: made.append(create_state(last, saved)))
        return state.world.any(any(made))

    def _save(self, state: FitState, *, within_epoch: bool) -> None:
        saved = capture(state, self._run, within_epoch=within_epoch)
        state.world.attempt(lambda: self._write(LAST, saved))
        if self.keep and not within_epoch and state.epoch:
            state.world.attempt(lambda: self._keep(state.epoch, saved))
        self._saved_at = time.monotonic()

    def _write(self, name: str, content: dict[str, Any]) -> None:
        write_state(self.folder / name, content)

    def _keep(self, epoch: int, saved: dict[str, Any]) -> None:
        self._write(f"epoch_{epoch:04d}.safetensors", saved)
        kept = [path for path in self.folder.glob("epoch_*.safetensors") if path.stem[6:].isdigit()]
        for old in sorted(kept, key=lambda path: int(path.stem[6:]))[: -self.keep]:
            old.unlink()
