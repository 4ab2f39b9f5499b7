"""Drawings: symbolic labels, whole and inside their boxes; nothing left open in pyplot."""

import math
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest

from qnn.circuits.circuit import Circuit, Operation, Slot
from qnn.circuits.drawing import draw, draw_text
from qnn.circuits.gates import GATES
from qnn.circuits.observables import Expectation, PauliSum, Probabilities, Variance, pauli, z_on_every_wire
from qnn.circuits.qasm import read_qasm
from qnn.errors import ArgumentError, UnknownNameError

SMALL = Circuit(
    2,
    (
        Operation("RX", (0,), Slot("rows", 0)),
        Operation("RY", (1,), Slot("shared", 0)),
        Operation("CNOT", (0, 1)),
        Operation("RZ", (0,), math.pi / 2),
        Operation("RZ", (1,), 0.123456),
    ),
    z_on_every_wire(2),
    n_shared=1,
    n_rows=1,
)


def texts(figure):
    return [t.get_text() for t in figure.axes[0].texts]


def test_symbolic_labels():
    shown = texts(draw(SMALL))
    assert {"RX\n(x0)", "RY\n(w0)", "RZ\n(π/2)", "RZ\n(0.123)"} <= set(shown)
    named = texts(draw(SMALL, names={Slot("rows", 0): "x[1]", Slot("shared", 0): "w[1,2]"}))
    assert {"RX\n(x[1])", "RY\n(w[1,2])"} <= set(named)


def test_text():
    assert draw_text(SMALL) == (
        "0: ──RX(x0)─╭●──RZ(π/2)───┤  <Z>\n"
        "1: ──RY(w0)─╰X──RZ(0.123)─┤  <Z>"
    )  # fmt: skip
    labelled = draw_text(SMALL, names={Slot("rows", 0): "x[1]"}, wire_labels=["a", "bb"])
    assert labelled.startswith(" a: ──RX(x[1])─╭●")
    assert "\n\n" in draw_text(SMALL, max_length=25)


def test_expressions_from_a_program():
    program = read_qasm(
        'OPENQASM 3.0; include "stdgates.inc"; input float t; qubit a; qubit b; rx(pi*t/2 - 1) a; inv @ ry(t) b;'
    )
    circuit, names = program.circuit()
    text = draw_text(circuit, names=names, wire_labels=program.qubit_names)
    assert text == "a: ──RX(π*t/2 - 1)─┤  \nb: ──RY(-t)────────┤  "


def test_measurements_are_shown():
    total = Expectation(PauliSum(((0.5, ((0, "X"), (1, "Y"))), (2.0, ()))))
    circuit = Circuit(3, (Operation("CCZ", (0, 1, 2)),), (total, Expectation(pauli("IIX")), Probabilities((2, 0))))
    text = draw_text(circuit)
    assert "Var[X]" in draw_text(circuit.with_measurements((Variance(pauli("IIX")),)))
    assert text == ("0: ─╭●─┤ ╭<𝓗(0.50,2.00)> ╭Probs\n1: ─├●─┤ ╰<𝓗(0.50,2.00)> │     \n2: ─╰Z─┤  <X>            ╰Probs")


def every_gate():
    operations, slots = [], 0
    for place, gate in enumerate(GATES.values()):
        n_wires = gate.n_wires or 3
        angle = None
        if gate.is_parametric:
            angle, slots = Slot("shared", slots), slots + 1
        operations.append(Operation(gate.name, tuple((place + i) % 5 for i in range(n_wires)), angle))
    return Circuit(5, tuple(operations), z_on_every_wire(5), n_shared=slots)


@pytest.mark.parametrize("style", ["pennylane", "black_white"])
def test_labels_stay_inside_the_picture_and_are_readable(style):
    circuit = every_gate()
    names = {slot: f"weights[{slot.index},0]" for slot in circuit.slot_operations}
    names[Slot("shared", 1)] = "weights_12_3"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Some control indicators are hidden")
        figure = draw(circuit, names=names, style=style)
    renderer = figure.canvas.get_renderer()
    frame = figure.bbox
    for text in figure.axes[0].texts:
        box = text.get_window_extent(renderer)
        assert frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1, text
        assert text.get_fontsize() >= 6, text


def test_long_labels_are_folded_and_shortened():
    long = "arctan(inputs[0]) - weights[1,2]*weights[3,4] + 1.25"
    shown = next(t for t in texts(draw(SMALL, names={Slot("rows", 0): long})) if t.startswith("RX"))
    lines = shown.split("\n")[1:]
    assert len(lines) > 2
    assert max(map(len, lines)) <= 12
    assert shown.endswith("…)")
    assert long in draw_text(SMALL, names={Slot("rows", 0): long})


def test_pyplot_stays_closed_and_settings_as_they_were():
    before, settings = plt.get_fignums(), dict(plt.rcParams)
    draw(SMALL, style="sketch")
    assert plt.get_fignums() == before
    assert dict(plt.rcParams) == settings


def test_styles_differ(tmp_path):
    pictures = []
    for style in ("pennylane", "black_white"):
        draw(SMALL, style=style).savefig(tmp_path / "one.png")
        pictures.append(plt.imread(tmp_path / "one.png"))
    assert pictures[0].shape == pictures[1].shape
    assert np.abs(pictures[0] - pictures[1]).max() > 0.1


def test_refusals():
    with pytest.raises(UnknownNameError, match=r'No drawing style named "penylane". Did you mean "pennylane"'):
        draw(SMALL, style="penylane")
    deep = Circuit(1, (Operation("Hadamard", (0,)),) * 401, ())
    with pytest.raises(ArgumentError, match="a depth of at most 400 to fit one picture; got 401"):
        draw(deep)
