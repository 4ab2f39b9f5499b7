"""Rewritten circuits back as layers: smaller weights, computed angles, weights that are used twice."""

import pennylane as qml
import pytest
import torch

import qnn
from qnn.compression.circuits.angle_sums import entries_of
from qnn.compression.circuits.circuit_layers import rewritten, trainable_rotations
from qnn.layers import QuantumLayer


def mixed(inputs, w, scale):
    """Copies, products, a weight used twice, and a sum of two."""
    qml.RX(inputs[0] * scale, wires=0)
    qml.RY(w[0, 0], wires=0)
    qml.CNOT(wires=[0, 1])
    qml.RY(w[0, 0], wires=1)
    qml.RX(torch.sin(w[0, 1]) + w[1, 0], wires=1)
    qml.CNOT(wires=[1, 0])
    qml.RZ(w[1, 1], wires=0)
    qml.RY(inputs[1], wires=0)
    qml.CRY(w[1, 2], wires=[0, 1])


def made(function=mixed, **options):
    shapes = {"w": (2, 3), "scale": ()}
    z = [qml.Z(0), qml.X(1)]
    options = {"seed": 3, "dtype": torch.float64} | options
    return QuantumLayer.from_pennylane(function, n_inputs=2, weight_shapes=shapes, observables=z, **options)


@pytest.fixture
def layer():
    with pytest.warns(qnn.errors.InertParameterWarning, match=r"w\[0, 2\]"):
        return made()


X = torch.linspace(-2, 2, 12, dtype=torch.float64).reshape(6, 2)


def number(layer, gate, which=0):
    return [n for n, op in enumerate(layer.circuit.operations) if op.gate == gate][which]


def set_to(layer, **values):
    with torch.no_grad():
        for name, (place, value) in values.items():
            getattr(layer, name)[place] = value


@pytest.mark.parametrize(
    ("gate", "which", "zero", "shape"),
    [
        ("CRY", 0, {"w": ((1, 2), 0.0)}, (2, 2)),  # columns 0 and 1 stay
        ("RZ", 0, {"w": ((1, 1), 0.0)}, (4,)),
        ("RX", 0, {"scale": ((), 0.0)}, (5,)),
    ],
)
def test_a_zero_rotation_leaves_with_its_weight_and_outputs_stay(layer, gate, which, zero, shape):
    set_to(layer, **zero)
    smaller = rewritten(layer, [number(layer, gate, which)])
    torch.testing.assert_close(smaller(X), layer(X), atol=1e-12, rtol=0)
    assert smaller.w.shape == shape
    assert hasattr(smaller, "scale") == ("scale" not in zero)
    assert set(smaller.state_dict()) == {"w", "scale"} - ({"scale"} & set(zero))


def test_a_weight_that_is_used_twice_stays_for_its_other_gate(layer):
    assert len(trainable_rotations(layer)) == 6
    smaller = rewritten(layer, [number(layer, "RY", 1)])
    assert len(trainable_rotations(smaller)) == 5
    assert smaller.w.shape == (5,)  # without w[0, 2], which no gate used
    smaller(X).sum().backward()
    assert smaller.w.grad[0] != 0


@pytest.mark.parametrize("method", ["adjoint", "parameter-shift"])
def test_gradients_are_those_of_the_weights_that_stay(layer, method):
    layer.to_backend("statevector", gradient=method)
    set_to(layer, w=((1, 1), 0.0))
    smaller = rewritten(layer, [number(layer, "RZ")])
    assert smaller.plan.method == method
    for model in (layer, smaller):
        model(X).square().sum().backward()
    kept = [layer.w.grad[place] for place in ((0, 0), (0, 1), (1, 0), (1, 2))]
    torch.testing.assert_close(smaller.w.grad, torch.stack(kept), atol=1e-10, rtol=0)
    torch.testing.assert_close(smaller.scale.grad, layer.scale.grad, atol=1e-10, rtol=0)


def test_an_equal_layer_is_saved_written_as_qasm_and_pickled_and_samples_on(layer, tmp_path):
    set_to(layer, w=((1, 1), 0.0))
    layer.to_backend("statevector", shots=50)
    layer(X)
    smaller = rewritten(layer, [number(layer, "RZ")])
    assert smaller.sampling_state() == layer.sampling_state() and smaller.shots == 50
    torch.testing.assert_close(smaller.counts(X), layer.counts(X))
    smaller.to_backend("statevector")
    read = qnn.load(qnn.save(smaller, tmp_path / "smaller.qnn"))
    assert torch.equal(read(X), smaller(X))
    free = QuantumLayer.from_qasm(smaller.to_qasm(), inputs=["x_0", "x_1"], observables=[qml.Z(0), qml.X(1)])
    assert free.weights.shape == (5,)
    again = rewritten(smaller)
    again.load_state_dict(smaller.state_dict())
    assert torch.equal(again(X), smaller(X))
    torch.testing.assert_close(smaller.qnode()(X[0])[0], smaller(X)[0, 0], atol=1e-12, rtol=0)


def test_weights_that_only_act_as_a_sum_become_one_and_frozen_ones_keep_their_values():
    def sums(inputs, a, b):
        for w in (a[0], a[1], b[0]):
            qml.RY(w, wires=0)
        qml.RX(inputs[0], wires=0)
        qml.RX(inputs[0], wires=0)
        qml.RY(a[2], wires=0)
        qml.RX(b[1], wires=0)
        qml.RX(b[1], wires=0)

    options = {"n_inputs": 1, "weight_shapes": {"a": 3, "b": 2}, "observables": [qml.Z(0)], "dtype": torch.float64}
    layer = QuantumLayer.from_pennylane(sums, **options, seed=0)
    smaller = rewritten(layer)
    assert [op.gate for op in smaller.circuit.operations] == ["RY", "RX", "RY", "RX"]
    assert (smaller.a.shape, smaller.b.shape) == ((2,), (1,))
    assert smaller.a[0].item() == pytest.approx((layer.a[0] + layer.a[1] + layer.b[0]).item())
    torch.testing.assert_close(smaller(X[:, :1]), layer(X[:, :1]), atol=1e-12, rtol=0)
    text = smaller.to_qasm()
    assert "x_0 + x_0" in text or "2" in text
    layer.b.requires_grad_(False)
    kept = rewritten(layer)
    assert (kept.a.shape, kept.b.shape, kept.b.requires_grad) == ((3,), (2,), False)
    torch.testing.assert_close(kept.b, layer.b)
    torch.testing.assert_close(kept(X[:, :1]), layer(X[:, :1]), atol=1e-12, rtol=0)


def test_functions_of_batches_and_float32():
    def batch(inputs, w, scale):
        qml.RX(inputs[:, 0] + 0.0 * scale, wires=0)
        qml.RX(inputs[:, 1], wires=0)
        qml.RX(inputs[:, 0], wires=0)
        qml.CRX(w[0, 0] * inputs[:, 1], wires=[0, 1])
        qml.RY(w[0, 1], wires=1)
        for i in range(3):
            qml.RZ(w[1, i], wires=1)
        qml.RY(w[0, 2], wires=0)

    with pytest.warns(qnn.errors.InertParameterWarning, match="scale"):
        layer = made(batch, dtype=torch.float32)
    smaller = rewritten(layer, [number(layer, "RY", 1)])
    assert smaller.w.dtype == torch.float32 and smaller.w.shape == (3,)
    set_to(layer, w=((0, 2), 0.0))
    x = X.float()
    torch.testing.assert_close(smaller(x), layer(x), atol=1e-6, rtol=0)
    assert smaller(x).dtype == torch.float32


def test_entries_are_those_that_an_angle_depends_on(layer):
    found = entries_of(layer.angle_map)
    n, extras = 7, [("shared", 7), ("rows", 2)]
    assert [found[source] for source in extras] == [{1, 3}, {6}]
    assert all(found["shared", i] == {i} for i in range(n))


def test_where_a_graph_compares_every_entry_that_it_reads_counts():
    def compares(inputs, w, scale):
        qml.RX(torch.where(w[0, 0] > 1, inputs[0], inputs[1]), wires=0)
        qml.RY(scale, wires=1)

    with pytest.warns(qnn.errors.InertParameterWarning):
        layer = made(compares)
    assert entries_of(layer.angle_map)["rows", 2] == set(range(6))
    smaller = rewritten(layer)
    assert smaller.w.shape == (2, 3)
    torch.testing.assert_close(smaller(X), layer(X), atol=1e-12, rtol=0)
