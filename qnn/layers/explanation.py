"""What a layer is going to do, in words and numbers, before it does it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qnn.layers.placement import Placement
    from qnn.layers.quantum_layer import QuantumLayer


@dataclass(frozen=True)
class Explanation:
    """The plan of a layer for one training step.

    Attributes:
        backend: where circuits run.
        gradient: the gradient method.
        why: why that method.
        batch_size: rows in the step.
        circuits_per_step: circuits executed for one forward and backward pass.
        shots_per_circuit: None is exact.
        shots_per_step: 0 when exact.
        jobs_per_step: calls of the backend; on a remote one its jobs or tasks.
        measurement_bases: circuits needed per row when sampling.
        n_qubits: wires of the circuit.
        n_inputs: features of a row.
        n_weights: trainable scalars.
        n_outputs: values per row.
        depth: layers of gates, after transpiling where the backend does.
        two_qubit_gates: gates on two or more wires, after transpiling where the backend does.
        details: further facts from the backend, such as layout and noise.
    """

    backend: str
    gradient: str
    why: str
    batch_size: int
    circuits_per_step: int
    shots_per_circuit: int | None
    shots_per_step: int
    jobs_per_step: int
    measurement_bases: int
    n_qubits: int
    n_inputs: int
    n_weights: int
    n_outputs: int
    depth: int
    two_qubit_gates: int
    details: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        """An aligned table."""
        rows = [(f.name.replace("_", " "), getattr(self, f.name)) for f in fields(self) if f.name != "details"]
        shown = [(name, "exact" if value is None else _text(value)) for name, value in (*rows, *self.details)]
        width = max(len(name) for name, _ in shown)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in shown)


def _text(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def explained(layer: QuantumLayer, placement: Placement, batch_size: int, input_gradients: bool) -> Explanation:
    """What one training step of a layer will do; see `QuantumLayer.explain`."""
    method, why = placement.method()
    compiled = layer.plan.differentiator
    facts = {k: v for k, v in compiled.executable.describe().items() if v is not None}
    trained = any(weight.requires_grad for weight in layer.parameters())
    circuits = compiled.circuits_per_row(trained, input_gradients) * batch_size
    per_row = compiled.executable.circuits_per_row(layer.shots)
    return Explanation(
        backend=layer.backend.name,
        gradient=method,
        why=why,
        batch_size=batch_size,
        circuits_per_step=circuits,
        shots_per_circuit=layer.shots,
        shots_per_step=circuits * (layer.shots or 0),
        jobs_per_step=compiled.executable.jobs_for(circuits // per_row, layer.shots) if circuits else 0,
        measurement_bases=len(compiled.executable.plan.settings),
        n_qubits=layer.circuit.n_wires,
        n_inputs=layer.n_inputs,
        n_weights=sum(p.numel() for p in layer.parameters()),
        n_outputs=layer.n_outputs,
        depth=int(facts.pop("depth")),
        two_qubit_gates=int(facts.pop("two_qubit_gates")),
        details=tuple((k.replace("_", " "), str(v)) for k, v in facts.items()) + _repeatability(layer),
    )


def _repeatability(layer: QuantumLayer) -> tuple[tuple[str, str], ...]:
    if layer.shots is None:
        return ()
    keyed = layer.backend.capabilities.keyed
    return (("shots repeat", "yes, by the seed" if keyed else "no, this backend draws by a state of its own"),)
