"""The Fubini-Study metric of a quantum layer in its weights: how far the state moves when they do.

Shapes: N rows, W trainable weights, A angles that depend on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from qnn.backends.base import Angles
from qnn.circuits.angle_map import AngleMap
from qnn.circuits.circuit import Circuit, Slot
from qnn.errors import ArgumentError, CapabilityError, ShapeError, unknown_name
from qnn.gradients.plan import Plan
from qnn.gradients.quantum_modules import computed_weights, weights_of
from qnn.simulation.derivative_states import fubini_study
from qnn.simulation.engine import MAX_BYTES
from qnn.simulation.program import words_program

APPROXIMATIONS = ("full", "block-diagonal")
_CHUNK_BYTES = 1 << 27  # of derivative states at once


def fubini_study_metric(
    layer: torch.nn.Module, inputs: torch.Tensor | None = None, *, approximation: str = "full"
) -> torch.Tensor:
    """The metric g in the layer's trainable weights, averaged over rows:

        g_ij = Re(<∂ᵢψ|∂ⱼψ> - <∂ᵢψ|ψ><ψ|∂ⱼψ>),

    a quarter of the quantum Fisher information of pure states. It is computed in double precision, in one forward
    sweep per batch that carries derivative states, and counts as no circuit.

    Args:
        layer: a `QuantumLayer`, exact, on a backend with amplitudes.
        inputs: shape (..., D); None for a circuit without inputs.
        approximation: "full"; or "block-diagonal", which keeps g between angles of one layer of the circuit only and
            is cheaper. A layer is a set of gates with trainable angles of which none comes after another one on
            its wires; what a weight does through several gates is summed up.

    Returns:
        Shape (W, W), float64, symmetric and positive semidefinite; rows in the order of the weights' entries. Weights
        that do not require gradients are left out.

    Raises:
        CapabilityError: the backend gives no amplitudes, or the layer samples.
        ArgumentError: too large for memory; a weight is not a plain parameter.

    Cost:
        O(N·K·A·2^n) time for K rotations and A angles on n wires, A then being those of a layer for "block-diagonal".

    References:
        Stokes, Izaac, Killoran and Carleo, Quantum 4, 269 (2020), eq. (7) and section 3.

    Example:
        >>> from qnn import QuantumLayer
        >>> layer = QuantumLayer(1, 1, seed=0)  # RX(input), H, RX(weight)
        >>> fubini_study_metric(layer, torch.tensor([torch.pi / 2])).round(decimals=3)
        tensor([[0.2500]], dtype=torch.float64)
    """
    if approximation not in APPROXIMATIONS:
        raise unknown_name("approximation", approximation, APPROXIMATIONS)
    check_amplitudes(layer)
    angle_map, circuit = _parts(layer)
    rows = _rows(angle_map, inputs)
    weights = weights_of(layer)
    with torch.no_grad():
        every = {name: getattr(layer, name).detach().to(rows) for name, _ in angle_map.weight_shapes}
        slots = _slots(angle_map, weights)
        n_weights = sum(weight.numel() for weight in weights.values())
        groups = _layers_of(circuit, slots) if approximation == "block-diagonal" else [0] * len(slots)
        program = words_program(circuit.with_measurements(()))
        pairs = [(slot.block == "rows", slot.index) for slot in slots]
        if not circuit.n_rows:
            rows = rows[:1]  # one state for all
        total = rows.new_zeros(n_weights, n_weights)
        for chunk in rows.split(_chunk(circuit.n_wires, groups)):
            angles = _angles(angle_map, chunk, every)
            by_angle = fubini_study(program, pairs, groups, angles.shared, angles.rows)
            jacobian = _jacobian(angle_map, chunk, every, list(weights), slots)
            total += (jacobian.mT @ by_angle @ jacobian).sum(dim=0)
        total = total / max(1, len(rows))
    return (total + total.T) / 2


def check_amplitudes(layer: torch.nn.Module, name: str = "") -> None:
    """Refuse a layer whose states cannot be had exactly."""
    plan: Plan = layer.plan  # type: ignore[assignment]
    where = f' of the layer "{name}"' if name else ""
    if not plan.backend.capabilities.vjp:
        raise CapabilityError(
            f'The Fubini-Study metric needs amplitudes, which backend "{plan.backend.name}"{where} cannot return. '
            'Use backend="statevector", or another optimizer, such as SPSA.'
        )
    if plan.shots is not None:
        raise CapabilityError(
            f"The Fubini-Study metric needs exact amplitudes; got shots={plan.shots}{where}. "
            "Use shots=None, or another optimizer, such as SPSA."
        )


def _parts(layer: Any) -> tuple[AngleMap, Circuit]:
    return layer.angle_map, layer.circuit


def _rows(angle_map: AngleMap, inputs: torch.Tensor | None) -> torch.Tensor:
    """Inputs as rows (N, D) in double precision."""
    if inputs is None:
        inputs = torch.zeros(angle_map.n_inputs)
    if inputs.ndim < 1 or inputs.shape[-1] != angle_map.n_inputs:
        raise ShapeError(
            f"`inputs` must end in {angle_map.n_inputs} features to match this layer's encoding; "
            f"got shape {tuple(inputs.shape)}. Give the metric what the layer is given."
        )
    n_rows = inputs.shape[:-1].numel()
    return inputs.detach().reshape(n_rows, angle_map.n_inputs).double()


def _chunk(n_wires: int, groups: Sequence[int]) -> int:
    """Rows whose derivative states are carried at once."""
    most = max((groups.count(group) for group in set(groups)), default=0)
    one = 8 * ((most + 3) * 2 ** (n_wires + 1) + 2 * len(groups) ** 2)
    if one > MAX_BYTES:
        raise ArgumentError(
            f"`model` must be small enough for its derivative states to fit in memory; got {most} of {n_wires} wires. "
            'Use approximation="block-diagonal", fewer qubits or fewer weights.'
        )
    return max(1, _CHUNK_BYTES // one)


def _angles(angle_map: AngleMap, rows: torch.Tensor, weights: dict[str, torch.Tensor]) -> Angles:
    shared, sources = angle_map.sources(rows, weights)
    return Angles(shared[list(angle_map.shared_index)], sources[:, list(angle_map.rows_index)])


def _slots(angle_map: AngleMap, wanted: dict[str, torch.nn.Parameter]) -> list[Slot]:
    """The slots whose angles depend on wanted weights."""
    names = [name for name, shape in angle_map.weight_shapes for _ in range(torch.Size(shape).numel())]
    shared, rows = (computed_weights(angle_map, e) for e in (angle_map.shared_extras, angle_map.row_extras))
    made_of = {i: {name} for i, name in enumerate(names)} | {len(names) + i: made for i, made in shared.items()}
    by_row = {angle_map.n_inputs + i: made for i, made in rows.items()}
    found = [Slot("shared", c) for c, i in enumerate(angle_map.shared_index) if made_of[i] & wanted.keys()]
    return found + [Slot("rows", c) for c, i in enumerate(angle_map.rows_index) if by_row.get(i, set()) & wanted.keys()]


def _jacobian(
    angle_map: AngleMap, rows: torch.Tensor, weights: dict[str, torch.Tensor], wanted: list[str], slots: list[Slot]
) -> torch.Tensor:
    """∂ angle / ∂ weight, shape (1 or N, A, W); where every angle is a copy of a weight, no derivative is computed."""
    sizes = [weights[name].numel() for name in wanted]
    if not angle_map.shared_extras and not angle_map.row_extras:
        place, start = {}, 0
        for name, shape in angle_map.weight_shapes:
            place[name], start = start, start + torch.Size(shape).numel()
        copied = [angle_map.shared_index[slot.index] for slot in slots]
        column = [place[name] + i for name, size in zip(wanted, sizes, strict=True) for i in range(size)]
        source, target = torch.tensor(copied).reshape(-1, 1), torch.tensor(column)
        return (source == target).to(rows)[None]

    def angles(*values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = _angles(angle_map, rows, weights | dict(zip(wanted, values, strict=True)))
        return found.shared, found.rows

    every = tuple(range(len(wanted)))
    by_shared, by_rows = torch.func.jacfwd(angles, argnums=every)(*(weights[name] for name in wanted))
    flat = lambda parts, lead: torch.cat([part.reshape(*lead, -1) for part in parts], dim=-1)
    shared = flat(by_shared, (len(angle_map.shared_index),))[[s.index for s in slots if s.block == "shared"]]
    by_row = flat(by_rows, (len(rows), len(angle_map.rows_index)))[:, [s.index for s in slots if s.block == "rows"]]
    return torch.cat([shared.expand(len(rows), -1, -1), by_row], dim=1)


def _layers_of(circuit: Circuit, slots: list[Slot]) -> list[int]:
    """The layer of each slot: how many wanted gates lie on the longest way to its gate, wire by wire."""
    wanted, level, found = set(slots), [0] * circuit.n_wires, {}
    for operation in circuit.operations:
        reached = max(level[wire] for wire in operation.wires)
        if isinstance(operation.angle, Slot) and operation.angle in wanted:
            reached += 1
            found[operation.angle] = reached
        for wire in operation.wires:
            level[wire] = reached
    return [found[slot] for slot in slots]
