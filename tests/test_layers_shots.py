"""Shots through the layer: honest statistics, and seeds that repeat what should repeat and nothing else."""

import copy

import numpy as np
import pennylane as qml
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from qnn import QuantumLayer, _seeding
from qnn.errors import NotFiniteError
from qnn.gradients import operator

F64 = torch.float64
ROW = torch.tensor([0.7, 1.9], dtype=F64)
WORDS = [qml.Z(0), qml.X(1), qml.Z(0) @ qml.Y(1)]


def layer(shots: int | None = 64, seed: int | None = 5, observables=None, **options) -> QuantumLayer:
    options = {"dtype": F64, "observables": observables or WORDS, "shots": shots, **options}
    built = QuantumLayer(2, 2, seed=1, **options)
    return built if seed == 1 else _with_root(built, seed)


def _with_root(built: QuantumLayer, seed: int | None) -> QuantumLayer:
    """The same weights under another sampling seed."""
    other = QuantumLayer(2, 2, seed=seed, dtype=F64, observables=WORDS, shots=built.shots)
    other.load_state_dict(built.state_dict())
    return other


def test_variance_is_binomial_and_the_mean_is_right() -> None:
    """Over 4000 equal rows, in three bases: mean within 5 sigma, variance (1-<P>²)/shots within 5 sigma of its own."""
    n, shots = 4000, 64
    exact = layer(None)(ROW).detach()
    values = layer(shots)(ROW.expand(n, 2)).detach()
    variance = (1 - exact**2) / shots
    assert bool((variance > 1e-4).all())
    assert bool(((values.mean(dim=0) - exact).abs() < 5 * (variance / n).sqrt()).all())
    # Var(s²) = (kurtosis - 1) σ⁴ / n, and the kurtosis of a binomial is 3 + (1 - 6pq)/(shots·pq).
    p = (1 + exact) / 2
    kurtosis = 3 + (1 - 6 * p * (1 - p)) / (shots * p * (1 - p))
    sigma = variance * ((kurtosis - 1) / n).sqrt()
    assert bool(((values.var(dim=0) - variance).abs() < 5 * sigma).all())
    assert bool((values.abs() <= 1).all())
    # ±1 outcomes of a finite number of shots: every value is a multiple of 2/shots away from 1
    steps = (1 - values) * shots / 2
    torch.testing.assert_close(steps, steps.round(), atol=1e-9, rtol=0)


def test_the_error_falls_as_one_over_the_square_root_of_the_shots() -> None:
    """Slope of log rms error over log shots: -1/2 ± 0.06, which is 5 sigma for 300 rows at each of 5 points."""
    exact = layer(None)(ROW)[0].item()
    shots = [10, 40, 160, 640, 2560]
    rms = [(layer(s)(ROW.expand(300, 2))[:, 0] - exact).pow(2).mean().sqrt().item() for s in shots]
    slope = np.polyfit(np.log(shots), np.log(rms), 1)[0]
    assert abs(slope + 0.5) < 0.06


def test_f_plus_and_f_minus_are_uncorrelated() -> None:
    """Their covariance through the gradient's variance: Var = Σ c² Var(f), within 5 sigma."""
    single = QuantumLayer.from_pennylane(
        lambda inputs: (qml.RY(inputs[0], 0), qml.expval(qml.Z(0)))[-1],
        n_inputs=1, weight_shapes={}, shots=50, seed=3, dtype=F64,
    )  # fmt: skip
    n, theta = 4000, 0.4
    rows = torch.full((n, 1), theta, dtype=F64, requires_grad=True)
    values = single(rows)
    (gradient,) = torch.autograd.grad(values.sum(), rows)
    spread = (1 - np.sin(theta) ** 2) / 50  # Var f(θ±π/2), each
    expected = 0.25 * 2 * spread
    found = gradient[:, 0].var().item()
    assert abs(found - expected) < 5 * expected * np.sqrt(2 / n)
    assert abs(gradient.mean().item() + np.sin(theta)) < 5 * np.sqrt(expected / n)
    # and neither with the row itself
    correlation = np.corrcoef(values[:, 0].detach(), gradient[:, 0])[0, 1]
    assert abs(correlation) < 5 / np.sqrt(n)


def test_the_covariance_of_shifted_rows_vanishes() -> None:
    """f(θ+s) and f(θ-s) themselves, through the executable: correlation within 5 sigma of 0."""
    built = layer(64)
    differentiator = built.to_backend("statevector", shots=64).plan.differentiator
    captured = {}
    original = differentiator.executable.run

    def run(angles, *, shots, keys):
        captured["estimate"] = original(angles, shots=shots, keys=keys)
        return captured["estimate"]

    differentiator.executable.run = run
    n = 1500
    built.weights.requires_grad_(False)
    built(ROW.expand(n, 2).clone().requires_grad_())
    shifted = captured["estimate"].values.reshape(-1, n, 3)  # row, then +,- for each of two inputs
    assert len(shifted) == 5
    for a in range(5):
        for b in range(a):
            for m in range(3):
                correlation = np.corrcoef(shifted[a, :, m], shifted[b, :, m])[0, 1]
                assert abs(correlation) < 5 / np.sqrt(n), (a, b, m)


# seeds ----------------------------------------------------------------------------------------------------------


def test_the_same_seed_repeats_the_whole_sequence_of_calls() -> None:
    one, other = layer(), layer()
    sequence = [one(ROW) for _ in range(4)]
    assert all(torch.equal(a, other(ROW)) for a in sequence)
    assert len({tuple(v.tolist()) for v in sequence}) == 4  # no two calls alike
    assert not torch.equal(layer(seed=6)(ROW), layer(seed=5)(ROW))


def test_forward_and_backward_repeat_too() -> None:
    gradients = []
    for _ in range(2):
        built = layer()
        built(ROW.expand(3, 2)).sum().backward()
        built(ROW.expand(3, 2)).sum().backward()
        gradients.append(built.weights.grad.clone())
    assert torch.equal(*gradients)


def test_without_a_seed_torchs_own_decides() -> None:
    torch.manual_seed(3)
    first = QuantumLayer(2, 1, shots=50)(ROW.float())
    second = QuantumLayer(2, 1, shots=50)(ROW.float())
    torch.manual_seed(3)
    assert torch.equal(QuantumLayer(2, 1, shots=50)(ROW.float()), first)
    assert not torch.equal(first, second)


def test_steps_differ_and_repeat() -> None:
    built = layer()

    def at(step: int) -> torch.Tensor:
        with _seeding.step_scope(step):
            return built(ROW.expand(4, 2)).detach()

    assert torch.equal(at(3), at(3)) and not torch.equal(at(3), at(4))
    assert not torch.equal(at(3)[0], at(3)[1])  # equal rows draw their own


def test_within_a_step_rows_go_with_their_positions_and_not_with_their_order() -> None:
    rows = torch.rand(6, 2, generator=torch.Generator().manual_seed(0), dtype=F64)

    def at(places: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        leaf = rows[places].clone().requires_grad_()
        with _seeding.step_scope(8, torch.tensor(places)):
            values = layer()(leaf)
        values.sum().backward()
        return values.detach(), leaf.grad

    for all_rows, part in zip(at(list(range(6))), at([4, 0, 5]), strict=True):
        torch.testing.assert_close(part, all_rows[[4, 0, 5]], atol=1e-12, rtol=0)


def test_two_layers_of_one_seed_do_not_share_noise_within_a_step() -> None:
    one = layer()
    other = copy.deepcopy(one)
    with _seeding.step_scope(0):
        assert not torch.equal(one(ROW), other(ROW))


def test_two_calls_of_one_layer_within_a_step_differ() -> None:
    built = layer()
    with _seeding.step_scope(0):
        assert not torch.equal(built(ROW), built(ROW))


def test_bases_are_sampled_independently() -> None:
    """<Z0> and <X0> of one state come from two circuits: correlation within 5 sigma of 0."""
    two = QuantumLayer.from_pennylane(
        lambda inputs: [qml.RY(inputs[0], 0), qml.expval(qml.Z(0)), qml.expval(qml.X(0))][1:],
        n_inputs=1, weight_shapes={}, shots=40, seed=0, dtype=F64,
    )  # fmt: skip
    assert two.explain().measurement_bases == 2
    n = 2000
    values = two(torch.full((n, 1), 0.8, dtype=F64))
    assert abs(np.corrcoef(values.T)[0, 1]) < 5 / np.sqrt(n)


def test_observables_of_one_basis_share_their_samples() -> None:
    """On a Bell pair Z0 and Z1 agree in every shot."""
    bell = QuantumLayer.from_pennylane(
        lambda: [qml.Hadamard(0), qml.CNOT([0, 1]), qml.expval(qml.Z(0)), qml.expval(qml.Z(1))][2:],
        n_inputs=0, weight_shapes={}, shots=100, seed=0, dtype=F64,
    )  # fmt: skip
    values = bell(torch.zeros(50, 0, dtype=F64))
    assert torch.equal(values[:, 0], values[:, 1]) and len(values[:, 0].unique()) > 5


@pytest.mark.parametrize("gradient", ["parameter-shift", "finite-difference"])
def test_gradients_with_shots_are_right_on_average(gradient: str) -> None:
    """Mean over 3000 equal rows against the exact gradient, 5 sigma of the mean (and the differences' bias)."""
    n = 3000
    noisy = layer(200, seed=1, gradient=gradient)
    leaf = ROW.expand(n, 2).clone().requires_grad_()
    noisy(leaf).sum().backward()
    exact = ROW.clone().requires_grad_()
    layer(None, seed=1)(exact).sum().backward()
    sigma = leaf.grad.std(dim=0) / np.sqrt(n)
    bias = 0.0 if gradient == "parameter-shift" else 3 * (9 / 200) ** (1 / 3) / 6 * 1.1
    assert bool(((leaf.grad.mean(dim=0) - exact.grad).abs() < 5 * sigma + bias).all())
    assert bool((leaf.grad.std(dim=0) < 1).all())  # noise of the order of the gradient, not of 1/h


def test_sampling_goes_on_from_its_state():
    layer, other = QuantumLayer(2, 1, shots=50, seed=1), QuantumLayer(2, 1, shots=50, seed=2)
    other.load_state_dict(layer.state_dict())
    x = torch.zeros(3, 2)
    layer(x)
    other.load_sampling_state(layer.sampling_state())
    assert layer.sampling_state() == {"seed": 1, "calls": 1}
    assert torch.equal(layer(x), other(x))


# a call that failed ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["forward", "estimate", "sample", "counts", "jacrev", "step"])
def test_a_call_that_failed_is_the_same_call_when_it_is_made_again(how: str) -> None:
    """On a remote backend its jobs are paid for, and a retry in a notebook must find them."""
    built, scope = layer(), _seeding.StepScope(3)

    def made(row: torch.Tensor) -> object:
        if how == "jacrev":
            return torch.func.jacrev(lambda x: built(x))(row)
        return (built if how in ("forward", "step") else getattr(built, how))(row)

    token = _seeding._scope.set(scope if how == "step" else None)
    try:
        made(ROW)
        before = built.sampling_state()
        with pytest.raises(NotFiniteError):
            made(ROW * torch.nan)
        assert built.sampling_state() == before
        assert scope.calls == ({built.seed: 1} if how == "step" else {})
    finally:
        _seeding._scope.reset(token)


def test_a_call_that_failed_stays_counted_where_another_was_made_meanwhile() -> None:
    built = layer()
    with pytest.raises(ZeroDivisionError), operator.counted_if_it_ends(built._calls, built.seed):
        operator.draw_keys(built._calls, built.seed, 1)
        built(ROW)  # as another thread
        1 / 0  # noqa: B018
    assert built.sampling_state()["calls"] == 2


def test_fake_tensors_go_through_a_sampled_layer_and_count_nothing() -> None:
    built = layer()
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        assert built(mode.from_tensor(ROW.expand(3, 2))).shape == (3, 3)
    assert built.sampling_state()["calls"] == 0
