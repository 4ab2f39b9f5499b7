"""Checkpoints: a run that stops and goes on is the run that never stopped; what does not fit is refused."""

import os
import re
import signal
from typing import Any

import numpy as np
import pytest
import torch

import qnn
from qnn.errors import ArgumentError, CheckpointError, DtypeError, StorageError
from qnn.training import Callback, Checkpoint, EarlyStopping, fit
from qnn.training.state_file import read_state

X = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()
QUIET: dict[str, Any] = {"progress": False, "epochs": 3, "batch_size": 10, "learning_rate": 0.1}


class Augmented(torch.nn.Module):
    """Draws from the generators of torch, NumPy and Python."""

    def forward(self, x):
        import random

        noise = 0.01 * torch.randn_like(x) + 0.01 * np.random.normal() + 0.01 * random.random()  # noqa: NPY002
        return x + noise if self.training else x


def network(shots=None):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torch.nn.Sequential(
            torch.nn.Linear(3, 2), Augmented(), qnn.QuantumLayer(2, 1, seed=1, shots=shots), torch.nn.Linear(2, 2)
        )


class Break(Callback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, state):
        if state.step == self.step:
            raise RuntimeError("power cut")


def told(history):
    return [{name: value for name, value in epoch.items() if name != "wall_s"} for epoch in history.epochs]


def same_weights(a, b):
    return all(torch.equal(p, q) for p, q in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "adam", "scheduler": "cosine", "l1_penalty": 0.01},
        {"optimizer": "sgd", "momentum": 0.9, "max_gradient_norm": 0.1, "shots": 20},
        {"optimizer": "lbfgs", "scheduler": "exponential", "scheduler_step": "step"},
        {"optimizer": "rmsprop", "restore_best": False, "metrics": ["f1_score"]},
    ],
    ids=lambda options: options["optimizer"],
)
def test_a_run_broken_within_and_between_epochs_ends_as_one_that_was_not(tmp_path, options):
    options = dict(options)
    shots = options.pop("shots", None)
    whole = network(shots)
    expected = fit(whole, (X, Y, X, Y), callbacks=[EarlyStopping(patience=2)], **QUIET, **options)
    for step in (1, 3, 4, 10, None):
        model = network(shots)  # a new process makes everything anew
        breaks = [] if step is None else [Break(step)]
        checkpoint = Checkpoint(tmp_path / "run", every_steps=1)
        try:
            got = fit(
                model, (X, Y, X, Y), callbacks=[*breaks, EarlyStopping(patience=2)], checkpoint=checkpoint,
                **QUIET, **options,
            )  # fmt: skip
        except RuntimeError as error:
            assert "power cut" in str(error)
    assert same_weights(model, whole)
    assert told(got) == told(expected) and (got.steps, got.usage) == (expected.steps, expected.usage)


def test_of_two_starts_at_the_same_moment_the_second_goes_on_from_the_state_of_the_first(tmp_path, monkeypatch):
    """Else both train by themselves, and jobs at a provider are paid for twice."""
    from qnn.training.callbacks import checkpoint

    alone = network(shots=20)
    fit(alone, (X, Y), **QUIET)
    monkeypatch.setattr(checkpoint, "identity", between := Once(checkpoint.identity, tmp_path))
    saving, second = Checkpoint(tmp_path), network(shots=20)
    torch.nn.init.zeros_(second[0].weight)  # shows whose state is gone on from
    fit(second, (X, Y), callbacks=[saving], **QUIET)
    assert between.done and saving.resumed_from == 4
    assert same_weights(alone, second)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


class Once:
    """The first start is here while the second has found the folder empty and has not saved yet."""

    def __init__(self, identity, folder):
        self.identity, self.folder, self.done = identity, folder, False

    def __call__(self, state):
        if not self.done:
            self.done = True
            with pytest.raises(RuntimeError, match="power cut"):
                fit(network(shots=20), (X, Y), checkpoint=self.folder, callbacks=[Break(5)], **QUIET)
        return self.identity(state)


def test_a_finished_run_is_not_trained_again(tmp_path):
    model, again = network(), network()
    first = fit(model, (X, Y), checkpoint=tmp_path, **QUIET)
    with qnn._meter.measure() as used:
        second = fit(again, (X, Y), checkpoint=tmp_path, **QUIET)
    assert same_weights(model, again) and second.as_dict() == first.as_dict() and used.circuits == 0
    longer = fit(again, (X, Y), checkpoint=tmp_path, **{**QUIET, "epochs": 4})
    assert told(longer)[:3] == told(first) and len(longer.epochs) == 4


def test_the_folder_has_last_best_and_as_many_as_are_kept(tmp_path):
    fit(network(), (X, Y), checkpoint=Checkpoint(tmp_path, keep=2), **QUIET)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "best.safetensors", "epoch_0002.safetensors", "epoch_0003.safetensors", "last.safetensors",
    ]  # fmt: skip
    import safetensors.torch

    assert safetensors.torch.load_file(tmp_path / "last.safetensors")  # plain: other tools read it


def test_options_say_when_to_save(tmp_path):
    class Moments(Checkpoint):
        def _created(self, state, last):
            moments.append((state.step, False))
            return super()._created(state, last)

        def _save(self, state, *, within_epoch):
            moments.append((state.step + within_epoch, within_epoch))
            super()._save(state, within_epoch=within_epoch)

    def saved(**options):
        moments.clear()
        fit(network(), (X, Y), checkpoint=Moments(tmp_path / str(options), **options), **QUIET)
        return list(moments)

    moments: list[Any] = []
    assert saved() == [(0, False), (4, False), (8, False), (12, False)]
    assert saved(every_epochs=2) == [(0, False), (8, False), (12, False)]
    assert (6, True) in saved(every_steps=3) and len(saved(every_s=0)) == 16


class Press(Callback):
    """Sends this process a signal at a joint."""

    def __init__(self, joint, number):
        setattr(
            self, joint, lambda state: state.epoch == 2 and state.position in (0, 2) and os.kill(os.getpid(), number)
        )


@pytest.fixture
def handlers():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("joint", "number", "error", "step"),
    [
        ("on_backward_end", signal.SIGINT, KeyboardInterrupt, 5),
        ("on_epoch_end", signal.SIGINT, KeyboardInterrupt, 8),
        ("on_backward_end", signal.SIGTERM, SystemExit, 5),
    ],
)
def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path, handlers, joint, number, error, step):
    whole, model, again = (torch.nn.Linear(3, 2) for _ in range(3))
    again.load_state_dict(model.load_state_dict(whole.state_dict()) and whole.state_dict())
    expected = fit(whole, (X, Y), **QUIET)
    text = re.escape(f'Interrupted after step {step}. Saved in "{tmp_path}"; the same call goes on from there.')
    with pytest.raises(error, match=text):
        fit(model, (X, Y), callbacks=[Press(joint, number)], checkpoint=tmp_path, **QUIET)
    assert read_state(tmp_path / "last.safetensors")["step"] == step
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert told(fit(again, (X, Y), checkpoint=tmp_path, **QUIET)) == told(expected) and same_weights(again, whole)


def test_ctrl_c_after_the_last_step_is_not_forgotten(tmp_path, handlers):
    class Late(Callback):
        def on_fit_end(self, state):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        fit(torch.nn.Linear(3, 2), (X, Y), callbacks=[Late()], checkpoint=tmp_path, **QUIET)


def test_the_second_ctrl_c_acts_at_once():
    from qnn.training.interrupts import PendingInterrupt

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    pending = PendingInterrupt()
    try:
        pending.open()
        os.kill(os.getpid(), signal.SIGINT)
        assert pending.signal == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        pending.close()
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"model": torch.nn.Linear(3, 2)}, r"must be a checkpoint of the same model; `0\.bias` was"),
        ({"model": network(shots=5)}, r"same circuits; `gradient of 2` was 'adjoint' there and is"),
        ({"learning_rate": 0.2}, r"same options; `learning_rate` was 0\.1 there and is 0\.2 now"),
        ({"data": (X + 1, Y)}, r"same data; `training rows` was"),
        ({"optimizer": "sgd"}, r"same options; `optimizer` was 'adam' there and is 'sgd' now"),
    ],
    ids=["model", "shots", "rate", "data", "optimizer"],
)
def test_a_checkpoint_of_something_else_is_refused(tmp_path, changed, match):
    fit(network(), (X, Y), checkpoint=tmp_path, **QUIET)
    before = (tmp_path / "last.safetensors").read_bytes()
    options = {**QUIET, **changed}
    model, data = options.pop("model", None) or network(), options.pop("data", (X, Y))
    with pytest.raises(CheckpointError, match=match):
        fit(model, data, checkpoint=tmp_path, **options)
    assert (tmp_path / "last.safetensors").read_bytes() == before


def test_another_circuit_or_other_noise_is_refused(tmp_path):
    def layered(**options):
        return torch.nn.Sequential(
            torch.nn.Linear(3, 2), qnn.QuantumLayer(2, 1, seed=1, **options), torch.nn.Linear(2, 2)
        )

    def trained(folder, model):
        fit(model, (X[:4], Y[:4]), checkpoint=tmp_path / folder, **{**QUIET, "epochs": 1}, one_class=True)

    trained("angle", layered())
    with pytest.raises(CheckpointError, match=r"same circuits; `(angle map|circuit) of 1` was"):
        trained("angle", layered(encoding="iqp"))
    trained("exact", layered(backend="aer", noise="fake_manila"))
    with pytest.raises(CheckpointError, match=r"same circuits; `backend of 1` was 'aer \(\w+\)' there"):
        trained("exact", layered(backend="aer", noise="fake_athens"))


def test_other_modules_without_weights_are_refused(tmp_path):
    def model(rate, activation):
        return torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Dropout(rate), activation, torch.nn.Linear(2, 2))

    fit(model(0.1, torch.nn.Tanh()), (X, Y), checkpoint=tmp_path, **QUIET)
    with pytest.raises(CheckpointError, match=r"same modules; `1` was 'Dropout\(p=0\.1, .* and is 'Dropout\(p=0\.9"):
        fit(model(0.9, torch.nn.Tanh()), (X, Y), checkpoint=tmp_path, **QUIET)
    with pytest.raises(CheckpointError, match=r"same modules; `2` was 'Tanh\(\)' there and is 'ReLU\(\)' now"):
        fit(model(0.1, torch.nn.ReLU()), (X, Y), checkpoint=tmp_path, **QUIET)


@pytest.mark.parametrize("make", [qnn.NaturalGradient, qnn.SPSA])
def test_a_run_with_a_given_optimizer_goes_on_again_and_again(tmp_path, make):
    def run(breaks, checkpoint):
        model = network()
        options = {**QUIET, "learning_rate": 0.01, "optimizer": make(model, lr=0.05)}
        return model, fit(model, (X, Y), callbacks=breaks, checkpoint=checkpoint, **options)

    whole, expected = run([], None)
    for step in (2, 5, 9):
        with pytest.raises(RuntimeError, match="power cut"):
            run([Break(step)], Checkpoint(tmp_path, every_steps=1))
    model, got = run([], Checkpoint(tmp_path, every_steps=1))
    assert same_weights(model, whole) and told(got) == told(expected)


def test_a_named_schedule_ends_where_it_was_to_end(tmp_path):
    fit(network(), (X, Y), checkpoint=tmp_path, scheduler="cosine", **QUIET)
    with pytest.raises(CheckpointError, match=r"same options; `epochs` was 3 there and is 4 now"):
        fit(network(), (X, Y), checkpoint=tmp_path, scheduler="cosine", **{**QUIET, "epochs": 4})


def test_the_latest_are_kept_whatever_the_number_of_digits(tmp_path):
    for epoch in (9998, 9999):
        (tmp_path / f"epoch_{epoch}.safetensors").write_bytes(b"")
    checkpoint = Checkpoint(tmp_path, keep=2)
    checkpoint._keep(10000, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epoch_10000.safetensors", "epoch_9999.safetensors"]


def test_wrong_options_are_refused(tmp_path):
    with pytest.raises(ArgumentError, match=r"`every_epochs` must be an integer of at least 1; got None"):
        Checkpoint(tmp_path, every_epochs=None)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match=r"`every_steps` must be an integer of at least 1; got 0"):
        Checkpoint(tmp_path, every_steps=0)
    with pytest.raises(ArgumentError, match=r"`every_s` must be a number of seconds, or None; got 'x'"):
        Checkpoint(tmp_path, every_s="x")  # type: ignore[arg-type]
    with pytest.raises(DtypeError, match=r"`checkpoint` must be a folder; got 3"):
        fit(network(), (X, Y), checkpoint=3, **QUIET)  # type: ignore[arg-type]
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="must be writable"):
        fit(network(), (X, Y), checkpoint=tmp_path / "file", **QUIET)
