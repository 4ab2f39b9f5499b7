from typing import Any

import pytest
import torch

from qnn import QuantumLayer
from qnn.errors import TrainingError
from qnn.training import Callback, fit

X, Y = torch.ones(4, 2), torch.tensor([0, 1, 0, 1])
QUIET: dict[str, Any] = {"progress": False}


def network():
    return torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))


class PoisonWeight(Callback):
    """Makes one weight NaN after the given step."""

    def __init__(self, step, name):
        self.step, self.name = step, name

    def on_step_end(self, state):
        if state.step == self.step:
            with torch.no_grad():
                state.model.get_parameter(self.name).view(-1)[0] = float("nan")


def test_nan_loss_names_step_epoch_seed_and_parameter():
    message = (
        r"got a loss of nan at step 5 \(epoch 3, seed 7\): the value of parameter \"2\.weight\" is the first not "
        r"finite\. Lower `learning_rate` \(now 0\.02\)"
    )
    poison = PoisonWeight(4, "2.weight")
    options: dict[str, Any] = {"seed": 7, "learning_rate": 0.02, "batch_size": 2, "restore_best": False}
    with pytest.raises(TrainingError, match=message):
        fit(network(), (X, Y), callbacks=[poison], **options, **QUIET)


def test_runaway_training_is_noticed_before_the_weights_are_nan():
    model = torch.nn.Linear(2, 1)
    with pytest.raises(
        TrainingError,
        match=r"got a loss of inf at step \d+ \(epoch \d+, seed 0\): every weight and gradient is finite",
    ):
        fit(model, (X, Y.float()), loss="mse", optimizer="sgd", learning_rate=1e6, restore_best=False, **QUIET)
    assert torch.isfinite(model.weight).all()


def test_infinite_gradient_of_a_finite_loss_is_noticed():
    class RootAtZero(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(2, 2)
            self.scale = torch.nn.Parameter(torch.zeros(()))

        def forward(self, x):
            return self.linear(x) + torch.tensor([1.0, 0.0]) * torch.sqrt(self.scale)

    model = RootAtZero()
    before = model.linear.weight.clone()
    with pytest.raises(
        TrainingError, match=r"got a gradient that is not at step 0 .* the gradient of parameter \"scale\""
    ):
        fit(model, (X[:3], Y[:3]), **QUIET)
    assert torch.equal(model.linear.weight, before)  # noticed before the step


def test_nan_from_the_forward_alone_says_that_weights_are_finite():
    class Undefined(torch.nn.Linear):
        def forward(self, x):
            outputs = super().forward(x)
            return torch.where(torch.zeros_like(outputs) > 0, outputs, torch.nan)

    with pytest.raises(TrainingError, match=r"got a loss of nan at step 0 .*: every weight and gradient is finite"):
        fit(Undefined(2, 2), (X, Y), **QUIET)


def test_huge_but_finite_gradients_are_no_error():
    class Steep(torch.nn.Linear):
        def forward(self, x):
            return super().forward(x) * 1e25 - (super().forward(x) * 1e25).detach()

    model = Steep(2, 2)  # gradients near 1e25, whose norm overflows float32
    history = fit(model, (X, torch.tensor([0, 1, 1, 1])), epochs=1, batch_size=None, restore_best=False, **QUIET)
    assert history.steps == 1 and model.weight.grad is not None and float(model.weight.grad.abs().max()) > 1e20


def test_validation_loss_that_is_not_finite_is_noticed():
    model = torch.nn.Linear(2, 2)
    held_out = torch.full((2, 2), 3e38)
    with pytest.raises(
        TrainingError,
        match=r"The validation loss must stay finite; got (nan|inf) at the end of epoch 1 \(after step 1, seed 0\)",
    ):
        fit(model, (X, Y, held_out, Y[:2]), batch_size=2, learning_rate=5.0, **QUIET)


def test_a_quantum_layer_that_finds_infinite_weights_is_told_with_the_step():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), QuantumLayer(2, 1, seed=0), torch.nn.Linear(2, 2))
    text = r"got \(`(weights|inputs)` must be finite; .*\) at step \d \(epoch \d, seed 0\): the value of parameter"
    with pytest.raises(TrainingError, match=text):
        fit(model, (X, Y), optimizer="sgd", learning_rate=1e38, batch_size=2, restore_best=False, epochs=3, **QUIET)


def test_what_was_used_is_told_of_an_unfinished_epoch_too():
    class Stop(Callback):
        def on_step_end(self, state):
            state.stop_now, state.stop_reason = True, "enough"

    layer = torch.nn.Sequential(QuantumLayer(2, 1, seed=0), torch.nn.Linear(2, 2))
    history = fit(layer, (X, Y), batch_size=2, callbacks=[Stop()], **QUIET)
    assert (history.steps, history.epochs, history.usage.circuits, history.stop_reason) == (1, [], 2, "enough")
