"""Angles of circuits on a grid: nearest values, and training through the rounding."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch.nn.utils import parametrize

from qnn._integers import whole
from qnn.errors import ArgumentError, DtypeError, unknown_name
from qnn.gradients.quantum_modules import computed_weights
from qnn.layers import QuantumLayer

SETS = {"clifford": math.pi / 2, "clifford+t": math.pi / 4}
"""Steps of the angles that fault-tolerant devices have by nature."""
_MAX_BITS, _EXACT_WIRES = 16, 12


class Grid(torch.nn.Module):
    """Angles to the nearest of a set that repeats every 2π; gradients pass as if nothing were rounded.

    The straight-through estimator [1]: the value is rounded, its derivative is 1. Values stay near where they were, so
    that a gate of period 4π keeps its sign.

    Args:
        values: the set, radians, in [0, 2π), rising.
        chosen: which entries of the weight are rounded, of its shape; None for all.

    References:
        [1] Y. Bengio, N. Léonard, A. Courville, arXiv:1308.3432.
    """

    def __init__(self, values: torch.Tensor, chosen: torch.Tensor | None = None) -> None:
        super().__init__()
        around = torch.cat([values[-1:] - 2 * torch.pi, values, values[:1] + 2 * torch.pi])
        self.register_buffer("values", around.double(), persistent=False)
        self.register_buffer("chosen", chosen, persistent=False)

    def nearest(self, angles: torch.Tensor) -> torch.Tensor:
        """The rounded angles, without gradients, in the dtype of `angles`."""
        values: torch.Tensor = self.values  # type: ignore[assignment]
        exact = angles.detach().double()
        turns = torch.floor(exact / (2 * torch.pi)) * (2 * torch.pi)
        rest = (exact - turns).contiguous()
        above = torch.searchsorted(values, rest).clamp(1, len(values) - 1)
        low, high = values[above - 1], values[above]
        found = (torch.where(rest - low <= high - rest, low, high) + turns).to(angles.dtype)
        return found if self.chosen is None else torch.where(self.chosen, found, angles.detach())  # type: ignore[arg-type]

    def forward(self, weights: torch.Tensor) -> torch.Tensor:
        """Rounded weights, with the gradient of the identity."""
        return self.nearest(weights) + (weights - weights.detach())


def grid_values(bits: Any, angles: Any) -> torch.Tensor:
    """The set of angles in [0, 2π): 2^bits of equal distance, those of a device, or a list.

    Raises:
        ArgumentError, DtypeError, UnknownNameError: none or both of them, or one that cannot be used.

    Example:
        >>> grid_values(2, None).tolist() == grid_values(None, "clifford").tolist()
        True
    """
    if (bits is None) == (angles is None):
        got = "none" if bits is None else "both"
        raise ArgumentError(f"One of `bits` and `angles` must be given for angles; got {got}. Use bits=4.")
    if bits is not None:
        n = whole(bits)
        if n is None:
            raise DtypeError(f"`bits` must be an integer; got {bits!r}. Use bits=4.")
        if not 1 <= n <= _MAX_BITS:
            raise ArgumentError(f"`bits` must be from 1 to {_MAX_BITS}; got {n}. Use bits=4.")
        return torch.arange(2**n, dtype=torch.float64) * (2 * torch.pi / 2**n)
    if isinstance(angles, str):
        if angles not in SETS:
            raise unknown_name("set of angles", angles, SETS)
        n = round(2 * math.pi / SETS[angles])
        return torch.arange(n, dtype=torch.float64) * SETS[angles]
    try:
        given = torch.as_tensor(angles, dtype=torch.float64).flatten()
    except (TypeError, ValueError, RuntimeError) as error:
        raise DtypeError(f"`angles` must be a name or numbers in radians; got {angles!r}. Use a list.") from error
    if not len(given) or not bool(torch.isfinite(given).all()):
        raise ArgumentError(f"`angles` must be one or more finite numbers; got {given.tolist()}. Use a list.")
    return torch.unique(torch.remainder(given, 2 * torch.pi))


def is_angle(layer: QuantumLayer) -> dict[str, torch.Tensor]:
    """For each weight of a layer, which of its entries are angles of the circuit, or make up angles of weights alone.

    Entries that are only multiplied with inputs, trainable frequencies say, are none.
    """
    angle_map = layer.angle_map
    sizes = [math.prod(shape) for _, shape in angle_map.weight_shapes]
    direct = torch.zeros(sum(sizes), dtype=torch.bool)
    direct[[place for place in angle_map.shared_index if place < len(direct)]] = True
    shared, rows = (
        set().union(*computed_weights(angle_map, extras).values())
        for extras in (angle_map.shared_extras, angle_map.row_extras)
    )
    found = {}
    for (name, shape), copied in zip(angle_map.weight_shapes, direct.split(sizes), strict=True):
        found[name] = (copied | (name in shared - rows)).reshape(shape)
    return found


def put_on_grid(layers: Sequence[QuantumLayer], values: torch.Tensor) -> None:
    """Parametrise the angles of layers, in place: they are rounded whenever they are used, and can be trained."""
    for layer in layers:
        for name, chosen in is_angle(layer).items():
            if chosen.any():
                device = getattr(layer, name).device
                parametrize.register_parametrization(layer, name, Grid(values, chosen).to(device))


def keep_grid(layers: Sequence[QuantumLayer]) -> None:
    """Plain weights again, with the rounded values."""
    for layer in layers:
        for name, _ in layer.angle_map.weight_shapes:
            if parametrize.is_parametrized(layer, name):
                trained = layer.parametrizations[name].original.requires_grad  # type: ignore[index, union-attr]
                parametrize.remove_parametrizations(layer, name, leave_parametrized=True)
                getattr(layer, name).requires_grad_(trained)
        for name, _ in layer.angle_map.weight_shapes:  # in their first order
            layer._parameters[name] = layer._parameters.pop(name)


def angles_on_grid(layer: QuantumLayer, values: torch.Tensor) -> tuple[int, int]:
    """How many of the circuit's angles that do not depend on inputs are of the set, and how many there are."""
    with torch.no_grad():
        rows = torch.zeros(1, layer.n_inputs, dtype=torch.float64)
        shared, _ = layer._sources(rows)
    angles = shared[list(layer.angle_map.shared_index)].double().cpu()
    apart = torch.remainder(angles - Grid(values).nearest(angles) + torch.pi, 2 * torch.pi) - torch.pi
    return int((apart.abs() < 1e-5).sum()), len(angles)


@contextmanager
def exact(layers: Sequence[QuantumLayer]) -> Iterator[None]:
    """Inside, layers of at most 12 wires that sample or are noisy run exactly, so that differences are no noise."""
    with ExitStack() as stack:
        for layer in layers:
            if (layer.shots is not None or layer.backend.capabilities.noisy) and layer.circuit.n_wires <= _EXACT_WIRES:
                stack.enter_context(layer.using("statevector", shots=None))
        yield
