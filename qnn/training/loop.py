"""The training loop: the only one in qnn, and it does not know what is quantum."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch

from qnn._meter import measure
from qnn._run import Once, Run, open_run, run_scope
from qnn.errors import ArgumentError, DtypeError
from qnn.training.callbacks.base import Callback, FitState
from qnn.training.callbacks.best import RestoreBest
from qnn.training.callbacks.checkpoint import Checkpoint
from qnn.training.callbacks.progress import ProgressBar
from qnn.training.config import FitConfig, merge_config
from qnn.training.data import Order, read_data, weighted
from qnn.training.divergence import check_monitored
from qnn.training.evaluation import evaluate_rows
from qnn.training.history import History, HistoryRecorder
from qnn.training.isolation import module_mode, own_randomness, reference_tensor
from qnn.training.losses import loss_named
from qnn.training.metrics import Metrics, compute, named_metrics
from qnn.training.optimizers import learning_rate, make_optimizer, make_scheduler
from qnn.training.pipeline import Pipeline
from qnn.training.processes import World, join_world, local_device
from qnn.training.step import Notify, train_step


def fit(
    model: torch.nn.Module,
    data: Any,
    config: FitConfig | None = None,
    *,
    callbacks: Sequence[Callback] = (),
    sample_weight: Any = None,
    checkpoint: str | Path | Checkpoint | None = None,
    **overrides: Any,
) -> History:
    """Train `model` in place, and say what happened.

    The same model, data and config repeat bit for bit on one machine. The global generators of torch, NumPy and Python
    are neither needed nor changed. Everything is checked before any weight changes. Ctrl-C brings back the best weights
    so far (with `restore_best`) and raises KeyboardInterrupt; with a checkpoint it saves first.

    Started by torchrun, each process calls this alike and takes a share of every batch; all end with the same weights.

    Args:
        model: maps x (B, ...) to outputs (B, C).
        data: a task, or any object with `.train` and `.validation` (each unpacks to x, y; `.validation`
            may be None), or a tuple (x, y) or (x, y, x_validation, y_validation), or a torch `Dataset` of pairs. Inputs
            are cast to the dtype of the model's first parameter.
        config: options; default `FitConfig()`.
        callbacks: called at the joints of the loop, in this order, after history and best weights.
        sample_weight: shape (N,), how much each row of the training part counts; None is all alike. A tuple of two is
            of the training and of the validation part.
        checkpoint: a folder, or a `Checkpoint` with options: what is needed to go on is saved there, and where
            something is there already, training goes on from it, to the same weights and history as without the break.
        **overrides: fields of `FitConfig` in place of the config's.

    Returns:
        The history: loss and metrics of each epoch, steps, circuits, shots and jobs.

    Raises:
        ArgumentError, ShapeError, DtypeError, NotFiniteError, UnknownNameError: data, model or options
            cannot be used.
        CheckpointError: what is in `checkpoint` is damaged, or of another model, data or options.
        TrainingError: the loss or a gradient is no longer finite.

    Example:
        >>> x, y = torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1])
        >>> fit(torch.nn.Linear(1, 2), (x, y), epochs=50, learning_rate=0.1, progress=False).steps
        50
    """
    config = merge_config(config, overrides)
    state = _start(model, data, sample_weight, config)
    state.callbacks = _team(state, callbacks, checkpoint)

    def notify(joint: str) -> None:
        for callback in state.callbacks:
            getattr(callback, joint)(state)

    with (
        module_mode(model, training=True),
        own_randomness(config.seed, state.reference.device, state.rank),
        run_scope(state.run),
        measure() as state.spent,
        ExitStack() as ends,
    ):
        for callback in reversed(state.callbacks):  # all of them, even where one fails
            ends.callback(callback.on_fit_end, state)
        notify("on_fit_start")
        while (state.position or state.epoch < config.epochs) and not (state.stop or state.stop_now):
            _epoch(state, notify)
    return state.history


def _epoch(state: FitState, notify: Notify) -> None:
    """One epoch, or what is left of it when training goes on within one."""
    if state.position == 0:
        state.epoch += 1
        state.metrics = Metrics(state.loss_function)
        state.order.shuffle()
        state.epoch_started, state.epoch_usage = time.perf_counter(), state.usage
        notify("on_epoch_start")
    for rows in state.order.batches()[state.position :]:
        train_step(state, rows, notify)
        state.position += 1
        _notify_and_agree(state, notify, "on_step_end")
        state.step += 1
        if state.stop_now:
            return
    results = _results(state)
    state.count_usage()
    used = {name: n - state.epoch_usage.as_dict()[name] for name, n in state.usage.as_dict().items()}
    state.record = {"epoch": state.epoch, **results, "wall_s": time.perf_counter() - state.epoch_started, **used}
    state.position = 0
    _notify_and_agree(state, notify, "on_epoch_end")


def _notify_and_agree(state: FitState, notify: Notify, joint: str) -> None:
    """Call the callbacks; afterwards all processes stop if one of them is to stop."""
    state.agreed = False
    notify(joint)
    if not state.agreed:
        state.agree()


def _results(state: FitState) -> dict[str, float | None]:
    """Losses and accuracies at the end of an epoch; evaluates what is to be monitored, and moves the learning rate."""
    config, metrics, validation = state.config, state.metrics, state.validation
    results: dict[str, float | None] = {"train_loss": metrics.loss, "train_accuracy": metrics.accuracy}
    results |= {"validation_loss": None, "validation_accuracy": None, "monitored_loss": None}
    further = named_metrics(config.metrics)
    plateau = isinstance(state.scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)
    monitored = state.train if validation is None and (config.restore_best or further or plateau) else validation
    if monitored is not None:
        part = "training" if validation is None else "validation"
        found = evaluate_rows(state.model, monitored, state.loss_function, seed=state.epoch, world=state.world)
        check_monitored(state, found.loss, part)
        results["monitored_loss"] = found.loss
        if validation is not None:
            results |= {"validation_loss": found.loss, "validation_accuracy": found.accuracy}
        prefix = "train" if validation is None else "validation"
        values = compute(further, found.outputs, found.predictions, state.loss_function.targets(monitored.y).cpu())
        results |= {f"{prefix}_{name}": value for name, value in values.items()}
    results["learning_rate"] = learning_rate(state.optimizer)
    if state.scheduler is not None and config.scheduler_step == "epoch":
        state.scheduler.step(*([results["monitored_loss"]] if plateau else []))
    return results


def _start(model: torch.nn.Module, data: Any, sample_weight: Any, config: FitConfig) -> FitState:
    """The state before the first epoch: model on its device, optimizer over its trainable weights."""
    loss = loss_named(config.loss)
    train, validation = read_data(data, loss)
    if not config.one_class:
        loss.check_classes(train.y)
    both = isinstance(sample_weight, tuple) and len(sample_weight) == 2 and validation is not None
    train = weighted(train, sample_weight[0] if both else sample_weight)
    if both and validation is not None:
        validation = weighted(validation, sample_weight[1], "validation")
    if not isinstance(model, torch.nn.Module):
        raise DtypeError(f"`model` must be a torch.nn.Module; got {type(model).__name__}. Wrap it in a module.")
    if config.device is not None:
        model.to(local_device(config.device))
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    if not weights:
        raise ArgumentError(
            "`model` must have a trainable parameter; got none. Set requires_grad on what is to be trained."
        )
    order = Order(len(train), config.batch_size, config.seed)
    optimizer = make_optimizer(weights, config)
    if isinstance(model, Pipeline):
        model.check(loss, optimizer)
    held = {id(weight) for group in optimizer.param_groups for weight in group["params"]}
    shared = config.data_parallel
    world = model.world if isinstance(model, Pipeline) else join_world(shared, reference_tensor(model).device)
    return FitState(
        model=model,
        weights=[weight for weight in weights if id(weight) in held],
        others=[weight for weight in weights if id(weight) not in held],
        reference=reference_tensor(model),
        network=world.wrap(model),
        optimizer=optimizer,
        scheduler=make_scheduler(optimizer, config, order.n_batches),
        config=config,
        loss_function=loss,
        train=train,
        validation=validation,
        order=order,
        steps_per_epoch=order.n_batches,
        history=History(),
        metrics=Metrics(loss),
        world=world,
        run=_run_of(world),
    )


def _run_of(world: World) -> Run:
    """The run that jobs belong to, the same in all processes: the one in which `fit` is called, or a new one."""
    around = open_run()
    name = world.gather(uuid4().hex if around is None else around.id)[0]
    once = Once() if around is None else around.once
    repeats = world.size == 1 and around is None
    return Run(name, world.size == 1 or world.rank == 0, once, repeats)


def _team(state: FitState, callbacks: Sequence[Callback], checkpoint: str | Path | Checkpoint | None) -> list[Callback]:
    """History and best weights first, then the user's callbacks, the progress bar, and last what saves them all."""
    if isinstance(callbacks, Callback):
        raise DtypeError(f"`callbacks` must be a sequence; got one {type(callbacks).__name__}. Put it in a list.")
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise DtypeError(
                f"`callbacks` must hold Callback objects; got {callback!r}. "
                "Derive its class from qnn.training.Callback."
            )
    best = [RestoreBest()] if state.config.restore_best else []
    bar = [ProgressBar()] if state.config.progress and state.is_main else []
    if checkpoint is not None and not isinstance(checkpoint, Checkpoint):
        checkpoint = Checkpoint(checkpoint)
    return [HistoryRecorder(), *best, *callbacks, *bar, *([checkpoint] if checkpoint is not None else [])]
