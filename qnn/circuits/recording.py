"""A PennyLane quantum function or QNode, run once with values for its arguments: its tape, and what it returned."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pennylane as qml
from pennylane.measurements import MeasurementProcess
from pennylane.tape import QuantumScript

from qnn.errors import ArgumentError, CaptureError, UnsupportedError


def recorded(source: Any, values: Mapping[str, Any]) -> tuple[QuantumScript, bool]:
    """The tape of a quantum function, after the transforms of a QNode.

    Args:
        source: a QNode, a PennyLane quantum function, or a quantum script, which is its own tape.
        values: the function's arguments by name.

    Returns:
        The tape, and whether the function returned a list or tuple, be it of one measurement.

    Raises:
        ArgumentError: arguments are missing or unknown, or a script is given some.
        CaptureError: the function returns something else than measurements.
        UnsupportedError: a transform makes several circuits of one, or computes with their results.
    """
    if isinstance(source, QuantumScript):
        if values:
            raise ArgumentError(
                f"`parameters` must be left out for a quantum script, whose values are in it; got {', '.join(values)}. "
                "Give the function itself, or bind new values with script.bind_new_parameters."
            )
        return source, False
    if isinstance(source, qml.QNode):
        _check_arguments(source.func, values)
        tape, result = _tape_of_node(source, values)
        shown = None if tape.measurements else "none"
    else:
        _check_arguments(source, values)
        with qml.queuing.AnnotatedQueue() as queue:
            result = shown = source(**values)
        tape = QuantumScript.from_queue(queue)
    items = shown if isinstance(shown, list | tuple) else [shown]
    if shown is not None and not all(isinstance(item, MeasurementProcess) for item in items):
        raise CaptureError(
            f"The quantum function must return measurements; got {shown}. "
            "Return for example qml.expval(qml.Z(0)) or qml.probs(wires=[0, 1])."
        )
    if shown is not None:  # in the order of the return statement, whatever was written down first
        tape = QuantumScript(tape.operations, list(items), shots=tape.shots)
    return tape, isinstance(result, list | tuple)


def _tape_of_node(node: qml.QNode, values: Mapping[str, Any]) -> tuple[QuantumScript, Any]:
    """The one tape that a QNode's transforms leave, and what its function returned."""
    returned: list[Any] = []

    @functools.wraps(node.func)
    def function(**arguments: Any) -> Any:
        returned.append(node.func(**arguments))
        return returned[-1]

    watched = copy.copy(node)
    watched.func = function
    tapes, combine = qml.workflow.construct_batch(watched, level="user")(**values)
    if len(tapes) != 1 or not _leaves_results(combine, tapes[0]):
        names = ", ".join(t.tape_transform.__name__ if t.tape_transform else repr(t) for t in node.compile_pipeline)
        made = f"make {len(tapes)} circuits of one" if len(tapes) != 1 else "compute with its results"
        raise UnsupportedError(
            f"`circuit` must have transforms that turn one circuit into one other; got the QNode's transforms {names}, "
            f"which {made}. Leave them out: rows, shots and bases are qnn's own affair; or call the QNode itself."
        )
    return tapes[0], returned[0]


def _leaves_results(combine: Callable[[Sequence[Any]], Any], tape: QuantumScript) -> bool:
    """Whether the transforms hand on the results of the tape as they are: objects that no arithmetic takes."""
    results = tuple(object() for _ in tape.measurements)
    result = results[0] if len(results) == 1 else results
    try:
        return bool(combine((result,)) == (result,))
    except Exception:  # any arithmetic on them, by whatever library
        return False


def _check_arguments(function: Any, values: Mapping[str, Any]) -> None:
    try:
        inspect.signature(function).bind(**values)
    except TypeError as error:
        named = ", ".join(inspect.signature(function).parameters) or "no arguments"
        raise ArgumentError(
            f"`parameters` must give the arguments of the quantum function, ({named}); got "
            f'{", ".join(values) or "none"}: {error}. Write for example parameters={{"x": 0.3}}.'
        ) from error
