"""Which parameters of a circuit can change no output at all.

Structure first: a gate outside the backward light cone of every measurement is inert. Up to
`MAX_WIRES` wires the rest is decided by derivatives at two random points, in float64: a derivative
that is zero for random output weights at two random points is zero everywhere, but for a set of
measure zero.
"""

from __future__ import annotations

from collections import defaultdict

import torch

from qnn.backends.base import Angles
from qnn.backends.statevector import Statevector
from qnn.circuits.angle_map import AngleMap
from qnn.circuits.circuit import Circuit, Slot

MAX_WIRES = 12
_TOLERANCE = 1e-10
_POINTS = 2


def inert_slots(circuit: Circuit) -> set[Slot]:
    """Slots whose angle changes no output."""
    inert = _outside_light_cone(circuit)
    if circuit.n_wires <= MAX_WIRES and circuit.slot_operations:
        inert |= _without_derivative(circuit)
    return inert


def inert_parameters(circuit: Circuit, angle_map: AngleMap) -> list[str]:
    """Names of inputs and weights that enter the circuit only by inert angles, such as ``weights[0, 2]``."""
    inert = inert_slots(circuit)
    places = {"shared": angle_map.shared_index, "rows": angle_map.rows_index}
    uses: dict[tuple[str, int], list[bool]] = defaultdict(list)
    for slot in sorted(circuit.slot_operations, key=lambda s: (s.block == "shared", s.index)):
        uses[slot.block, places[slot.block][slot.index]].append(slot in inert)
    names = dict(zip(("shared", "rows"), angle_map.names(), strict=True))
    n_plain = {"shared": len(names["shared"]) - len(angle_map.shared_extras), "rows": angle_map.n_inputs}
    found = []
    for (block, place), flags in uses.items():
        if all(flags):
            found.append(
                names[block][place] if place < n_plain[block] else _where(circuit, places[block], block, place)
            )
    return found


def _where(circuit: Circuit, index: tuple[int, ...], block: str, place: int) -> str:
    """A computed angle has no name; the gate that it turns has."""
    operation = circuit.slot_operations[Slot(block, index.index(place))]  # type: ignore[arg-type]
    return f"the computed angle of {operation.gate} on wire {', '.join(map(str, operation.wires))}"


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


def _without_derivative(circuit: Circuit) -> set[Slot]:
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64) * 2 * torch.pi

    executable = Statevector().compile(circuit)
    largest = dict.fromkeys(circuit.slot_operations, 0.0)
    for _ in range(_POINTS):
        angles = Angles(random(circuit.n_shared), random(1, circuit.n_rows))
        gradient = executable.gradient(angles, random(1, circuit.n_outputs))
        for slot in largest:
            block = gradient.shared if slot.block == "shared" else gradient.rows[0]
            largest[slot] = max(largest[slot], abs(float(block[slot.index])))
    return {slot for slot, size in largest.items() if size < _TOLERANCE}
