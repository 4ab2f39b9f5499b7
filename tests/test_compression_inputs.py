"""What the doors of compression say about things that are no models, and data of other kinds."""

import sys

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import qnn
from qnn.compression import (
    compare_latency,
    compress_bundle,
    measure,
    prune_circuits,
    prune_classical,
    quantize,
    surrogate,
)
from qnn.errors import (
    ArgumentError,
    CapabilityError,
    DtypeError,
    MissingDependencyError,
    ShapeError,
    UnknownNameError,
)

X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
LABELS = (X[:, 0] > 0).long()
NET = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
HYBRID = nn.Sequential(nn.Linear(4, 2), qnn.QuantumLayer(2, 2, seed=0), nn.Linear(2, 2))
ONE = {"amount": 1, "device": None}
TUNED = {"epochs": 1, "progress": False, "device": None}


class Answers(nn.Linear):
    """A layer that returns its outputs by name."""

    def forward(self, x):
        return {"logits": super().forward(x)}


@pytest.mark.parametrize("call", [qnn.prune, prune_circuits, prune_classical, quantize, surrogate])
def test_what_is_no_network_is_named(call):
    with pytest.raises(DtypeError, match=r"`model` must be a torch\.nn\.Module; got str"):
        call("x", (X, LABELS))


def test_what_is_no_network_or_returns_no_tensor_is_named_by_distill_and_in_reports():
    for teacher, student, name in ((NET, "x", "student"), ("x", NET, "teacher")):
        with pytest.raises(DtypeError, match=rf"`{name}` must be a torch\.nn\.Module; got str"):
            qnn.distill(teacher, student, (X, LABELS), **TUNED)
    with pytest.raises(DtypeError, match=r"`model` must be a torch\.nn\.Module; got str"):
        measure("x", (X, LABELS), label="x")
    for call in (
        lambda: qnn.distill(NET, Answers(4, 2), (X, LABELS), loss="cross_entropy", **TUNED),
        lambda: prune_classical(Answers(4, 2), (X, LABELS), method="weight", fine_tune=1, **ONE),
        lambda: prune_classical(Answers(4, 2), (X, LABELS), method="weight", **ONE),
        lambda: qnn.fit(Answers(4, 2), (X, LABELS), epochs=1, progress=False),
    ):
        with pytest.raises(DtypeError, match="must return a tensor, one row for each row of `data`; got dict"):
            call()


@pytest.mark.parametrize(
    "call",
    [
        lambda data: qnn.prune(HYBRID, data, method="fisher", **ONE),
        lambda data: qnn.prune(HYBRID, data, method="gradient", **ONE),
        lambda data: qnn.prune(HYBRID, data, method="neuron", **ONE),
        lambda data: quantize(NET, data, method="int8-static", device=None),
        lambda data: quantize(NET, data, method="int8-dynamic", device=None),
        lambda data: surrogate(HYBRID, data, method="random", device=None),
    ],
)
def test_rows_of_another_width_are_told(call):
    with pytest.raises(
        ShapeError, match=r"must have rows that the model takes; got rows of shape \(3,\): mat1 .*Prepare them"
    ):
        call((X[:, :3], LABELS))


def test_outputs_that_do_not_fit_the_targets_are_told():
    for y in (torch.zeros(6), LABELS):
        with pytest.raises(ShapeError, match=r"targets of shape \(6,\); got outputs of shape \(6, 4, 2\) for rows of"):
            quantize(NET, (torch.zeros(6, 4, 4), y), method="int8-static", device=None)


def test_truth_values_are_classes():
    truths = (X, LABELS.bool())
    for model, options in (
        (HYBRID, {"method": "fisher", "fine_tune": 1}),
        (NET, {"method": "activation", "fine_tune": 1}),
        (NET, {"method": "whole-layer"}),
    ):
        found, expected = (qnn.prune(model, data, **ONE, **options)[1].after for data in (truths, (X, LABELS)))
        assert (found.accuracy, found.loss) == (expected.accuracy, expected.loss)
    assert quantize(NET, truths, device=None)[1].after.accuracy is not None


def test_labels_may_be_integers_of_any_size_and_numbers_must_be_real():
    expected = quantize(NET, (X, LABELS), device=None)[1].after
    for y in (LABELS.int(), LABELS.to(torch.int8), LABELS.numpy().astype("int16")):
        found = quantize(NET, (X, y), device=None)[1].after
        assert (found.accuracy, found.loss) == (expected.accuracy, expected.loss)
    tuned = {"method": "fisher", "fine_tune": 1, **ONE}
    assert qnn.prune(HYBRID, (X, LABELS.int()), **tuned)[1].after.accuracy is not None
    for data, name in (((X, LABELS + 0j), "y"), ((X + 0j, LABELS), "x")):
        with pytest.raises(DtypeError, match=rf"`data` must have real numbers in {name}; got torch.complex64"):
            quantize(NET, data, device=None)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ([1, 2, 3], ArgumentError, r"a task or a pair \(x, y\); got list of length 3\. Use qnn\.load_task"),
        ("iris", ArgumentError, r'a task or a pair \(x, y\); got "iris"\. Use qnn\.load_task'),
        (5, ArgumentError, r"a task or a pair \(x, y\); got int\. Use qnn\.load_task"),
        (DataLoader(TensorDataset(X, LABELS), batch_size=3), DtypeError, "the rows themselves; got a DataLoader"),
    ],
)
def test_data_of_another_kind_are_named(data, error, message):
    for call in (
        lambda: qnn.prune(HYBRID, data, method="angle", **ONE),
        lambda: qnn.prune(HYBRID, data, method="fisher", **ONE),
        lambda: quantize(NET, data, method="int8-static", device=None),
        lambda: surrogate(HYBRID, data, method="random", device=None),
    ):
        with pytest.raises(error, match=message):
            call()


def test_a_dataset_is_a_pair():
    found, expected = (
        qnn.prune(HYBRID, data, method="fisher", **ONE)[1].after.loss
        for data in (TensorDataset(X, LABELS), (X, LABELS))
    )
    assert found == expected


def test_options_of_surrogates_and_penalties_are_named():
    with pytest.raises(UnknownNameError, match=r'No option of surrogate named "methd"\. Did you mean "method"'):
        surrogate(HYBRID, methd="random")
    with pytest.raises(ArgumentError, match=r"`n_queries` must be at least 5, .*; got 3\. Use n_queries=\d{2,},"):
        surrogate(HYBRID, method="random", n_queries=3, device=None)
    with pytest.raises(ArgumentError, match="`penalty` must be finite, at least 0; got -1"):
        qnn.prune(NET, (X, LABELS), method="l1", penalty=-1)
    with pytest.raises(DtypeError, match="`penalty` must be a number; got 'a'"):
        qnn.prune(NET, (X, LABELS), method="l1", penalty="a")


@pytest.mark.parametrize(
    ("models", "inputs", "sizes", "error", "message"),
    [
        ({}, X, (1,), ArgumentError, "`models` must be networks by label; got none"),
        ([NET], X, (1,), ArgumentError, "`models` must be networks by label; got list"),
        ({"m": NET}, X.numpy(), (1,), DtypeError, "`inputs` must be a tensor; got ndarray"),
        ({"m": NET}, X[:0], (1,), ShapeError, r"`inputs` must be rows \(N, D\), one at least; got shape \(0, 4\)"),
        ({"m": NET}, X, (), ArgumentError, r"`batch_sizes` must be a sequence of numbers of rows; got \(\)"),
        ({"m": NET}, X[:, :3], (1,), ShapeError, r"got rows of shape \(3,\): mat1 and mat2 .* Prepare them"),
        ({"m": NET}, X, 3, ArgumentError, "`batch_sizes` must be a sequence of numbers of rows; got 3"),
    ],
)
def test_what_latencies_cannot_be_compared_of(models, inputs, sizes, error, message):
    with pytest.raises(error, match=message):
        compare_latency(models, inputs, batch_sizes=sizes)


def test_torchao_that_cannot_be_imported_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchao.utils", None)
    with pytest.raises(MissingDependencyError, match=r'needs the package "torchao"'):
        quantize(NET)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"prune": {"amount": 1, "device": None}}, ArgumentError, '`prune` must leave "device" to compress_bundle'),
        ({"surrogate": {"data": 1}}, ArgumentError, '`surrogate` must leave "data" to compress_bundle; got 1'),
        ({"quantize": {"model": 1}}, ArgumentError, '`quantize` must leave "model" to compress_bundle; got 1'),
        ({"prune": {"amonut": 1}}, UnknownNameError, 'method="angle" named "amonut"'),
        ({"prune": "angel"}, UnknownNameError, 'No pruning method named "angel"'),
    ],
)
def test_options_of_steps_are_looked_at_before_the_bundle(options, error, message, tmp_path):
    with pytest.raises(error, match=message):
        compress_bundle(tmp_path / "none", tmp_path / "out", **options)


def test_a_bundle_whose_network_cannot_be_exported_is_not_written(tmp_path):
    shots = nn.Sequential(nn.Linear(4, 2), qnn.QuantumLayer(2, 1, seed=0, shots=10), nn.Linear(2, 2))
    bundle = qnn.save(shots, tmp_path / "bundle")
    options = {"prune": {"amount": 1, "fine_tune": 0.5}, "device": None}  # which fails: it is not come to that
    with pytest.raises(CapabilityError, match="`shots=10` cannot be exported"):
        compress_bundle(bundle, tmp_path / "out", (X, LABELS), onnx=tmp_path / "file.onnx", **options)
    options = {"quantize": "int8-weights", "device": None}
    with pytest.raises(ArgumentError, match="`onnx` must be a file; got the folder"):
        compress_bundle(bundle, tmp_path / "out", (X, LABELS), onnx=tmp_path, **options)
    with pytest.raises(ArgumentError, match=r'got "a\.csv"\. Give rows .* or one of the tasks digits, iris'):
        compress_bundle(bundle, tmp_path / "out", "a.csv", **options)
    with pytest.raises(UnknownNameError, match=r'No task or table named "iriss"\. Did you mean "iris"'):
        compress_bundle(bundle, tmp_path / "out", "iriss", **options)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
