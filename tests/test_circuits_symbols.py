"""Formulas of angles: OpenQASM out and in gives the same layer, drawings are labelled."""

import pennylane as qml
import pytest
import torch
from matplotlib.figure import Figure

from qnn import QuantumLayer
from qnn.circuits.symbols import slot_symbols
from qnn.errors import ArgumentError, ShapeError, UnsupportedError

F64 = torch.float64
ROWS = torch.tensor([[0.3, -1.2], [2.0, 0.4]], dtype=F64)


def formulas(inputs, w, s):
    qml.RX(inputs[0], 0)
    qml.RY(inputs[1] * w[0, 1] - s / 2, 0)
    qml.CRX(torch.arctan(inputs[0]) * torch.pi, [0, 1])
    qml.RX(2 - w[1, 0], 1)
    qml.RY((w[0, 0] + inputs[0]) ** 2, 1)
    qml.IsingXY(torch.sin(w[1, 1]) + torch.exp(-s), [1, 0])
    qml.RX(torch.stack([inputs[1], s, w[0, 0]])[1:].flip(0)[0], 0)
    qml.RZ(-inputs[1], 0)
    qml.RX(0.25, 0)
    return [qml.expval(qml.Z(0)), qml.expval(qml.X(1))]


def layer() -> QuantumLayer:
    return QuantumLayer.from_pennylane(formulas, n_inputs=2, weight_shapes={"w": (2, 2), "s": ()}, dtype=F64, seed=0)


def copy_weights(source: QuantumLayer, target: QuantumLayer) -> None:
    """Weights by the names of the program: all of `w` row by row, then `s`."""
    flat = torch.cat([source.w.detach().reshape(-1), source.s.detach().reshape(-1)])
    target.weights.data.copy_(flat)


OBSERVABLES = [qml.Z(0), qml.X(1)]


def test_version_3_with_free_inputs_and_weights_comes_back() -> None:
    original = layer()
    text = original.to_qasm()
    again = QuantumLayer.from_qasm(text, inputs=["x_0", "x_1"], observables=OBSERVABLES, dtype=F64)
    assert again.weights.shape == (5,)
    copy_weights(original, again)
    torch.testing.assert_close(again(ROWS), original(ROWS), atol=1e-12, rtol=0)


def test_version_3_with_bound_weights_comes_back() -> None:
    original = layer()
    again = QuantumLayer.from_qasm(
        original.to_qasm(bind=True), inputs=["x_0", "x_1"], observables=OBSERVABLES, dtype=F64
    )
    assert not list(again.parameters())
    torch.testing.assert_close(again(ROWS), original(ROWS).detach(), atol=1e-12, rtol=0)


@pytest.mark.parametrize("version", [2, 3])
def test_all_values_bound_comes_back(version: int) -> None:
    original = layer()
    text = original.to_qasm(version=version, bind=True, inputs=ROWS[0].tolist())
    assert f"OPENQASM {version}" in text and "input" not in text
    again = QuantumLayer.from_qasm(text, observables=OBSERVABLES, dtype=F64)
    torch.testing.assert_close(again().double(), original(ROWS[0]).detach(), atol=1e-6, rtol=0)


def test_version_2_needs_all_values() -> None:
    for options in ({}, {"bind": True}, {"inputs": [0.1, 0.2]}):
        with pytest.raises(ArgumentError, match="`version=2` must have every angle bound"):
            layer().to_qasm(version=2, **options)
    with pytest.raises(ShapeError, match="`inputs` must have 2 values; got 3"):
        layer().to_qasm(bind=True, inputs=[1.0, 2.0, 3.0])


def test_names_never_meet() -> None:
    def clash(inputs, x, x_0):
        qml.RX(inputs[0] * 2, 0)
        qml.RY(x[0], 0)
        qml.RX(x_0, 0)
        return qml.expval(qml.Z(0))

    original = QuantumLayer.from_pennylane(clash, n_inputs=1, weight_shapes={"x": 1, "x_0": ()}, dtype=F64, seed=1)
    again = QuantumLayer.from_qasm(original.to_qasm(), inputs=["x_0"], observables=[qml.Z(0)], dtype=F64)
    again.weights.data.copy_(torch.stack([original.x.detach()[0], original.x_0.detach()]))
    torch.testing.assert_close(again(ROWS[:, :1]), original(ROWS[:, :1]), atol=1e-12, rtol=0)


def test_what_openqasm_cannot_express_is_named_and_still_drawn() -> None:
    def function(inputs, w):
        qml.RX(torch.erf(inputs[0]) * w[0], 0)
        qml.RY(torch.erf(w[0]), 0)
        return qml.expval(qml.Z(0))

    original = QuantumLayer.from_pennylane(function, n_inputs=1, weight_shapes={"w": 1}, dtype=F64, seed=1)
    with pytest.raises(UnsupportedError, match="OpenQASM has no function for torch's 'erf'"):
        original.to_qasm()
    assert sorted(slot_symbols(original.angle_map).values()) == ["f(w)", "f(x)"]
    assert isinstance(original.draw(), Figure)


def test_selected_weights_keep_their_names_and_a_free_place_is_refused() -> None:
    def swapped(inputs, w):
        first, second = torch.index_select(w, -1, torch.tensor([1, 0])).unbind(-1)
        qml.RX(first[0] * inputs[0] + first[1], 0)
        qml.RY(second[0] - second[1], 0)
        return qml.expval(qml.Z(0))

    original = QuantumLayer.from_pennylane(swapped, n_inputs=1, weight_shapes={"w": (2, 2)}, dtype=F64, seed=1)
    again = QuantumLayer.from_qasm(original.to_qasm(), inputs=["x_0"], observables=[qml.Z(0)], dtype=F64)
    again.weights.data.copy_(original.w.detach().reshape(-1))
    torch.testing.assert_close(again(ROWS[:, :1]), original(ROWS[:, :1]), atol=1e-12, rtol=0)

    def by_value(inputs, w):
        qml.RX(torch.index_select(w, 0, (1.9 * torch.sin(inputs) ** 2).long())[0], 0)
        qml.RY(inputs[0], 0)
        return qml.expval(qml.Z(0))

    chooser = QuantumLayer.from_pennylane(by_value, n_inputs=1, weight_shapes={"w": 2}, dtype=F64, seed=1)
    with pytest.raises(UnsupportedError, match=r"cannot choose an angle by a value that is free.*inputs=\[\.\.\.\]"):
        chooser.to_qasm()
    bound = QuantumLayer.from_qasm(chooser.to_qasm(bind=True, inputs=[1.2]), observables=[qml.Z(0)], dtype=F64)
    torch.testing.assert_close(bound().double(), chooser(torch.tensor([1.2], dtype=F64)).detach(), atol=1e-6, rtol=0)


def test_functions_that_openqasm_lacks_can_be_bound() -> None:
    def function(inputs, w):
        qml.RX(torch.erf(inputs[0]) * w[0], 0)
        qml.RY(torch.tanh(w).sum() + inputs.mean(), 0)
        qml.RX(torch.where(inputs[0] > w[1], inputs[1], w[0] * inputs[1]), 0)
        return qml.expval(qml.Z(0))

    original = QuantumLayer.from_pennylane(function, n_inputs=2, weight_shapes={"w": 2}, dtype=F64, seed=1)
    for version in (2, 3):
        text = original.to_qasm(version=version, bind=True, inputs=ROWS[0].tolist())
        again = QuantumLayer.from_qasm(text, observables=[qml.Z(0)])
        torch.testing.assert_close(again().double(), original(ROWS[0]).detach(), atol=1e-6, rtol=0)


def test_a_drawing_names_inputs_and_weights() -> None:
    figure = QuantumLayer(2, 1, seed=0).draw()
    assert isinstance(figure, Figure)
    written = " ".join(text.get_text().replace("\n", "") for text in figure.axes[0].texts)
    for name in ("x_0", "x_1", "weights_0_0", "weights_0_1"):
        assert name in written, written
    QuantumLayer(2, 1, seed=0).draw(style="black_white")
