"""Turning a PennyLane quantum function into a `Circuit` and an `AngleMap`, once.

The function runs with tracing tensors that have shapes but no values. What it queues becomes the
circuit; how each angle came about becomes the map. Whatever needs a value (``float(x)``,
``if x > 0``, a NumPy function) cannot become a circuit of fixed structure and is refused.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pennylane as qml
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from qnn.circuits.angle_map import AngleMap
from qnn.circuits.circuit import Circuit, Operation
from qnn.circuits.lowering import lower
from qnn.circuits.observables import Measurement, measurement_from, measurements_from, on_all_wires
from qnn.circuits.state_preparation import traceable
from qnn.circuits.traced_angles import TracedAngles
from qnn.errors import ArgumentError, CaptureError, QnnError


@dataclass(frozen=True)
class Captured:
    """A circuit and how its angles follow from inputs and weights."""

    circuit: Circuit
    angle_map: AngleMap


@dataclass
class _Recording:
    """What one tracing run of the function leaves behind."""

    gates: list[tuple[str, tuple[int, ...], float | int | None]]  # an int is a position among the traced angles
    measurements: tuple[Measurement, ...] | None
    n_wires: int


def capture(
    function: Callable[..., Any],
    *,
    n_inputs: int,
    weight_shapes: Mapping[str, tuple[int, ...]],
    observables: Any = None,
    n_wires: int | None = None,
) -> Captured:
    """Run `function` once and keep its structure.

    Args:
        function: a PennyLane quantum function (or QNode) of `inputs` and of one argument per weight. Written for
            one row (``inputs[0]``) or for a batch (``inputs[:, 0]``).
        n_inputs: D, length of `inputs`; 0 for a function of weights alone.
        weight_shapes: shape of each weight, by argument name.
        observables: as for `QuantumLayer`; None takes what the function returns.
        n_wires: number of wires; None for as many as the function uses.

    Raises:
        CaptureError: the structure depends on values, or an angle is not a scalar.
        UnsupportedError: an operation or a measurement cannot be expressed.
    """
    call = _caller(function, n_inputs, weight_shapes)
    try:
        recording, graph = _trace(call, n_inputs, weight_shapes, batched=False)
        batched = False
    except IndexError as row_error:
        try:
            recording, graph = _trace(call, n_inputs, weight_shapes, batched=True)
            batched = True
        except Exception as error:
            raise _explained(row_error, function) from error
    except Exception as error:
        raise _explained(error, function) from error
    measurements, wires = _measured(recording, observables, n_wires)
    return _assemble(recording, graph, measurements, wires, n_inputs, weight_shapes, batched)


def _caller(function: Callable, n_inputs: int, weight_shapes: Mapping[str, tuple[int, ...]]) -> Callable:
    """`function` as a callable of (inputs, *weights), with its arguments checked by name."""
    target = function.func if isinstance(function, qml.QNode) else function
    if not callable(target):
        raise ArgumentError(
            f"`function` must be a PennyLane quantum function or QNode; got {target!r}. "
            "Pass the function, not its result."
        )
    names = (["inputs"] if n_inputs else []) + list(weight_shapes)
    parameters = inspect.signature(target).parameters
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    if takes_any or set(names) <= set(parameters):
        return lambda *values: target(**dict(zip(names, values, strict=True)))
    positional = [p.name for p in parameters.values() if p.default is inspect.Parameter.empty]
    if n_inputs and positional and set(names[1:]) <= set(positional[1:]):  # inputs under another name, in front
        return lambda values, *weights: target(values, **dict(zip(names[1:], weights, strict=True)))
    raise ArgumentError(
        f"`function` must take the arguments {', '.join(names) or 'none'}; got a function of "
        f"({', '.join(parameters)}). Name its arguments after `weight_shapes`, the first one `inputs`."
    )


def _trace(
    call: Callable, n_inputs: int, weight_shapes: Mapping[str, tuple[int, ...]], *, batched: bool
) -> tuple[_Recording, GraphModule]:
    recordings: list[_Recording] = []

    def angles(*values: torch.Tensor) -> list[torch.Tensor]:
        with qml.queuing.AnnotatedQueue() as queue:
            result = call(*values)
        recording, tensors = _record(qml.tape.QuantumScript.from_queue(queue), result)
        recordings.append(recording)
        return tensors

    shapes = [(1, n_inputs) if batched else (n_inputs,)] if n_inputs else []
    with traceable(), FakeTensorMode(allow_non_fake_inputs=True):
        fakes = [torch.empty(shape, dtype=torch.float64) for shape in (*shapes, *weight_shapes.values())]
        graph = make_fx(angles, tracing_mode="real")(*fakes)
    return recordings[-1], graph


def _record(tape: qml.tape.QuantumScript, result: Any) -> tuple[_Recording, list[torch.Tensor]]:
    gates: list[tuple[str, tuple[int, ...], float | int | None]] = []
    tensors: list[torch.Tensor] = []
    for operation in tape.operations:
        for name, labels, angle in lower(operation):
            wires = tuple(_wire(label) for label in labels)
            if isinstance(angle, torch.Tensor):
                if angle.numel() != 1:
                    raise CaptureError(
                        f"The angle of {name} must be one number per row; got shape {tuple(angle.shape)}. "
                        "Write the function for one row, for example with inputs[0]."
                    )
                gates.append((name, wires, len(tensors)))
                tensors.append(angle.reshape(()) if angle.ndim else angle)
            else:
                gates.append((name, wires, None if angle is None else float(np.asarray(angle).reshape(()))))
    measured = _returned(result)
    used = [w for _, wires, _ in gates for w in wires] + [w for m in measured or () for w in m.wires]
    return _Recording(gates, measured, 1 + max(used, default=-1)), tensors


def _returned(result: Any) -> tuple[Measurement, ...] | None:
    if result is None:
        return None
    items = result if isinstance(result, (list, tuple)) else [result]
    if not items or not all(
        isinstance(i, (qml.measurements.MeasurementProcess, qml.operation.Operator)) for i in items
    ):
        return None
    if isinstance(items[0], qml.operation.Operator) and not isinstance(items[0], qml.measurements.MeasurementProcess):
        return None
    return tuple(measurement_from(item) for item in items)


def _measured(recording: _Recording, observables: Any, n_wires: int | None) -> tuple[tuple[Measurement, ...], int]:
    wires = max(recording.n_wires, 1) if n_wires is None else n_wires
    if recording.n_wires > wires:
        raise ArgumentError(
            f"`n_qubits` must cover every wire in use; got {wires}, and the function uses wire "
            f"{recording.n_wires - 1}. Use at least {recording.n_wires} qubits."
        )
    if observables is not None:
        if n_wires is None:
            items = observables if isinstance(observables, (list, tuple)) else [observables]
            named = [measurement_from(i) for i in items if not isinstance(i, str)]
            wires = max([wires, *(1 + w for m in named for w in m.wires)])
        return measurements_from(observables, wires), wires
    if recording.measurements is None:
        raise CaptureError(
            "`function` must return measurements, such as [qml.expval(qml.Z(0))]; got none. "
            'Return some, or give `observables`, for example "Z".'
        )
    return on_all_wires(recording.measurements, wires), wires


def _assemble(
    recording: _Recording,
    graph: GraphModule,
    measurements: tuple[Measurement, ...],
    n_wires: int,
    n_inputs: int,
    weight_shapes: Mapping[str, tuple[int, ...]],
    batched: bool,
) -> Captured:
    reader = TracedAngles(graph, n_inputs, weight_shapes, batched)
    operations = []
    for name, wires, angle in recording.gates:
        operations.append(Operation(name, wires, reader.angle(angle) if isinstance(angle, int) else angle))
    circuit = Circuit(n_wires, tuple(operations), measurements, len(reader.index["shared"]), len(reader.index["rows"]))
    return Captured(circuit, reader.angle_map())


def _wire(label: Any) -> int:
    if isinstance(label, (int, np.integer)) and not isinstance(label, bool) and label >= 0:
        return int(label)
    raise CaptureError(
        f"`wires` must be numbered 0, 1, 2, …; got the label {label!r}. Use qml.map_wires to number them."
    )


def _explained(error: Exception, function: Callable) -> Exception:
    """`error` as one of ours, naming the line of the user's function."""
    if isinstance(error, QnnError):
        return error
    line = _line_of(error, function)
    text = str(error)
    if "_local_scalar_dense" in text or "numpy()" in text or "DataDependent" in type(error).__name__:
        return CaptureError(
            f"The circuit must not depend on the values of inputs or weights; got {line}, which needs one "
            "(float(), int(), if, a NumPy function, or a template that checks values). "
            "Use torch operations on the tensors, for example torch.sin(inputs[0])."
        )
    return CaptureError(f"The quantum function failed while it was traced, at {line}: {text}. Correct the function.")


def _line_of(error: Exception, function: Callable) -> str:
    target = function.func if isinstance(function, qml.QNode) else function
    code = getattr(inspect.unwrap(target), "__code__", None)
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if code is not None and f.filename == code.co_filename]
    chosen = own[-1] if own else frames[-1]
    return f'line {chosen.lineno} of "{chosen.filename.rpartition("/")[2]}" (`{(chosen.line or "").strip()}`)'
