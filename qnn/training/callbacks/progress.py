"""Progress, in the terminal and in notebooks."""

from __future__ import annotations

from tqdm.auto import tqdm

from qnn.training.callbacks.base import Callback, FitState


class ProgressBar(Callback):
    """A bar over all steps on stderr (or in the notebook), with loss and metrics beside it."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None
        self._validation: dict[str, str] = {}

    def on_fit_start(self, state: FitState) -> None:
        """Draw the empty bar."""
        self._validation = {}
        self._bar = tqdm(total=state.config.epochs * state.steps_per_epoch, unit="step", dynamic_ncols=True)

    def on_epoch_start(self, state: FitState) -> None:
        """Say which epoch runs."""
        assert self._bar is not None
        self._bar.set_description(f"epoch {state.epoch}/{state.config.epochs}", refresh=False)

    def on_step_end(self, state: FitState) -> None:
        """Move on by a step, with the training metrics so far."""
        assert self._bar is not None
        self._bar.set_postfix(self._postfix(state), refresh=False)
        self._bar.update()

    def on_epoch_end(self, state: FitState) -> None:
        """Add the validation metrics."""
        assert self._bar is not None
        names = {"val_loss": "validation_loss", "val_accuracy": "validation_accuracy"}
        self._validation = {
            short: f"{state.record[key]:.3f}" for short, key in names.items() if state.record[key] is not None
        }
        self._bar.set_postfix(self._postfix(state))

    def on_fit_end(self, state: FitState) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.close()

    def _postfix(self, state: FitState) -> dict[str, str]:
        shown = {"loss": f"{state.metrics.loss:.3f}"}
        if state.metrics.accuracy is not None:
            shown["accuracy"] = f"{state.metrics.accuracy:.3f}"
        return shown | self._validation
