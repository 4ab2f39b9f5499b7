"""The Fubini-Study metric against dense states, PennyLane and closed forms."""

import numpy as np
import oracles
import pennylane as qml
import pytest
import torch

from qnn import QuantumLayer
from qnn.circuits.circuit import Slot
from qnn.errors import ArgumentError, CapabilityError, ShapeError, UnknownNameError
from qnn.gradients import fubini_study_metric

F64 = torch.float64


def layer_of(function, n_inputs, weight_shapes, **options) -> QuantumLayer:
    options = {"dtype": F64, "seed": 1, **options}
    return QuantumLayer.from_pennylane(function, n_inputs=n_inputs, weight_shapes=weight_shapes, **options)


def every_kind(inputs, w, v):
    """Inputs, shared and reused weights, weights times inputs, gates of several rotations and of several wires."""
    qml.Hadamard(0)
    qml.RX(inputs[0], wires=0)
    qml.RY(w[0], wires=1)
    qml.CRX(w[1], wires=[0, 1])
    qml.PhaseShift(inputs[1] * v[0], wires=0)
    qml.T(1)
    qml.IsingXY(v[1], wires=[1, 2])
    qml.CRZ(torch.sin(w[0]) + w[2], wires=[1, 0])
    qml.CNOT([2, 0])
    qml.SingleExcitation(w[1], wires=[0, 2])
    qml.RX(w[2], wires=2)
    qml.MultiRZ(v[0], wires=[0, 1, 2])
    qml.RY(inputs[0], wires=0)
    return qml.expval(qml.Z(0))


WEIGHTS = {"w": 3, "v": (2,)}


def dense_metric(layer: QuantumLayer, rows: torch.Tensor) -> np.ndarray:
    """By dense states; ∂ψ of an angle from shifted ones, and the chain rule by central differences of high order."""
    names = [name for name, _ in layer.angle_map.weight_shapes]
    values = torch.cat([getattr(layer, name).detach().reshape(-1) for name in names])

    def angles(flat, row):
        parts, start = {}, 0
        for name, shape in layer.angle_map.weight_shapes:
            size = int(np.prod(shape))
            parts[name], start = flat[start : start + size].reshape(shape), start + size
        shared, source = layer.angle_map.sources(row[None], parts)
        return torch.cat([shared[list(layer.angle_map.shared_index)], source[0, list(layer.angle_map.rows_index)]])

    total, n_shared = 0, layer.circuit.n_shared
    for row in rows:
        at = angles(values, row).numpy()
        state = lambda a: oracles.state(layer.circuit, a[:n_shared], a[n_shared:])
        by_angle = []
        for i in range(len(at)):
            block, index = ("shared", i) if i < n_shared else ("rows", i - n_shared)
            phase = layer.circuit.slot_operations[Slot(block, index)].gate == "PhaseShift"
            step = np.eye(len(at))[i] * np.pi / (2 if phase else 1)  # amplitudes oscillate with 1, or with 0 and 1/2
            by_angle.append((state(at + step) - state(at - step)) / (2 if phase else 4))
        jacobian = torch.autograd.functional.jacobian(lambda flat, row=row: angles(flat, row), values).numpy()
        d = jacobian.T @ np.array(by_angle)
        along = d.conj() @ state(at)
        total = total + (d.conj() @ d.T - np.outer(along, along.conj())).real
    return total / len(rows)


def test_full_metric_is_that_of_dense_states() -> None:
    layer = layer_of(every_kind, 2, WEIGHTS)
    rows = torch.rand(3, 2, generator=torch.Generator().manual_seed(0), dtype=F64) * 3
    found = fubini_study_metric(layer, rows)
    np.testing.assert_allclose(found.numpy(), dense_metric(layer, rows), atol=1e-12)
    assert (torch.linalg.eigvalsh(found) > -1e-12).all()
    assert torch.equal(found, found.T)
    leading = fubini_study_metric(layer, rows.reshape(3, 1, 2))  # further dimensions are rows
    torch.testing.assert_close(leading, found, atol=0, rtol=0)


def test_the_rows_are_averaged_whatever_the_chunks(monkeypatch) -> None:
    layer = layer_of(every_kind, 2, WEIGHTS)
    rows = torch.rand(5, 2, generator=torch.Generator().manual_seed(1), dtype=F64)
    whole = fubini_study_metric(layer, rows)
    monkeypatch.setattr("qnn.gradients.metric._CHUNK_BYTES", 1)
    torch.testing.assert_close(fubini_study_metric(layer, rows), whole, atol=1e-14, rtol=0)


def entangling(inputs, w):
    for wire in range(3):
        qml.RX(inputs[wire], wires=wire)
    for layer in range(2):
        for wire in range(3):
            qml.RY(w[layer, wire, 0], wires=wire)
        for wire in range(3):
            qml.RZ(w[layer, wire, 1], wires=wire)
        for wire in range(3):
            qml.CNOT([wire, (wire + 1) % 3])
    for wire in range(3):
        qml.Hadamard(wire)
    return qml.probs(wires=[0, 1, 2])


@pytest.mark.parametrize("approximation", ["full", "block-diagonal"])
def test_metric_is_pennylanes(approximation: str) -> None:
    layer = layer_of(entangling, 3, {"w": (2, 3, 2)})
    row = torch.tensor([0.3, 1.1, -0.4], dtype=F64)
    wires = 4 if approximation == "full" else 3  # PennyLane's full metric needs a wire for Hadamard tests
    node = qml.QNode(lambda w: entangling(row.numpy(), w), qml.device("default.qubit", wires=wires), interface="torch")
    approx = None if approximation == "full" else "block-diag"
    weights = layer.w.detach().clone().requires_grad_()
    expected = qml.metric_tensor(node, approx=approx, aux_wire=3)(weights)
    found = fubini_study_metric(layer, row, approximation=approximation)
    torch.testing.assert_close(found, expected.reshape(12, 12).detach(), atol=1e-10, rtol=0)


def test_block_diagonal_is_the_full_metric_between_gates_of_a_layer() -> None:
    layer = layer_of(entangling, 3, {"w": (2, 3, 2)})
    rows = torch.rand(2, 3, dtype=F64, generator=torch.Generator().manual_seed(2))
    full, blocks = (fubini_study_metric(layer, rows, approximation=a) for a in ("full", "block-diagonal"))
    kind = torch.arange(12).reshape(2, 3, 2) - torch.arange(3).reshape(1, 3, 1) * 2  # number of the layer
    together = kind.reshape(-1, 1) == kind.reshape(-1)
    torch.testing.assert_close(blocks, full * together, atol=1e-13, rtol=0)
    assert (full - blocks).abs().max() > 0.01


def test_a_gate_that_comes_late_joins_the_layer_that_its_wires_allow() -> None:
    def function(w):
        qml.Hadamard(0)
        qml.CNOT([0, 1])
        qml.RY(w[0], wires=0)
        qml.RZ(w[1], wires=0)
        qml.RY(w[2], wires=1)
        return qml.expval(qml.X(0) @ qml.Z(1))

    layer = layer_of(function, 0, {"w": 3})
    full, blocks = (fubini_study_metric(layer, approximation=a) for a in ("full", "block-diagonal"))
    torch.testing.assert_close(blocks[0, 2], full[0, 2])
    torch.testing.assert_close(full[0, 2], torch.tensor(-0.25, dtype=F64))  # <YY> of a Bell pair is -1
    assert blocks[0, 1] == 0 == blocks[1, 2]


def test_one_qubit_closed_form() -> None:
    """RZ(φ) RY(θ)|0>: g = diag(1, sin²θ) / 4, the sphere of radius 1/2."""

    def function(w):
        qml.RY(w[0], wires=0)
        qml.RZ(w[1], wires=0)
        return qml.expval(qml.X(0))

    layer = layer_of(function, 0, {"w": 2})
    theta = layer.w.detach()[0]
    expected = torch.diag(torch.stack([theta * 0 + 1, theta.sin() ** 2])) / 4
    torch.testing.assert_close(fubini_study_metric(layer), expected, atol=1e-15, rtol=0)


def test_frozen_weights_are_left_out() -> None:
    layer = layer_of(every_kind, 2, WEIGHTS)
    row = torch.tensor([0.2, 0.7], dtype=F64)
    full = fubini_study_metric(layer, row)
    layer.w.requires_grad_(False)
    torch.testing.assert_close(fubini_study_metric(layer, row), full[3:, 3:], atol=1e-14, rtol=0)


def test_what_has_no_metric_is_refused() -> None:
    layer = QuantumLayer(2, 1, seed=0)
    with pytest.raises(UnknownNameError, match=r'No approximation named "diagonal".*block-diagonal'):
        fubini_study_metric(layer, torch.zeros(2), approximation="diagonal")
    with pytest.raises(ShapeError, match=r"`inputs` must end in 2 features.*got shape \(3,\)"):
        fubini_study_metric(layer, torch.zeros(3))
    with pytest.raises(CapabilityError, match=r"exact amplitudes; got shots=10"):
        fubini_study_metric(layer.to_backend("statevector", shots=10), torch.zeros(2))
    with pytest.raises(CapabilityError, match=r'needs amplitudes, which backend "pennylane:default.qubit"'):
        fubini_study_metric(layer.to_backend("pennylane:default.qubit"), torch.zeros(2))
    layer.to_backend("statevector")
    torch.nn.utils.parametrize.register_parametrization(layer, "weights", torch.nn.Tanh())
    with pytest.raises(ArgumentError, match=r"plain parameters; got 'weights'"):
        fubini_study_metric(layer, torch.zeros(2))


def test_what_does_not_fit_in_memory_is_refused(monkeypatch) -> None:
    monkeypatch.setattr("qnn.gradients.metric.MAX_BYTES", 1000)
    with pytest.raises(ArgumentError, match=r"derivative states to fit in memory; got 8 of 4 wires"):
        fubini_study_metric(QuantumLayer(4, 2, seed=0), torch.zeros(4))
