"""The options of one training run, checked when they are set."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from numbers import Real
from typing import Any

import torch

from qnn._integers import whole
from qnn.errors import ArgumentError, DtypeError, NoEffectWarning, unknown_name
from qnn.training.losses import loss_named
from qnn.training.metrics import named_metrics
from qnn.training.optimizers import OPTIMIZERS, SCHEDULERS, USES_MOMENTUM, USES_WEIGHT_DECAY

_MAX_SEED = 2**63 - 1


@dataclass(frozen=True)
class FitConfig:
    """How `qnn.training.fit` trains.

    Args:
        epochs: passes over the training part, at least 1.
        batch_size: rows per optimisation step; None is all rows at once. The last batch of an epoch
            holds what is left.
        optimizer: "adam", "adamw", "sgd", "rmsprop" or "lbfgs"; or a torch optimizer over the model's parameters
            (`qnn.NaturalGradient`, `qnn.SPSA` and `qnn.Rotosolve` are such); or a callable that makes one of a list of
            parameters, such as ``functools.partial(torch.optim.Adam, lr=0.01)``.
        learning_rate: step size, above 0; optimizers that are given have their own.
        momentum: of "sgd" and "rmsprop", 0 (none) up to but not including 1.
        weight_decay: of the optimizer, 0 is none: an L2 term in the gradient, decoupled in "adamw".
        l1_penalty: adds this times the sum of |w|, over all weights that the optimizer holds, to what is minimised;
            recorded losses leave it out.
        l2_penalty: the same with the sum of w².
        max_gradient_norm: the gradient is scaled down to this norm where it is longer; None leaves it. Optimizers that
            compute no gradients have no use for it.
        scheduler: of the learning rate: "cosine" (to 0), "exponential" (to one hundredth), a torch scheduler, or a
            callable that makes one of the optimizer. `ReduceLROnPlateau` follows the monitored loss.
        scheduler_step: after every "epoch" or "step".
        loss: "cross_entropy" or "binary_cross_entropy" (class labels), "mse", "mae" or "huber" (regression); or a
            function (outputs, y) -> scalar, such as ``torch.nn.MSELoss()``.
        metrics: to be recorded at the end of each epoch, on the validation part where there is one, else on the
            training part: names of scikit-learn ("f1_score"), functions (y, predictions) -> number, torchmetrics
            objects; a sequence, or a mapping from names.
        seed: fixes the order of the rows and whatever the model draws from torch's generators
            while it trains. Initial weights are the model's own matter.
        first_step: number of the first optimisation step. Sampled circuits draw by the number of the step, so a second
            `fit` of the same model that is to see fresh noise starts at ``history.steps`` of the first.
        restore_best: at the end, bring back the weights of the epoch with the lowest validation loss.
            Without a validation part the training loss decides, which costs one evaluation of the
            training part per epoch.
        progress: show a progress bar on stderr.
        device: torch device to train on, such as "cuda"; the model is moved there. None is where the
            model's first parameter is; the model may spread over devices.
        one_class: train on rows of one class, too, as where later batches bring the others; they are refused else.
        data_parallel: share the rows of each batch among the processes started by torchrun (or of the present
            `torch.distributed` group), when there are several.

    Raises:
        ArgumentError: a value is outside its range, or the device cannot be used here.
        DtypeError: a value has the wrong type.
        UnknownNameError: `optimizer`, `scheduler`, `loss` or a metric is not a known name.

    Example:
        >>> FitConfig(epochs=5, optimizer="sgd", momentum=0.9).learning_rate
        0.01
    """

    epochs: int = 20
    batch_size: int | None = 32
    optimizer: Any = "adam"
    learning_rate: float = 0.01
    momentum: float = 0.0
    weight_decay: float = 0.0
    l1_penalty: float = 0.0
    l2_penalty: float = 0.0
    max_gradient_norm: float | None = None
    scheduler: Any = None
    scheduler_step: str = "epoch"
    loss: Any = "cross_entropy"
    metrics: Any = ()
    seed: int = 0
    first_step: int = 0
    restore_best: bool = True
    progress: bool = True
    device: str | None = None
    one_class: bool = False
    data_parallel: bool = True

    def __post_init__(self) -> None:
        self._check_integer("epochs", 1, "Use epochs=1 for a single pass.")
        if self.batch_size is not None:
            self._check_integer("batch_size", 1, "Use batch_size=None for all rows at once.")
        self._check_integer("seed", 0, "Use seed=0.")
        self._check_integer("first_step", 0, "Use first_step=0.")
        self._check_number("learning_rate", above=0.0, advice="Try learning_rate=0.01.")
        self._check_number("momentum", least=0.0, below=1.0, advice="Try momentum=0.9, or 0 for none.")
        for name in ("weight_decay", "l1_penalty", "l2_penalty"):
            self._check_number(name, least=0.0, advice=f"Use {name}=0 for none.")
        if self.max_gradient_norm is not None:
            self._check_number("max_gradient_norm", above=0.0, advice="Use max_gradient_norm=None for no limit.")
        for name in ("restore_best", "progress", "one_class", "data_parallel"):
            if not isinstance(getattr(self, name), bool):
                raise DtypeError(f"`{name}` must be True or False; got {getattr(self, name)!r}. Pass a bool.")
        loss_named(self.loss)
        named_metrics(self.metrics)
        _check_maker("optimizer", self.optimizer, OPTIMIZERS, torch.optim.Optimizer)
        if self.scheduler is not None:
            _check_maker("scheduler", self.scheduler, SCHEDULERS, torch.optim.lr_scheduler.LRScheduler)
        if self.scheduler_step not in ("epoch", "step"):
            raise unknown_name("value of `scheduler_step`", self.scheduler_step, ("epoch", "step"))
        if self.device is not None:
            _check_device(self.device)
        self._warn_of_no_effect()

    def as_dict(self) -> dict[str, Any]:
        """The options as plain data that `json.dumps` takes; functions and objects by their names."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}

    def _warn_of_no_effect(self) -> None:
        if self.scheduler is None and self.scheduler_step != "epoch":
            _warn(
                f'`scheduler_step`="{self.scheduler_step}" has no effect without a scheduler. '
                "Name a scheduler, or leave it out."
            )
        if not isinstance(self.optimizer, str) and self.learning_rate != FitConfig.learning_rate:
            _warn(
                f"`learning_rate`={self.learning_rate:g} has no effect with an optimizer that is given. "
                "Give it its own learning rate."
            )
        for name, users in (("momentum", USES_MOMENTUM), ("weight_decay", USES_WEIGHT_DECAY)):
            if getattr(self, name) and self.optimizer not in users:
                named = isinstance(self.optimizer, str)
                shown = f'"{self.optimizer}"' if named else type(self.optimizer).__name__
                _warn(
                    f"`{name}`={getattr(self, name)} has no effect with optimizer={shown}. "
                    f"Use one of {', '.join(sorted(users))}, or leave it out."
                )

    def _check_integer(self, name: str, least: int, advice: str) -> None:
        value = getattr(self, name)
        number = whole(value)
        if number is None:
            raise DtypeError(f"`{name}` must be an integer; got {value!r} ({type(value).__name__}). {advice}")
        if not least <= number <= _MAX_SEED:
            raise ArgumentError(f"`{name}` must be an integer of at least {least}, below 2^63; got {value}. {advice}")
        object.__setattr__(self, name, number)

    def _check_number(
        self, name: str, *, least: float = -math.inf, above: float = -math.inf, below: float = math.inf, advice: str
    ) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, Real):
            raise DtypeError(f"`{name}` must be a number; got {value!r} ({type(value).__name__}). {advice}")
        number = float(value)
        if not (math.isfinite(number) and number >= least and number > above and number < below):
            lower = f"above {above:g}" if math.isfinite(above) else f"at least {least:g}"
            upper = f" and below {below:g}" if math.isfinite(below) else ""
            raise ArgumentError(f"`{name}` must be finite, {lower}{upper}; got {value}. {advice}")
        object.__setattr__(self, name, number)


def _warn(text: str) -> None:
    """Warn of a setting without effect, where FitConfig was made."""
    warnings.warn(text, NoEffectWarning, stacklevel=5)


def _check_maker(name: str, value: Any, known: Any, kind: type) -> None:
    """Raise unless `value` is a known name, an object of the kind, or something that makes one."""
    if isinstance(value, str):
        if value not in known:
            raise unknown_name(name, value, known)
    elif not isinstance(value, kind) and not callable(value):
        raise DtypeError(
            f"`{name}` must be a name, a torch.optim object, or a callable that makes one; got {value!r}. "
            f'Use {name}="{sorted(known)[0]}".'
        )


def _plain(value: Any) -> Any:
    """A value of a field as JSON has it."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, partial):
        return {"partial": _plain(value.func), "args": _plain(value.args), "keywords": _plain(value.keywords)}
    if isinstance(value, torch.optim.Optimizer):
        return {"optimizer": type(value).__name__, **{k: _plain(v) for k, v in value.defaults.items()}}
    return getattr(value, "__qualname__", type(value).__qualname__)


def _check_device(name: object) -> None:
    """Raise unless torch knows the device and has it here."""
    if not isinstance(name, str):
        raise DtypeError(f'`device` must be a string such as "cpu" or "cuda:0"; got {name!r}. Pass str(device).')
    try:
        torch.empty(0, device=torch.device(name))
    except (RuntimeError, AssertionError) as error:  # torch without CUDA raises AssertionError
        here = "cpu, cuda" if torch.cuda.is_available() else "cpu"
        reason = str(error).splitlines()[0].rstrip(".")
        raise ArgumentError(
            f'`device` must be a torch device usable here ({here}); got "{name}": {reason}. '
            "Leave it out to train where the model is."
        ) from error


def merge_config(config: FitConfig | None, overrides: dict[str, Any]) -> FitConfig:
    """`config` (default: `FitConfig()`) with `overrides` in place of its fields.

    Raises:
        UnknownNameError: an override is not a field of `FitConfig`.
        DtypeError: `config` is something else.
    """
    if config is not None and not isinstance(config, FitConfig):
        raise DtypeError(
            f"`config` must be a FitConfig; got {type(config).__name__}. "
            "Write FitConfig(epochs=...), or pass options by keyword."
        )
    known = [field.name for field in fields(FitConfig)]
    for name in overrides:
        if name not in known:
            raise unknown_name("training option", name, known)
    return replace(config or FitConfig(), **overrides)
