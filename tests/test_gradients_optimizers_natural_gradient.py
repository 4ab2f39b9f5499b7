"""Natural gradient: the step by hand, where it wins and why, and what it is refused for."""

import pennylane as qml
import pytest
import torch

from qnn import NaturalGradient, QuantumLayer
from qnn.errors import ArgumentError, CapabilityError, UnknownNameError
from qnn.gradients import fubini_study_metric

F64 = torch.float64


def layer_of(function, n_inputs=0, **options) -> QuantumLayer:
    return QuantumLayer.from_pennylane(function, n_inputs=n_inputs, seed=2, dtype=F64, **options)


def small() -> QuantumLayer:
    return QuantumLayer(2, 2, seed=0, dtype=F64)


ROWS = torch.tensor([[0.3, -0.8], [1.2, 0.4], [0.1, 2.0]], dtype=F64)


@pytest.mark.parametrize(("approximation", "damping"), [("full", 0.1), ("full", 0.0), ("block-diagonal", 0.1)])
def test_the_step_is_the_formula(approximation: str, damping: float) -> None:
    layer = small()
    optimizer = NaturalGradient(layer, lr=0.2, approximation=approximation, damping=damping)
    before = layer.weights.detach().clone().reshape(-1)
    layer(ROWS).square().mean().backward()
    metric = fubini_study_metric(layer, ROWS, approximation=approximation)
    gradient = layer.weights.grad.reshape(-1)
    matrix = metric + damping * torch.eye(4, dtype=F64)
    optimizer.step()
    found = (before - layer.weights.detach().reshape(-1)) / 0.2
    torch.testing.assert_close(matrix @ found, gradient, atol=1e-10, rtol=0)


def test_without_damping_what_the_state_ignores_stays() -> None:
    """RZ of |0> moves no state: its entry of the metric is 0, and so is its step."""

    def function(w):
        qml.RZ(w[0], wires=0)
        qml.RY(w[1], wires=0)

    with pytest.warns(UserWarning, match="cannot change any output"):
        layer = layer_of(function, weight_shapes={"w": 2}, observables=qml.Z(0))
    before = layer.w.detach().clone()
    optimizer = NaturalGradient(layer, lr=0.5, damping=0.0)
    layer().sum().backward()
    optimizer.step()
    assert layer.w[0] == before[0]
    # ∂<Z> = -sin θ and g = 1/4
    torch.testing.assert_close(layer.w[1].detach(), before[1] + 0.5 * 4 * before[1].sin())


def fidelity_layer() -> QuantumLayer:
    """Probability of |000> of three qubits; one weight turns all of them five times over, another one of them."""

    def function(w):
        for wire in range(3):
            for _ in range(5):
                qml.RY(w[0], wires=wire)
        qml.RX(w[1], wires=0)
        qml.CNOT([0, 1])
        qml.RY(w[2], wires=2)
        qml.CNOT([1, 2])
        qml.RX(w[3], wires=1)

    return layer_of(function, weight_shapes={"w": 4}, observables=[qml.Projector([0, 0, 0], wires=[0, 1, 2])])


def steps_to(loss_below: float, optimizer_of, most: int = 50) -> int:
    layer = fidelity_layer()
    with torch.no_grad():
        layer.w.copy_(torch.tensor([0.08, 0.5, 0.4, -0.6], dtype=F64))
    optimizer = optimizer_of(layer)
    for step in range(most):
        optimizer.zero_grad()
        loss = 1 - layer().sum()
        if loss < loss_below:
            return step
        loss.backward()
        optimizer.step()
    return most


def test_fewer_steps_than_gradient_descent_where_theory_says_so() -> None:
    """1 - fidelity is δᵀgδ near its minimum: its Hessian is 2g, so that a step along g⁻¹∇L is Newton's at lr = 1/2.

    Gradient descent contracts at best by (κ - 1)/(κ + 1) a step, with κ the condition number of g there, above
    100 here, since one weight drives fifteen gates. It gets the best rate of a grid.
    """
    rates = [2.0**k for k in range(-4, 0)]
    descent = min(steps_to(1e-6, lambda layer, lr=lr: torch.optim.SGD([layer.w], lr=lr)) for lr in rates)
    natural = steps_to(1e-6, lambda layer: NaturalGradient(layer, lr=0.5, damping=1e-4))
    layer = fidelity_layer()
    torch.nn.init.zeros_(layer.w)  # the minimum
    assert torch.linalg.cond(fubini_study_metric(layer)) > 100
    assert natural <= 5
    assert descent == 50  # still on its way


def test_only_rows_of_the_gradient_count() -> None:
    """Evaluations do not, several calls and accumulated gradients do; the order of zero_grad and forward is free."""
    layer, same = small(), small()
    one, other = NaturalGradient(layer, lr=0.1), NaturalGradient(same, lr=0.1)
    layer(torch.zeros(5, 2, dtype=F64))  # no backward
    with torch.no_grad():
        layer(torch.ones(5, 2, dtype=F64))
    first, second = layer(ROWS[:1]).sum(), layer(ROWS[None, 1:]).sum()
    one.zero_grad()
    first.backward()
    second.backward()
    one.step()
    other.step(lambda: _backward(same(inputs=ROWS).sum()))
    torch.testing.assert_close(layer.weights, same.weights, atol=1e-13, rtol=0)


def _backward(loss: torch.Tensor) -> torch.Tensor:
    loss.backward()
    return loss


def test_what_it_cannot_use_is_refused() -> None:
    with pytest.raises(UnknownNameError, match=r'No approximation named "diagonal"'):
        NaturalGradient(small(), approximation="diagonal")
    with pytest.raises(ArgumentError, match=r"`damping` must be a number of 0 or more; got -0.1"):
        NaturalGradient(small(), damping=-0.1)
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), QuantumLayer(2, 1, seed=0, shots=10))
    with pytest.raises(CapabilityError, match=r'exact amplitudes; got shots=10 of the layer "1"'):
        NaturalGradient(model)
    with pytest.raises(CapabilityError, match=r'needs amplitudes, which backend "pennylane:default.qubit"'):
        NaturalGradient(QuantumLayer(2, 1, seed=0, backend="pennylane:default.qubit"))
    layer = small()
    optimizer = NaturalGradient(layer)
    layer.weights.grad = torch.ones_like(layer.weights)
    with pytest.raises(ArgumentError, match=r"`model` must have run forward and backward since the last step"):
        optimizer.step()
    layer(ROWS).sum().backward()
    layer.to_backend("statevector", shots=5)
    with pytest.raises(CapabilityError, match=r"got shots=5"):  # moved meanwhile
        optimizer.step()
