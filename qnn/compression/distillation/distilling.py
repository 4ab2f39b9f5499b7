"""Distillation: a student learns what a teacher says about each row, beside the targets themselves."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from qnn._meter import measure as measure_usage
from qnn.compression.distillation.soft_targets import HIGHEST, LOWEST, Distillation
from qnn.compression.measurement.devices import DEVICE, check_device, circuits_of, gates_on
from qnn.compression.measurement.measuring import Measuring
from qnn.compression.measurement.report import CompressionReport
from qnn.compression.options import check_module, options_of
from qnn.compression.tuning import loss_for
from qnn.errors import ArgumentError, DtypeError, NoEffectWarning, NotFiniteError, QnnError, ShapeError, unknown_name
from qnn.training import Callback, FitConfig, fit
from qnn.training.config import merge_config
from qnn.training.data import Rows, read_data, read_rows
from qnn.training.evaluation import row_outputs
from qnn.training.losses import loss_named

_TEMPERATURE = 2.0
_PARTS = {"test": "test", "validation": "validation", "train": "training"}


def distill(
    teacher: torch.nn.Module,
    student: torch.nn.Module,
    data: Any,
    *,
    temperature: float = _TEMPERATURE,
    weight: float = 0.5,
    config: FitConfig | None = None,
    callbacks: Sequence[Callback] = (),
    baseline: bool = True,
    test: Any = None,
    device: str | None = DEVICE,
    **overrides: Any,
) -> tuple[torch.nn.Module, CompressionReport]:
    """Train a copy of `student` to say what `teacher` says.

    For class labels y, logits s of the student and t of the teacher, what is minimised is the mean over the rows of

        (1 - w) CE(s, y) + w T² KL(softmax(t / T) || softmax(s / T));

    in a regression it is (1 - w) loss(s, y) + w |s - t|²/K. The teacher's outputs are computed once. Teacher and
    student may be any modules, classical or with quantum layers on any backend.

    Args:
        teacher: trained, (N, D) to (N, C).
        student: (N, D) to (N, C); where it starts is where the copy starts.
        data: as `qnn.fit` takes it: a task, a tuple (x, y) or (x, y, x_validation, y_validation), ...
        temperature: T from 1e-4 to 1e4; the higher, the more the teacher's small probabilities count. In a regression
            there is none.
        weight: w from 0 (labels alone) to 1 (the teacher alone).
        config: of the training; by default `FitConfig()`, with ``loss="mse"`` where y are real numbers, and
            "binary_cross_entropy" where the student has one output for two classes.
        callbacks: of the training of the student that is distilled.
        baseline: also train a copy by the labels alone, with the same budget, to see what the teacher is worth.
        test: rows (x, y) to report on; None for the test part of a task, else the validation rows, else the training
            rows; the report says which.
        device: a fake device of IBM to which circuits are transpiled for the report; None leaves gates out. (The torch
            device to train on is that of `config`.)
        **overrides: fields of `FitConfig` in place of the config's.

    Returns:
        The trained copy; and the report, with the teacher, the student alone (with `baseline`) and the student
        distilled. `teacher` and `student` stay as they are.

    Raises:
        ArgumentError: a temperature outside 1e-4 to 1e4, a weight outside 0 to 1, or what `qnn.fit` refuses.
        DtypeError: teacher or student are no modules, or return no tensors.
        ShapeError: teacher and student have different outputs, or do not take the rows of `data`.
        NotFiniteError: the teacher's outputs hold NaN or infinity.
        UnknownNameError, CapabilityError: no such device, or one too small for a circuit.

    References:
        G. Hinton, O. Vinyals, J. Dean, "Distilling the knowledge in a neural network", arXiv:1503.02531 (2015).

    Example:
        >>> x = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
        >>> teacher, student = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
        >>> _ = fit(teacher, (x, (x[:, 0] > 0).long()), progress=False)
        >>> _, report = distill(teacher, student, (x, (x[:, 0] > 0).long()), epochs=2, progress=False)
        >>> [m.label for m in report.measurements]
        ['teacher', 'student alone', 'student distilled']
    """
    check_module(teacher, "teacher")
    check_module(student, "student")
    check_device(device)
    config = _config(config, overrides, data, student)
    _check_options(temperature, weight)
    hard = loss_named(config.loss)
    train, validation = read_data(data, hard)
    if not config.one_class:
        hard.check_classes(train.y)
    rows, source = _rows_to_report_on(data, test, train, validation)
    _check_like(read_rows(rows, hard, "test"), train)
    loss = Distillation(hard, temperature, weight, train.y)
    if not loss.of_logits and temperature != _TEMPERATURE:
        text = f"`temperature`={temperature:g} has no effect in a regression. Leave it out."
        warnings.warn(text, NoEffectWarning, stacklevel=2)
    lessons, circuits = _lessons(teacher, student, train, validation, loss)
    gates_on([*circuits_of(teacher), *circuits_of(student)], device)  # refuses a device before anything is trained
    models, histories = {"teacher": teacher}, {}
    if baseline:
        alone = models["student alone"] = copy.deepcopy(student)
        histories["student alone"] = fit(alone, _tuple(train, validation, train.y), config)
    distilled = models["student distilled"] = copy.deepcopy(student)
    histories["student distilled"] = fit(distilled, lessons, config, callbacks=callbacks, loss=loss)
    details: dict[str, Any] = {"temperature": loss.temperature} if loss.of_logits else {}
    details |= {"weight of the teacher": loss.weight, "measured on": f"{_PARTS[source]} rows"}
    details |= _agreement(models, rows, loss) | {"circuits for the teacher's outputs": circuits}
    for label, history in histories.items():
        details |= {f"epochs, {label}": len(history.epochs), f"circuits, {label}": history.usage.circuits}
    measuring = Measuring(rows, device=device, part=source)
    for label, model in models.items():
        measuring.add(label, model)
    return distilled, CompressionReport("distillation", measuring.finish(), details)


def _lessons(
    teacher: torch.nn.Module, student: torch.nn.Module, train: Rows, validation: Rows | None, loss: Distillation
) -> tuple[tuple[Tensor, ...], int]:
    """What `fit` takes, targets with the teacher's outputs beside them; and how many circuits these took."""
    with measure_usage() as asked:
        said = _outputs(teacher, train, "teacher")
        further = None if validation is None else _outputs(teacher, validation, "teacher")
    _check_alike(said, student, train)
    joined = loss.join(train.y, said)
    loss.check_outputs(said, len(train), joined, "training")
    lessons = _tuple(train, validation, joined)
    if validation is not None and further is not None:
        lessons = (*lessons[:3], loss.join(validation.y, further))
    return lessons, asked.circuits


def _config(config: FitConfig | None, overrides: dict[str, Any], data: Any, student: torch.nn.Module) -> FitConfig:
    """The config; where no loss is asked for, with that of the targets and the student's outputs."""
    if config is None and "loss" not in overrides:
        train = read_data(data, loss_named(lambda outputs, y: outputs))[0]
        with suppress(ShapeError):  # which is told with the model that does not take the rows
            overrides = overrides | {"loss": loss_for(student, train.x, train.y)}
    known = {*options_of(distill), *(field.name for field in fields(FitConfig))} - {"config"}
    for name in overrides:
        if name not in known:
            raise unknown_name("option of distill", name, known)
    merged = merge_config(config, overrides)
    for name in ("optimizer", "scheduler"):
        if isinstance(getattr(merged, name), torch.optim.Optimizer | torch.optim.lr_scheduler.LRScheduler):
            raise ArgumentError(
                f"`{name}` must be a name or a callable, since what is trained is a copy of the student; got an object "
                f"that holds weights already. Pass functools.partial({type(getattr(merged, name)).__name__}, ...)."
            )
    return merged


def _check_options(temperature: float, weight: float) -> None:
    for name, value in (("temperature", temperature), ("weight", weight)):
        if isinstance(value, bool) or not isinstance(value, Real):
            raise DtypeError(f"`{name}` must be a number; got {value!r}. Pass a float.")
    if not LOWEST <= temperature <= HIGHEST:
        raise ArgumentError(
            f"`temperature` must be from {LOWEST:g} to {HIGHEST:g}; got {temperature}. Try temperature=2."
        )
    if not 0.0 <= weight <= 1.0:
        raise ArgumentError(
            f"`weight` must be from 0 (the labels alone) to 1 (the teacher alone); got {weight}. Try weight=0.5."
        )


def _outputs(model: torch.nn.Module, part: Rows, who: str) -> Tensor:
    """What a model says about each row, (N, C)."""
    try:
        outputs = row_outputs(model, part)
    except RuntimeError as error:
        if isinstance(error, QnnError):
            raise
        raise ShapeError(
            f"`{who}` must take rows of shape {tuple(part.x.shape[1:])}, which `data` has; it failed: {error}. "
            "Give data of the shape that the model was made for."
        ) from error
    if not isinstance(outputs, Tensor) or outputs.ndim == 0 or len(outputs) != len(part):
        got = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise ShapeError(f"`{who}` must return one row for each of {len(part)} rows; got {got}. Keep the first axis.")
    wrong = ~torch.isfinite(outputs.reshape(len(outputs), -1)).all(dim=1)
    if wrong.any():
        row = int(wrong.nonzero()[0])
        raise NotFiniteError(f"`{who}` must give finite outputs; got NaN or infinity in row {row}. Check its weights.")
    return outputs


def _check_alike(said: Tensor, student: torch.nn.Module, train: Rows) -> None:
    """Raise unless the student gives as many outputs as the teacher, by its outputs for one row."""
    answer = _outputs(student, Rows(train.x[:1], train.y[:1]), "student")
    if answer[0].numel() != said[0].numel():
        raise ShapeError(
            f"`student` must have the outputs of `teacher`, {said[0].numel()} a row; got {answer[0].numel()}. "
            "End it with one output per output of the teacher."
        )


def _check_like(test: Rows, train: Rows) -> None:
    """Raise before the training where what is to be measured after it has another shape."""
    if test.x.shape[1:] != train.x.shape[1:]:
        raise ShapeError(
            f"`test` must have rows of shape {tuple(train.x.shape[1:])} like the training part; got "
            f"{tuple(test.x.shape[1:])}. Prepare both in the same way."
        )


def _tuple(train: Rows, validation: Rows | None, y: Tensor) -> tuple[Tensor, ...]:
    """What `fit` takes: training rows with targets `y`, and the validation rows."""
    return (train.x, y) if validation is None else (train.x, y, validation.x, validation.y)


def _rows_to_report_on(data: Any, test: Any, train: Rows, validation: Rows | None) -> tuple[Any, str]:
    """Rows (x, y), and which part they are."""
    if test is None and getattr(data, "test", None) is not None:
        test = data.test
    if test is not None:
        return test, "test"
    part, source = (train, "train") if validation is None else (validation, "validation")
    return (part.x, part.y), source


def _agreement(models: dict[str, torch.nn.Module], rows: Any, loss: Distillation) -> dict[str, float]:
    """How far each student says what the teacher says: share of rows of one label, or root of the mean square."""
    part = read_rows(rows, loss.hard, "test")
    said = {label: _outputs(model, part, label).cpu() for label, model in models.items()}
    teacher = said.pop("teacher")
    found = {}
    for label, outputs in said.items():
        if loss.of_logits:
            same = loss.predict(outputs) == loss.predict(teacher)
            found[f"agreement with the teacher, {label}"] = float(same.double().mean())
        else:
            apart = outputs.reshape(len(part), -1).double() - teacher.reshape(len(part), -1).double()
            found[f"distance from the teacher, {label}"] = float(apart.square().mean().sqrt())
    return found
