"""Best weights: what comes back, when, and after what."""

import copy
import signal
from typing import Any

import pytest
import torch

from qnn.errors import TrainingError
from qnn.training import Callback, evaluate, fit


class Snapshots(Callback):
    """Keeps the state after every epoch."""

    def on_fit_start(self, state):
        self.states = []

    def on_epoch_end(self, state):
        self.states.append(copy.deepcopy(state.model.state_dict()))


def noisy_data():
    """Few rows with random labels: training overfits, so that the best validation loss comes early."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(40, 5, generator=generator), torch.randint(0, 2, (40,), generator=generator)
    return x[:20], y[:20], x[20:], y[20:]


def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return torch.nn.Sequential(
            torch.nn.Linear(5, 32), torch.nn.BatchNorm1d(32), torch.nn.ReLU(), torch.nn.Linear(32, 2)
        )


def same(state, other):
    return all(torch.equal(state[name], other[name]) for name in state)


OPTIONS: dict[str, Any] = {"epochs": 12, "batch_size": 10, "learning_rate": 0.05, "progress": False}


def test_weights_and_buffers_of_the_best_epoch_come_back():
    model, snapshots, data = network(), Snapshots(), noisy_data()
    history = fit(model, data, callbacks=[snapshots], **OPTIONS)
    losses = [epoch["validation_loss"] for epoch in history.epochs]
    assert history.best_epoch == 1 + losses.index(min(losses)) < len(losses)
    assert same(model.state_dict(), snapshots.states[history.best_epoch - 1])
    assert not same(model.state_dict(), snapshots.states[-1])
    assert evaluate(model, data[2:]).loss == min(losses)
    assert [epoch["monitored_loss"] for epoch in history.epochs] == losses


def test_without_restore_best_the_last_weights_stay():
    model, snapshots = network(), Snapshots()
    history = fit(model, noisy_data(), callbacks=[snapshots], restore_best=False, **OPTIONS)
    assert history.best_epoch is not None and history.best_epoch < 12
    assert same(model.state_dict(), snapshots.states[-1])


def test_without_validation_the_training_loss_of_the_finished_epoch_decides():
    # One full-batch step per epoch that overshoots more and more: the loss *during* an epoch
    # belongs to the weights before its step, so only an evaluation afterwards tells which are best.
    x, y = torch.ones(4, 1), torch.ones(4)
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(model.weight, 1.5)
    history = fit(
        model, (x, y), loss="mse", optimizer="sgd", learning_rate=1.05, batch_size=None, epochs=5, progress=False
    )
    # weight error times (1 - 2 lr) = -1.1 a step: 0.5, then -0.55, 0.605, ...
    assert history.best_epoch == 1
    assert model.weight.item() == pytest.approx(1 - 0.55)
    assert [e["monitored_loss"] for e in history.epochs] == pytest.approx(
        [0.25 * 1.21**n for n in range(1, 6)], rel=1e-4
    )
    assert [e["train_loss"] for e in history.epochs] == pytest.approx([0.25 * 1.21**n for n in range(5)], rel=1e-4)


def test_nothing_is_monitored_when_nothing_asks_for_it():
    history = fit(network(), noisy_data()[:2], restore_best=False, **OPTIONS)
    assert history.best_epoch is None
    assert {epoch["monitored_loss"] for epoch in history.epochs} == {None}


class Interrupt(Callback):
    """A real Ctrl-C in the middle of an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch
        self.ended = 0

    def on_step_end(self, state):
        if state.epoch == self.epoch:
            signal.raise_signal(signal.SIGINT)

    def on_fit_end(self, state):
        self.ended += 1


def test_ctrl_c_brings_back_the_best_so_far_and_is_raised():
    model, snapshots, interrupt = network(), Snapshots(), Interrupt(epoch=9)
    best_before = fit(network(), noisy_data(), **(OPTIONS | {"epochs": 8})).best_epoch
    assert best_before is not None and best_before < 8
    with pytest.raises(KeyboardInterrupt):
        fit(model, noisy_data(), callbacks=[snapshots, interrupt], **OPTIONS)
    assert len(snapshots.states) == 8 and interrupt.ended == 1
    assert same(model.state_dict(), snapshots.states[best_before - 1])


def test_ctrl_c_in_the_first_epoch_leaves_the_weights_reached():
    model = network()
    with pytest.raises(KeyboardInterrupt):
        fit(model, noisy_data(), callbacks=[Interrupt(epoch=1)], **OPTIONS)
    assert not same(model.state_dict(), network().state_dict())


def test_an_error_brings_back_the_best_too():
    class Poison(Callback):
        def on_epoch_start(self, state):
            if state.epoch == 9:
                with torch.no_grad():
                    state.model[0].weight[0, 0] = float("nan")

    model, snapshots = network(), Snapshots()
    with pytest.raises(TrainingError):
        fit(model, noisy_data(), callbacks=[snapshots, Poison()], **OPTIONS)
    assert any(same(model.state_dict(), state) for state in snapshots.states)


def test_first_of_equal_epochs_is_the_best():
    class Counting(torch.nn.Linear):
        def __init__(self):
            super().__init__(5, 2)
            self.steps: torch.Tensor
            self.register_buffer("steps", torch.zeros(()))

        def forward(self, x):
            if self.training:
                self.steps += 1
            return super().forward(x)

    model = Counting()
    history = fit(model, noisy_data(), optimizer="sgd", learning_rate=1e-30, epochs=3, batch_size=10, progress=False)
    assert history.best_epoch == 1 and model.steps == 2
