"""Pictures of circuits, as matplotlib figures and as text, with symbolic angles."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pennylane as qml
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from pennylane.tape import QuantumScript

from qnn.circuits.circuit import Circuit, Slot
from qnn.circuits.observables import Measurement, PauliSum, Probabilities, Variance
from qnn.circuits.qasm.expressions import Expression, Parameter, label
from qnn.errors import ArgumentError, unknown_name

_PAULI = {"X": qml.X, "Y": qml.Y, "Z": qml.Z}
_BLOCK_LETTERS = {"shared": "w", "rows": "x"}
_BOX_CHARACTERS, _BOX_LINES = 8, 4  # what is still readable in a box
_MAX_DEPTH = 400  # a wider picture is beyond what image formats hold

Names = Mapping[Slot, "str | Expression"]


def draw(
    circuit: Circuit, *, style: str = "pennylane", names: Names | None = None, wire_labels: Sequence[str] | None = None
) -> Figure:
    """Draw a circuit with PennyLane's drawer.

    Args:
        circuit: what to draw, its measurements included.
        style: one of PennyLane's drawing styles, such as "pennylane", "black_white" or "sketch".
        names: label of each slot; None is w0, w1, … for the `shared` and x0, x1, … for the `rows` block.
        wire_labels: text before each wire; None is its number.

    Returns:
        A figure that pyplot does not know, so nothing stays open: save it with ``figure.savefig(path)``.

    Raises:
        UnknownNameError: no such style.
        ArgumentError: the circuit is too deep for one picture.
    """
    if style not in qml.drawer.available_styles():
        raise unknown_name("drawing style", style, qml.drawer.available_styles())
    if circuit.depth() > _MAX_DEPTH:
        raise ArgumentError(
            f"`circuit` must have a depth of at most {_MAX_DEPTH} to fit one picture; got {circuit.depth()}. "
            "Use draw_text, or draw fewer layers."
        )
    figure = Figure()
    FigureCanvasAgg(figure)  # the drawer measures text, which needs a renderer
    labels = wire_labels or range(circuit.n_wires)
    tape = _tape(circuit, names or {}, labels, fold=True)
    qml.drawer.tape_mpl(tape, wire_order=labels, show_all_wires=True, decimals=2, style=style, fig=figure)
    return figure


def draw_text(
    circuit: Circuit, *, names: Names | None = None, wire_labels: Sequence[str] | None = None, max_length: int = 100
) -> str:
    """Draw a circuit in characters.

    Args:
        circuit: what to draw, its measurements included.
        names: label of each slot, as for `draw`.
        wire_labels: text before each wire; None is its number.
        max_length: characters a line; longer circuits go on in a further block of lines.
    """
    labels = wire_labels or range(circuit.n_wires)
    tape = _tape(circuit, names or {}, labels, fold=False)
    return qml.drawer.tape_text(tape, wire_order=labels, show_all_wires=True, decimals=2, max_length=max_length)


def _tape(circuit: Circuit, names: Names, labels: Sequence[Any], *, fold: bool) -> QuantumScript:
    with qml.QueuingManager.stop_recording():
        operations = []
        for operation in circuit.operations:
            parameters = []
            if operation.angle is not None:
                written = _symbol(operation.angle, names)
                parameters = [Parameter(_folded(written) if fold else written)]  # shown as it is written
            operations.append(_operation(operation.gate, parameters, [labels[w] for w in operation.wires]))
        return QuantumScript(operations, [_measured(m, labels) for m in circuit.measurements])


def _operation(gate: str, parameters: list[Parameter], wires: list[Any]) -> qml.operation.Operator:
    if gate.startswith("Adjoint("):
        return qml.adjoint(getattr(qml, gate[len("Adjoint(") : -1])(wires=wires))
    return getattr(qml, gate)(*parameters, wires=wires)


def _symbol(angle: Slot | float, names: Names) -> str:
    """How an angle is written in a gate's box."""
    if not isinstance(angle, Slot):
        return label(angle)
    name = names.get(angle, f"{_BLOCK_LETTERS[angle.block]}{angle.index}")
    return label(name) if isinstance(name, Expression) else name


def _folded(written: str) -> str:
    """A long label in lines of `_BOX_CHARACTERS`, because the drawer shrinks text until it fits into its box."""
    if len(written) > _BOX_LINES * _BOX_CHARACTERS:
        written = written[: _BOX_LINES * _BOX_CHARACTERS - 1] + "…"
    lines = [""]
    for piece in re.split(r"(?<=[ *,(/])|(?=[\[_])", written):
        if lines[-1] and len(lines[-1]) + len(piece) > _BOX_CHARACTERS:
            lines.append("")
        lines[-1] += piece
    return "\n".join(line.strip() for line in lines)


def _measured(measurement: Measurement, labels: Sequence[Any]) -> Any:
    if isinstance(measurement, Probabilities):
        return qml.probs(wires=[labels[w] for w in measurement.wires])
    measured = _observable(measurement.observable, labels)
    return qml.var(measured) if isinstance(measurement, Variance) else qml.expval(measured)


def _observable(total: PauliSum, labels: Sequence[Any]) -> qml.operation.Operator:
    nothing = qml.Identity(labels[0])
    words = [qml.prod(*(_PAULI[p](labels[w]) for w, p in word)) if word else nothing for _, word in total.terms]
    coefficients = [c for c, _ in total.terms]
    if coefficients == [1.0]:
        return words[0]
    return qml.dot(coefficients, words) if words else nothing
