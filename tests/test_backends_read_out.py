"""Variances, the one output that is not linear: values, gradients by every method, and shot statistics."""

import copy
import pickle

import numpy as np
import pennylane as qml
import pytest
import torch

from qnn import QuantumLayer
from qnn.backends import read_out
from qnn.circuits.settings import plan_measurements

F64 = torch.float64
MATRIX = np.array([[0.3, 1 - 0.5j, 0, 0.2], [1 + 0.5j, -1.0, 0.4j, 0], [0, -0.4j, 0.7, 0.1], [0.2, 0, 0.1, 1.5]])
VARIANCES = [
    qml.var(qml.Z(0)),
    qml.var(0.7 * qml.X(0) + qml.Z(0) @ qml.Y(1) - 1.2 * qml.Z(2)),
    qml.var(qml.Hermitian(MATRIX, wires=[2, 0])),
    qml.var(qml.Projector([1, 0], wires=[1, 2])),
    qml.var(qml.Hermitian(MATRIX[:2, :2], wires=1) @ qml.X(0)),
]
MIXED = [VARIANCES[0], qml.expval(qml.Y(1)), VARIANCES[1], qml.probs(wires=[2, 0]), *VARIANCES[2:]]


def layer(observables, **options) -> QuantumLayer:
    return QuantumLayer(3, 2, observables=observables, **{"seed": 1, "dtype": F64, **options})


def rows(n: int = 3) -> torch.Tensor:
    return torch.linspace(-2, 2.5, 3 * n, dtype=F64).reshape(n, 3)


def reference(observables) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Values, and gradients of their weighted sum by inputs and weights, from PennyLane's default.qubit."""
    built, inputs = layer(observables), rows().requires_grad_()
    node = built.qnode()
    results = [node(row) for row in inputs]
    values = torch.stack([torch.cat([v.reshape(-1) for v in result]) for result in results])
    return values.detach(), *torch.autograd.grad(weighted(values), (inputs, built.weights))


def weighted(values: torch.Tensor) -> torch.Tensor:
    return (values * torch.linspace(-1, 1.5, values.shape[-1], dtype=F64)).sum()


@pytest.mark.parametrize(
    ("gradient", "backend", "tolerance"),
    [
        ("adjoint", "statevector", 1e-10),
        ("backprop", "statevector", 1e-10),
        ("parameter-shift", "statevector", 1e-10),
        ("finite-difference", "statevector", 1e-6),
        ("parameter-shift", "pennylane:default.qubit", 1e-10),
        ("parameter-shift", "aer", 1e-10),
    ],
)
def test_values_and_gradients_are_those_of_pennylane(gradient: str, backend: str, tolerance: float) -> None:
    values, by_inputs, by_weights = reference(MIXED)
    built, inputs = layer(MIXED, gradient=gradient, backend=backend), rows().requires_grad_()
    found = built(inputs)
    assert found.shape == (3, built.n_outputs) == (3, 10)
    got = torch.autograd.grad(weighted(found), (inputs, built.weights))
    torch.testing.assert_close(found.detach(), values, atol=1e-10, rtol=0)
    torch.testing.assert_close(got, (by_inputs, by_weights), atol=tolerance, rtol=0)


def test_spsa_gradients_of_a_variance_are_right_on_average() -> None:
    """Mean over 1500 directions within 5 standard errors of the exact gradient, each component."""
    exact = layer([VARIANCES[1]])
    (expected,) = torch.autograd.grad(exact(rows(1)).sum(), exact.weights)
    spsa = layer([VARIANCES[1]], gradient="spsa")
    draws = torch.stack([torch.autograd.grad(spsa(rows(1)).sum(), spsa.weights)[0] for _ in range(1500)])
    error = draws.std(dim=0) / len(draws) ** 0.5
    bias = 1e-3  # of the order of the squared step, (0.01 π)²
    assert bool(((draws.mean(dim=0) - expected).abs() < 5 * error + bias).all())


def test_second_derivatives_and_jacobians() -> None:
    built = layer([VARIANCES[1]], gradient="backprop")
    assert torch.autograd.gradgradcheck(lambda x: built(x), rows(1).requires_grad_())
    many = layer(MIXED)
    jacobian = torch.func.jacrev(many)(rows(1)[0])
    for column in range(10):
        one_hot = torch.nn.functional.one_hot(torch.tensor(column), 10).to(F64)
        inputs = rows(1)[0].requires_grad_()
        torch.testing.assert_close(
            jacobian[column], torch.autograd.grad(many(inputs) @ one_hot, inputs)[0], atol=1e-12, rtol=0
        )


def test_an_exact_variance_is_never_negative_and_its_gradient_is_kept() -> None:
    values = torch.tensor([[1.0, 0.3, 1.0 - 1e-7], [0.5, 0.3, 1.0]], requires_grad=True)
    exact = read_out.outputs(values, (0,), exact=True)
    torch.testing.assert_close(exact.detach(), torch.tensor([[0.0, 0.3], [0.75, 0.3]]))
    assert read_out.outputs(values, (0,), exact=False)[0, 0] < 0
    (gradient,) = torch.autograd.grad(exact[:, 0].sum(), values)
    torch.testing.assert_close(gradient, torch.tensor([[-2.0, 0.0, 1.0], [-1.0, 0.0, 1.0]]))
    assert read_out.outputs(values, (), exact=True) is values
    still = QuantumLayer.from_pennylane(
        lambda w: [qml.RX(w[0], 0), qml.var(qml.Z(0))][1:], n_inputs=0, weight_shapes={"w": 1}, init="zeros"
    )
    assert still().item() == 0.0


def test_the_estimate_of_a_variance_has_its_own_variance() -> None:
    """Over 20000 rows: the mean is the exact one of the plug-in estimator, and the variance is that of `Estimate`."""
    n, shots = 20000, 40
    observables = [VARIANCES[0], VARIANCES[1], qml.expval(qml.X(1)), VARIANCES[3]]
    exact = layer(observables)
    row = rows(1).expand(n, 3)
    found = layer(observables, shots=shots).estimate(row)
    assert found.values.shape == found.variance.shape == (n, 4)
    truth = exact(row[:1]).detach()[0]
    sampled = found.values.var(dim=0)
    # One word or one projector: O and O² share their shots, and the mean is the sample variance's (1 - 1/shots) Var.
    bias = torch.tensor([truth[0], float("nan"), 0.0, truth[3]], dtype=F64) / shots
    assert found.shots == shots and len(found.counts) >= 2
    for column in (0, 2, 3):
        expected = truth[column] - bias[column]
        assert abs(found.values[:, column].mean() - expected) < 5 * (sampled[column] / n) ** 0.5
    # The estimate's own variance is a plug-in too: its mean is right up to relative order 1/shots, and too large by
    # 4σ⁴/shots² where <O> is near zero, which counts in the first column: <Z0> = 0.04.
    found_mean = found.variance.mean(dim=0)
    torch.testing.assert_close(found_mean[1:], sampled[1:], rtol=4 / shots, atol=0)
    excess = 4 * (truth[0] / shots) ** 2
    torch.testing.assert_close(found_mean[0], sampled[0] + excess, rtol=4 / shots, atol=0)


@pytest.mark.parametrize("column", [0, 1, 3])
def test_the_formula_for_the_variance_of_a_variance_is_exact(column: int) -> None:
    """With the true distributions in place of frequencies: 20000 rows agree within 5 σ of a sample variance."""
    n, shots = 20000, 12
    observables = [VARIANCES[0], VARIANCES[1], qml.expval(qml.X(1)), VARIANCES[3]]
    built = layer(observables, shots=shots)
    found = built.estimate(rows(1).expand(n, 3))
    plan = plan_measurements(built.circuit.linear().measurements)
    # The mean frequencies of all rows stand for the true distributions: 240000 shots, an error of order 1/500.
    means = [counts.double().mean(dim=0, keepdim=True).numpy() / shots for counts in found.counts]
    square = len(observables) + [0, 1, 3].index(column)
    expected = read_out._variance_of_variance(plan, means, column, square, shots)[0]
    draws = found.values[:, column]
    centred = draws - draws.mean()
    sigma = ((centred**4).mean() - (centred**2).mean() ** 2).sqrt() / n**0.5
    assert abs(float(draws.var()) - expected) < 5 * float(sigma) + 0.01 * expected


def test_an_exact_estimate_of_a_variance() -> None:
    built = layer(MIXED)
    found = built.estimate(rows())
    assert found.variance is None
    torch.testing.assert_close(found.values, built(rows()).detach(), atol=1e-12, rtol=0)


def test_shot_gradients_of_a_variance_are_unbiased() -> None:
    """d<O²> - 2<O>d<O> from independent draws: the mean of 3000 rows within 5 standard errors of the exact gradient."""
    n = 3000
    observables = [VARIANCES[0], VARIANCES[1]]
    exact, noisy = layer(observables), layer(observables, shots=50)
    one = rows(1).requires_grad_()
    (expected,) = torch.autograd.grad(weighted(exact(one)), one)
    many = rows(1).repeat(n, 1).requires_grad_()
    (draws,) = torch.autograd.grad(weighted(noisy(many)), many)
    error = draws.std(dim=0) / n**0.5
    assert bool(((draws.mean(dim=0) - expected[0]).abs() < 5 * error).all())


def test_a_layer_of_variances_moves_compiles_and_repeats() -> None:
    built = layer(MIXED, dtype=torch.float32)
    inputs = rows().float()
    compiled = torch.compile(built, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(inputs), built(inputs))
    with built.using(shots=100):
        assert built(inputs).shape == (3, 10) and built.explain().n_outputs == 10
        assert built.explain().measurement_bases > 1
    assert built(inputs.reshape(3, 1, 3)).shape == (3, 1, 10)
    for other in (copy.deepcopy(built), pickle.loads(pickle.dumps(built))):
        assert torch.equal(other(inputs), built(inputs))
    torch.testing.assert_close(torch.func.vmap(built)(inputs[:, None])[:, 0], built(inputs))
    exported = torch.export.export(built, (inputs,)).module()
    torch.testing.assert_close(exported(inputs), built(inputs))


def test_device_noise_acts_on_the_reported_outcomes() -> None:
    """Readout error included: the variance of one word is 1 - <P>², for the noisy <P>."""
    observables = [qml.Z(0), qml.X(1) @ qml.Z(2), qml.var(qml.Z(0)), qml.var(qml.X(1) @ qml.Z(2))]
    noisy = layer(observables, backend="aer", noise="fake_manila")(rows()).detach()
    ideal = layer(observables)(rows()).detach()
    torch.testing.assert_close(noisy[:, 2:], 1 - noisy[:, :2] ** 2, atol=1e-10, rtol=0)
    assert bool(((noisy - ideal).abs()[:, 2:].amax(dim=0) > 1e-3).all())


def test_an_inert_weight_is_found_behind_a_variance() -> None:
    from qnn.errors import InertParameterWarning

    def late_rz(inputs, w):
        qml.RX(inputs[0], wires=0)
        qml.RY(w[0], wires=0)
        qml.RZ(w[1], wires=0)
        return qml.var(qml.Z(0))

    with pytest.warns(InertParameterWarning, match=r"1 parameter\(s\) .*: w\[1\]"):
        QuantumLayer.from_pennylane(late_rz, n_inputs=1, weight_shapes={"w": 2})
