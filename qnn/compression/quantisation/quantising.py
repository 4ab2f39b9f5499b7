"""Quantisation: int8 for the classical layers of a network, a grid of angles for its circuits."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch

from qnn._integers import whole
from qnn.compression.measurement.devices import DEVICE
from qnn.compression.measurement.measuring import Measuring, count_weights, size_at_rest
from qnn.compression.measurement.report import CompressionReport
from qnn.compression.networks.tracing import example_rows
from qnn.compression.networks.weight_pruning import plain_copy
from qnn.compression.options import check_module, check_options
from qnn.compression.quantisation.angle_grids import (
    angles_on_grid,
    exact,
    grid_values,
    is_angle,
    keep_grid,
    put_on_grid,
)
from qnn.compression.quantisation.int8_layers import input_scales, replace, replaceable
from qnn.compression.stand_ins import shapes_of
from qnn.compression.tuning import outputs, training_rows, tune, tuning_config
from qnn.errors import ArgumentError, DtypeError, unknown_name
from qnn.gradients.quantum_modules import quantum_modules
from qnn.layers import QuantumLayer
from qnn.layers.torchao_import import torchao
from qnn.training.isolation import same_samples

METHODS = {"int8-dynamic": "dynamic", "int8-static": "static", "int8-weights": "float", "angles": None}
_MAX_ROWS = 512  # by which outputs are compared
_HELD = "int8 layers in front of circuits are not trained, so that a step needs no gradients of the circuits' inputs"


def quantize(
    model: torch.nn.Module,
    data: Any = None,
    *,
    method: str = "int8-dynamic",
    skip: Sequence[str] = (),
    calibration_rows: int = 512,
    bits: int | None = None,
    angles: Any = None,
    fine_tune: Any = 0,
    device: str | None = DEVICE,
    **unknown: Any,
) -> tuple[torch.nn.Module, CompressionReport]:
    """A copy of `model` whose classical weights are int8, or whose circuits take their angles from a grid.

    In int8, linear layers and plain two-dimensional convolutions have a scale for each output; torchao multiplies.
    Circuits stay as they are. "angles" rounds the angles of circuits, and leaves classical layers as they are.

    Args:
        model: any module; it is left as it is.
        data: a task, or a pair (x, y). "int8-static" needs it, and fine-tuning; the report has accuracies with it.
        method: "int8-dynamic" scales the inputs of a layer row by row as they come; "int8-static" by one scale per
            layer, from the training rows; "int8-weights" leaves inputs in floating point; "angles" is for circuits.
        skip: paths of layers that stay in floating point.
        calibration_rows: how many training rows "int8-static" looks at.
        bits: of an angle: a grid of 2π / 2^bits.
        angles: in place of `bits`: "clifford" (multiples of π/2), "clifford+t" (of π/4), or a list in radians.
        fine_tune: epochs in which the whole model is trained with its angles on the grid, by straight-through
            estimation, at a learning rate of 0.003; or a `FitConfig`; 0 rounds to the nearest value and no more.
        device: to which the report transpiles circuits; see `measure`.
        **unknown: there are no others; a misspelt option is named.

    Returns:
        The new module, which bundles hold, and the report; its details say how far outputs moved, on random rows where
        there are no data and the first layer says how many inputs it takes.

    Raises:
        ArgumentError: nothing to quantise, data that are missing, an option of the other methods.
        UnknownNameError: no such method, set of angles or option.
        ShapeError: data that the model does not take.
        MissingDependencyError: int8 without the extra `compress`.

    Example:
        >>> layer = QuantumLayer(n_qubits=2, n_layers=1, seed=0)
        >>> coarse, report = quantize(layer, method="angles", angles="clifford+t")
        >>> (coarse.weights / (torch.pi / 4)).round(decimals=3).tolist()
        [[8.0, 6.0]]
    """
    check_module(model)
    check_options(unknown, quantize, "quantize")
    values = checked_settings(data, method, skip, calibration_rows, bits, angles, fine_tune)
    new = plain_copy(model)
    measuring = Measuring(data, device=device)
    measuring.add("before", model)  # before any training, since it says what is wrong with data and device
    if values is not None:
        new, details = _on_grid(new, data, values, fine_tune)
        kind = f"{2**bits} angles" if bits is not None else angles if isinstance(angles, str) else "a list of angles"
        title = f"angles of circuits on a grid, {kind}"
    else:
        new, details = _int8(new, data, METHODS[method] or "", skip, calibration_rows)
        title = f"{method} quantisation of classical layers"
    measuring.add("after", new)
    found = measuring.finish()
    if found and values is None and found[-1].circuits_per_step < found[0].circuits_per_step:
        details["fewer_circuits_per_step"] = _HELD
    return new, CompressionReport(title, found, {**details, **_moved(model, new, data)})


def _int8(
    model: torch.nn.Module, data: Any, activations: str, skip: Sequence[str], calibration_rows: int
) -> tuple[torch.nn.Module, dict[str, Any]]:
    layers, others = replaceable(model, tuple(skip))
    reducing = torchao("torchao.utils", "Arithmetic in int8").should_reduce_range
    reduce_range = bool(reducing(next(iter(layers.values())).weight.device))  # type: ignore[union-attr, operator]
    scales: dict[str, torch.Tensor] = {}
    details: dict[str, Any] = {}
    if activations == "static":
        rows = training_rows(data)[0][:calibration_rows]
        scales = input_scales(model, layers, rows, reduce_range)
        details["calibration_rows"] = len(rows)
    before, n = size_at_rest(model), count_weights(model)
    weights = {id(layer.weight): layer.weight for layer in layers.values()}
    n_int8 = sum(weight.numel() for weight in weights.values())  # type: ignore[union-attr, operator, misc]
    new = replace(model, layers, activations, scales, reduce_range)
    after = size_at_rest(new)
    return new, {
        "int8_layers": list(layers),
        "left_in_floating_point": others,
        "int8_weights": f"{n_int8:,} of {n:,}",
        "bytes": f"{before:,} -> {after:,}, {after / before:.4f} of it",
        **details,
    }


def _on_grid(
    model: torch.nn.Module, data: Any, values: torch.Tensor, fine_tune: Any
) -> tuple[torch.nn.Module, dict[str, Any]]:
    layers = _quantum(model)
    n = sum(int(chosen.sum()) for layer in layers for chosen in is_angle(layer).values())
    if not n:
        raise ArgumentError(
            "`model` must have quantum layers with angles that are weights; got none. "
            'Quantise its classical layers with method="int8-dynamic".'
        )
    config = tuning_config(fine_tune, data, model)
    first = _angles(layers)
    put_on_grid(layers, values)
    steps = tune(model, data, config)
    keep_grid(layers)
    on_grid = [angles_on_grid(layer, values) for layer in layers]
    bits = max(1, (len(values) - 1).bit_length())
    return model, {
        "values": len(values),
        "bits_per_angle": bits,
        "angles": n,
        "bytes_of_indices": -(-bits * n // 8),
        "circuit_angles_on_grid": f"{sum(on for on, _ in on_grid)} of {sum(of for _, of in on_grid)}",
        "largest_move_of_an_angle": float((_angles(layers) - first).abs().max()),
        "training_steps": steps,
    }


def _moved(model: torch.nn.Module, new: torch.nn.Module, data: Any) -> dict[str, float]:
    """How far outputs moved, on test rows or, without data, on random ones; nothing where none can be made up."""
    if data is None:
        try:
            outputs(shapes_of(model), rows := example_rows(model, 64))
        except Exception:  # other inputs than rows of the first layer's width: a forward may raise anything
            return {}
    else:
        rows = training_rows(getattr(data, "test", data))[0][:_MAX_ROWS]
    with same_samples(model), same_samples(new), exact([*_quantum(model), *_quantum(new)]):
        before, after = outputs(model, rows).double(), outputs(new, rows).double()
    apart = (after - before).abs()
    return {
        "outputs_moved_at_most": float(apart.max()),
        "outputs_moved_on_average": float(apart.mean()),
        "outputs_spread": float(before.std()),
    }


def _angles(layers: Sequence[QuantumLayer]) -> torch.Tensor:
    return torch.cat([p.detach().flatten().double().cpu() for layer in layers for p in layer.parameters()])


def _quantum(model: torch.nn.Module) -> list[QuantumLayer]:
    return [layer for layer in quantum_modules(model).values() if isinstance(layer, QuantumLayer)]


def checked_settings(
    data: Any,
    method: Any = "int8-dynamic",
    skip: Any = (),
    calibration_rows: Any = 512,
    bits: Any = None,
    angles: Any = None,
    fine_tune: Any = 0,
) -> torch.Tensor | None:
    """The grid of angles, None for int8; refuses, whatever the model, what cannot be done and what has no effect.

    Raises:
        UnknownNameError, ArgumentError, DtypeError: as `quantize`.
    """
    if not isinstance(method, str) or method not in METHODS:
        raise unknown_name("method of quantisation", method, METHODS)
    _check_used(method, skip, calibration_rows, bits, angles, fine_tune)
    if method == "int8-static" and data is None:
        raise ArgumentError('`data` must be given for "int8-static", to calibrate; got None. Pass a task or (x, y).')
    return grid_values(bits, angles) if method == "angles" else None


def _check_used(method: str, skip: Any, calibration_rows: Any, bits: Any, angles: Any, fine_tune: Any) -> None:
    """Refuse what would have no effect, and what is of the wrong type."""
    if isinstance(skip, str) or not isinstance(skip, Collection) or any(not isinstance(path, str) for path in skip):
        advice = f'("{skip}",)' if isinstance(skip, str) else "()"
        raise DtypeError(f"`skip` must be a sequence of paths, which are texts; got {skip!r}. Use skip={advice}.")
    n = whole(calibration_rows)
    if n is None or n < 1:
        raise ArgumentError(f"`calibration_rows` must be a positive integer; got {calibration_rows!r}. Use 512.")
    trains = whole(fine_tune) != 0
    unused = {
        "skip": bool(skip) and method == "angles",
        "calibration_rows": n != 512 and method != "int8-static",
        "bits": bits is not None and method != "angles",
        "angles": angles is not None and method != "angles",
        "fine_tune": trains and method != "angles",
    }
    for name, wrong in unused.items():
        if wrong:
            raise ArgumentError(
                f'`{name}` must be left out for method="{method}"; got a value. It has no effect there.'
            )
