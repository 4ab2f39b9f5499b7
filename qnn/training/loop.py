"""The training loop: the only one in qnn, and it does not know what is quantum."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch

from qnn._meter import measure
from qnn._seeding import step_scope
from qnn.errors import ArgumentError, DtypeError
from qnn.training.callbacks import Callback, FitState, ProgressBar, RestoreBest
from qnn.training.config import FitConfig, merge_config
from qnn.training.data import Rows, read_data
from qnn.training.divergence import check_monitored, check_step
from qnn.training.evaluation import evaluate_rows
from qnn.training.history import History, HistoryRecorder
from qnn.training.isolation import module_mode, own_randomness, reference_tensor
from qnn.training.losses import LOSSES, Metrics
from qnn.training.optimizers import OPTIMIZERS


def fit(
    model: torch.nn.Module,
    data: Any,
    config: FitConfig | None = None,
    *,
    callbacks: Sequence[Callback] = (),
    **overrides: Any,
) -> History:
    """Train `model` in place, and say what happened.

    The same model, data and config repeat bit for bit on one machine. Torch's global generators are
    neither needed nor changed. Everything is checked before any weight changes. Ctrl-C brings back the
    best weights so far (with `restore_best`) and raises KeyboardInterrupt.

    Args:
        model: maps x (B, ...) to outputs (B, C).
        data: a task, or any object with `.train` and `.validation` (each unpacks to x, y; `.validation`
            may be None), or a tuple (x, y) or (x, y, x_validation, y_validation). Inputs are cast to the
            dtype of the model's first parameter.
        config: options; default `FitConfig()`.
        callbacks: called at the joints of the loop, in this order, after history and best weights.
        **overrides: fields of `FitConfig` in place of the config's.

    Returns:
        The history: loss and metrics of each epoch, steps, circuits, shots and jobs.

    Raises:
        ArgumentError, ShapeError, DtypeError, NotFiniteError, UnknownNameError: data, model or options
            cannot be used.
        TrainingError: the loss or a gradient is no longer finite.

    Example:
        >>> x, y = torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1])
        >>> fit(torch.nn.Linear(1, 2), (x, y), epochs=50, learning_rate=0.1, progress=False).steps
        50
    """
    config = merge_config(config, overrides)
    train, validation = read_data(data, LOSSES[config.loss])
    team = _team(config, callbacks)
    state = _start(model, train, validation, config)
    order = torch.Generator().manual_seed(config.seed)

    def notify(joint: str) -> None:
        for callback in team:
            getattr(callback, joint)(state)

    with module_mode(model, training=True), own_randomness(config.seed, reference_tensor(model).device):
        try:
            notify("on_fit_start")
            while state.epoch < config.epochs and not state.stop:
                state.epoch += 1
                state.metrics = Metrics(LOSSES[config.loss])
                notify("on_epoch_start")
                started = time.perf_counter()
                with measure() as usage:
                    for rows in torch.randperm(len(train), generator=order).split(config.batch_size or len(train)):
                        _step(state, rows)
                        notify("on_step_end")
                        state.step += 1
                    results = _results(state)
                wall_s = time.perf_counter() - started
                state.record = {"epoch": state.epoch, **results, "wall_s": wall_s, **usage.as_dict()}
                notify("on_epoch_end")
        finally:
            notify("on_fit_end")
    return state.history


def _step(state: FitState, rows: torch.Tensor) -> None:
    """One optimisation step on the given rows of the training part."""
    loss = LOSSES[state.config.loss]
    x, y = state.train.select(rows, reference_tensor(state.model))
    state.optimizer.zero_grad()
    with step_scope(state.config.first_step + state.step, rows):
        outputs = state.model(x)
        if state.step == 0:
            _check_outputs(state, outputs, len(rows))
        mean = loss(outputs, y)
        mean.backward()
    value = float(mean.detach())
    check_step(state, value)
    state.optimizer.step()
    state.metrics.update(value, outputs.detach(), y)


def _results(state: FitState) -> dict[str, float | None]:
    """Losses and accuracies at the end of an epoch; evaluates what is to be monitored."""
    metrics, validation = state.metrics, state.validation
    results: dict[str, float | None] = {"train_loss": metrics.loss, "train_accuracy": metrics.accuracy}
    results |= {"validation_loss": None, "validation_accuracy": None, "monitored_loss": None}
    fallback = state.train if state.config.restore_best else None
    monitored = fallback if validation is None else validation
    if monitored is not None:
        evaluation = evaluate_rows(state.model, monitored, LOSSES[state.config.loss], seed=state.epoch)
        check_monitored(state, evaluation.loss, "training" if validation is None else "validation")
        results["monitored_loss"] = evaluation.loss
        if validation is not None:
            results |= {"validation_loss": evaluation.loss, "validation_accuracy": evaluation.accuracy}
    return results


def _start(model: torch.nn.Module, train: Rows, validation: Rows | None, config: FitConfig) -> FitState:
    """The state before the first epoch: model on its device, optimizer over its trainable weights."""
    if not isinstance(model, torch.nn.Module):
        raise DtypeError(f"`model` must be a torch.nn.Module; got {type(model).__name__}. Wrap it in a module.")
    if config.device is not None:
        model.to(config.device)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    if not weights:
        raise ArgumentError(
            "`model` must have a trainable parameter; got none. Set requires_grad on what is to be trained."
        )
    return FitState(
        model=model,
        optimizer=OPTIMIZERS[config.optimizer](weights, config),
        config=config,
        train=train,
        validation=validation,
        steps_per_epoch=-(-len(train) // (config.batch_size or len(train))),
        history=History(),
        metrics=Metrics(LOSSES[config.loss]),
    )


def _check_outputs(state: FitState, outputs: torch.Tensor, n_rows: int) -> None:
    """At the first forward: raise if outputs and targets do not belong together, in either part."""
    loss = LOSSES[state.config.loss]
    for part, rows in (("training", state.train), ("validation", state.validation)):
        if rows is not None:
            loss.check_outputs(outputs, n_rows, rows.y, part)
    if not outputs.requires_grad:
        raise ArgumentError(
            "`model` must give outputs that depend on its trainable parameters; got outputs without a gradient. "
            "Look for detach(), torch.no_grad() or a NumPy detour in its forward."
        )


def _team(config: FitConfig, callbacks: Sequence[Callback]) -> list[Callback]:
    """History and best weights first, then the user's callbacks, the progress bar last."""
    if isinstance(callbacks, Callback):
        raise DtypeError(f"`callbacks` must be a sequence; got one {type(callbacks).__name__}. Put it in a list.")
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise DtypeError(
                f"`callbacks` must hold Callback objects; got {callback!r}. "
                "Derive its class from qnn.training.Callback."
            )
    best = [RestoreBest()] if config.restore_best else []
    bar = [ProgressBar()] if config.progress else []
    return [HistoryRecorder(), *best, *callbacks, *bar]
