import pytest
import torch

from qnn.errors import NoEffectWarning, UnknownNameError
from qnn.training import Callback, GradientNorms, fit
from qnn.training.callbacks.parameter_groups import dense_gradient

X, Y = torch.randn(6, 3, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 1, 0, 1, 1, 0])


class Collect(Callback):
    """Every gradient of every step, by name."""

    def __init__(self):
        self.steps = []

    def on_backward_end(self, state):
        self.steps.append({name: p.grad.clone() for name, p in state.model.named_parameters() if p.grad is not None})


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Tanh(), torch.nn.Linear(2, 2))


def train(model, *callbacks, **options):
    return fit(model, (X, Y), callbacks=callbacks, **{"epochs": 2, "batch_size": 3, "progress": False, **options})


def norm(gradients):
    return float(torch.cat([g.double().flatten() for g in gradients]).norm())


def test_norms_per_layer_and_per_parameter_are_those_of_the_gradients():
    collect, layers, parameters = Collect(), GradientNorms(), GradientNorms(per="parameter")
    history = train(network(), collect, layers, parameters)
    second = collect.steps[2:]
    record = history.epochs[1]
    assert record["gradient_norm"] == pytest.approx(sum(norm(s.values()) for s in second) / 2)
    first_layer = [norm([s["0.weight"], s["0.bias"]]) for s in second]
    assert record["gradient_norm/0"] == pytest.approx(sum(first_layer) / 2)
    assert record["gradient_norm/2.bias"] == pytest.approx(sum(norm([s["2.bias"]]) for s in second) / 2)
    assert layers.latest["gradient_norm/0"] == pytest.approx(first_layer[-1])
    assert set(layers.latest) == {"gradient_norm", "gradient_norm/0", "gradient_norm/2"}


def test_norms_are_those_before_clipping():
    norms = GradientNorms()
    train(network(), norms, max_gradient_norm=1e-3, epochs=1)
    assert norms.latest["gradient_norm"] > 0.01


def test_frozen_parameters_are_left_out_and_unreached_ones_count_as_zero():
    model = network()
    model[0].requires_grad_(False)
    model.idle = torch.nn.Parameter(torch.ones(2))
    norms = GradientNorms()
    model.forward = lambda x: model[2](model[1](model[0](x)))
    train(model, norms, epochs=1)
    assert set(norms.latest) == {"gradient_norm", "gradient_norm/2", "gradient_norm/model"}
    assert norms.latest["gradient_norm/model"] == 0.0


def test_complex_and_sparse_gradients_have_norms():
    weight = torch.nn.Parameter(torch.tensor([1 + 1j, 2]))
    weight.grad = torch.tensor([3 + 0j, 4j])
    assert dense_gradient(weight).norm() == 5.0
    table = torch.nn.Embedding(5, 1, sparse=True)
    table(torch.tensor([1, 1, 2])).sum().backward()
    assert dense_gradient(table.weight).flatten().tolist() == [0, 2, 1, 0, 0]


class Drift(torch.optim.SGD):
    """Works without gradients."""

    needs_closure = True

    def step(self, closure):
        with torch.no_grad():
            return closure()


def test_without_gradients_it_says_so():
    with pytest.warns(NoEffectWarning, match="GradientNorms has no effect: the optimizer works without gradients"):
        history = train(network(), GradientNorms(), optimizer=lambda weights: Drift(weights, lr=0.1))
    assert "gradient_norm" not in history.epochs[-1]


def test_an_unknown_grouping_is_refused():
    with pytest.raises(UnknownNameError, match=r'No grouping of parameters named "layers"\. Did you mean "layer"'):
        GradientNorms(per="layers")
