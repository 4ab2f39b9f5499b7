"""How much each trainable rotation of a circuit matters: by its angle, by gradients, by Fisher information.

Shapes: B data rows, N rows of a circuit (several for a data row where a layer is used on patches), A slots, M outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch

from qnn.circuits.angle_map import AngleMap
from qnn.circuits.circuit import Slot
from qnn.compression.circuits.circuit_layers import trainable_rotations
from qnn.compression.circuits.simplification import period
from qnn.compression.measurement.measuring import class_logits
from qnn.compression.tuning import as_inputs, shape_error
from qnn.errors import ArgumentError, ShapeError, unknown_name
from qnn.gradients import subset
from qnn.gradients.metric import check_amplitudes
from qnn.layers import QuantumLayer
from qnn.simulation.derivative_states import fubini_study
from qnn.simulation.program import words_program
from qnn.training.evaluation import as_tensor

KINDS = ("loss", "outputs", "quantum")
_BATCH = 128
Rows = tuple[torch.Tensor, torch.Tensor]


@dataclass
class _Call:
    """One use of a layer: its inputs (N, D), its outputs (..., M) and the gradient of the loss by them."""

    inputs: torch.Tensor
    outputs: torch.Tensor
    cotangent: torch.Tensor | None = None


class _Angles:
    """A layer's circuit as a function of all its angles, run where and how the layer runs."""

    def __init__(self, layer: QuantumLayer) -> None:
        self.layer = layer
        self.rotations = trainable_rotations(layer)
        self.n_slots = layer.circuit.n_shared + layer.circuit.n_rows

    def column(self, slot: Slot) -> int:
        """The column of a slot in the dense angles."""
        return slot.index + (self.layer.circuit.n_shared if slot.block == "rows" else 0)

    @torch.no_grad()
    def dense(self, inputs: torch.Tensor) -> torch.Tensor:
        """All angles of all rows, shape (N, A), float64, the shared ones first."""
        angle_map = self.layer.angle_map
        weights = {name: getattr(self.layer, name).detach().double() for name, _ in angle_map.weight_shapes}
        shared, rows = angle_map.sources(inputs, weights)
        picked = shared[list(angle_map.shared_index)], rows[:, list(angle_map.rows_index)]
        return torch.cat([picked[0].expand(len(inputs), -1), picked[1]], dim=1)

    def no_inputs(self) -> torch.Tensor:
        """A row of zeros, for angles made of weights alone."""
        device = next((weight.device for weight in self.layer.parameters()), None)
        return torch.zeros(1, self.layer.n_inputs, dtype=torch.float64, device=device)

    @cached_property
    def _of_angles(self) -> QuantumLayer:
        plain = AngleMap(self.n_slots, (), False, (), (), (), (), tuple(range(self.n_slots)))
        layer = self.layer
        return QuantumLayer.from_circuit(
            layer.circuit.all_rows(),
            plain,
            backend=layer.backend,
            shots=layer.shots,
            gradient=layer.gradient,
            seed=layer.seed,
        )

    def outputs(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Outputs (N, M), differentiable by the angles of trainable rotations, and the angles (N, A)."""
        angles = self.dense(inputs).requires_grad_()
        with torch.enable_grad(), subset.only({self.column(slot) for slot in self.rotations.values()}):
            return self._of_angles(angles), angles

    def by_rotation(self, scores: torch.Tensor) -> dict[int, float]:
        """Of scores (A,) of slots, those of the trainable rotations, by number of the operation."""
        return {number: float(scores[self.column(slot)]) for number, slot in self.rotations.items()}


def by_angle(
    model: torch.nn.Module, layers: Mapping[str, QuantumLayer], rows: Rows | None
) -> dict[str, dict[int, float]]:
    """|angle|, wrapped to (-π, π], in radians; the mean over rows of angles in which inputs are mixed.

    Controlled rotations and others that are themselves again after 4π only are wrapped to (-2π, 2π].

    Returns:
        For each layer, scores by number of the operation.
    """
    circuits = {name: _Angles(layer) for name, layer in layers.items()}
    mixed = [name for name, c in circuits.items() if any(slot.block == "rows" for slot in c.rotations.values())]
    if mixed and rows is None:
        raise ArgumentError(
            f'`data` must be given where weights are multiplied with inputs, as in the layer "{mixed[0]}"; got '
            "None. Pass a task or (x, y)."
        )
    calls = [used for used, _ in _used(model, layers, rows)] if mixed and rows is not None else []  # no circuit else
    scores = {}
    for name, circuit in circuits.items():
        seen = [call.inputs for used in calls for call in used[name]]
        angles = circuit.dense(torch.cat(seen) if seen else circuit.no_inputs())
        gates = circuit.layer.circuit.operations
        scores[name] = {
            number: float(_wrapped(angles[:, circuit.column(slot)], gates[number].gate).abs().mean())
            for number, slot in circuit.rotations.items()
        }
    return scores


def by_gradient(model: torch.nn.Module, layers: Mapping[str, QuantumLayer], rows: Rows) -> dict[str, dict[int, float]]:
    """Mean over data rows of |∂ loss / ∂ angle|."""
    return _of_loss(model, layers, rows, torch.abs)


def by_fisher(
    model: torch.nn.Module, layers: Mapping[str, QuantumLayer], rows: Rows, kind: str
) -> dict[str, dict[int, float]]:
    """The diagonal of a Fisher information in the angles, a mean over data rows.

    Args:
        model: the network.
        layers: its quantum layers.
        rows: inputs and targets.
        kind: "loss", (∂ loss / ∂ angle)², the empirical Fisher information of cross-entropy; "outputs",
            Σ (∂ output / ∂ angle)² over the outputs of the layer, which looks at no targets; "quantum", the quantum
            Fisher information 4 (<∂ψ|∂ψ> - |<ψ|∂ψ>|²), which needs amplitudes.
    """
    if kind not in KINDS:
        raise unknown_name("Fisher information", kind, KINDS)
    if kind == "loss":
        return _of_loss(model, layers, rows, torch.square)
    if kind == "quantum":
        for name, layer in layers.items():
            check_amplitudes(layer, name)
    rule = _output_squares if kind == "outputs" else _quantum_fisher
    circuits = {name: _Angles(layer) for name, layer in layers.items()}
    totals = {name: torch.zeros(circuit.n_slots, dtype=torch.float64) for name, circuit in circuits.items()}
    for used, _ in _used(model, layers, rows):
        for name, circuit in circuits.items():
            for call in used[name]:
                totals[name] += rule(circuit, call.inputs).cpu()
    return {name: circuit.by_rotation(totals[name] / len(rows[0])) for name, circuit in circuits.items()}


def _of_loss(
    model: torch.nn.Module, layers: Mapping[str, QuantumLayer], rows: Rows, size: Callable[..., torch.Tensor]
) -> dict[str, dict[int, float]]:
    """Mean over data rows of the size of ∂ loss / ∂ angle."""
    circuits = {name: _Angles(layer) for name, layer in layers.items()}
    totals = {name: torch.zeros(circuit.n_slots, dtype=torch.float64) for name, circuit in circuits.items()}
    for used, n_rows in _used(model, layers, rows, gradients=True):
        for name, circuit in circuits.items():
            gradients = [_per_data_row(_pulled_back(circuit, call), n_rows) for call in used[name]]
            if gradients:
                totals[name] += size(torch.stack(gradients).sum(dim=0)).sum(dim=0).cpu()
    return {name: circuit.by_rotation(totals[name] / len(rows[0])) for name, circuit in circuits.items()}


def _used(
    model: torch.nn.Module, layers: Mapping[str, QuantumLayer], rows: Rows, gradients: bool = False
) -> Iterator[tuple[dict[str, list[_Call]], int]]:
    """For each batch of rows, how the layers were used, and how many rows it has."""
    x, y = as_inputs(model, rows[0]), rows[1]
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        for part, targets in zip(x.split(_BATCH), y.split(_BATCH), strict=True):
            calls: dict[str, list[_Call]] = {name: [] for name in layers}
            with ExitStack() as hooks, torch.set_grad_enabled(gradients):
                for name, layer in layers.items():
                    hooks.callback(layer.register_forward_hook(partial(_note, into=calls[name])).remove)
                try:
                    outputs = as_tensor(model(part))
                except (RuntimeError, ShapeError) as error:
                    raise shape_error(x, error) from error
                if gradients:
                    _set_cotangents(_loss_of(outputs, targets.to(outputs.device)).sum(), calls)
            yield calls, len(part)
    finally:
        for module, mode in modes:
            module.training = mode


def _note(layer: QuantumLayer, args: Any, output: torch.Tensor, *, into: list[_Call]) -> None:
    """A forward hook that keeps what went in and came out."""
    inputs = args[0] if args and args[0] is not None else output.new_zeros(1, layer.n_inputs)
    into.append(_Call(inputs.detach().reshape(-1, layer.n_inputs).double(), output))


def _set_cotangents(loss: torch.Tensor, calls: Mapping[str, list[_Call]]) -> None:
    """Tell each use of a layer the gradient of the loss by what came out."""
    used = [call for part in calls.values() for call in part if call.outputs.requires_grad]
    gradients = torch.autograd.grad(loss, [call.outputs for call in used], allow_unused=True)
    for call, gradient in zip(used, gradients, strict=True):
        call.cotangent = gradient


def _loss_of(outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The loss of each row: squared error for real targets, cross-entropy for classes."""
    if y.is_floating_point():
        return (outputs - y.reshape(outputs.shape).to(outputs)).square().reshape(len(y), -1).mean(dim=1)
    return torch.nn.functional.cross_entropy(class_logits(outputs), y, reduction="none")


def _pulled_back(circuit: _Angles, call: _Call) -> torch.Tensor:
    """∂ loss / ∂ angle of each row and slot, shape (N, A), zero for slots that are not trained."""
    if call.cotangent is None:
        return torch.zeros(len(call.inputs), circuit.n_slots, dtype=torch.float64)
    outputs, angles = circuit.outputs(call.inputs)
    return torch.autograd.grad(outputs, angles, call.cotangent.reshape(outputs.shape).to(outputs))[0]


def _output_squares(circuit: _Angles, inputs: torch.Tensor) -> torch.Tensor:
    """Σ (∂ output / ∂ angle)² over outputs and rows, shape (A,)."""
    outputs, angles = circuit.outputs(inputs)
    gradients = (torch.autograd.grad(total, angles, retain_graph=True)[0] for total in outputs.sum(dim=0))
    return torch.stack([gradient.square().sum(dim=0) for gradient in gradients]).sum(dim=0)


def _quantum_fisher(circuit: _Angles, inputs: torch.Tensor) -> torch.Tensor:
    """The diagonal of the quantum Fisher information, summed over rows, shape (A,)."""
    plain = circuit.layer.circuit.all_rows().with_measurements(())
    slots = [(True, column) for column in range(circuit.n_slots)]
    angles = circuit.dense(inputs).cpu()  # each slot is a group of its own: no derivative state is kept for long
    metric = fubini_study(words_program(plain), slots, range(circuit.n_slots), angles.new_zeros(0), angles)
    return 4 * metric.diagonal(dim1=1, dim2=2).sum(dim=0)


def _per_data_row(gradients: torch.Tensor, n_rows: int) -> torch.Tensor:
    """Sums (B, A) over the rows (N, A) that belong to one data row."""
    if len(gradients) % n_rows:
        return gradients
    return gradients.reshape(n_rows, -1, gradients.shape[1]).sum(dim=1)


def _wrapped(angles: torch.Tensor, gate: str) -> torch.Tensor:
    """Angles in (-p/2, p/2] for a gate of period p."""
    turn = period(gate)
    return turn / 2 - torch.remainder(turn / 2 - angles, turn)
