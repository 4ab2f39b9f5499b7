import math

import pytest
import torch

from qnn.errors import NoEffectWarning, UnknownNameError
from qnn.training import Callback, GradientVariance, fit

X, Y = torch.randn(8, 3, generator=torch.Generator().manual_seed(1)), torch.arange(8) % 2


class Collect(Callback):
    def __init__(self):
        self.steps = []

    def on_backward_end(self, state):
        self.steps.append({name: p.grad.double().clone() for name, p in state.model.named_parameters()})


def train(*callbacks, **options):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Tanh(), torch.nn.Linear(2, 2))
    return fit(model, (X, Y), callbacks=callbacks, **{"epochs": 2, "batch_size": 2, "progress": False, **options})


def test_variances_are_those_of_the_epochs_gradients():
    collect = Collect()
    history = train(collect, GradientVariance(), GradientVariance(per="parameter"))
    for epoch, steps in ((0, collect.steps[:4]), (1, collect.steps[4:])):
        variance = {name: torch.stack([s[name] for s in steps]).var(dim=0).flatten() for name in steps[0]}
        record = history.epochs[epoch]
        layer = torch.cat([variance["0.weight"], variance["0.bias"]]).mean()
        assert record["gradient_variance/0"] == pytest.approx(float(layer), rel=1e-10)
        assert record["gradient_variance/2.bias"] == pytest.approx(float(variance["2.bias"].mean()), rel=1e-10)
        everything = torch.cat(list(variance.values())).mean()
        assert record["gradient_variance"] == pytest.approx(float(everything), rel=1e-10)


class Product(torch.nn.Module):
    """Π cos θᵢ with angles that are drawn anew in every forward: the plateau of n qubits."""

    def __init__(self, n):
        super().__init__()
        self.weights = torch.nn.Parameter(torch.zeros(n))

    def forward(self, x):
        angles = self.weights + 2 * math.pi * torch.rand_like(self.weights)
        return angles.cos().prod().expand(len(x), 1)


def test_it_sees_a_plateau_as_theory_has_it():
    # loss (Π cos - y)² with y = 1000 has gradient -2000 ∂Π cos up to 0.1 %: its variance is 2000² 2^-n
    n, n_steps = 4, 600
    data = torch.zeros(n_steps, 1), torch.full((n_steps, 1), 1000.0)
    history = fit(
        Product(n), data, callbacks=[GradientVariance()], epochs=1,
        loss="mse", batch_size=1, optimizer="sgd", learning_rate=1e-30, restore_best=False, progress=False,
    )  # fmt: skip
    found = history.epochs[0]["gradient_variance/model"] / 2000**2
    # an element's square has variance (3/8)^n - 4^-n; the mean over n dependent elements has at most that
    sigma = math.sqrt(((3 / 8) ** n - 4.0**-n) / n_steps)
    assert abs(found - 2.0**-n) < 4 * sigma + 0.004 * 2.0**-n


def test_one_step_has_no_variance():
    with pytest.warns(NoEffectWarning, match="a variance needs two steps with gradients in an epoch; got 1"):
        history = train(GradientVariance(), batch_size=None)
    assert history.epochs[0]["gradient_variance"] is None and history.epochs[0]["gradient_variance/0"] is None


def test_an_unknown_grouping_is_refused():
    with pytest.raises(UnknownNameError, match='No grouping of parameters named "layers"'):
        GradientVariance(per="layers")
