"""What every callback of qnn.training has to keep to, found by reflection: a new one is held to it unasked."""

import doctest
import importlib
import inspect
import json

import pytest
import torch

import qnn.training
from qnn.layers import QuantumLayer
from qnn.training import Callback, fit
from qnn.training.state_file import read_state, write_state

CLASSES = {
    name: found
    for name, found in vars(qnn.training).items()
    if inspect.isclass(found) and issubclass(found, Callback) and found is not Callback
}
JOINTS = {name for name in vars(Callback) if name.startswith("on_")}
X, Y = torch.rand(6, 2, generator=torch.Generator().manual_seed(3)), torch.arange(6) % 2


def make(name, folder):
    """A callback with options under which it does its work and ends nothing."""
    special = {
        "BudgetGuard": lambda found: found(max_circuits=10**9, max_shots=10**9, max_jobs=10**9),
        "CSVLog": lambda found: found(folder / "log.csv", every="step"),
        "Checkpoint": lambda found: found(folder / "checkpoint", every_steps=1),
        "JSONLog": lambda found: found(folder / "log.jsonl"),
        "TensorBoardLog": lambda found: found(folder / "events", every="step"),
        "TimeLimit": lambda found: found("1h"),
    }
    return special.get(name, lambda found: found())(CLASSES[name])


def train(*callbacks, **options):
    """Two epochs of a hybrid model with shots; its final weights."""
    torch.manual_seed(0)
    layer = QuantumLayer(2, 1, shots=20, seed=1)
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout(0.3), layer)
    options = {"epochs": 2, "batch_size": 2, "progress": False, **options}
    model.history = fit(model, (X, Y, X, Y), callbacks=callbacks, **options)
    return model


@pytest.fixture(scope="module")
def undisturbed():
    return train().state_dict()


class Watch(Callback):
    """Takes a callback's state after every step and epoch, and can break the run off."""

    def __init__(self, watched, folder, fail_after=None):
        self.watched, self.folder, self.fail_after = watched, folder, fail_after
        self.states = []

    def on_step_end(self, state):
        self.take()
        if state.step == self.fail_after:
            raise RuntimeError("power cut")

    def on_epoch_end(self, state):
        self.take()

    def take(self):
        path = self.folder / "state.safetensors"
        state = self.watched.state_dict()
        write_state(path, state)
        self.states.append(read_state(path))
        assert plain(self.states[-1]) == plain(state)


class Load(Callback):
    """Gives a callback its state back, as a checkpoint does, and looks at what it makes of it."""

    def __init__(self, watched, state):
        self.watched, self.state = watched, state

    def on_fit_start(self, state):
        self.watched.load_state_dict(self.state)
        self.found = self.watched.state_dict()


def plain(state):
    """For comparison: tensors as lists, and no clocks."""
    text = json.dumps(state, default=lambda tensor: [str(tensor.dtype), tensor.tolist()], sort_keys=True)
    return {key: value for key, value in json.loads(text).items() if key != "elapsed_s"}


def test_all_are_found():
    assert {"EarlyStopping", "CSVLog", "JSONLog", "TensorBoardLog", "GradientNorms", "GradientVariance", "UsageLog",
            "BudgetGuard", "TimeLimit", "ProgressBar", "RestoreBest"} <= set(CLASSES)  # fmt: skip


@pytest.mark.parametrize("name", CLASSES)
def test_hooks_are_joints_of_the_loop(name):
    found = CLASSES[name]
    assert inspect.getdoc(found), name
    methods = {m: f for m, f in inspect.getmembers(found, inspect.isfunction) if not m.startswith("_")}
    for method, function in methods.items():
        assert inspect.getdoc(function), f"{name}.{method} has no docstring"
        if method.startswith("on_"):
            assert method in JOINTS, f"{name}.{method} is no joint: nobody calls it"
        if hasattr(Callback, method):
            ours, base = inspect.signature(function), inspect.signature(getattr(Callback, method))
            assert ours == base, f"{name}.{method}{ours} is not called as {base}"


def test_a_misspelt_hook_would_be_noticed(monkeypatch):
    class Typo(Callback):
        """A callback."""

        def on_epoch_finish(self, state):
            """Never called."""

    monkeypatch.setitem(CLASSES, "Typo", Typo)
    with pytest.raises(AssertionError, match=r"Typo\.on_epoch_finish is no joint"):
        test_hooks_are_joints_of_the_loop("Typo")


@pytest.mark.parametrize("name", CLASSES)
def test_watching_changes_no_weight_and_its_state_comes_back(name, tmp_path, undisturbed):
    watched = make(name, tmp_path)
    watch = Watch(watched, tmp_path)
    found = train(watched, watch).state_dict()
    assert all(torch.equal(found[key], value) for key, value in undisturbed.items())
    if name != "Checkpoint":  # which loads by itself
        for state in (watch.states[-1], watch.states[1]):  # at an end, within an epoch
            again = make(name, tmp_path)
            load = Load(again, state)
            train(again, load, epochs=1)
            assert plain(load.found) == plain(state)


@pytest.mark.parametrize("name", CLASSES)
def test_its_example_runs(name):
    result = doctest.testmod(importlib.import_module(CLASSES[name].__module__))
    assert result.failed == 0


def test_all_of_them_together_survive_a_power_cut_within_an_epoch(tmp_path):
    def callbacks(folder):
        early = [make(name, folder) for name in ("GradientNorms", "GradientVariance", "UsageLog")]
        late = [make(name, folder) for name in sorted({*CLASSES} - {"Checkpoint", "HistoryRecorder"})]
        return [*early, *(callback for callback in late if type(callback) not in map(type, early))]

    whole = train(*callbacks(tmp_path / "whole"))
    cut, checkpoint = tmp_path / "cut", CLASSES["Checkpoint"](tmp_path / "checkpoint", every_steps=2)
    with pytest.raises(RuntimeError, match="power cut"):
        train(*callbacks(cut), Watch(Callback(), tmp_path, fail_after=4), checkpoint=checkpoint)
    resumed = train(*callbacks(cut), checkpoint=checkpoint)
    assert all(torch.equal(resumed.state_dict()[key], value) for key, value in whole.state_dict().items())
    epochs = [[{**epoch, "wall_s": 0} for epoch in model.history.epochs] for model in (resumed, whole)]
    assert epochs[0] == epochs[1]
    assert (cut / "log.csv").read_bytes() == (tmp_path / "whole" / "log.csv").read_bytes()
