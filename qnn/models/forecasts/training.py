"""What a training is going to use, before anything of it is executed or submitted."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from numbers import Number
from types import MethodType
from typing import Any

import numpy as np
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
from qnn.training.evaluation import CHUNK_ROWS, evaluate_rows
from qnn.training.isolation import own_randomness, reference_tensor
from qnn.training.losses import loss_named
from qnn.training.optimizers import make_optimizer, needs_closure

_AS_CONFIGURED: Any = object()
_OF_FIT = ("callbacks", "checkpoint", "sample_weight")  # arguments of `fit` that are no options of it
_TRIED = 2  # full batches, which are all alike: two, so that there are rows of two classes
_MOST_ROWS = 1_000_000  # of a batch that is made up
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
        n_samples: rows for training, as many as you like; or the data themselves, as `qnn.fit` takes them.
        epochs: as in `FitConfig`; None is the config's.
        batch_size: as in `FitConfig`, None for all rows at once; left out, it is the config's.
        n_validation: rows for validation, where `n_samples` is a number.
        input_shape: of one row, where `n_samples` is a number; None asks the model's first layer.
        config: as for `qnn.fit`.
        **overrides: fields of `FitConfig` in place of the config's.

    Raises:
        ArgumentError, DtypeError: arguments that `qnn.fit` would refuse, too; a model whose `input_shape` is needed; a
            batch of more than 1,000,000 rows where `n_samples` is a number.

    Cost:
        Where `n_samples` is a number, that of three steps and two evaluations of 1024 rows, however many there are, and
        no circuit; with the data themselves, their evaluation is counted row by row.

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
            data = _read(stage.model, n_samples, n_validation, input_shape, config)
            stage.take()
            return _forecast(stage, data, config)


@dataclass(frozen=True)
class _Data:
    """What training goes over.

    Attributes:
        n, n_validation: rows of each part.
        train, validation: rows to rehearse with: those given, or made up and as many as are needed.
        chunk: rows like those of the part that is evaluated, as many as one forward call takes; None where that part is
            there in full.
    """

    n: int
    n_validation: int
    train: Rows
    validation: Rows | None
    chunk: Rows | None = None


def _read(model: torch.nn.Module, n_samples: Any, n_validation: int, input_shape: Any, config: FitConfig) -> _Data:
    """The data given, or made up."""
    loss, number = loss_named(config.loss), whole(n_samples)
    if isinstance(n_samples, bool | str | np.generic | Number | None) and number is None:
        raise ArgumentError(
            f"`n_samples` must be a number of rows of at least 1, or the data themselves; got {n_samples!r}. Use 100."
        )
    if number is None:
        for name, value in (("n_validation", n_validation), ("input_shape", input_shape)):
            if value:
                raise ArgumentError(
                    f"`{name}` must be left out with the data themselves, which say it; got {value!r}. Leave it out."
                )
        train, validation = read_data(n_samples, loss)
        return _Data(len(train), 0 if validation is None else len(validation), train, validation)
    held = whole(n_validation)
    for name, got, value, least, advice in (
        ("n_samples", n_samples, number, 1, "Use 100, or give the data themselves."),
        ("n_validation", n_validation, held, 0, "Use 0, which is none, or 20."),
    ):
        if value is None or value < least:
            raise ArgumentError(f"`{name}` must be a number of rows of at least {least}; got {got!r}. {advice}")
    assert held is not None
    size, n_full, rest = _batches(number, config)
    if size > _MOST_ROWS:
        raise ArgumentError(
            f"`n_samples` must be the data themselves where a batch has more than {_MOST_ROWS:,} rows; got "
            f"{number:,} in batches of {size:,}. Give a smaller `batch_size`, or the data."
        )
    evaluated = held or number
    n_rows = [min(n_full, _TRIED) * size + rest, min(held, CHUNK_ROWS), min(evaluated, CHUNK_ROWS)]
    train, validation, chunk = made_up_rows(model, loss, n_rows, input_shape)
    in_full = evaluated == (n_rows[1] if held else n_rows[0])
    return _Data(number, held, train, validation if held else None, None if in_full else chunk)


def _batches(n: int, config: FitConfig) -> tuple[int, int, int]:
    """Rows of a full batch, full batches in an epoch, and rows left for the last one."""
    size = min(config.batch_size or n, n)
    return size, *divmod(n, size)


def _forecast(stage: Rehearsal, data: _Data, config: FitConfig) -> Forecast:
    """By one epoch of the copy, on as many full batches as are not alike."""
    size, n_full, rest = _batches(data.n, config)
    tried = min(n_full, _TRIED)
    part, validation = _some(data.train, tried * size + rest), data.validation
    joints = _Joints(stage)
    at_most, notes = _prepare(stage.optimizer)
    rows = (part.x, part.y) if validation is None else (part.x, part.y, validation.x, validation.y)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"torch\.optim\.lr_scheduler")  # a copied one misses its optimizer
        warnings.simplefilter("ignore", NoEffectWarning)  # the optimizer has its own learning rate now
        fit(stage.model, rows, _rehearsed(stage, config), callbacks=[joints])
    evaluation = joints.evaluation
    if any(used != Amount() for used in evaluation.values()):
        if data.chunk is not None:
            evaluation = _by_chunks(stage, data.chunk, data.n_validation or data.n, config)
        elif validation is None and len(part) < data.n:
            evaluate_rows(stage.model, data.train, loss_named(config.loss))
            evaluation = stage.take()
    full, last = joints.steps[tried - 1], joints.steps[-1]
    epoch = {name: n_full * full[name] + int(rest > 0) * last[name] + evaluation[name] for name in stage.layers}
    layers = []
    for name, layer in stage.layers.items():
        total = stage.counters[name].beforehand + config.epochs * epoch[name]
        layers.append(LayerForecast(name, layer.backend.name, layer.plan.method, full[name], total))
    return Forecast(
        n_samples=data.n,
        n_validation=data.n_validation,
        epochs=config.epochs,
        steps_per_epoch=n_full + (rest > 0),
        batch_size=size,
        layers=tuple(layers),
        per_step=total_of(full.values()),
        per_epoch=total_of(epoch.values()),
        beforehand=total_of(counter.beforehand for counter in stage.counters.values()),
        afterwards=Amount(),
        total=total_of(row.total for row in layers),
        at_most=at_most,
        notes=notes,
    )


def _by_chunks(stage: Rehearsal, chunk: Rows, n: int, config: FitConfig) -> Amounts:
    """The evaluation of `n` rows, which goes through the model in chunks that are all alike but for the last."""
    found = {name: Amount() for name in stage.layers}
    n_full, rest = divmod(n, len(chunk))
    for times, n_rows in ((n_full, len(chunk)), (1, rest)):
        if n_rows:
            evaluate_rows(stage.model, Rows(chunk.x[:n_rows], chunk.y[:n_rows]), loss_named(config.loss))
            used = stage.take()
            found = {name: found[name] + times * used[name] for name in found}
    return found


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
