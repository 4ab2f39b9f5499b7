"""The options of one training run, checked when they are set."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, fields, replace
from numbers import Real
from typing import Any

import torch

from qnn._integers import whole
from qnn.errors import ArgumentError, DtypeError, NoEffectWarning, unknown_name
from qnn.training.losses import LOSSES
from qnn.training.optimizers import OPTIMIZERS, USES_MOMENTUM

_MAX_SEED = 2**63 - 1


@dataclass(frozen=True)
class FitConfig:
    """How `qnn.training.fit` trains.

    Args:
        epochs: passes over the training part, at least 1.
        batch_size: rows per optimisation step; None is all rows at once. The last batch of an epoch
            holds what is left.
        optimizer: "adam" or "sgd".
        learning_rate: step size, above 0.
        momentum: of "sgd", 0 (none) up to but not including 1.
        weight_decay: L2 penalty on every weight, 0 is none.
        loss: "cross_entropy" (class labels) or "mse" (regression).
        seed: fixes the order of the rows and whatever the model draws from torch's generators
            while it trains. Initial weights are the model's own matter.
        first_step: number of the first optimisation step. Sampled circuits draw by the number of the step, so a second
            `fit` of the same model that is to see fresh noise starts at ``history.steps`` of the first.
        restore_best: at the end, bring back the weights of the epoch with the lowest validation loss.
            Without a validation part the training loss decides, which costs one evaluation of the
            training part per epoch.
        progress: show a progress bar on stderr.
        device: torch device to train on, such as "cuda"; the model is moved there. None is where the
            model's first parameter is.

    Raises:
        ArgumentError: a value is outside its range, or the device cannot be used here.
        DtypeError: a value has the wrong type.
        UnknownNameError: `optimizer` or `loss` is not a known name.

    Example:
        >>> FitConfig(epochs=5, optimizer="sgd", momentum=0.9).learning_rate
        0.01
    """

    epochs: int = 20
    batch_size: int | None = 32
    optimizer: str = "adam"
    learning_rate: float = 0.01
    momentum: float = 0.0
    weight_decay: float = 0.0
    loss: str = "cross_entropy"
    seed: int = 0
    first_step: int = 0
    restore_best: bool = True
    progress: bool = True
    device: str | None = None

    def __post_init__(self) -> None:
        self._check_integer("epochs", 1, "Use epochs=1 for a single pass.")
        if self.batch_size is not None:
            self._check_integer("batch_size", 1, "Use batch_size=None for all rows at once.")
        self._check_integer("seed", 0, "Use seed=0.")
        self._check_integer("first_step", 0, "Use first_step=0.")
        self._check_number("learning_rate", above=0.0, advice="Try learning_rate=0.01.")
        self._check_number("momentum", least=0.0, below=1.0, advice="Try momentum=0.9, or 0 for none.")
        self._check_number("weight_decay", least=0.0, advice="Use weight_decay=0 for none.")
        for name in ("restore_best", "progress"):
            if not isinstance(getattr(self, name), bool):
                raise DtypeError(f"`{name}` must be True or False; got {getattr(self, name)!r}. Pass a bool.")
        if self.optimizer not in OPTIMIZERS:
            raise unknown_name("optimizer", self.optimizer, OPTIMIZERS)
        if self.loss not in LOSSES:
            raise unknown_name("loss", self.loss, LOSSES)
        if self.device is not None:
            _check_device(self.device)
        if self.momentum and self.optimizer not in USES_MOMENTUM:
            warnings.warn(
                f'`momentum`={self.momentum} has no effect with optimizer="{self.optimizer}", which has a momentum '
                'of its own. Use optimizer="sgd", or leave it out.',
                NoEffectWarning,
                stacklevel=3,
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
