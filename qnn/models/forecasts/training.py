"""What a training is going to use, before anything of it is executed or submitted."""

from __future__ import annotations

import warnings
from dataclasses import replace
from types import MethodType
from typing import Any

import torch

from qnn._integers import whole
from qnn._run import open_run, run_scope
from qnn.backends.counting import Amount
from qnn.errors import ArgumentError, DtypeError, NoEffectWarning
from qnn.gradients import SPSA, Rotosolve
from qnn.models.forecasts.forecast import Forecast, LayerForecast, total_of
from qnn.models.forecasts.rehearsal import Amounts, Rehearsal, rehearsal
from qnn.models.forecasts.stand_ins import made_up_rows
from qnn.training import FitConfig, fit
from qnn.training.callbacks import Callback
from qnn.training.callbacks.base import FitState
from qnn.training.config import merge_config
from qnn.training.data import Rows, read_data
from qnn.training.evaluation import evaluate_rows
from qnn.training.isolation import own_randomness, reference_tensor
from qnn.training.losses import loss_named
from qnn.training.optimizers import make_optimizer, needs_closure

_AS_CONFIGURED: Any = object()
_OF_FIT = ("callbacks", "checkpoint", "sample_weight")  # arguments of `fit` that are no options of it
_LINE_SEARCH = 25  # the evaluations by which torch's L-BFGS may exceed its `max_eval`, in any of its versions


def forecast(
    model: torch.nn.Module,
    n_samples: Any,
    epochs: int | None = None,
    batch_size: Any = _AS_CONFIGURED,
    *,
    n_validation: int = 0,
    input_shape: Any = None,
    config: FitConfig | None = None,
    **overrides: Any,
) -> Forecast:
    """Jobs, circuits, shots and QPU seconds of ``qnn.fit(model, data, config)``, which are then exactly those that
    `History.usage` and the journal count.

    The first steps of an epoch and its evaluation are made by a copy of the model, whose layers count instead of
    executing; all full batches, and all epochs, use the same. Nothing is executed or submitted; weights, gradients,
    random generators, samples to come, meters and budgets stay as they are. A calibration counts unless the run that
    is open has made it.

    Callbacks that stop training early make it use less. L-BFGS evaluates as often as its line search finds necessary:
    its forecast is an upper bound (`at_most`). In several processes there are as many circuits and shots, and each
    process makes jobs of its own.

    Args:
        model: what is to be trained.
        n_samples: rows for training; or the data themselves, as `qnn.fit` takes them.
        epochs: as in `FitConfig`; None is the config's.
        batch_size: as in `FitConfig`, None for all rows at once; left out, it is the config's.
        n_validation: rows for validation, where `n_samples` is a number.
        input_shape: of one row, where `n_samples` is a number; None asks the model's first layer.
        config: as for `qnn.fit`.
        **overrides: fields of `FitConfig` in place of the config's.

    Raises:
        ArgumentError, DtypeError: arguments that `qnn.fit` would refuse, too; or a model whose `input_shape` is needed.

    Example:
        >>> from qnn import QuantumLayer
        >>> layer = QuantumLayer(2, 1, seed=0, backend="aer", shots=100)
        >>> found = forecast(layer, 50, epochs=10, batch_size=20, restore_best=False)
        >>> found.jobs, found.circuits, found.shots
        (30, 2500, 250000)
    """
    if not isinstance(model, torch.nn.Module):
        raise DtypeError(f"`model` must be a torch.nn.Module; got {type(model).__name__}. Wrap it in a module.")
    for name in _OF_FIT:
        if name in overrides:
            raise ArgumentError(
                f"`{name}` must be left out of a forecast, which is of the training without it; got a "
                f"{type(overrides[name]).__name__}. Give it to qnn.fit only."
            )
    if epochs is not None:
        overrides["epochs"] = epochs
    if batch_size is not _AS_CONFIGURED:
        overrides["batch_size"] = batch_size
    config = merge_config(config, overrides)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    with own_randomness(config.seed, reference_tensor(model).device), run_scope(open_run()):  # as `fit` would
        optimizer = make_optimizer(weights, config) if weights else None
        with rehearsal(model, optimizer, config.scheduler) as stage:
            train, validation = _parts(stage.model, n_samples, n_validation, input_shape, config)
            stage.take()
            return _forecast(stage, train, validation, config)


def _parts(
    model: torch.nn.Module, n_samples: Any, n_validation: int, input_shape: Any, config: FitConfig
) -> tuple[Rows, Rows | None]:
    """Training and validation rows: those given, or made up."""
    loss, number = loss_named(config.loss), whole(n_samples)
    if number is None:
        for name, value in (("n_validation", n_validation), ("input_shape", input_shape)):
            if value:
                raise ArgumentError(
                    f"`{name}` must be left out with the data themselves, which say it; got {value!r}. Leave it out."
                )
        return read_data(n_samples, loss)
    held = whole(n_validation)
    for name, got, value, least, advice in (
        ("n_samples", n_samples, number, 1, "Use 100, or give the data themselves."),
        ("n_validation", n_validation, held, 0, "Use 0, which is none, or 20."),
    ):
        if value is None or value < least:
            raise ArgumentError(f"`{name}` must be a number of rows of at least {least}; got {got!r}. {advice}")
    parts = made_up_rows(model, loss, [number, held] if held else [number], input_shape)
    return parts[0], parts[1] if held else None


def _forecast(stage: Rehearsal, train: Rows, validation: Rows | None, config: FitConfig) -> Forecast:
    """By one epoch of the copy, on as many full batches as are not alike."""
    n = len(train)
    size = min(config.batch_size or n, n)
    n_full, rest = divmod(n, size)
    tried = min(n_full, 2)  # of the full batches, which are all alike: two, so that there are rows of two classes
    part = _some(train, tried * size + rest)
    joints = _Joints(stage)
    at_most, notes = _prepare(stage.optimizer)
    data = (part.x, part.y) if validation is None else (part.x, part.y, validation.x, validation.y)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"torch\.optim\.lr_scheduler")  # a copied one misses its optimizer
        warnings.simplefilter("ignore", NoEffectWarning)  # the optimizer has its own learning rate now
        fit(stage.model, data, _rehearsed(stage, config), callbacks=[joints])
    evaluation = joints.evaluation
    if validation is None and len(part) < n and any(used != Amount() for used in evaluation.values()):
        evaluate_rows(stage.model, train, loss_named(config.loss))
        evaluation = stage.take()
    full, last = joints.steps[tried - 1], joints.steps[-1]
    epoch = {name: n_full * full[name] + int(rest > 0) * last[name] + evaluation[name] for name in stage.layers}
    rows = []
    for name, layer in stage.layers.items():
        total = stage.counters[name].beforehand + config.epochs * epoch[name]
        rows.append(LayerForecast(name, layer.backend.name, layer.plan.method, full[name], total))
    return Forecast(
        n_samples=n,
        n_validation=0 if validation is None else len(validation),
        epochs=config.epochs,
        steps_per_epoch=n_full + (rest > 0),
        batch_size=size,
        layers=tuple(rows),
        per_step=total_of(full.values()),
        per_epoch=total_of(epoch.values()),
        beforehand=total_of(counter.beforehand for counter in stage.counters.values()),
        afterwards=Amount(),
        total=total_of(row.total for row in rows),
        at_most=at_most,
        notes=notes,
    )


class _Joints(Callback):
    """What was used in each step, and in the evaluation behind the last one."""

    def __init__(self, stage: Rehearsal) -> None:
        self._stage = stage
        self.steps: list[Amounts] = []
        self.evaluation: Amounts = {}

    def on_step_end(self, state: FitState) -> None:
        """Count the step."""
        self.steps.append(self._stage.take())

    def on_epoch_end(self, state: FitState) -> None:
        """Count the evaluation."""
        self.evaluation = self._stage.take()


def _prepare(optimizer: Any) -> tuple[bool, tuple[str, ...]]:
    """Have L-BFGS evaluate as often as it ever may; whether that is so, and notes on optimizers unknown here."""
    if isinstance(optimizer, torch.optim.LBFGS):
        optimizer.step = MethodType(_evaluate_most, optimizer)  # type: ignore[method-assign]
        return True, ("L-BFGS evaluates each batch as often as its line search needs: these are upper bounds.",)
    if optimizer is not None and needs_closure(optimizer) and not isinstance(optimizer, SPSA | Rotosolve):
        name = type(optimizer).__name__
        return False, (f"{name} is counted as it evaluates on made-up values; it may evaluate more or less often.",)
    return False, ()


def _evaluate_most(optimizer: torch.optim.LBFGS, closure: Any) -> Any:
    """A step with as many evaluations as L-BFGS can make."""
    group = optimizer.param_groups[0]
    if group["line_search_fn"] is None:
        most = min(group["max_iter"], max(2, group["max_eval"]))
    else:
        most = group["max_eval"] + _LINE_SEARCH
    losses = [closure() for _ in range(most)]
    return losses[0]


def _rehearsed(stage: Rehearsal, config: FitConfig) -> FitConfig:
    """`config` for one epoch of the copy, in this process."""
    return replace(
        config,
        epochs=1,
        optimizer=config.optimizer if stage.optimizer is None else stage.optimizer,
        scheduler=stage.scheduler,
        metrics={"metric": lambda y, predictions: 0.0} if config.metrics else (),
        progress=False,
        data_parallel=False,
    )


def _some(rows: Rows, n: int) -> Rows:
    """The first rows, so that there are two different targets among them where there are any."""
    if n == len(rows):
        return rows
    different = (rows.y != rows.y[:1]).reshape(len(rows), -1).any(dim=1)
    chosen = torch.arange(n)
    if not different[:n].any() and different.any() and n > 1:
        chosen[-1] = int(different.nonzero()[0])
    return Rows(rows.x[chosen], rows.y[chosen])
