"""Capture: every style of quantum function becomes the same circuit as in PennyLane, or is refused by name."""

import functools
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pennylane as qml
import pytest
import torch

from qnn import QuantumLayer
from qnn.circuits.capture import capture
from qnn.errors import ArgumentError, CaptureError, QnnError, QnnWarning, UnsupportedError

F64 = torch.float64


def z_and_y(*wires: int) -> list[Any]:
    return [qml.expval(qml.Z(0)), qml.expval(qml.Y(1)), *(qml.expval(qml.X(w)) for w in wires)]


def after(*_: Any, wires: tuple[int, ...] = ()) -> list[Any]:
    """Measurements, for functions of one line: the arguments are evaluated, and so queued, first."""
    return z_and_y(*wires)


def weights_of(layer: QuantumLayer) -> dict[str, torch.Tensor]:
    return {name: getattr(layer, name).detach() for name, _ in layer.angle_map.weight_shapes}


def check(function: Callable[..., Any], n_inputs: int, **weight_shapes: Any) -> QuantumLayer:
    """The layer, after comparing it with a QNode of the same function row by row."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", QnnWarning)
        layer = QuantumLayer.from_pennylane(function, n_inputs=n_inputs, weight_shapes=weight_shapes, dtype=F64, seed=0)
    rows = torch.rand(3, n_inputs, generator=torch.Generator().manual_seed(1), dtype=F64) * 4 - 2
    node = qml.QNode(function, qml.device("default.qubit", wires=layer.circuit.n_wires), interface="torch")
    expected = []
    for row in rows:
        result = node(row[None] if layer.angle_map.batched else row, **weights_of(layer))
        result = result if isinstance(result, (list, tuple)) else [result]
        expected.append(torch.cat([torch.as_tensor(r).reshape(-1) for r in result]))
    torch.testing.assert_close(layer(rows).detach(), torch.stack(expected), atol=1e-9, rtol=0)
    return layer


# styles ------------------------------------------------------------------------------------------------------


def row_style(inputs, w):
    qml.RX(inputs[0], wires=0)
    qml.RY(inputs[1], wires=1)
    qml.CRX(w[0], wires=[0, 1])
    qml.RY(w[1], wires=0)
    return z_and_y()


def batch_style(inputs, w):
    qml.RX(inputs[:, 0], wires=0)
    qml.RY(inputs[:, 1], wires=1)
    qml.CRX(w[0], wires=[0, 1])
    qml.RY(w[1], wires=0)
    return z_and_y()


def ellipsis_style(inputs, w):
    qml.RX(inputs[..., 0], wires=0)
    qml.RY(inputs[..., 1], wires=1)
    qml.CRX(w[0], wires=[0, 1])
    qml.RY(w[1], wires=0)
    return z_and_y()


def loop_style(inputs, w):
    for wire, (x, gate) in enumerate(zip(inputs, (qml.RX, qml.RY), strict=True)):
        gate(x, wires=wire)
    qml.CRX(w[0], wires=[0, 1])
    qml.RY(w[1], wires=0)
    return z_and_y()


def shape_loop_style(inputs, w):
    for wire in range(inputs.shape[1]):
        (qml.RX, qml.RY)[wire](inputs[:, wire], wires=wire)
    qml.CRX(w[0], wires=[0, 1])
    qml.RY(w[1], wires=0)
    return z_and_y()


@pytest.mark.parametrize("style", [row_style, batch_style, ellipsis_style, loop_style, shape_loop_style])
def test_all_styles_give_the_same_circuit(style) -> None:
    layer = check(style, 2, w=2)
    reference = capture(row_style, n_inputs=2, weight_shapes={"w": (2,)})
    assert layer.circuit == reference.circuit
    assert layer.angle_map.batched == (style in (batch_style, shape_loop_style))
    assert not layer.angle_map.nodes  # copies only: an index, no torch code


def test_an_angle_embedding_takes_rows_and_batches() -> None:
    def function(inputs, w):
        qml.AngleEmbedding(inputs, wires=range(3), rotation="Y")
        qml.BasicEntanglerLayers(w, wires=range(3))
        return z_and_y(2)

    layer = check(function, 3, w=(2, 3))
    inputs = torch.rand(4, 5, 3, dtype=F64)
    torch.testing.assert_close(layer(inputs)[2, 3], layer(inputs[2, 3]))


def test_qnode_objects_are_taken_for_their_function() -> None:
    node = qml.QNode(row_style, qml.device("default.qubit", wires=2))
    assert capture(node, n_inputs=2, weight_shapes={"w": (2,)}) == capture(
        row_style, n_inputs=2, weight_shapes={"w": (2,)}
    )


def test_arguments_by_other_names_by_keyword_and_with_defaults() -> None:
    expected = capture(row_style, n_inputs=2, weight_shapes={"w": (2,)})

    def other_name(x, w):
        return row_style(x, w)

    def keywords(inputs, **weights):
        return row_style(inputs, weights["w"])

    def default(inputs, w, n_repeats=1):
        return row_style(inputs, w)

    for function in (other_name, keywords, default, functools.partial(row_style)):
        assert capture(function, n_inputs=2, weight_shapes={"w": (2,)}) == expected


def test_a_function_of_weights_alone() -> None:
    layer = QuantumLayer.from_pennylane(
        lambda w: after(qml.RX(w[0], 0), qml.CNOT([0, 1]), qml.RY(w[1], 1), qml.RX(0.4, 1)),
        n_inputs=0,
        weight_shapes={"w": 2},
        dtype=F64,
    )
    w = layer.w.detach()
    assert layer().shape == (2,)
    torch.testing.assert_close(layer()[0].detach(), torch.cos(w[0]))


# PennyLane's own templates and operations -------------------------------------------------------------------------

RZ_ROT = np.asarray(qml.matrix(qml.Rot(0.1, 0.2, 0.3, 0)))
CROT = np.asarray(qml.matrix(qml.CRot(0.4, 0.2, 0.3, [0, 1])))
ISING = qml.Hamiltonian([1.0, 0.5], [qml.X(0), qml.Z(0) @ qml.Z(1)])

START = lambda x: [qml.RY(x[0], 0), qml.RX(x[1], 1), qml.RY(0.7, 2), qml.RX(1.1, 3)]
OPERATIONS: dict[str, Callable[..., Any]] = {
    "Rot": lambda x, w: qml.Rot(x[0], w[0], x[1] * w[1], 0),
    "U2 and U3": lambda x, w: [qml.U2(w[0], x[1], 1), qml.U3(w[1], x[0], w[0], 0)],
    "CRot": lambda x, w: qml.CRot(x[0], w[0], w[1], [0, 1]),
    "phases": lambda x, w: [
        qml.U1(w[0], 0),
        qml.CPhase(w[1], [0, 1]),
        qml.CPhaseShift00(w[0], [0, 1]),
        qml.CPhaseShift01(w[1], [1, 0]),
        qml.CPhaseShift10(x[0], [1, 2]),
    ],
    "two controls": lambda x, w: [
        qml.ctrl(qml.RX, (0, 1))(w[0], wires=2),
        qml.ctrl(qml.RY, (0, 2), control_values=(0, 1))(w[1] * x[0], wires=1),
    ],
    "three controls": lambda x, w: [qml.ctrl(qml.RX(w[0], 3), (0, 1, 2)), qml.ctrl(qml.RZ(w[1], 0), (3, 1, 2))],
    "controlled phase": lambda x, w: [qml.ctrl(qml.PhaseShift(w[0], 2), (0, 1)), qml.ctrl(qml.GlobalPhase(w[1]), 0)],
    "controlled Rot": lambda x, w: qml.ctrl(qml.Rot(x[0], w[0], w[1], 1), 0),
    "controlled MultiRZ": lambda x, w: qml.ctrl(qml.MultiRZ(w[0] * w[1], [1, 2]), 0),
    "controlled Ising": lambda x, w: [qml.ctrl(qml.IsingXX(w[0], [1, 2]), 0), qml.ctrl(qml.IsingXY(w[1], [0, 2]), 1)],
    "controlled SWAP and H": lambda x, w: [qml.ctrl(qml.SWAP([1, 2]), 0), qml.ctrl(qml.Hadamard(3), (0, 1))],
    "MultiControlledX": lambda x, w: qml.MultiControlledX([0, 1, 2, 3], control_values=[1, 0, 1]),
    "exp": lambda x, w: qml.exp(qml.X(0) @ qml.Y(1), 1j * w[0] * x[0]),
    "evolve": lambda x, w: [qml.evolve(qml.Z(0) @ qml.Y(1), w[0]), qml.evolve(0.7 * qml.X(2), x[0] * w[1])],
    "evolve a sum": lambda x, w: qml.evolve(qml.Z(0) + 0.3 * qml.Z(0) @ qml.Z(1), w[0]),
    "ApproxTimeEvolution": lambda x, w: qml.ApproxTimeEvolution(ISING, w[0], 3),
    "TrotterProduct": lambda x, w: qml.TrotterProduct(
        qml.dot([1.0, 0.5], [qml.X(0), qml.Z(0) @ qml.Z(1)]), w[0], n=2, order=2
    ),
    "PauliRot": lambda x, w: [
        qml.PauliRot(x[0], "XY", [0, 1]),
        qml.PauliRot(w[0], "ZIX", [1, 3, 0]),
        qml.PauliRot(w[1], "Y", [2]),
    ],
    "constant unitaries": lambda x, w: [
        qml.QubitUnitary(RZ_ROT, 0),
        qml.QubitUnitary(CROT, [2, 0]),
        qml.QubitUnitary(np.asarray(qml.matrix(qml.Toffoli([0, 1, 2]))), [1, 3, 0]),
        qml.DiagonalQubitUnitary(np.exp(1j * np.arange(4)), [0, 1]),
    ],
    "constant states": lambda x, w: qml.ctrl(qml.BasisEmbedding([1, 0], [1, 2]), 0),
    "QFT": lambda x, w: qml.QFT([0, 1, 2]),
    "adjoints": lambda x, w: [
        qml.adjoint(qml.RY(w[0], 1)),
        qml.adjoint(qml.CRX)(w[1], [0, 1]),
        qml.adjoint(qml.ISWAP([0, 1])),
        qml.adjoint(qml.S(0)),
        qml.adjoint(qml.CRot)(x[0], w[0], w[1], [1, 2]),
    ],
    "powers": lambda x, w: [
        qml.pow(qml.RY(w[0], 1), 2),
        qml.pow(qml.RX(w[1], 0), 0.5),
        qml.pow(qml.S(0), 3),
        qml.pow(qml.PauliX(0), 0.5),
    ],
    "products": lambda x, w: qml.prod(qml.RX(x[0], 0), qml.CRY(w[0], [0, 1])),
    "fermions": lambda x, w: [
        qml.FermionicSWAP(w[0], [0, 1]),
        qml.OrbitalRotation(w[1], [0, 1, 2, 3]),
        qml.SingleExcitationPlus(w[0], [0, 1]),
        qml.SingleExcitationMinus(w[1], [1, 2]),
        qml.DoubleExcitationPlus(w[0], [0, 1, 2, 3]),
    ],
    "PCPhase": lambda x, w: qml.PCPhase(w[0], dim=3, wires=[0, 1]),
    "Select": lambda x, w: qml.Select([qml.X(1), qml.RX(w[0], 1)], [0]),
    "without effect": lambda x, w: [qml.GlobalPhase(w[0]), qml.Barrier([0, 1]), qml.Snapshot(), qml.Identity(0)],
    "IQPEmbedding": lambda x, w: qml.IQPEmbedding(x, [0, 1], n_repeats=2),
    "torch": lambda x, w: [
        qml.RX(torch.arctan(x[0]) * w[0], 0),
        qml.RY(torch.sqrt((x**2).sum()), 1),
        qml.RZ(torch.where(x[0] > 0, x[0], w[1]), 0),
        qml.RX((x @ torch.tensor([1.0, -2.0], dtype=F64)) / 3, 2),
        qml.RY(torch.dot(x, w), 3),
    ],
    "numpy constants": lambda x, w: [qml.RX(np.pi * x[0], 0), qml.RY(w[0] * np.array([2.0, 3.0])[1], 1)],
    "qml.math": lambda x, w: [qml.RX(qml.math.sin(x[0]) * w[0], 0), qml.RY(qml.math.arctan(x[1]), 1)],
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_outside_the_table_are_decomposed(name: str) -> None:
    def function(inputs, w):
        START(inputs)
        OPERATIONS[name](inputs, w)
        qml.CNOT([0, 2])
        qml.CNOT([3, 1])
        qml.RX(w[1], 0)
        qml.RY(w[0], 1)
        return z_and_y(2, 3)

    check(function, 2, w=2)


@pytest.mark.parametrize(
    ("template", "shape"),
    [
        (qml.BasicEntanglerLayers, (2, 3)),
        (qml.StronglyEntanglingLayers, (2, 3, 3)),
        (functools.partial(qml.RandomLayers, seed=3), (2, 4)),
        (functools.partial(qml.ParticleConservingU1, init_state=np.array([1, 0, 1])), (1, 2, 2)),
        (functools.partial(qml.ParticleConservingU2, init_state=np.array([1, 1, 0])), (2, 5)),
    ],
)
def test_templates_of_weights(template, shape) -> None:
    check(lambda inputs, w: after(qml.AngleEmbedding(inputs, range(3)), template(w, wires=range(3))), 3, w=shape)


@pytest.mark.parametrize("base", [qml.X, qml.Z, qml.Y, qml.Hadamard, qml.SWAP])
def test_controls_that_act_on_zero(base) -> None:
    targets = [1, 2] if base is qml.SWAP else [1]

    def function(inputs, w):
        qml.AngleEmbedding(inputs, range(3), rotation="Y")
        qml.ops.op_math.Controlled(base(wires=targets), control_wires=0, control_values=[0])
        qml.ctrl(base(wires=targets), control=2 if len(targets) == 1 else 0, control_values=[0])
        qml.ctrl(qml.RX(w[0], wires=1), control=[0, 2], control_values=[0, 1])
        return after()

    check(function, 3, w=1)


def test_templates_of_inputs_and_weights() -> None:
    shape = qml.QAOAEmbedding.shape(2, 3)
    check(lambda inputs, w: after(qml.QAOAEmbedding(inputs, w, range(3)), wires=(2,)), 3, w=shape)

    def tree(inputs, w):
        qml.AngleEmbedding(inputs, range(2))
        qml.TTN(range(4), 2, lambda b, wires: [qml.RX(b[0], wires[0]), qml.RY(b[1], wires[1]), qml.CNOT(wires)], 2, w)
        return z_and_y(3)

    check(tree, 2, w=(3, 2))
    check(lambda inputs, a, b: after(qml.AngleEmbedding(inputs, [0, 1]), qml.SimplifiedTwoDesign(a, b, [0, 1])),
          2, a=2, b=(2, 1, 2))  # fmt: skip


def test_constant_states_at_the_start() -> None:
    for state in (np.array([0.6, 0, 0, 0.8j]), np.array([0.5, -0.5, 0.5j, 0.5])):
        check(lambda inputs, w, s=state: after(qml.StatePrep(s, [0, 1]), qml.CRX(inputs[0] * w[0], [0, 1])), 1, w=1)


def test_measurements() -> None:
    def function(inputs, w):
        qml.RX(inputs[0], 0)
        qml.CRY(w[0], [0, 2])
        return [qml.probs(wires=[2, 0]), qml.expval(qml.X(0) @ qml.Z(2) + 0.5 * qml.Y(0)), qml.expval(qml.Hadamard(2))]

    assert check(function, 1, w=1).n_outputs == 6
    one = check(lambda inputs, w: (qml.RX(inputs[0], 0), qml.RY(w[0], 0), qml.expval(qml.Z(0)))[-1], 1, w=1)
    assert one.n_outputs == 1
    every = check(lambda inputs, w: (qml.RX(inputs[0], 0), qml.CRY(w[0], [0, 1]), qml.probs())[-1], 1, w=1)
    assert every.n_outputs == 4


def test_observables_replace_what_the_function_returns() -> None:
    captured = capture(row_style, n_inputs=2, weight_shapes={"w": (2,)}, observables=[qml.X(4)])
    assert captured.circuit.n_wires == 5 and captured.circuit.n_outputs == 1
    assert capture(row_style, n_inputs=2, weight_shapes={"w": (2,)}, observables="Z", n_wires=3).circuit.n_outputs == 3
    assert capture(row_style, n_inputs=2, weight_shapes={"w": (2,)}, observables=qml.probs()).circuit.n_outputs == 4


def test_a_queue_around_the_capture_stays_as_it_is() -> None:
    with qml.queuing.AnnotatedQueue() as queue:
        qml.RX(0.1, 0)
        capture(row_style, n_inputs=2, weight_shapes={"w": (2,)})
    assert len(queue) == 1


# refusals -----------------------------------------------------------------------------------------------------


def measured_in_the_middle(x, w):
    qml.cond(qml.measure(0), qml.X)(1)


def written_in_place(x, w):
    y = x.clone()
    y[0] = w[0] * x[1]
    qml.RX(y[0], 0)


def zeros_filled(x, w):
    y = torch.zeros(2, dtype=x.dtype)
    y[0] = x[0]
    qml.RX(y[0], 0)


def added_in_place(x, w):
    x += w
    qml.RX(x[0], 0)


VALUES = r"must not depend on the values of inputs or weights; got line \d+ of \"test_circuits_capture.py\""
REFUSED: dict[str, tuple[Callable[..., Any], type[QnnError], str]] = {
    "float": (lambda x, w: qml.RX(float(x[0]), 0), CaptureError, VALUES),
    "int wire": (lambda x, w: qml.RX(x[0], int(w[0])), CaptureError, VALUES),
    "if": (lambda x, w: qml.RX(x[0], 0) if x[0] > 0 else None, CaptureError, VALUES),
    "np.sin": (lambda x, w: qml.RX(np.sin(x[0]), 0), CaptureError, VALUES),
    "math.sin": (lambda x, w: qml.RX(math.sin(x[0]), 0), CaptureError, VALUES),
    "item": (lambda x, w: qml.RX(x[0].item(), 0), CaptureError, VALUES),
    "numpy": (lambda x, w: qml.RX(w.detach().numpy()[0], 0), CaptureError, VALUES),
    "template": (lambda x, w: qml.BasisEmbedding(x, [0, 1, 2]), CaptureError, "one bit for each of its 3 wires"),
    "middle": (measured_in_the_middle, UnsupportedError, "MidMeasure.* acts in the middle .* default.qubit"),
    "channel": (lambda x, w: qml.DepolarizingChannel(0.1, 0), UnsupportedError, "DepolarizingChannel is a noise chann"),
    "label": (lambda x, w: qml.RX(x[0], "a"), CaptureError, "`wires` must be numbered .* got the label 'a'"),
    "vector": (lambda x, w: qml.RX(x, 0), CaptureError, r"The angle of RX must be one number per row; got shape \(2,"),
    "weights": (lambda x, w: qml.RY(w, 0), CaptureError, r"The angle of RY must be one number per row; got shape \(2,"),
    "random": (lambda x, w: qml.RX(x[0] + torch.rand(()), 0), CaptureError, "torch's 'rand', which is not among"),
    "sort": (lambda x, w: qml.RX(torch.sort(x)[0][0], 0), CaptureError, "torch's 'sort', which is not among"),
    "half": (lambda x, w: qml.RX(x.half()[0], 0), CaptureError, "computed in torch.float16, which is not supported"),
    "setitem": (written_in_place, CaptureError, "in-place 'copy_', which cannot be followed"),
    "filled": (zeros_filled, CaptureError, "in-place 'copy_', which cannot be followed"),
    "iadd": (added_in_place, CaptureError, "in-place 'add_', which cannot be followed"),
    "mul_": (lambda x, w: qml.RX(x.clone().mul_(2)[0], 0), CaptureError, "in-place 'mul_', which cannot be followed"),
    "bug": (lambda x, w: qml.RX(x[0].nonsense, 0), CaptureError, r"failed while it was traced, at line \d+ of \"test_"),
    "index": (lambda x, w: qml.RX(x[5], 0), CaptureError, "index 5 is out of bounds"),
    "do not commute": (
        lambda x, w: qml.evolve(qml.X(0) + qml.Z(0), w[0]),
        UnsupportedError,
        "has a generator whose Pauli words do not commute",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name(name: str) -> None:
    body, error, message = REFUSED[name]

    def function(inputs, w):
        body(inputs, w)
        return qml.expval(qml.Z(0))

    with pytest.raises(error, match=message):
        capture(function, n_inputs=2, weight_shapes={"w": (2,)})


def test_writing_elsewhere_in_place_is_harmless() -> None:
    def function(inputs, w):
        scratch = inputs.clone()
        scratch[0] = 3.0
        qml.RX(inputs[0] * w[0], 0)
        qml.RY(inputs[1] + w[1], 1)
        return z_and_y()

    check(function, 2, w=2)


@pytest.mark.parametrize(
    ("result", "error", "message"),
    [
        (None, CaptureError, "`function` must return measurements"),
        (3.0, CaptureError, "`function` must return measurements"),
        ("operator", CaptureError, "`function` must return measurements"),
        (lambda: qml.sample(wires=0), UnsupportedError, "expectation values, variances or probabilities; got sample"),
        (lambda: qml.state(), UnsupportedError, "expectation values, variances or probabilities; got state"),
    ],
)
def test_what_is_no_expectation_value_is_refused(result, error, message) -> None:
    def function(inputs):
        qml.RX(inputs[0], 0)
        if result == "operator":
            return qml.Z(0)
        return result() if callable(result) else result

    with pytest.raises(error, match=message):
        capture(function, n_inputs=1, weight_shapes={})


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ArgumentError, match=r"must take the arguments inputs, v; got a function of \(inputs, w\)"):
        capture(row_style, n_inputs=2, weight_shapes={"v": (2,)})
    with pytest.raises(ArgumentError, match=r"`n_qubits` must cover every wire in use; got 1, and .* uses wire 1"):
        capture(row_style, n_inputs=2, weight_shapes={"w": (2,)}, n_wires=1)
    with pytest.raises(ArgumentError, match=r"`function` must be a PennyLane quantum function or QNode; got 3"):
        capture(3, n_inputs=2, weight_shapes={})  # type: ignore[arg-type]
