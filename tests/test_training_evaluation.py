from functools import partial

import pytest
import torch

import qnn
from qnn._seeding import current_scope
from qnn.errors import ArgumentError, NotFiniteError, ShapeError, UnknownNameError
from qnn.training import evaluate

GENERATOR = torch.Generator().manual_seed(0)
X, Y = torch.randn(2500, 3, generator=GENERATOR), torch.randint(0, 4, (2500,), generator=GENERATOR)


def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return torch.nn.Sequential(
            torch.nn.Linear(3, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 4)
        )


def test_classification_against_torch():
    model = network().eval()
    with torch.no_grad():
        logits = model(X)
    result = evaluate(model, (X, Y))
    assert result.loss == pytest.approx(torch.nn.functional.cross_entropy(logits, Y).item(), rel=1e-5)
    assert result.accuracy == (logits.argmax(-1) == Y).double().mean().item()
    assert torch.equal(result.predictions, logits.argmax(-1)) and result.predictions.dtype == torch.int64
    assert result.n == 2500


def test_regression_has_no_accuracy():
    model = torch.nn.Linear(3, 1)
    result = evaluate(model, (X, X.sum(1)), loss="mse")
    with torch.no_grad():
        outputs = model(X)[:, 0]
    assert result.accuracy is None
    assert torch.allclose(result.predictions, outputs) and result.predictions.shape == (2500,)
    assert result.loss == pytest.approx(((outputs - X.sum(1)) ** 2).mean().item(), rel=1e-5)


def test_several_outputs_of_a_regression():
    result = evaluate(torch.nn.Linear(3, 2), (X, X[:, :2]), loss="mse")
    assert result.predictions.shape == (2500, 2)


@pytest.mark.parametrize(
    ("batch_size", "sizes"), [(None, [1024, 1024, 452]), (1000, [1000, 1000, 500]), (5000, [2500])]
)
def test_rows_go_through_in_chunks(batch_size, sizes):
    model, seen = network(), []
    model.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    result = evaluate(model, (X, Y), batch_size=batch_size)
    assert seen == sizes
    assert result.loss == pytest.approx(evaluate(model, (X, Y)).loss, rel=1e-6)


def test_eval_mode_without_gradients_and_nothing_left_behind():
    model, seen = network(), []
    model[2].eval()
    model[3].register_forward_hook(lambda module, *_: seen.append((module.training, torch.is_grad_enabled())))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    first, second = evaluate(model, (X, Y), batch_size=2500), evaluate(model, (X, Y), batch_size=2500)
    assert seen == [(False, False)] * 2
    assert first.loss == second.loss and torch.equal(first.predictions, second.predictions)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes and torch.is_grad_enabled()
    assert torch.equal(torch.rand(2), expected)


class Sampled(torch.nn.Module):
    """Logits that depend on the step and on each row's position, as those of a layer with shots do."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(3, 4)

    def forward(self, x):
        scope = current_scope()
        assert scope is not None and scope.positions is not None
        noise = torch.sin(scope.positions[:, None] * 12.9898 + scope.step * 78.233 + torch.arange(4))
        return self.linear(x) + noise


def test_seed_chooses_the_shots_and_the_batch_size_does_not():
    model = Sampled()
    first, again, other = (evaluate(model, (X, Y), seed=seed) for seed in (1, 1, 2))
    assert first.loss == again.loss != other.loss
    assert torch.equal(first.predictions, evaluate(model, (X, Y), seed=1, batch_size=7).predictions)


def test_seed_chooses_what_a_model_draws_from_torch():
    class AlwaysDropout(torch.nn.Linear):
        def forward(self, x):
            return torch.nn.functional.dropout(super().forward(x), training=True)

    model = AlwaysDropout(3, 4)
    first, again, other = (evaluate(model, (X, Y), seed=seed).loss for seed in (1, 1, 2))
    assert first == again != other


def test_models_without_parameters_can_be_evaluated():
    assert evaluate(torch.nn.Identity(), (torch.eye(3), torch.arange(3))).accuracy == 1.0


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"loss": "msee"}, UnknownNameError, r'No loss named "msee"\. Did you mean "mse"'),
        ({"batch_size": 0}, ArgumentError, r"`batch_size` must be an integer of at least 1; got 0"),
        ({"batch_size": 1.5}, ArgumentError, r"`batch_size` must be an integer of at least 1; got 1\.5"),
        ({"seed": -1}, ArgumentError, r"`seed` must be an integer of at least 0; got -1"),
        ({"seed": True}, ArgumentError, r"`seed` must be an integer of at least 0; got True"),
    ],
)
def test_wrong_options_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        evaluate(network(), (X, Y), **options)


def test_wrong_data_is_refused():
    with pytest.raises(NotFiniteError, match=r"`x` of the evaluated part must be finite; got nan in row 0, column 0"):
        evaluate(network(), (X * float("nan"), Y))
    with pytest.raises(ArgumentError, match=r"must hold labels 0 to 3, since the model has 4 outputs; got 4"):
        evaluate(network(), (X, Y + 1))
    with pytest.raises(ShapeError, match=r"`model` must return logits"):
        evaluate(torch.nn.Linear(3, 1), (X, Y % 1))


def test_what_a_layer_draws_next_does_not_depend_on_evaluations():
    def weights(*, looked_at):
        layer = qnn.QuantumLayer(2, 1, shots=5, seed=3)
        for _ in range(2):
            layer(X[:4, :2]).sum().backward()
            layer.weights.data -= layer.weights.grad
            if looked_at:
                evaluate(layer, (X[:4, :2], Y[:4] % 2))
            qnn.fit(layer, (X[:4, :2], Y[:4] % 2), epochs=1, progress=False, restore_best=looked_at)
        return layer.weights.detach()

    assert torch.equal(weights(looked_at=True), weights(looked_at=False))


@pytest.mark.parametrize("use", [evaluate, partial(qnn.fit, epochs=1, progress=False)])
def test_an_error_within_the_model_says_which_rows_it_was_given(use):
    with pytest.raises(RuntimeError, match="mat1 and mat2") as caught:
        use(torch.nn.Linear(3, 4), (torch.zeros(8, 5), Y[:8]))
    assert "rows of `data`, torch.float32 of shape (8, 5). The first layer must take rows" in caught.value.__notes__[0]


def test_a_last_batch_of_one_row_that_cannot_be_normalised():
    """In forecasts too, which make the same steps."""
    model, data = torch.nn.Sequential(torch.nn.BatchNorm1d(2)), (torch.rand(4, 2), torch.arange(4) % 2)
    for use in (qnn.fit, qnn.forecast):
        with pytest.raises(ValueError, match="Expected more than 1 value") as caught:
            use(model, data, epochs=1, batch_size=3, progress=False)
        assert "of shape (1, 2). A layer that normalises by the batch needs more than one" in caught.value.__notes__[0]
