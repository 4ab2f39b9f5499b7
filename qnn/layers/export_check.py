"""Whether an exported network computes what torch does."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from qnn.errors import ExportError
from qnn.layers.int8 import rounds_inputs

TOLERANCE = 1e-5  # absolute and relative, between torch and onnxruntime
_DOUBT = 2.0**-10  # steps by which the inputs of an int8 layer may differ: of 127 steps, eight parts in a million


def check_values(model: torch.nn.Module, content: bytes, inputs: tuple[torch.Tensor, ...]) -> None:
    """Compare with onnxruntime, where it is installed.

    Raises:
        ExportError: it computes something else.
    """
    try:
        import onnxruntime
    except ImportError:
        return
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_inputs()]
    for batch in (inputs, tuple(torch.cat([example, example[:1]]) for example in inputs)):
        found = session.run(None, {n: x.detach().cpu().numpy() for n, x in zip(names, batch, strict=True)})
        compare(model, batch, found)


def compare(model: torch.nn.Module, batch: tuple[torch.Tensor, ...], found: Sequence[Any]) -> None:
    """Raise unless `found` is what `model` returns for `batch`, but for roundings that the last bit decides."""
    expected = _outputs(model, batch)
    allowed: list[Any] = [0.0] * len(expected)
    if not _agree(found, expected, allowed) and rounds_inputs(model):
        allowed = _either_way(model, batch, expected)
    if _agree(found, expected, allowed):
        return
    apart = [
        float(np.abs(one - other).max()) if one.shape == other.shape else float("nan")
        for one, other in zip(found, expected, strict=True)
    ]
    raise ExportError(
        f"The exported network must agree with torch to {TOLERANCE:g}; got a difference of {max(apart):.2g} at "
        f"{len(batch[0])} rows. Nothing was written; check layers that draw random numbers or that treat training and "
        "evaluation alike."
    )


def _outputs(model: torch.nn.Module, batch: tuple[torch.Tensor, ...]) -> list[Any]:
    outputs = model(*batch)
    return [one.detach().cpu().numpy() for one in ([outputs] if isinstance(outputs, torch.Tensor) else outputs)]


def _agree(found: Sequence[Any], expected: Sequence[Any], allowed: Sequence[Any]) -> bool:
    return all(
        one.shape == other.shape and np.allclose(one, other, TOLERANCE, TOLERANCE + more)
        for one, other, more in zip(found, expected, allowed, strict=True)
    )


def _either_way(model: torch.nn.Module, batch: tuple[torch.Tensor, ...], expected: Sequence[Any]) -> list[Any]:
    """How far each row of the outputs moves where inputs of int8 layers that lie in the middle round up, or down."""
    moved: list[Any] = [0.0] * len(expected)
    for shift in (_DOUBT, -_DOUBT):
        other = copy.deepcopy(model)
        for layer in rounds_inputs(other):
            layer.shift = shift
        for place, (one, was) in enumerate(zip(_outputs(other, batch), expected, strict=True)):
            far = np.abs(one - was).reshape(len(was), -1).max(axis=1)
            moved[place] = moved[place] + far.reshape(-1, *[1] * (was.ndim - 1))
    return moved
