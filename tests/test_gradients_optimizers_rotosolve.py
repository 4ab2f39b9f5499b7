"""Rotosolve: exact minima of one weight after another, and where nothing is guaranteed."""

from itertools import pairwise

import numpy as np
import pennylane as qml
import pytest
import torch

from qnn import QuantumLayer, Rotosolve
from qnn.errors import ArgumentError, UnsupportedError

F64 = torch.float64
ROWS = torch.tensor([[0.3, -0.8], [1.2, 0.4]], dtype=F64)


def layer_of(function, shapes, n_inputs=0, **options) -> QuantumLayer:
    return QuantumLayer.from_pennylane(function, n_inputs=n_inputs, weight_shapes=shapes, seed=0, dtype=F64, **options)


def counted(closure):
    def count():
        count.calls += 1
        return closure()

    count.calls = 0
    return count


def test_one_sinusoid_is_solved_in_one_sweep() -> None:
    """a + b cos(w) + c sin(w) of one RX: the minimum a - √(b² + c²), from four evaluations."""
    layer = QuantumLayer(1, 1, seed=3, dtype=F64)
    x = torch.tensor([[0.7], [0.2]], dtype=F64)
    weight = torch.tensor([2.0, -0.5], dtype=F64)
    closure = counted(lambda: 0.3 + layer(x)[:, 0] @ weight)
    before = closure()
    found = Rotosolve(layer).step(closure)
    torch.testing.assert_close(found, before.detach())
    # RX(x)|0> has <Y> = -sin x, after the Hadamard <Y> = sin x and <Z> = 0: RX(w) makes <Z> = sin x sin w of it
    amplitude = (weight * x[:, 0].sin()).sum().abs()
    torch.testing.assert_close(closure().detach(), 0.3 - amplitude, atol=1e-14, rtol=0)
    assert closure.calls == 2 + 4


def mixed(w, v):
    """A weight of one rotation, one of two gates, one controlled rotation, one excitation."""
    qml.RY(w[0], wires=0)
    qml.RX(w[1], wires=1)
    qml.CNOT([0, 1])
    qml.CRY(v[0], wires=[0, 1])
    qml.RX(w[1], wires=0)
    qml.SingleExcitation(v[1], wires=[0, 1])
    qml.RY(0.4, wires=1)


@pytest.mark.parametrize("degree", [1, 2])
def test_each_weight_goes_to_its_global_minimum(degree: int) -> None:
    """Whatever the gates that it drives, for losses linear and quadratic in expectation values."""
    layer = layer_of(mixed, {"w": 2, "v": 2}, observables=[qml.Z(0), qml.X(1) @ qml.Z(0)])
    weight = torch.tensor([1.0, -0.7], dtype=F64)
    linear = lambda: layer() @ weight
    loss = linear if degree == 1 else lambda: (linear() - 0.2).square() + layer()[0]
    optimizer = Rotosolve(layer, degree=degree)
    after = {}
    move = optimizer._move

    def recorded(closure, coordinate, value, exact):
        after[coordinate] = move(closure, coordinate, value, exact), layer.state_dict()
        after[coordinate] = after[coordinate][0], {k: v.clone() for k, v in after[coordinate][1].items()}
        return after[coordinate][0]

    optimizer._move = recorded
    closure = counted(loss)
    optimizer.step(closure)
    assert closure.calls == 1 + sum(2 * degree * r + 1 for r in (1, 2, 2, 2))
    grid = np.linspace(-2 * np.pi, 2 * np.pi, 4001)
    assert len(after) == 4
    for coordinate, (value, state) in after.items():
        layer.load_state_dict(state)
        with torch.no_grad():
            assert float(loss()) == pytest.approx(value, abs=1e-13)
            lowest = min(_at(coordinate.entry, place, loss) for place in grid[:: 12 * degree])
        assert value <= lowest + 1e-12


def _at(entry, place, loss) -> float:
    entry.copy_(torch.as_tensor(place))
    return float(loss())


def test_a_sweep_with_the_wrong_degree_is_no_minimum_but_never_worse() -> None:
    layer = layer_of(mixed, {"w": 2, "v": 2}, observables=[qml.Z(0), qml.X(1) @ qml.Z(0)])
    head = torch.nn.Linear(2, 3, dtype=F64)
    with torch.no_grad():
        head.weight.mul_(8)  # far from linear
    loss = lambda: torch.nn.functional.cross_entropy(head(layer())[None], torch.tensor([1]))
    optimizer = Rotosolve(layer)
    losses = [float(optimizer.step(loss)) for _ in range(6)]
    assert all(later <= earlier for earlier, later in pairwise(losses))
    assert losses[-1] < losses[0]


def test_where_a_step_would_be_worse_the_weight_stays() -> None:
    layer = QuantumLayer(1, 1, seed=3, dtype=F64)
    before = layer.weights.detach().clone()
    away = lambda: (layer.weights.detach() - before).square().sum()  # not of the form: smallest where it is
    Rotosolve(layer).step(away)
    assert torch.equal(layer.weights, before)


def test_squared_errors_of_a_linear_head_are_of_degree_two() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), QuantumLayer(2, 1, seed=0), torch.nn.Linear(2, 1)).double()
    target = torch.tensor([[0.3], [-0.6]], dtype=F64)
    optimizer = Rotosolve(model, degree=2, classical=lambda p: torch.optim.SGD(p, lr=0.0))

    def closure():
        loss = (model(ROWS) - target).square().mean()
        if torch.is_grad_enabled():
            loss.backward()
        return loss

    for _ in range(40):  # coordinate descent ends where no weight alone can do better
        optimizer.step(closure)
    (gradient,) = torch.autograd.grad((model(ROWS) - target).square().mean(), model[1].weights)
    assert gradient.abs().max() < 1e-6


def test_shots_are_always_followed_and_repeat() -> None:
    def run() -> torch.Tensor:
        layer = QuantumLayer(1, 1, seed=3, shots=2000, dtype=F64)
        Rotosolve(layer).step(lambda: layer(torch.tensor([[1.3]], dtype=F64)).sum())
        return layer.weights.detach()

    found = run()
    assert torch.equal(found, run())
    # The fit's amplitude is sin(1.3); an angle from 3 values of variance 1/2000 each has σ² = (2/3)/2000/sin²(1.3)
    exact = QuantumLayer(1, 1, seed=3, dtype=F64)
    Rotosolve(exact).step(lambda: exact(torch.tensor([[1.3]], dtype=F64)).sum())
    off = (found - exact.weights.detach() + np.pi) % (2 * np.pi) - np.pi
    assert 0 < off.abs() < 4 * np.sqrt(2 / 3 / 2000) / np.sin(1.3)


def test_lr_goes_part_of_the_way() -> None:
    places = []
    for lr in (1.0, 0.25):
        layer = QuantumLayer(1, 1, seed=3, dtype=F64)
        before = float(layer.weights.detach())
        Rotosolve(layer, lr=lr).step(lambda layer=layer: layer(torch.tensor([[0.7]], dtype=F64)).sum())
        places.append(float(layer.weights.detach()) - before)
    assert places[1] == pytest.approx(0.25 * places[0])


def test_angles_computed_from_weights_are_refused() -> None:
    def scaled(inputs, w, v):
        qml.RX(w[0], wires=0)
        qml.RY(inputs[0] * v[0], wires=0)

    shapes = {"w": 1, "v": 1}
    layer = layer_of(scaled, shapes, n_inputs=1, observables=qml.Z(0))
    with pytest.raises(UnsupportedError, match=r"angles that are weights as they stand; .*computes an angle from `v`"):
        Rotosolve(layer)
    layer.v.requires_grad_(False)
    Rotosolve(layer).step(lambda: layer(torch.ones(1, dtype=F64)).sum())
    doubled = layer_of(lambda w: qml.RX(2 * w[0], wires=0), {"w": 1}, observables=qml.Z(0))
    with pytest.raises(UnsupportedError, match=r"computes an angle from `w`"):
        Rotosolve(doubled)


def test_bad_numbers_are_refused() -> None:
    layer = QuantumLayer(1, 1, seed=0)
    for degree in (0, 1.5, True):
        with pytest.raises(ArgumentError, match=rf"`degree` must be an integer of 1 or more; got {degree}"):
            Rotosolve(layer, degree=degree)
    with pytest.raises(ArgumentError, match=r"`lr` must be at most 1, which goes all the way.* got 1.5"):
        Rotosolve(layer, lr=1.5)
