"""Where and how a layer runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qnn.backends.base import Backend
from qnn.circuits.angle_map import AngleMap
from qnn.circuits.circuit import Circuit
from qnn.errors import ArgumentError
from qnn.gradients import methods, operator
from qnn.layers.checks import checked_shots, memory_note


@dataclass(frozen=True)
class Placement:
    """A backend, the shots of each circuit there, and the gradient method that was asked for."""

    backend: Backend
    shots: int | None
    gradient: str

    def method(self) -> tuple[str, str]:
        """The gradient method, and why that one."""
        return methods.choose(self.gradient, self.backend.capabilities, self.shots, self.backend.name)

    def plan(self, circuit: Circuit, angle_map: AngleMap) -> operator.Plan:
        """What the operator of a layer runs here."""
        _ = circuit.n_outputs, circuit.variance_columns  # kept now: torch.compile cannot trace that
        plan = operator.Plan(
            circuit.linear(),
            self.backend,
            self.method()[0],
            self.shots,
            angle_map.shared_index,
            angle_map.rows_index,
            angle_map.n_inputs,
        )
        return operator.plan_of(plan.key)  # an equal one in use is compiled already


def place(circuit: Circuit, backend: Backend, shots: Any, gradient: str) -> Placement:
    """A placement at which the circuit can run.

    Raises:
        ArgumentError: no shots where there must be some, or a circuit of too many wires.
        CapabilityError: a gradient method that the backend cannot offer.
    """
    shots = checked_shots(shots)
    capabilities = backend.capabilities
    if shots is None and not capabilities.exact:
        raise ArgumentError(f'`shots` must be given for backend "{backend.name}", which only samples; got None.')
    if capabilities.max_wires is not None and circuit.n_wires > capabilities.max_wires:
        raise ArgumentError(
            f'`n_qubits` must be at most {capabilities.max_wires} on backend "{backend.name}"; '
            f"got {circuit.n_wires}{memory_note(circuit.n_wires, capabilities.noisy)}. "
            "Use fewer qubits or another backend."
        )
    placement = Placement(backend, shots, gradient)
    placement.method()
    return placement
