"""Which inputs and weights can change no output at all.

Structure first: a gate outside the backward light cone of every measurement is inert. Up to
`MAX_WIRES` wires derivatives decide, in float64, at random points: a derivative of the outputs in
random proportions that is zero at all of them is zero everywhere, but for a set of measure zero.
What counts is the parameter, not the gate: an input that enters one inert gate and one that
matters is no cause for a warning.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from qnn.backends.base import Angles
from qnn.backends.statevector import Statevector
from qnn.circuits.angle_map import AngleMap
from qnn.circuits.circuit import Circuit, Slot

MAX_WIRES = 12
_TOLERANCE = 1e-10
_POINTS = 2  # positive weights at one, negative at the other: an angle may be a function of one sign only
_Random = Callable[..., torch.Tensor]  # sizes ↦ uniform numbers in [0, 1)
_Moves = Callable[[Circuit, Angles, _Random], Angles]  # by how much each angle moves the outputs
_ROWS = 4  # inputs at each point, half of them positive


def inert_parameters(circuit: Circuit, angle_map: AngleMap) -> list[str]:
    """Names of inputs and weights that cannot change any output, such as ``weights[0, 2]``; inputs in use only."""
    unused = set(unused_inputs(circuit, angle_map))
    moves = _derivatives if circuit.n_wires <= MAX_WIRES else _light_cone
    inputs, weights = _reached(circuit, angle_map, moves)
    shared_names, row_names = angle_map.names()
    found = [row_names[i] for i in range(angle_map.n_inputs) if not inputs[i] and i not in unused]
    return found + [name for name, moved in zip(shared_names, weights.tolist(), strict=False) if not moved]


def unused_inputs(circuit: Circuit, angle_map: AngleMap) -> list[int]:
    """Features that no angle is made of."""
    wanted = [angle_map.nodes[i] for i in angle_map.needed(angle_map.row_extras)]
    if not any(node.op == "input" for node in wanted):
        used = {i for i in angle_map.rows_index if i < angle_map.n_inputs}
    else:
        inputs, _ = _reached(circuit, angle_map, _every)
        used = set(torch.nonzero(inputs).reshape(-1).tolist())
    return sorted(set(range(angle_map.n_inputs)) - used)


@torch.inference_mode(False)
@torch.enable_grad()
def _reached(circuit: Circuit, angle_map: AngleMap, moves: _Moves) -> tuple[torch.Tensor, torch.Tensor]:
    """Which inputs (D,) and weights (W,) the slots that `moves` finds depend on, as bools."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    n_weights = sum(torch.Size(shape).numel() for _, shape in angle_map.weight_shapes)
    found = torch.zeros(angle_map.n_inputs, dtype=torch.bool), torch.zeros(n_weights, dtype=torch.bool)
    signs = torch.tensor([[1.0], [-1.0]], dtype=torch.float64).repeat(_ROWS // 2, 1)
    for point in range(_POINTS):
        inputs = (signs * 2 * torch.pi * random(_ROWS, angle_map.n_inputs)).requires_grad_()
        flat = (2 * torch.pi * (random(n_weights) - point)).requires_grad_()
        sizes = [torch.Size(shape).numel() for _, shape in angle_map.weight_shapes]
        weights = {n: p.reshape(s) for (n, s), p in zip(angle_map.weight_shapes, flat.split(sizes), strict=True)}
        shared, rows = angle_map.sources(inputs, weights)
        angles = Angles(shared[list(angle_map.shared_index)], rows[:, list(angle_map.rows_index)])
        finite = Angles(angles.shared.detach().nan_to_num(), angles.rows.detach().nan_to_num())
        by_angle = moves(circuit, finite, random)
        total = (angles.shared * by_angle.shared).sum() + (angles.rows * by_angle.rows).sum()
        for mask, gradient in zip(found, torch.autograd.grad(total, (inputs, flat), allow_unused=True), strict=True):
            if gradient is not None:
                size = gradient.abs() if gradient.ndim == 1 else gradient.abs().amax(dim=0)
                mask |= ~(size < _TOLERANCE)  # NaN is no proof of being inert
    return found


def _derivatives(circuit: Circuit, angles: Angles, random: _Random) -> Angles:
    """Derivatives of the outputs, in random proportions, by every angle of every row."""
    circuit = circuit.linear()  # a variance moves with <O> or <O²>
    executable = Statevector().compile(circuit)
    shared, rows = angles.shared.clone().requires_grad_(), angles.rows.clone().requires_grad_()
    values = executable.differentiable(Angles(shared, rows))  # in torch: nothing is compiled for double precision here
    total = (values * random(*values.shape)).sum()
    if not total.requires_grad:
        return Angles(torch.zeros_like(shared), torch.zeros_like(rows))
    gradients = torch.autograd.grad(total, (shared, rows), allow_unused=True, materialize_grads=True)
    return Angles(*gradients)


def _light_cone(circuit: Circuit, angles: Angles, random: _Random) -> Angles:
    """Random numbers for the angles of gates that a measurement can see, zero for the others."""
    every = _every(circuit, angles, random)
    for slot in _outside_light_cone(circuit):
        block = every.shared if slot.block == "shared" else every.rows
        block[..., slot.index] = 0.0
    return every


def _every(circuit: Circuit, angles: Angles, random: _Random) -> Angles:
    return Angles(0.5 + random(*angles.shared.shape), 0.5 + random(*angles.rows.shape))


def _outside_light_cone(circuit: Circuit) -> set[Slot]:
    cone = {wire for measurement in circuit.measurements for wire in measurement.wires}
    outside = set()
    for operation in reversed(circuit.operations):
        if cone.isdisjoint(operation.wires):
            if isinstance(operation.angle, Slot):
                outside.add(operation.angle)
        else:
            cone.update(operation.wires)
    return outside
