"""Which tapes `qnn.statevector` runs how, and PennyLane's transforms that bring them there."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import pennylane as qml
from pennylane.decomposition import GateSet
from pennylane.devices import ExecutionConfig
from pennylane.devices.default_qubit import (
    accepted_analytic_measurement,
    accepted_sample_measurement,
    null_postprocessing,
    stopping_condition,
)
from pennylane.devices.preprocess import (
    decompose,
    device_resolve_dynamic_wires,
    no_sampling,
    validate_adjoint_trainable_params,
    validate_device_wires,
    validate_measurements,
)
from pennylane.exceptions import DeviceError
from pennylane.math import Interface
from pennylane.measurements import ClassicalShadowMP, ExpectationMP, ProbabilityMP, ShadowExpvalMP
from pennylane.operation import DecompositionUndefinedError, Operator, StatePrepBase
from pennylane.ops import Conditional, MidMeasure
from pennylane.tape import QuantumScript
from pennylane.transforms import broadcast_expand, defer_measurements, dynamic_one_shot
from pennylane.transforms.core import CompilePipeline, transform

from qnn.backends.pennylane_device.structure import PHASE, is_pauli_sum, supported
from qnn.circuits.gates import GATES

TABLE_GATES = GateSet({*GATES, PHASE}, name="gates of the qnn engine")
_PREPARED_WIRES = 4  # a state of more wires is written down by PennyLane, not prepared by 2^n rotations
_UNITARY_WIRES = 4


def runs_as_it_is(op: Operator) -> bool:
    """Whether an operation stays: the engine's gates, and what only PennyLane's own simulation can apply."""
    if supported(op):
        return True
    if isinstance(op, MidMeasure | Conditional | qml.Projector) or op.name in ("Allocate", "Deallocate"):
        return stopping_condition(op)
    if isinstance(op, StatePrepBase):
        return _is_wide_preparation(op)
    if isinstance(op, qml.QubitUnitary) and (op.batch_size is not None or len(op.wires) > _UNITARY_WIRES):
        return True
    return not op.has_decomposition and stopping_condition(op)


def _is_wide_preparation(op: Operator) -> bool:
    return isinstance(op, qml.StatePrep) and (op.batch_size is not None or len(op.wires) > _PREPARED_WIRES)


def adjoint_suits(tape: QuantumScript) -> bool:
    """Whether the engine's adjoint gives all derivatives of this tape, and is the best way to get them."""
    if not adjoint_runs(tape) or any(_is_wide_preparation(op) for op in tape.operations):
        return False
    others = [op for op in tape.operations if isinstance(op, StatePrepBase)]
    others += [mp.obs for mp in tape.measurements if mp.obs is not None]
    return not any(qml.math.requires_grad(d) for op in others for d in op.data)


def adjoint_runs(tape: QuantumScript) -> bool:
    """Whether the engine's adjoint can run this tape at all."""
    if tape.shots or not tape.measurements:
        return False
    return all(_adjoint_measures(mp) for mp in tape.measurements) and all(_adjoint_applies(op) for op in tape)


def _adjoint_measures(process: Any) -> bool:
    if process.mv is not None:
        return False
    if type(process) is ProbabilityMP:
        return process.obs is None and process.eigvals() is None
    return type(process) is ExpectationMP and process.obs is not None and is_pauli_sum(process.obs)


def _adjoint_applies(op: Any) -> bool:
    """Whether an operation becomes gates of the table, differentiable ones where it matters."""
    if not isinstance(op, Operator) or supported(op):
        return True
    if isinstance(op, MidMeasure | Conditional | qml.Projector):
        return False
    if isinstance(op, qml.QubitUnitary) or not op.has_decomposition:
        trainable = any(qml.math.requires_grad(d) for d in op.data)
        return op.batch_size is None and len(op.wires) <= _UNITARY_WIRES and op.has_matrix and not trainable
    key = _plain_key(op)
    if key not in _applicable:
        with qml.QueuingManager.stop_recording():
            answer = all(_adjoint_applies(step) for step in op.decomposition())
        if key is None:
            return answer
        if len(_applicable) >= _REMEMBERED:
            _applicable.clear()
        _applicable[key] = answer
    return _applicable[key]


_REMEMBERED = 1024
_applicable: dict[Hashable, bool] = {}


def _plain_key(op: Operator) -> Hashable:
    """Equal for operations with the same kinds of gates in their decomposition; None where that is not plain to see."""
    settings = tuple(op.hyperparameters.values())
    if not all(isinstance(value, str | int | float | type | tuple | None) for value in settings):
        return None
    shapes = tuple(qml.math.shape(d) for d in op.data)
    trainable = tuple(qml.math.requires_grad(d) for d in op.data)
    key = (op.name, len(op.wires), shapes, trainable, settings)
    try:
        hash(key)
    except TypeError:
        return None
    return None if isinstance(op, qml.ops.op_math.SymbolicOp | qml.ops.op_math.CompositeOp) else key


def to_gates(op: Operator) -> list[Operator]:
    """One step towards gates: PennyLane's decomposition, or that of the matrix."""
    if op.has_decomposition:
        return list(op.decomposition())
    if not op.has_matrix or len(op.wires) > _UNITARY_WIRES or op.batch_size is not None:
        raise DecompositionUndefinedError
    return list(qml.QubitUnitary(qml.matrix(op), wires=op.wires).decomposition())


@transform
def validate_adjoint(tape: QuantumScript, name: str) -> Any:
    """Refuse what the adjoint cannot differentiate."""
    for process in tape.measurements:
        if not _adjoint_measures(process):
            raise DeviceError(
                f"{name} with adjoint differentiates expectation values of Pauli sums, or of matrices on few wires, "
                f'and probabilities; got {process}. Use diff_method="backprop".'
            )
    return (tape,), null_postprocessing


@transform
def expand_where_rows_cannot_run(tape: QuantumScript, every: bool) -> Any:
    """Split broadcast tapes that PennyLane's own routines take one by one: shadows, and measurement trees."""
    shadows = any(isinstance(mp, ShadowExpvalMP | ClassicalShadowMP) for mp in tape.measurements)
    if shadows or (every and any(isinstance(op, MidMeasure) for op in tape.operations)):
        return broadcast_expand(tape)
    return (tape,), null_postprocessing


def pipeline(config: ExecutionConfig, wires: Any, name: str) -> CompilePipeline:
    """The transforms for a configuration that is complete."""
    adjoint = config.gradient_method == "adjoint"
    method = config.mcm_config.mcm_method
    steps = CompilePipeline()
    if adjoint:
        steps.add_transform(no_sampling, name=f"adjoint + {name}")
        steps.add_transform(validate_adjoint_trainable_params)
    elif config.gradient_method == "backprop":
        steps.add_transform(no_sampling, name=f"backprop + {name}")
    if method == "deferred":
        steps.add_transform(defer_measurements, allow_postselect=True)
    steps.add_transform(
        decompose,
        stopping_condition=supported if adjoint else runs_as_it_is,
        skip_initial_state_prep=False,
        decomposer=to_gates,
        device_wires=wires,
        target_gates=TABLE_GATES,
        name=name,
    )
    steps.add_transform(device_resolve_dynamic_wires, wires=wires, allow_resets=method != "deferred")
    steps.add_transform(validate_device_wires, wires, name=name)
    steps.add_transform(
        validate_measurements,
        analytic_measurements=accepted_analytic_measurement,
        sample_measurements=accepted_sample_measurement,
        name=name,
    )
    steps.add_transform(expand_where_rows_cannot_run, every=method == "tree-traversal")
    if method == "one-shot":
        steps.add_transform(dynamic_one_shot, postselect_mode=config.mcm_config.postselect_mode)
    if adjoint:
        steps.add_transform(validate_adjoint, name=name)
        if not config.use_device_jacobian_product and config.interface is not Interface.NUMPY:
            steps.add_transform(broadcast_expand)  # PennyLane contracts Jacobians of single tapes only
    return steps
