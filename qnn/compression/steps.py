"""The steps of a compression, one after the other: their settings, looked at before the first of them is done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from qnn.compression import pruning
from qnn.compression.measurement.report import CompressionReport
from qnn.compression.options import check_options
from qnn.compression.quantisation import quantising
from qnn.compression.surrogates import series
from qnn.errors import ArgumentError

#: In the order in which they are done.
STEPS = ("prune", "surrogate", "quantize")


def checked_steps(given: Mapping[str, Any], data: Any) -> dict[str, dict[str, Any]]:
    """The steps to do, with their options.

    Raises:
        ArgumentError, DtypeError, UnknownNameError: there is none, or one that fails whatever the model.
    """
    todo: dict[str, dict[str, Any]] = {}
    for step in STEPS:
        wanted = given[step]
        if wanted is None or wanted is False:
            continue
        todo[step] = dict(wanted) if isinstance(wanted, Mapping) else ({} if wanted is True else {"method": wanted})
        for name in ("model", "data", "device"):
            if name in todo[step]:
                raise ArgumentError(
                    f'`{step}` must leave "{name}" to compress_bundle; got {todo[step][name]!r}. Give it there.'
                )
    for step, function in (("surrogate", series.surrogate), ("quantize", quantising.quantize)):
        check_options(todo.get(step, ()), function, f"`{step}`")
    if "prune" in todo:
        known = {"method": "angle", "part": None} | todo["prune"]
        pruning.pruning_by(known.pop("method"), known.pop("part"), known)
    if "quantize" in todo:
        quantising.checked_settings(data, **todo["quantize"])
        if "surrogate" in todo and todo["quantize"].get("method") == "angles":
            raise ArgumentError(
                '`quantize` must be of classical layers after a surrogate, which leaves no circuits; got "angles". '
                'Use quantize="int8-dynamic", or leave one of the two out.'
            )
    if not todo:
        raise ArgumentError(
            f'One of {", ".join(f"`{s}`" for s in STEPS)} must be given; got none. Use quantize="int8-dynamic".'
        )
    return todo


def applied(
    step: str, model: torch.nn.Module, rows: Any, settings: Mapping[str, Any], device: str | None
) -> tuple[torch.nn.Module, CompressionReport]:
    """The model after a step, and the report of it."""
    if step == "surrogate":
        return series.surrogate(model, rows, device=device, **settings)
    function = pruning.prune if step == "prune" else quantising.quantize
    return function(model, rows, device=device, **settings)


def named(step: str, settings: Mapping[str, Any]) -> str:
    """A step with its method."""
    method = settings.get("method")
    return f"{step} ({method})" if method else step
