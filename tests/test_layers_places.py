"""Where a layer runs: moving it, borrowing a backend, the plan before and the meter after, views of the circuit."""

import re
import warnings

import pennylane as qml
import pytest
import torch
from matplotlib.figure import Figure

from qnn import QuantumLayer, _meter
from qnn.backends.statevector import Statevector
from qnn.errors import CapabilityError, UnknownNameError

F64 = torch.float64
ROWS = torch.tensor([[0.3, -1.2], [2.0, 0.4], [-0.5, 1.1]], dtype=F64)
WORDS = [qml.Z(0), qml.X(1), qml.Z(0) @ qml.Y(1)]


@pytest.fixture
def layer() -> QuantumLayer:
    return QuantumLayer(2, 2, seed=0, dtype=F64, observables=WORDS)


def test_to_backend_keeps_the_weights_and_returns_the_layer(layer) -> None:
    before, weights = layer(ROWS).detach(), layer.weights
    assert layer.to_backend("pennylane:default.qubit") is layer
    assert layer.weights is weights and layer.backend.name == "pennylane:default.qubit"
    assert layer.explain().gradient == "parameter-shift"
    torch.testing.assert_close(layer(ROWS).detach(), before, atol=1e-9, rtol=0)
    layer.to_backend("statevector", shots=50, gradient="finite-difference")
    assert (layer.shots, layer.explain().gradient) == (50, "finite-difference")
    assert not torch.equal(layer(ROWS).detach(), before)


def test_a_refused_move_leaves_the_layer_where_it_was(layer) -> None:
    before = layer(ROWS)
    for arguments, error in (
        ({"backend": "nowhere"}, UnknownNameError),
        ({"backend": "pennylane:default.qubit", "gradient": "adjoint"}, CapabilityError),
    ):
        with pytest.raises(error):
            layer.to_backend(**arguments)
        assert layer.backend.name == "statevector" and torch.equal(layer(ROWS), before)


def test_using_is_for_the_block_only(layer) -> None:
    exact, plan = layer(ROWS), layer.plan
    with layer.using(shots=20) as same:
        assert same is layer and layer.shots == 20 and layer.backend.name == "statevector"
        assert not torch.equal(layer(ROWS), exact)
        with layer.using("pennylane:default.qubit"):
            assert layer.shots is None and layer.backend.name == "pennylane:default.qubit"
        assert layer.shots == 20
        with layer.using(shots=None):
            assert torch.equal(layer(ROWS), exact)
    assert layer.shots is None and layer.plan is plan and torch.equal(layer(ROWS), exact)


def test_using_keeps_shots_and_gradient_on_the_same_backend() -> None:
    layer = QuantumLayer(2, 1, seed=0, shots=30, gradient="finite-difference")
    with layer.using():
        assert layer.shots == 30 and layer.explain().gradient == "finite-difference"
    with layer.using(gradient="spsa"):
        assert layer.shots == 30 and layer.explain().gradient == "spsa"
    with layer.using(Statevector()):
        assert layer.shots is None and layer.explain().gradient == "adjoint"
    assert layer.shots == 30 and layer.explain().gradient == "finite-difference"


def test_using_restores_after_errors(layer) -> None:
    with pytest.raises(ZeroDivisionError), layer.using(shots=20):
        1 / 0  # noqa: B018
    assert layer.shots is None
    with pytest.raises(UnknownNameError), layer.using("nowhere"):
        pass
    with pytest.raises(CapabilityError), layer.using(shots=5, gradient="adjoint"):
        pass
    assert layer.shots is None and layer.backend.name == "statevector"


@pytest.mark.parametrize("shots", [None, 25])
@pytest.mark.parametrize("gradient", ["auto", "parameter-shift", "finite-difference", "spsa", "backprop"])
def test_the_explanation_is_what_the_meter_counts(gradient: str, shots: int | None) -> None:
    if gradient == "backprop" and shots:
        with pytest.raises(CapabilityError):
            QuantumLayer(2, 2, shots=shots, gradient=gradient)
        return
    layer = QuantumLayer(2, 2, seed=0, dtype=F64, observables=WORDS, gradient=gradient, shots=shots)
    plan = layer.explain(batch_size=3)
    with _meter.measure() as usage:
        layer(ROWS.clone().requires_grad_()).sum().backward()
    assert usage.as_dict() == {
        "circuits": plan.circuits_per_step, "shots": plan.shots_per_step, "jobs": plan.jobs_per_step
    }  # fmt: skip
    assert plan.measurement_bases == 2 and plan.shots_per_circuit == shots
    assert plan.shots_per_step == plan.circuits_per_step * (shots or 0)


@pytest.mark.parametrize("gradient", ["parameter-shift", "spsa", "adjoint"])
def test_the_explanation_counts_only_the_gradients_that_are_needed(gradient: str) -> None:
    layer = QuantumLayer(2, 2, seed=0, dtype=F64, observables=WORDS, gradient=gradient)
    for weights, inputs in ((True, True), (True, False), (False, True), (False, False)):
        layer.weights.requires_grad_(weights)
        plan = layer.explain(batch_size=3, input_gradients=inputs)
        with _meter.measure() as usage:
            layer(ROWS.clone().requires_grad_(inputs))
        assert usage.circuits == plan.circuits_per_step


def test_the_explanation_prints_and_knows_the_circuit(layer) -> None:
    plan = layer.explain(batch_size=1000)
    assert (plan.n_qubits, plan.n_inputs, plan.n_weights, plan.n_outputs) == (2, 2, 4, 3)
    assert plan.depth == layer.circuit.depth() == 9 and plan.two_qubit_gates == 4
    shown = dict(re.split(r" {2,}", line, maxsplit=1) for line in str(plan).splitlines())
    assert shown["circuits per step"] == "1,000" and shown["shots per circuit"] == "exact"
    assert shown["gradient"] == "adjoint" and shown["n weights"] == "4"
    starts = {len(line) - len(shown[line.split("  ")[0]]) for line in str(plan).splitlines()}
    assert len(starts) == 1  # values in one column


def test_explaining_runs_nothing(layer) -> None:
    with _meter.measure() as usage:
        layer.to_backend("statevector", shots=10).explain(32)
    assert usage == _meter.Usage()


@pytest.mark.parametrize(("device", "tolerance"), [("default.qubit", 1e-9), ("lightning.qubit", 1e-6)])
def test_the_qnode_measures_the_same(device: str, tolerance: float) -> None:
    def function(inputs, w, s):
        qml.RX(inputs[0] * w[0], 0)
        qml.IsingXY(torch.arctan(inputs[1]), [0, 1])
        qml.CRY(w[1] * s, [1, 0])
        qml.adjoint(qml.SX(1))
        qml.DoubleExcitation(w[0], [0, 1, 2, 3])
        qml.RY(0.3, 1)
        return [qml.expval(0.5 * qml.Z(0) @ qml.X(1) - qml.Y(1) + 0.25 * qml.I(0)), qml.probs(wires=[1, 0])]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layer = QuantumLayer.from_pennylane(function, n_inputs=2, weight_shapes={"w": 2, "s": ()}, seed=2, dtype=F64)
    node = layer.qnode(device)
    weights = {name: p.detach() for name, p in layer.named_parameters()}
    for row in ROWS:
        value, probabilities = node(row, **weights)
        found = torch.cat([torch.atleast_1d(torch.as_tensor(value)), torch.as_tensor(probabilities)])
        torch.testing.assert_close(found.double(), layer(row).detach(), atol=tolerance, rtol=0)


def test_the_qnode_is_differentiable_and_takes_lists() -> None:
    layer = QuantumLayer(2, 1, seed=0, dtype=F64)
    node = layer.qnode()
    row, weights = ROWS[0].clone().requires_grad_(), layer.weights.detach().clone().requires_grad_()
    torch.stack(node(row, weights=weights)).sum().backward()
    leaf = ROWS[0].clone().requires_grad_()
    layer(leaf).sum().backward()
    torch.testing.assert_close(row.grad, leaf.grad, atol=1e-10, rtol=0)
    torch.testing.assert_close(weights.grad, layer.weights.grad, atol=1e-10, rtol=0)
    assert torch.stack(node([0.1, 0.2], weights=layer.weights.detach())).shape == (2,)


def test_draw_and_print(layer) -> None:
    assert isinstance(layer.draw(), Figure)
    assert repr(layer) == "QuantumLayer(2 inputs -> 3 outputs, 2 qubits, statevector, exact, adjoint)"
    layer.to_backend("statevector", shots=7)
    assert "shots=7, parameter-shift" in repr(torch.nn.Sequential(layer))
