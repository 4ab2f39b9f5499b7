"""What a layer is going to do, in words and numbers, before it does it."""

from __future__ import annotations

from dataclasses import dataclass, fields


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
