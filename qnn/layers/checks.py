"""What a quantum layer is given: checked, with errors that name the argument, and with warnings."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from qnn._integers import checked_seed as checked_seed
from qnn._integers import whole
from qnn.circuits.capture import Captured
from qnn.errors import ArgumentError, DtypeError, InertParameterWarning, NoEffectWarning, ShapeError
from qnn.gradients import inert


def check_count(name: str, value: Any, least: int = 1) -> int:
    """An integer of at least `least`."""
    number = whole(value)
    if number is None or number < least:
        raise ArgumentError(f"`{name}` must be an integer of at least {least}; got {value!r}. Use {max(least, 1)}.")
    return number


def checked_shots(shots: Any) -> int | None:
    """A positive number of shots, or None."""
    number = whole(shots)
    if shots is not None and (number is None or number < 1):
        raise ArgumentError(f"`shots` must be a positive integer, or None for exact values; got {shots!r}.")
    return number


def weight_shape(name: str, shape: int | Sequence[int]) -> tuple[int, ...]:
    """A weight's shape as a tuple; an integer is the length of a vector."""
    if name == "inputs" or not name.isidentifier():
        raise ArgumentError(f'`weight_shapes` must name arguments other than "{name}". Rename that argument.')
    given = tuple(shape) if isinstance(shape, Iterable) else (shape,)
    sizes = tuple(size for size in map(whole, given) if size is not None and size > 0)
    if len(sizes) < len(given):
        raise ArgumentError(f"`weight_shapes` must hold positive sizes; got {name}: {shape!r}. Correct the shape.")
    return sizes


def checked_rows(
    inputs: Any, n_inputs: int, weight: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Size, torch.dtype]:
    """Inputs as rows (N, D) in the dtype that circuits run in, their leading dimensions, and the dtype of the output.

    Args:
        inputs: as given to the layer; None where the circuit has no inputs.
        n_inputs: D.
        weight: one of the layer's, with whose device and dtype the inputs must agree; None if it has none.
    """
    if inputs is None:
        if n_inputs:
            raise ShapeError(f"`inputs` must have {n_inputs} features; got None. Pass a tensor.")
        inputs = torch.empty(0) if weight is None else weight.new_empty(0)
    if not isinstance(inputs, torch.Tensor):
        raise DtypeError(f"`inputs` must be a torch.Tensor; got {type(inputs).__name__}. Use torch.as_tensor(inputs).")
    _check_inputs(inputs, n_inputs, weight)
    leading, dtype = inputs.shape[:-1], inputs.dtype
    if not dtype.is_floating_point:
        dtype = torch.get_default_dtype() if weight is None else weight.dtype
    compute = torch.float64 if dtype == torch.float64 else torch.float32
    return inputs.reshape(math.prod(leading), inputs.shape[-1]).to(compute), leading, dtype


def _check_inputs(inputs: torch.Tensor, n_inputs: int, weight: torch.Tensor | None) -> None:
    """Inputs that fit the layer: feature count, dtype, device."""
    if inputs.ndim == 0 or inputs.shape[-1] != n_inputs:
        got = tuple(inputs.shape)
        last = got[-1] if got else "D"
        raise ShapeError(
            f"`inputs` must end in {n_inputs} features to match this layer's encoding; got shape {got}. "
            f"Project to {n_inputs} features first, for example with torch.nn.Linear({last}, {n_inputs})."
        )
    if inputs.is_complex():
        raise DtypeError(f"`inputs` must be real; got {inputs.dtype}. Use .real or torch.view_as_real first.")
    if weight is None:
        return
    if weight.dtype not in (torch.float32, torch.float64):
        raise DtypeError(
            f"The weights of a quantum layer must be float32 or float64; got {weight.dtype}. "
            "Keep this layer in float32; half-precision inputs are converted on the way in."
        )
    if weight.device != inputs.device:
        raise ArgumentError(
            f"`inputs` must be on the device of the weights, {weight.device}; got {inputs.device}. "
            f'Move one of them, for example with .to("{weight.device}").'
        )


def warn_if_inert(captured: Captured) -> None:
    """Name the inputs and weights that cannot change any output."""
    names = inert.inert_parameters(captured.circuit, captured.angle_map)
    if names:
        shown = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
        warnings.warn(
            f"{len(names)} parameter(s) of this circuit cannot change any output: {shown}. "
            "RX on H|0> is only a global phase, for example, and RZ just before measuring Z changes nothing; "
            "encode on |0>, or measure other wires or bases.",
            InertParameterWarning,
            stacklevel=4,
        )
    unused = inert.unused_inputs(captured.circuit, captured.angle_map)
    if unused:
        listed = ", ".join(f"inputs[{i}]" for i in unused[:12])
        warnings.warn(f"The circuit does not use {listed}. Reduce `n_inputs`.", NoEffectWarning, stacklevel=4)


def memory_note(n_wires: int, noisy: bool) -> str:
    """How much a state takes, where that is what limits a simulator."""
    kind, size = ("density matrix", 16 * 4**n_wires) if noisy else ("state vector", 16 * 2**n_wires)
    power = min((size.bit_length() - 1) // 10, 6)
    shown = f"{size / 2 ** (10 * power):.3g} {('bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB')[power]}"
    return f", of which a {kind} takes {shown}" if size > 2**30 else ""
