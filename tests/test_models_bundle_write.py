"""Saving and loading: what comes back is the model, for every kind of layer."""

import json
import os
import pickle
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pennylane as qml
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import qnn
from qnn import HiddenLayer, InputLayer, OutputLayer, QuantumLayer, QuantumNeuralNetwork
from qnn.backends import Aer
from qnn.baselines import build_baseline, list_baselines
from qnn.errors import ArgumentError, BundleError, DtypeError, NotFiniteError, StorageError
from qnn.layers import FourierSurrogate, Int8Conv2d, Int8HiddenLayer, Int8InputLayer, Int8Linear
from qnn.models import read_bundle
from qnn.models.bundle import archive
from qnn.models.bundle.kinds import KINDS
from tests.bundle_samples import small_model


def products(inputs, weights, shift):
    qml.AngleEmbedding(inputs, wires=range(3))
    qml.RX(inputs[0] * weights[1], wires=0)
    qml.CRY(torch.sin(weights[0]) + shift, wires=[0, 2])
    qml.IsingXY(torch.arctan(inputs[1]) / 2, wires=[1, 2])
    qml.Rot(*weights, wires=1)
    return (
        qml.var(qml.X(0) @ qml.Y(2)),
        qml.probs(wires=[2, 0]),
        qml.expval(qml.Hermitian([[1, 1j], [-1j, 2]], wires=1)),
    )


PROGRAM = """OPENQASM 3.0; include "stdgates.inc"; input float a; input float b; qubit[2] q;
ry(a) q[0]; crx(2*b) q[0], q[1]; cu(a, 0.1, b, 0.2) q[1], q[0];"""

QUANTUM = {
    "default": lambda: QuantumLayer(3, 2, seed=1),
    "reupload": lambda: QuantumLayer(2, 2, seed=1, encoding="iqp", reupload=True),
    "amplitude": lambda: QuantumLayer(2, 1, encoding="amplitude", observables="probs", seed=1, dtype=torch.float64),
    "pennylane": lambda: QuantumLayer.from_pennylane(products, n_inputs=3, weight_shapes={"weights": 3, "shift": ()}),
    "qasm": lambda: QuantumLayer.from_qasm(PROGRAM, inputs=["a"], observables=[qml.Z(0) @ qml.Z(1)]),
    "no weights": lambda: QuantumLayer.from_qasm(PROGRAM, inputs=["b", "a"]),
    "shots": lambda: QuantumLayer(2, 1, shots=50, gradient="spsa", seed=3),
    "aer": lambda: QuantumLayer(2, 1, backend="aer", seed_transpiler=2, gradient="finite-difference", seed=3),
    "device": lambda: QuantumLayer(2, 1, backend="pennylane:default.qubit", seed=3),
    "function that OpenQASM lacks": lambda: QuantumLayer.from_pennylane(
        lambda inputs, q: qml.RY(torch.tanh(inputs[0] * q), wires=0),
        n_inputs=1,
        weight_shapes={"q": ()},
        observables="Z",
    ),
}


def exactly_equal(one: nn.Module, other: nn.Module) -> bool:
    left, right = one.state_dict(), other.state_dict()
    return list(left) == list(right) and all(
        left[name].dtype == right[name].dtype and torch.equal(left[name], right[name]) for name in left
    )


@pytest.mark.parametrize("kind", QUANTUM)
def test_quantum_layers_come_back_bit_for_bit(kind: str, tmp_path: Path) -> None:
    layer = QUANTUM[kind]()
    inputs = torch.rand(4, layer.n_inputs, generator=torch.Generator().manual_seed(0), requires_grad=True)
    if layer.shots:
        layer(inputs)  # its samples go on from here
    qnn.save(layer, tmp_path / "layer")
    drawn = torch.random.get_rng_state()
    loaded = qnn.load(tmp_path / "layer")
    assert torch.equal(torch.random.get_rng_state(), drawn)
    assert loaded.circuit == layer.circuit and loaded.angle_map.to_json() == layer.angle_map.to_json()
    assert exactly_equal(loaded, layer) and not loaded.training
    assert (loaded.seed, loaded.shots, repr(loaded)) == (layer.seed, layer.shots, repr(layer))
    assert loaded.backend.specification() == layer.backend.specification()
    values = [model(inputs) for model in (layer, loaded)]
    assert torch.equal(*values)
    gradients = [
        torch.autograd.grad(value.sum(), [inputs, *m.parameters()])
        for value, m in zip(values, (layer, loaded), strict=True)
    ]
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_the_circuit_is_openqasm_that_other_tools_read(tmp_path: Path) -> None:
    import qiskit.qasm3

    layer = QUANTUM["reupload"]()
    qnn.save(layer, tmp_path / "layer")
    text = (tmp_path / "layer" / "circuit_0.qasm").read_text()
    circuit = qiskit.qasm3.loads(text)
    assert circuit.num_qubits == 2 and circuit.num_parameters == layer.n_inputs + layer.weights.numel()
    again = QuantumLayer.from_qasm(text, inputs=["x_0", "x_1"], init=lambda *_: layer.weights.detach().reshape(-1))
    inputs = torch.rand(3, 2)
    assert torch.allclose(again(inputs), layer(inputs), atol=1e-6)


def classical(n: int) -> list[nn.Module]:
    """Every kind of the table but composites, with options that are not the defaults."""
    return [
        nn.Linear(n, 3, bias=False), InputLayer(n, 3, scale=1.5), HiddenLayer(n, 3, activation="gelu"),
        OutputLayer(n, 2), FourierSurrogate(n, 3, 2), nn.ReLU(True), nn.ReLU6(), nn.SELU(), nn.SiLU(), nn.Mish(),
        nn.Hardsigmoid(), nn.Hardswish(), nn.Identity(),
        nn.Sigmoid(), nn.LogSigmoid(), nn.Tanh(), nn.Tanhshrink(), nn.Softsign(), nn.LeakyReLU(0.3), nn.ELU(0.7),
        nn.CELU(0.6), nn.Hardtanh(-0.5, 0.25), nn.Threshold(0.2, -3.0), nn.Softplus(2.0, 5.0), nn.Softshrink(0.1),
        nn.Hardshrink(0.2), nn.GELU("tanh"), nn.PReLU(n), nn.Softmax(1), nn.LogSoftmax(-1), nn.Softmin(0), nn.GLU(1),
        nn.Flatten(1, 2), nn.Unflatten(1, (2, n // 2)), nn.Dropout(0.2), nn.Dropout1d(0.3), nn.Dropout2d(0.1),
        nn.Dropout3d(0.4), nn.AlphaDropout(0.2), nn.FeatureAlphaDropout(0.1),
        nn.BatchNorm1d(n, eps=1e-3, momentum=None), nn.BatchNorm2d(n, affine=False),
        nn.BatchNorm3d(n, track_running_stats=False),
        nn.InstanceNorm1d(n, affine=True),
        nn.InstanceNorm2d(n), nn.InstanceNorm3d(n), nn.LayerNorm((2, n), bias=False), nn.RMSNorm(n, eps=0.1),
        nn.GroupNorm(2, n, eps=0.2), nn.Conv1d(n, 2, 3, padding="same"), nn.Conv2d(n, 4, (3, 2), stride=2, groups=2),
        nn.Conv3d(n, 2, 2, dilation=2, padding=1, padding_mode="circular"), nn.ConvTranspose1d(n, 2, 3, stride=2),
        nn.ConvTranspose2d(n, 2, 3, 2, output_padding=1, bias=False), nn.ConvTranspose3d(n, 2, 2), nn.MaxPool1d(2),
        nn.MaxPool2d((2, 1), ceil_mode=True), nn.MaxPool3d(2, padding=1), nn.AvgPool1d(2), nn.AvgPool3d(2, 1),
        nn.AvgPool2d(3, padding=1, count_include_pad=False, divisor_override=5), nn.AdaptiveAvgPool1d(2),
        nn.AdaptiveAvgPool2d((2, None)), nn.AdaptiveAvgPool3d(1), nn.AdaptiveMaxPool1d(2), nn.AdaptiveMaxPool2d(1),
        nn.AdaptiveMaxPool3d(2), Int8Linear(n, 3, False, "static"),
        Int8Conv2d(n, 2, (2, 3), (2, 1), (1, 0), activations="float", reduce_range=True),
        Int8InputLayer(n, 3, scale=1.5, activations="static"), Int8HiddenLayer(n, 3, activation="elu"),
    ]  # fmt: skip


RANK = {"1d": 3, "2d": 4, "3d": 5}


def test_every_classical_kind_comes_back_bit_for_bit(tmp_path: Path) -> None:
    modules = classical(4)
    composite = {"Sequential", "ModuleList", "ModuleDict", "QuantumNeuralNetwork"}
    own = {kind.name for kind in KINDS.values() if kind.checks is None}
    assert {type(module).__name__ for module in modules} == set(KINDS) - composite - own
    model = nn.ModuleDict({"all": nn.ModuleList(modules)})
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    qnn.save(model, tmp_path / "all.zip")
    loaded = qnn.load(tmp_path / "all.zip")
    assert exactly_equal(loaded, model) and repr(loaded) == repr(model)
    for module, again in zip(modules, loaded["all"], strict=True):
        rank = RANK.get(type(module).__name__[-2:], 3 if isinstance(module, nn.Flatten | nn.LayerNorm) else 2)
        shape = (2, 2, 4) if isinstance(module, nn.LayerNorm) else (2, *(4,) * (rank - 1))
        inputs = torch.randn(shape, generator=torch.Generator().manual_seed(1))
        assert torch.equal(module.eval()(inputs.clone()), again(inputs.clone())), module


@pytest.mark.parametrize("name", [*list_baselines(), "hybrid"])
def test_every_model_of_a_comparison_comes_back(name: str, tmp_path: Path) -> None:
    if name == "hybrid":
        model: nn.Module = QuantumNeuralNetwork(16, [5], 3, n_qubits=2, n_layers=1, n_quantum=2, seed=0)
    else:
        model = build_baseline(name, n_inputs=16, n_outputs=3, image_shape=(1, 4, 4), n_weights=60)
    inputs = torch.rand(6, 16)
    qnn.save(model, tmp_path / "model.zip")
    loaded = qnn.load(tmp_path / "model.zip")
    assert torch.equal(loaded(inputs), model(inputs))
    if name == "hybrid":
        assert torch.equal(loaded.predict(inputs), model.predict(inputs))
        regression = QuantumNeuralNetwork(16, None, 2, n_qubits=2, n_layers=1, seed=0)
        regression.fit(inputs, torch.rand(6, 2), epochs=1, progress=False)
        qnn.save(regression, tmp_path / "model.zip")
        assert qnn.load(tmp_path / "model.zip").predict(inputs).shape == (6, 2)  # numbers, no labels


def test_a_loaded_model_trains_on_like_the_original(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), QuantumLayer(2, 1, shots=20, seed=0))
    model[0].bias.requires_grad_(False)
    data = torch.rand(8, 2), torch.tensor([0, 1] * 4)
    qnn.fit(model, data, epochs=1, progress=False)
    qnn.save(model, tmp_path / "model")
    loaded = qnn.load(tmp_path / "model")
    assert [p.requires_grad for p in loaded.parameters()] == [True, False, True, True, True]
    for one in (model, loaded):
        qnn.fit(one, data, epochs=2, seed=5, progress=False)
    assert exactly_equal(loaded, model)


def test_what_is_shared_stays_shared(tmp_path: Path) -> None:
    shared = nn.Linear(2, 2)
    model = nn.Sequential(OrderedDict(first=shared, between=nn.Tanh(), second=shared))
    qnn.save(model, tmp_path / "model")
    loaded = qnn.load(tmp_path / "model")
    assert loaded.first is loaded.second and exactly_equal(loaded, model)


def test_what_is_beside_the_model(tmp_path: Path) -> None:
    config = qnn.FitConfig(epochs=3, learning_rate=0.1)
    model = nn.Linear(2, 2)
    history = qnn.fit(model, (torch.rand(4, 2), torch.tensor([0, 1, 0, 1])), config, progress=False)
    scaling = {"mean": np.array([0.1, 2.0]), "scale": torch.tensor([1.0, 3.0], dtype=torch.float64)}
    task = {"columns": ("a", "é"), "n": np.int64(3), "known": np.bool_(True), "nothing": None}
    qnn.save(model, tmp_path / "b", scaling=scaling, task=task, config=config, metrics=history, extra={"a": [1, {}]})
    bundle = read_bundle(tmp_path / "b")
    assert bundle.scaling == {"mean": [0.1, 2.0], "scale": [1.0, 3.0]}
    assert bundle.task == {"columns": ["a", "é"], "n": 3, "known": True, "nothing": None}
    assert bundle.config["epochs"] == 3 and bundle.config["learning_rate"] == 0.1
    assert bundle.metrics == json.loads(json.dumps(history.as_dict())) and bundle.extra == {"a": [1, {}]}
    assert bundle.versions["qnn"] == qnn.__version__ and "torch" in bundle.versions
    assert (bundle.format_version, bundle.path) == (1, tmp_path / "b")
    assert exactly_equal(bundle.model, model)
    qnn.save(model, tmp_path / "b")
    assert read_bundle(tmp_path / "b").metrics is None


@pytest.mark.parametrize(
    ("section", "error", "match"),
    [
        (
            {"extra": {"a": [1, {"b": object()}]}},
            DtypeError,
            r"`extra\['a'\]\[1\]\['b'\]` must be plain data .*; got object",
        ),
        ({"metrics": {"loss": float("nan")}}, NotFiniteError, r"`metrics\['loss'\]` must be finite; got nan"),
        ({"task": {1: 2}}, DtypeError, "`task` must have strings as keys; got 1"),
        ({"scaling": [1, 2]}, DtypeError, "`scaling` must be a mapping; got list"),
    ],
)
def test_only_plain_data_beside_the_model(section, error, match, tmp_path: Path) -> None:
    with pytest.raises(error, match=match):
        qnn.save(nn.Linear(1, 1), tmp_path / "b", **section)
    assert not list(tmp_path.iterdir())


class Unknown(nn.Linear):
    pass


def hooked() -> nn.Module:
    model = nn.Linear(2, 2)
    model.register_forward_hook(lambda *_: None)
    return model


def pruned() -> nn.Module:
    model = nn.Linear(2, 2)
    prune.l1_unstructured(model, "weight", 1)
    return model


def patched() -> nn.Module:
    model = nn.Sequential(nn.Tanh())
    model[0].forward = torch.sin
    return model


def tied() -> nn.Module:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    return model


def added() -> nn.Module:
    model = nn.Sequential(nn.Linear(2, 2))
    model[0].register_buffer("more", torch.zeros(1), persistent=False)
    return model


def diverged() -> nn.Module:
    model = nn.Linear(2, 2)
    nn.init.constant_(model.bias, float("inf"))
    return model


def changed() -> nn.Module:
    model = nn.Sequential(HiddenLayer(2, 2))
    model[0].activation = nn.Softplus()
    return model


def noisy() -> nn.Module:
    from qiskit_aer.noise import NoiseModel, ReadoutError

    model = NoiseModel()
    model.add_all_qubit_readout_error(ReadoutError([[0.9, 0.1], [0.2, 0.8]]))
    return nn.Sequential(QuantumLayer(1, 1, backend=Aer(noise=model), encoding=lambda x, w: qml.RX(x[0], 0)))


@pytest.mark.parametrize(
    ("build", "match"),
    [
        (
            lambda: nn.Sequential(nn.Sequential(Unknown(2, 2))),
            '`model` must consist of .*; got Unknown at "0.0". Build it',
        ),
        (lambda: nn.LSTM(1, 1), "got LSTM itself"),
        (lambda: nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)), "remove_parametrizations"),
        (hooked, "must have no hooks .* got some on Linear itself"),
        (pruned, "torch.nn.utils.prune.remove"),
        (patched, 'got a `forward` of its own on Tanh at "0"'),
        (tied, 'belong to one module each; got "0.weight" and "1.weight"'),
        (added, '"0.more", which was added'),
        (changed, "activation` must be one of elu, .*; got 'Softplus'"),
        (diverged, '`model` must have finite weights to be saved; got NaN or infinity in "bias"'),
        (
            lambda: nn.Linear(2, 2).to(torch.float8_e4m3fn),
            "must have weights of a dtype among .*; got torch.float8_e4m3fn",
        ),
        (noisy, r'options are plain data; got <qnn backend aer with noise of a noise model> for the layer "0"'),
    ],
)
def test_what_a_bundle_cannot_hold_is_named(build, match: str, tmp_path: Path) -> None:
    with pytest.raises((BundleError, NotFiniteError), match=match):
        qnn.save(build(), tmp_path / "b")
    assert not list(tmp_path.iterdir())


def test_only_models(tmp_path: Path) -> None:
    with pytest.raises(DtypeError, match=r"`model` must be a torch.nn.Module; got dict"):
        qnn.save({}, tmp_path / "b")


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = QuantumLayer(width, 1, seed=0)
        self.gain = nn.Parameter(torch.rand(width))

    def forward(self, inputs):
        return inputs + self.gain * self.body(inputs)


def test_a_class_of_ones_own(tmp_path: Path) -> None:
    qnn.models.register_module(Residual, lambda module: {"width": len(module.gain)}, name="tests.Residual")
    model = nn.Sequential(Residual(2))
    model[0].body.to_backend("aer", seed_transpiler=4)
    drawn = torch.random.get_rng_state()
    qnn.save(model, tmp_path / "b")
    loaded = qnn.load(tmp_path / "b")
    assert torch.equal(torch.random.get_rng_state(), drawn)
    inputs = torch.rand(3, 2)
    assert torch.equal(loaded(inputs), model(inputs)) and type(loaded[0]) is Residual
    assert loaded[0].body.backend.seed_transpiler == 4
    with pytest.raises(ArgumentError, match='`name` must be one that no other module has; got "Linear"'):
        qnn.models.register_module(Residual, lambda module: {}, name="Linear")
    with pytest.raises(DtypeError, match="`cls` must be a class of torch modules"):
        qnn.models.register_module(dict, lambda module: {})
    del KINDS["tests.Residual"]
    with pytest.raises(BundleError, match=r"kind` must be a known kind of module; got 'tests.Residual'. Register"):
        qnn.load(tmp_path / "b")


@pytest.mark.parametrize("name", ["bundle", "bundle.zip"])
def test_an_old_bundle_is_replaced_as_a_whole(name: str, tmp_path: Path) -> None:
    path = tmp_path / "new" / name
    assert qnn.save(small_model(), path) == path
    qnn.save(nn.Linear(2, 1), str(path))  # fewer files
    assert type(qnn.load(path)) is nn.Linear
    assert os.listdir(path.parent) == [name]
    content = {p.name: p.read_bytes() for p in (path.iterdir() if path.is_dir() else [path])}
    with pytest.raises(BundleError):
        qnn.save(Unknown(1, 1), path)
    assert content == {p.name: p.read_bytes() for p in (path.iterdir() if path.is_dir() else [path])}


def test_replaced_by_two_renames_where_the_system_cannot_exchange(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(archive, "_exchange", lambda one, other: False)
    for model in (small_model(), nn.Linear(2, 1)):
        qnn.save(model, tmp_path / "b")
    assert type(qnn.load(tmp_path / "b")) is nn.Linear and os.listdir(tmp_path) == ["b"]


@pytest.mark.skipif(sys.platform != "linux", reason="a system call of Linux")
def test_two_folders_change_places_in_one_step(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    assert archive._exchange(tmp_path / "one", tmp_path / "other")
    assert os.listdir(tmp_path / "one") == ["other"] and os.listdir(tmp_path / "other") == ["one"]
    assert not archive._exchange(tmp_path / "one", tmp_path / "nowhere")


def test_equal_models_are_equal_bytes(tmp_path: Path) -> None:
    qnn.save(small_model(), tmp_path / "a.zip")
    qnn.save(small_model(), tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_nothing_but_bundles_is_overwritten(tmp_path: Path) -> None:
    model = nn.Linear(1, 1)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    for name in ("file", "archive.zip"):
        (tmp_path / name).write_text("something")
    for name, match in {
        "thesis": 'a folder that holds "chapter.txt". Choose another',
        "file": '`path` must end in ".zip" or be a folder; got ".*file", a file',
        "archive.zip": '`path` must be free or a bundle; got ".*archive.zip", which is another file',
    }.items():
        with pytest.raises(ArgumentError, match=match):
            qnn.save(model, tmp_path / name)
    qnn.save(model, tmp_path / "mixed")
    (tmp_path / "mixed" / "notes.txt").write_text("mine")
    with pytest.raises(ArgumentError, match=r'a folder that holds "notes.txt"'):
        qnn.save(model, tmp_path / "mixed")
    assert type(qnn.load(tmp_path / "mixed")) is nn.Linear  # which does not look at it
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "weights.safetensors").write_text("?")
    with pytest.raises(ArgumentError, match="another folder"):
        qnn.save(model, tmp_path / "half")
    (tmp_path / "empty").mkdir()
    qnn.save(model, tmp_path / "empty")
    with pytest.raises(DtypeError, match="`path` must be a path; got int"):
        qnn.save(model, 3)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name in ("b", "b.zip"):
        with pytest.raises(StorageError, match="`path` must be writable"):
            qnn.save(nn.Linear(1, 1), tmp_path / "file" / name)


NO_PICKLE = """
import pickle, sys
import torch, qnn
def refuse(*args, **kwargs):
    raise SystemExit("unpickled")
for name in ("load", "loads", "Unpickler"):
    setattr(pickle, name, refuse)
torch.load = refuse
model = qnn.load(sys.argv[1])
print(type(model).__name__, len(model.state_dict()))
"""


def test_nothing_is_unpickled(tmp_path: Path, monkeypatch) -> None:
    model = small_model()
    qnn.save(model, tmp_path / "b.zip")
    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, lambda *args, **kwargs: pytest.fail("unpickled"))
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: pytest.fail("unpickled"))
    assert exactly_equal(qnn.load(tmp_path / "b.zip"), model)


@pytest.mark.slow
def test_loads_in_a_fresh_process_where_nothing_can_be_unpickled(tmp_path: Path) -> None:
    qnn.save(small_model(), tmp_path / "b.zip")
    command = [sys.executable, "-c", NO_PICKLE, str(tmp_path / "b.zip")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "Sequential 4\n"), done.stderr
