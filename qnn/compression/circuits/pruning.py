"""Pruning of circuits: rotations that matter least become the identity and leave, and what is left is simplified."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch

from qnn.compression.circuits.ansatz_layers import ansatz_layers
from qnn.compression.circuits.circuit_layers import (
    check_replaceable,
    quantum_layers,
    rewritten,
    trainable_rotations,
    with_layers,
)
from qnn.compression.circuits.rotation_scores import by_angle, by_fisher, by_gradient
from qnn.compression.measurement.devices import DEVICE, gates_on
from qnn.compression.measurement.measuring import Measuring, class_logits
from qnn.compression.measurement.report import CompressionReport
from qnn.compression.options import check_module
from qnn.compression.shares import Share, checked_share, fractions
from qnn.compression.tuning import outputs, ranking_rows, training_rows, tune, tuning_config
from qnn.errors import ArgumentError, unknown_name
from qnn.layers import QuantumLayer

METHODS = ("angle", "fisher", "gradient", "layer")
_MOST_ROWS = 256
Units = dict[str, list[tuple[list[int], float]]]  # by layer: operations that leave together, and their score


def prune_circuits(
    model: torch.nn.Module,
    data: Any = None,
    *,
    method: str = "angle",
    amount: float | int | None = None,
    threshold: float | None = None,
    fisher: str = "loss",
    rounds: int = 1,
    schedule: str = "linear",
    fine_tune: Any = 0,
    device: str | None = DEVICE,
) -> tuple[torch.nn.Module, CompressionReport]:
    """A copy of a model with fewer gates in its circuits.

    The trainable rotations of all quantum layers are ranked together. Those that matter least become the identity and
    leave, and so does a weight that no gate needs any longer: the tensors keep their names and get smaller. Then the
    circuits are simplified, which changes no output: rotations that have become neighbours merge, pairs of CNOT, CZ, H
    and X cancel, gates that nothing measured can see leave. A weight that is used twice is two rotations.

    Args:
        model: a quantum layer, or a network with some; it stays as it is.
        data: a task, or a pair (x, y). The training part ranks and fine-tunes, the test part is measured; what is
            left of a pair (x, y) is used for all of it. None for "angle" and "layer", without measurements.
        method: "angle" (the angle, wrapped to (-π, π]), "fisher" (a Fisher information), "gradient" (the mean
            |∂ loss / ∂ angle| over data rows); or "layer", by which layers of the ansatz leave as a whole: the one
            without which the loss is least, on the validation part where there is one, or without data the one with the
            smallest angles. At most 256 data rows are looked at, the first ones.
        amount: the share or the number of the rotations (layers) that leave.
        threshold: of the score, up to which all leave; for "layer" with data, how much the loss may rise.
        fisher: "loss", "outputs" or "quantum", for method "fisher".
        rounds: in how many rounds they leave; ranks are found anew in each.
        schedule: "linear", as many in each round, or "cubic", most of them first.
        fine_tune: epochs after each round, or a `FitConfig`. All weights are trained, those of classical parts too.
        device: a fake device of IBM for whose gates and couplings circuits are counted; None counts them as written.

    Returns:
        The new model, and a report.

    Raises:
        DtypeError: `model` is no module.
        ShapeError: data that the model does not take.
        ArgumentError: no quantum layer; an option out of range; a layer would lose all its rotations, or all layers
            of its ansatz.
        CapabilityError: `fisher="quantum"` where there are no amplitudes.
    """
    check_module(model)
    if method not in METHODS:
        raise unknown_name("pruning method", method, METHODS)
    share = checked_share(amount, threshold, with_target=False)
    parts, config = fractions(rounds, schedule), tuning_config(fine_tune, data, model)
    if data is None and method in ("fisher", "gradient"):
        raise ArgumentError(f'`data` must be given for method="{method}"; got None. Pass a task or (x, y).')
    model = copy.deepcopy(model)  # what samples counts its calls
    before = quantum_layers(model)
    for name, layer in before.items():
        check_replaceable(name, layer)
    measuring = Measuring(data, device=device)
    measuring.add("before", model)
    units = _units(model, before, data, method, fisher)
    total, things = _size(units), "layers" if method == "layer" else "trainable rotations"
    if not total:
        raise ArgumentError("`model` must have trainable rotations in its circuits; got none. Set requires_grad.")
    most = total - sum(bool(found) for found in units.values())  # each quantum layer keeps one
    if share.amount is not None and not most:
        raise ArgumentError(
            f"`model` must have a quantum layer of more than one of its {things}; got {total} in {len(units)}. "
            "Prune classical parts, or leave it as it is."
        )
    asked = 0 if share.amount is None else share.count(total, most, things)
    current = model
    for number, part in enumerate(parts):
        units = _units(current, quantum_layers(current), data, method, fisher)
        left = total - round(part * asked)
        last = number == len(parts) - 1
        current = _round(current, _chosen(units, share, left), simplify=last or method != "layer")
        tune(current, data, config, number)
        measuring.add("after" if last else f"round {number + 1}", current)
    details = _details(before, quantum_layers(current), None if data is not None else device)
    return current, CompressionReport(f"Circuits pruned by {method}, {share}", measuring.finish(), details)


def _units(model: torch.nn.Module, layers: Mapping[str, QuantumLayer], data: Any, method: str, fisher: str) -> Units:
    """What can leave, with scores: rotations one by one, or layers of the ansatz."""
    if method == "layer":
        return _layer_units(model, layers, data)
    x, y = (None, None) if data is None else training_rows(data)
    rows = None if x is None or y is None else (x[:_MOST_ROWS], y[:_MOST_ROWS])
    if method == "angle" or rows is None:
        scores = by_angle(model, layers, rows)
    elif method == "fisher":
        scores = by_fisher(model, layers, rows, fisher)
    else:
        scores = by_gradient(model, layers, rows)
    return {name: [([number], score) for number, score in found.items()] for name, found in scores.items()}


def _layer_units(model: torch.nn.Module, layers: Mapping[str, QuantumLayer], data: Any) -> Units:
    """Layers of ansätze: by the loss without them, less the loss with them; or by their mean angle."""
    with_weights = {name: layer for name, layer in layers.items() if trainable_rotations(layer)}
    groups = {name: ansatz_layers(layer, name) for name, layer in with_weights.items()}
    if data is None:
        angles = by_angle(model, with_weights, None)
        return {name: [(part, _mean(angles[name], part)) for part in parts] for name, parts in groups.items()}
    x, y = (rows[:_MOST_ROWS] for rows in ranking_rows(data))
    loss = _loss(model, x, y)
    return {
        name: [
            (part, _loss(with_layers(model, {name: rewritten(layers[name], part, simplify=False)}), x, y) - loss)
            for part in parts
        ]
        for name, parts in groups.items()
    }


def _mean(scores: Mapping[int, float], part: list[int]) -> float:
    found = [scores[number] for number in part if number in scores]
    return sum(found) / max(1, len(found))


def _loss(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    found = outputs(model, x).double()
    y = y.to(found.device)
    if y.is_floating_point():
        return float(torch.nn.functional.mse_loss(found, y.reshape(found.shape).double()))
    return float(torch.nn.functional.cross_entropy(class_logits(found), y))


def _size(units: Units) -> int:
    return sum(map(len, units.values()))


def _chosen(units: Units, share: Share, left: int) -> dict[str, list[int]]:
    """Operations that leave, by layer: so many that `left` units are left, or all up to the threshold.

    Raises:
        ArgumentError: nothing would be left of a layer.
    """
    ranked = sorted(((score, name, i) for name, found in units.items() for i, (_, score) in enumerate(found)))
    if share.threshold is None:
        ranked = ranked[: max(0, _size(units) - left)]
    else:
        ranked = [unit for unit in ranked if unit[0] <= share.threshold]
    chosen: dict[str, list[int]] = {}
    for _, name, i in ranked:
        chosen.setdefault(name, []).extend(units[name][i][0])
    for name, found in units.items():
        if found and sum(unit[1] == name for unit in ranked) == len(found):
            raise ArgumentError(
                f'`{share}` must leave something of every quantum layer; the layer "{name}" would lose all of its '
                f"{len(found)}. Ask for less, or take that layer out of the model."
            )
    return chosen


def _round(model: torch.nn.Module, chosen: Mapping[str, list[int]], simplify: bool) -> torch.nn.Module:
    layers = quantum_layers(model)
    return with_layers(
        model, {name: rewritten(layer, chosen.get(name, ()), simplify=simplify) for name, layer in layers.items()}
    )


def _details(
    before: Mapping[str, QuantumLayer], after: Mapping[str, QuantumLayer], device: str | None
) -> dict[str, Any]:
    """Counts of what the circuits were and are, as written, and on the device unless it is None."""
    counts: dict[str, list[int]] = {"trainable rotations": [], "circuit weights": [], "gates": [], "depth": []}
    counts["two-qubit gates"] = []
    for layers in (before, after):
        circuits = [layer.circuit for layer in layers.values()]
        counts["trainable rotations"].append(sum(len(trainable_rotations(layer)) for layer in layers.values()))
        counts["circuit weights"].append(sum(p.numel() for layer in layers.values() for p in layer.parameters()))
        counts["gates"].append(sum(len(circuit.operations) for circuit in circuits))
        counts["depth"].append(sum(circuit.depth() for circuit in circuits))
        counts["two-qubit gates"].append(sum(circuit.n_two_qubit_gates() for circuit in circuits))
    details: dict[str, Any] = {f"{name} as written": f"{a} -> {b}" for name, (a, b) in counts.items()}
    if device is not None:
        facts = [gates_on([layer.circuit for layer in layers.values()], device) for layers in (before, after)]
        if facts[1]["device"] is not None:
            details |= {
                f"{name} on {device}": f"{facts[0][name]} -> {facts[1][name]}"
                for name in ("gates", "depth", "two_qubit_gates")
            }
    return details
