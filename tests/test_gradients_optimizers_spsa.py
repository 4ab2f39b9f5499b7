"""SPSA: an unbiased step from two evaluations, Spall's gains, and runs that repeat."""

import pytest
import torch

from qnn import SPSA, QuantumLayer, fit
from qnn._meter import measure
from qnn._seeding import step_scope
from qnn.errors import ArgumentError

F64 = torch.float64
ROWS = torch.tensor([[0.3, -0.8], [1.2, 0.4]], dtype=F64)


def small(**options) -> QuantumLayer:
    return QuantumLayer(2, 2, seed=0, **{"dtype": F64, **options})


def loss_of(layer):
    return lambda: (layer(ROWS) * torch.tensor([1.0, -0.5])).sum()


def test_the_expected_step_is_the_gradient() -> None:
    layer = small()
    loss = loss_of(layer)
    (gradient,) = torch.autograd.grad(loss(), layer.weights)
    start = layer.weights.detach().clone()
    optimizer = SPSA(layer, lr=1.0, perturbation=1e-4, lr_decay=0.0, perturbation_decay=0.0, seed=1)
    n, total = 300, torch.zeros_like(start)
    for _ in range(n):
        optimizer.step(loss)
        total += start - layer.weights.detach()
        with torch.no_grad():
            layer.weights.copy_(start)
    # ĝ_i = Σ_j g_j Δ_j Δ_i has the variance Σ_{j≠i} g_j²; 4 standard errors for each of 4 weights
    error = ((gradient.square().sum() - gradient.square()) / n).sqrt()
    assert ((total / n - gradient).abs() <= 4 * error + 1e-6).all()
    assert gradient.abs().max() > 8 * error.max()  # so that zero would not pass


@pytest.mark.parametrize("n_layers", [1, 6])
def test_two_evaluations_a_step_whatever_the_number_of_weights(n_layers: int) -> None:
    layer = QuantumLayer(2, n_layers, seed=0, shots=10, gradient="parameter-shift")
    optimizer = SPSA(layer)
    with measure() as usage:
        optimizer.step(lambda: layer(ROWS.float()).sum())
    assert (usage.circuits, usage.jobs) == (2 * len(ROWS), 2)


def test_classical_gradients_cost_no_circuits_for_quantum_weights() -> None:
    """Behind a quantum layer they cost one more run; before it, those for its inputs."""
    layer = QuantumLayer(2, 6, seed=0, shots=10, gradient="parameter-shift")
    model = torch.nn.Sequential(layer, torch.nn.Linear(2, 1))
    optimizer = SPSA(model)

    def closure():
        loss = model(ROWS.float()).sum()
        if torch.is_grad_enabled():
            optimizer.zero_grad()
            loss.backward()
        return loss

    with measure() as usage:
        optimizer.step(closure)
    assert (usage.circuits, usage.jobs) == (3 * len(ROWS), 3)


def test_gains_are_spalls() -> None:
    """Both the loss's places and the steps, in the third step."""
    layer = small()
    seen = []

    def closure():
        seen.append(layer.weights.detach().clone())
        return loss_of(layer)()

    optimizer = SPSA(layer, lr=0.3, perturbation=0.2, lr_decay=0.7, perturbation_decay=0.2, stability=4.0, seed=5)
    for _ in range(2):
        optimizer.step(closure)
    seen.clear()
    before = layer.weights.detach().clone()
    found = optimizer.step(closure)
    above, below = seen
    c = 0.2 / 3**0.2
    torch.testing.assert_close((above - before).abs(), torch.full_like(before, c))
    torch.testing.assert_close(above + below, 2 * before)
    with torch.no_grad():
        losses = []
        for place in (above, below):
            twin = small()
            twin.weights.copy_(place)
            losses.append(loss_of(twin)())
    gradient = (losses[0] - losses[1]) / (2 * c) * (above - before).sign()
    torch.testing.assert_close(layer.weights.detach(), before - 0.3 / (3 + 4.0) ** 0.7 * gradient)
    torch.testing.assert_close(layer.weights.grad, gradient)  # for whoever looks at gradients
    torch.testing.assert_close(found, (losses[0] + losses[1]) / 2)


def run(layer_seed: int = 0, seed: int | None = 3, steps: int = 4) -> torch.Tensor:
    layer = QuantumLayer(2, 2, seed=layer_seed, shots=20, dtype=F64)
    torch.nn.init.constant_(layer.weights, 0.4)
    optimizer = SPSA(layer, lr=0.2, seed=seed)
    for step in range(steps):
        with step_scope(step):
            optimizer.step(loss_of(layer))
    return layer.weights.detach()


def test_runs_with_shots_repeat_by_seed() -> None:
    assert torch.equal(run(), run())
    assert not torch.equal(run(), run(layer_seed=1))  # other shots
    assert not torch.equal(run(), run(seed=4))  # other directions
    torch.manual_seed(0)
    first = run(seed=None)
    torch.manual_seed(0)
    assert torch.equal(first, run(seed=None)) and not torch.equal(first, run(seed=None))


def test_it_minimises_with_shots_in_the_loop() -> None:
    x = torch.linspace(-1, 1, 16, dtype=F64).reshape(8, 2)
    layer = small(shots=50)
    target = (x.sum(dim=1, keepdim=True) * torch.ones(1, 2)).sin()
    optimizer = SPSA(layer, lr=0.3, stability=5.0)
    history = fit(layer, (x, target), loss="mse", epochs=40, optimizer=optimizer, progress=False, restore_best=False)
    losses = [epoch["train_loss"] for epoch in history.epochs]
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


def test_bad_numbers_are_refused() -> None:
    layer = small()
    with pytest.raises(ArgumentError, match=r"`perturbation` must be a number above 0; got 0"):
        SPSA(layer, perturbation=0)
    for name in ("lr_decay", "perturbation_decay", "stability"):
        with pytest.raises(ArgumentError, match=rf"`{name}` must be a number of 0 or more; got nan"):
            SPSA(layer, **{name: float("nan")})
    with pytest.raises(ArgumentError, match=r"`seed` must be an integer from 0 .* got 1.5"):
        SPSA(layer, seed=1.5)
