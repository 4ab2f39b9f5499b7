"""What a model costs and can do, and the report of it."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.stats import norm

import qnn
from qnn.compression import CompressionReport, compare_latency, latency_table, measure
from qnn.compression.measurement.devices import gates_on
from qnn.compression.measurement.measuring import size_at_rest
from qnn.errors import ArgumentError, ShapeError


class Says(torch.nn.Module):
    """The class that the first feature names."""

    def forward(self, x):
        return torch.nn.functional.one_hot(x[:, 0].long(), 2).float()


def test_accuracy_with_wilsons_interval_and_loss():
    x, y = torch.tensor([[0.0]] * 6 + [[1.0]] * 4), torch.tensor([0] * 5 + [1] * 5)
    found = measure(Says(), (x, y), label="m", device=None)
    assert (found.accuracy, found.n_test) == (0.9, 10)
    z, p, n = norm.ppf(0.975), 0.9, 10  # Wilson 1927
    middle, half = (
        (p + z**2 / (2 * n)) / (1 + z**2 / n),
        z * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5 / (1 + z**2 / n),
    )
    assert found.accuracy_low == pytest.approx(middle - half) and found.accuracy_high == pytest.approx(middle + half)
    targets = torch.randn(10)
    assert measure(Says(), (x, targets.expand(2, 10).T), label="m", device=None).accuracy is None


def test_sizes_are_those_of_a_safetensors_file(tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(5, 3), torch.nn.BatchNorm1d(3))
    save_file(model.state_dict(), tmp_path / "m.safetensors")
    assert size_at_rest(model) == (tmp_path / "m.safetensors").stat().st_size
    assert len(load_file(tmp_path / "m.safetensors")) == len(model.state_dict())
    tied = torch.nn.Sequential(torch.nn.Linear(50, 50), torch.nn.Linear(50, 50))
    before = size_at_rest(tied)
    tied[1].weight = tied[0].weight
    assert size_at_rest(tied) < before - 4 * 2400


def test_gates_of_the_device_and_circuits_of_a_step():
    layer = qnn.QuantumLayer(3, 2, seed=0, shots=10, gradient="parameter-shift")
    net = torch.nn.Sequential(torch.nn.Linear(2, 3), layer)
    rows = torch.randn(6, 2), torch.tensor([0, 1, 2] * 2)
    found = measure(net, rows, label="m", device="fake_manila", batch_size=4)
    described = qnn.backends.registry.resolve("ibm:fake_manila").compile(layer.circuit).describe()
    assert (found.depth, found.two_qubit_gates, found.gates) == tuple(
        described[name] for name in ("depth", "two_qubit_gates", "gates")
    )
    assert found.gates > found.two_qubit_gates and found.device == "fake_manila"
    with qnn._meter.measure() as usage:  # one real step
        qnn.fit(net, (rows[0][:4], rows[1][:4]), epochs=1, batch_size=4, restore_best=False, progress=False)
    assert found.circuits_per_step == usage.circuits == layer.explain(4).circuits_per_step
    first = torch.nn.Sequential(qnn.QuantumLayer(2, 2, shots=10, gradient="parameter-shift"), torch.nn.Linear(2, 3))
    alone = measure(first, rows, label="m", device=None, batch_size=4)
    assert alone.circuits_per_step == first[0].explain(4, input_gradients=False).circuits_per_step
    assert found.shots_per_step == 10 * found.circuits_per_step
    assert (found.n_weights, found.n_quantum_weights) == (2 * 3 + 3 + 6, 6)
    plain = gates_on([layer.circuit], None)
    assert plain["gates"] == len(layer.circuit.operations) and plain["device"] is None


def test_modes_of_parts_and_one_logit():
    net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 1))
    net[1].eval()
    found = measure(net, (torch.randn(6, 2), torch.tensor([0, 1] * 3)), label="m", device=None)
    assert found.accuracy is not None and net.training and not net[1].training


def test_a_report_is_a_table_a_figure_and_plain_data(tmp_path):
    x, y = torch.randn(8, 2), torch.tensor([0, 1] * 4)
    models = {
        "small": torch.nn.Linear(2, 2),
        "large": torch.nn.Sequential(torch.nn.Linear(2, 90), torch.nn.Linear(90, 2)),
    }
    found = tuple(measure(m, (x, y), label=label, device=None) for label, m in models.items())
    report = CompressionReport("a method", found, {"fact": 3})
    assert report.before.label == "small" and report.after.label == "large"
    text = str(report)
    assert text.startswith("a method\nmodel") and "gates" not in text
    assert text.splitlines()[-2:] == [
        "measured on  the rows given, on which the model may have been trained",
        "fact         3",
    ]
    tested = CompressionReport("a method", tuple(replace(m, part="test") for m in found), {"fact": 3})
    assert "measured on" not in str(tested)
    report.save(tmp_path)
    assert json.loads((tmp_path / "report.json").read_text()) == json.loads(json.dumps(report.as_dict()))
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")
    panels = report.figure().axes
    assert [p.get_xlabel() for p in panels] == ["size at rest (bytes)", "latency (s per batch)"]
    assert CompressionReport("nothing measured").table() == "" or "model" in CompressionReport("x").table()


def test_what_cannot_be_measured():
    with pytest.raises(ArgumentError, match="`data` must be given to measure a model on; got None"):
        measure(torch.nn.Linear(2, 2), None, label="m")
    with pytest.raises(ArgumentError, match="`data` must have rows, as many x as y; got 0 and 0"):
        measure(torch.nn.Linear(2, 2), (torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64)), label="m")
    with pytest.raises(ShapeError, match=r"`data` must have rows that the model takes; got rows of shape \(4,\)"):
        measure(torch.nn.Linear(2, 2), (torch.zeros(3, 4), torch.zeros(3, dtype=torch.int64)), label="m")
    with pytest.raises(
        ArgumentError, match="`data` must have classes from 0 to 1, as the model has outputs; got 0 to 2"
    ):
        measure(torch.nn.Linear(2, 1), (torch.zeros(3, 2), torch.arange(3)), label="a")
    with pytest.raises(ArgumentError, match="`threads` must be whole numbers above 0; got 0"):
        compare_latency({"m": torch.nn.Linear(2, 2)}, torch.zeros(1, 2), threads=0)


@pytest.mark.slow
def test_latency_in_onnxruntime_is_of_the_same_outputs():
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), qnn.QuantumLayer(2, 1, seed=0), torch.nn.Linear(2, 2))
    models = {"net": net, "alone": torch.nn.Linear(2, 2).double()}  # each takes rows in its own dtype
    found = compare_latency(models, torch.randn(3, 2), batch_sizes=(1, 7))
    assert [(x.label, x.batch_size) for x in found] == [("net", 1), ("net", 7), ("alone", 1), ("alone", 7)]
    assert found[0].onnx_bytes == found[1].onnx_bytes > found[2].onnx_bytes
    assert all(x.largest_difference < 1e-5 and x.torch_ms > 0 and x.onnxruntime_ms > 0 for x in found)
    assert latency_table(found).splitlines()[0].split()[:3] == ["model", "rows", "torch"]
