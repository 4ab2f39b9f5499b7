"""A bundle in, a smaller bundle and a report out: in Python and on the command line."""

import json
import re
import warnings

import numpy as np
import pytest
import torch

import qnn
from qnn.cli import main
from qnn.compression import compress_bundle
from qnn.errors import ArgumentError, BundleError, TableError
from qnn.models.bundle import read_bundle

OPTIONS = {"device": None}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    task = qnn.load_task("iris")
    model = qnn.QuantumNeuralNetwork(task.n_inputs, 12, task.n_classes, n_qubits=3, n_layers=3, seed=0)
    qnn.fit(model, task, epochs=12, learning_rate=0.05, progress=False)
    path = tmp_path_factory.mktemp("compress") / "whole"
    return qnn.save(model, path, config={"epochs": 12}, metrics={"test_accuracy": 0.9}, extra={"note": "kept"})


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A bundle of `qnn train`, and its table."""
    folder = tmp_path_factory.mktemp("table")
    generator = np.random.default_rng(0)
    x = generator.normal(size=(60, 2))
    rows = [f"{a:.3f},{b:.3f},{'red' if a > b else 'blue'},{'yes' if a + b > 0 else 'no'}" for a, b in x]
    (folder / "data.csv").write_text("\n".join(["a,b,colour,answer", *rows]) + "\n")
    qnn.train_table(folder / "data.csv", target="answer", n_qubits=2, n_layers=2, epochs=3, progress=False).save(
        folder / "b"
    )
    return folder / "b", folder / "data.csv"


def test_a_pruned_bundle_has_fewer_weights_and_keeps_what_is_beside_the_model(bundle, tmp_path):
    before = read_bundle(bundle)
    report = compress_bundle(bundle, tmp_path / "out", "iris", prune={"method": "angle", "amount": 4}, **OPTIONS)
    after = read_bundle(tmp_path / "out")
    count = lambda model: sum(p.numel() for p in model.parameters())
    assert count(after.model) == report.after.n_weights < report.before.n_weights == count(before.model)
    assert report.before.n_test == 30 and [m.label for m in report.measurements] == ["before", "after prune (angle)"]
    assert after.config == before.config and after.extra == before.extra
    assert after.metrics.keys() == {"source", "compression"} and after.metrics["source"] == {"test_accuracy": 0.9}
    assert after.metrics["compression"]["measurements"][0]["label"] == "before"


def test_steps_follow_each_other(bundle, tmp_path):
    steps = {"prune": {"method": "neuron", "amount": 0.5}, "surrogate": True, "quantize": "int8-dynamic"}
    report = compress_bundle(bundle, tmp_path / "out.zip", "iris", **steps, **OPTIONS)
    labels = [m.label for m in report.measurements]
    assert labels == ["before", "after prune (neuron)", "after surrogate", "after quantize (int8-dynamic)"]
    assert report.before.circuits_per_step > 0 == report.after.circuits_per_step
    assert report.after.n_weights < report.before.n_weights
    x = qnn.load_task("iris").test.x
    assert qnn.load(tmp_path / "out.zip")(x).shape == (30, 3)


def test_a_bundle_of_a_table_takes_its_table_and_still_predicts(table, tmp_path):
    path, data = table
    report = compress_bundle(path, tmp_path / "out", str(data), prune={"method": "angle", "amount": 1}, **OPTIONS)
    assert report.before.n_test == 12  # as in training
    assert len(qnn.predict_table(tmp_path / "out", data).predicted) == 60
    header, *lines = data.read_text().splitlines()
    (tmp_path / "other.csv").write_text("\n".join([header, *reversed(lines)]))
    others = [
        compress_bundle(
            path,
            tmp_path / str(seed),
            str(tmp_path / "other.csv"),
            quantize={"method": "angles", "bits": 4},
            seed=seed,
            **OPTIONS,
        ).before
        for seed in (0, 1)
    ]
    assert others[0].n_test == others[1].n_test == 15  # a quarter
    assert others[0].loss != others[1].loss  # other rows
    spoilt = data.read_text().replace("red", "", 1)
    (tmp_path / "spoilt.csv").write_text(spoilt)
    with pytest.raises(TableError, match="must have values and known categories in every row"):
        compress_bundle(path, tmp_path / "x", str(tmp_path / "spoilt.csv"), prune="angle", **OPTIONS)


def test_without_data_nothing_is_measured(bundle, tmp_path):
    report = compress_bundle(bundle, tmp_path / "out", prune={"method": "angle", "amount": 2}, **OPTIONS)
    assert report.measurements == ()
    assert read_bundle(tmp_path / "out").metrics["compression"]["details"]


@pytest.mark.slow
def test_an_onnx_file_of_the_compressed_network(bundle, tmp_path):
    import onnxruntime

    pair = tuple(qnn.load_task("iris").test)
    steps = {"prune": {"method": "angle", "amount": 2}, "onnx": tmp_path / "n.onnx"}
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)  # torch's, about what torch's exporter does
        compress_bundle(bundle, tmp_path / "out", pair, **steps, **OPTIONS)
    session = onnxruntime.InferenceSession(str(tmp_path / "n.onnx"))
    (found,) = session.run(None, {session.get_inputs()[0].name: pair[0].numpy()})
    expected = qnn.load(tmp_path / "out")(pair[0]).detach()
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=0, atol=1e-5)
    with pytest.raises(ArgumentError, match="`data` must be given to write an ONNX file"):
        compress_bundle(bundle, tmp_path / "no", prune={"method": "angle", "amount": 2}, onnx=tmp_path / "m.onnx")
    assert not (tmp_path / "no").exists()


def test_what_cannot_be_compressed(bundle, tmp_path):
    with pytest.raises(ArgumentError, match="One of `prune`, `surrogate`, `quantize` must be given; got none"):
        compress_bundle(bundle, tmp_path / "out", "iris")
    for data, got in (("rows.csv", '"rows.csv"'), ({"x0": [1.0]}, "dict")):
        with pytest.raises(ArgumentError, match=f"`data` must be a task, .* for a bundle without columns; got {got}"):
            compress_bundle(bundle, tmp_path / "out", data, quantize="int8-dynamic")
    (tmp_path / "link").symlink_to(bundle)
    for same in (bundle, f"{bundle}/../{bundle.name}", tmp_path / "link"):
        with pytest.raises(ArgumentError, match="`out` must be another place than the bundle that is read"):
            compress_bundle(bundle, same, "iris", prune="angle")
    (tmp_path / "no bundle").mkdir()
    (tmp_path / "no bundle" / "weights.pt").write_bytes(b"\x80\x04pickle")
    for path in (tmp_path / "no bundle", tmp_path / "nothing"):
        with pytest.raises(BundleError):
            compress_bundle(path, tmp_path / "out", "iris", prune="angle")
    assert not (tmp_path / "out").exists()


def test_the_command_line(bundle, tmp_path, capsys):
    words = ["compress", str(bundle), "--out", str(tmp_path / "out"), "--data", "iris"]
    pruning = ["--prune", "angle", "--amount", "0.3", "--fine-tune", "1", "--rounds", "2"]
    assert main([*words, *pruning, "--report", str(tmp_path / "report"), "--device", "fake_manila"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"It is larger than what was read: [\d,]+ -> [\d,]+ bytes\.\n$", text)  # by its report
    assert "after prune (angle)" in text and "2-qubit" in text and f'Written to "{tmp_path / "out"}"' in text
    assert {p.name for p in (tmp_path / "report").iterdir()} == {"report.json", "table.txt", "report.png"}
    assert main([*words, "--quantize", "angles", "--bits", "3", "--json", "--device", "fake_manila"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["measurements"][1]["label"] == "after quantize (angles)"
    for wrong, message in (
        (["--amount", "0.3"], "`--amount` must come with --prune"),
        (["--bits", "3"], "`--bits` must"),
        (["--quantize", "int8-dynamic", "--report", str(bundle / "bundle.json")], "`--report` must be a folder; got"),
    ):
        assert main([*words, *wrong]) == 2
        assert message in capsys.readouterr().err
