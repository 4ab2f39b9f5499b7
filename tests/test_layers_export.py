"""Export: networks as ONNX files and exported programs, checked where no quantum package is imported."""

import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pennylane as qml
import pytest
import torch

import qnn
from qnn import QuantumLayer, export_onnx
from qnn.errors import CapabilityError, DtypeError, ExportError, MissingDependencyError, ShapeError
from qnn.layers import export_check

F64 = torch.float64
ROOT = Path(__file__).parent.parent

CONSUMER = """
import sys
import numpy as np
import onnxruntime

data = np.load("rows.npz")
session = onnxruntime.InferenceSession("net.onnx")
(found,) = session.run(None, {"inputs": data["inputs"]})
assert np.abs(found - data["outputs"]).max() < 1e-5
assert (found.argmax(1) == data["outputs"].argmax(1)).all()
loaded = {name.partition(".")[0] for name in sys.modules}
assert not loaded & {"qnn", "torch", "pennylane", "qiskit", "qiskit_aer", "numba"}, loaded
print(len(found))
"""


@pytest.fixture(autouse=True)
def quiet():
    """The exporter's own deprecation warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def rows(n: int, d: int, dtype=torch.float32) -> torch.Tensor:
    return torch.rand(n, d, generator=torch.Generator().manual_seed(n), dtype=F64).to(dtype) * 2 - 1


def in_onnxruntime(path: Path, batches: list[torch.Tensor]) -> list[list[torch.Tensor]]:
    """The outputs for each batch."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path))
    name = session.get_inputs()[0].name
    return [[torch.from_numpy(found) for found in session.run(None, {name: batch.numpy()})] for batch in batches]


def same(path: Path, net: torch.nn.Module, d: int, dtype=torch.float32) -> None:
    batches = [rows(n, d, dtype) for n in (0, 1, 2, 7, 64)]
    with torch.no_grad():
        for batch, found in zip(batches, in_onnxruntime(path, batches), strict=True):
            outputs = net(batch)
            expected = [outputs] if isinstance(outputs, torch.Tensor) else list(outputs)
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_a_trained_digits_classifier_is_small_and_runs_without_any_quantum_package(tmp_path) -> None:
    import onnx

    digits = qnn.load_task("digits")
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(64, 4), QuantumLayer(4, 3, seed=0), torch.nn.Linear(4, 10))
    qnn.fit(net, digits, epochs=1, progress=False)
    path = export_onnx(net, tmp_path / "net.onnx", digits.test.x[:3])
    nodes = onnx.load(path).graph.node
    assert len(nodes) <= 130 and not [node for node in nodes if node.domain not in ("", "ai.onnx")]
    assert path.stat().st_size < 130_000  # 15,000 of it the classical layers
    with torch.no_grad():
        np.savez(tmp_path / "rows.npz", inputs=digits.test.x.numpy(), outputs=net(digits.test.x).numpy())
    done = subprocess.run([sys.executable, "-c", CONSUMER], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(digits.test.x)


def test_torchs_own_exporter_takes_a_default_layer(tmp_path) -> None:
    net = torch.nn.Sequential(torch.nn.Linear(6, 2), QuantumLayer(2, 1, seed=0), torch.nn.Linear(2, 3))
    path = tmp_path / "f.onnx"
    torch.onnx.export(net, (rows(2, 6),), str(path), dynamo=True, dynamic_shapes=({0: "batch"},), verbose=False)
    same(path, net, 6)


def computed_angles(inputs, w):
    qml.RX(torch.arctan(inputs[0]) * w[0], 0)
    qml.RY(inputs[1] * inputs[0] + w[1], 1)
    norm = torch.sqrt(inputs[0] ** 2 + inputs[1] ** 2 + 0.1)
    qml.CRY(2 * torch.acos(inputs[0] / (2 * norm)), [0, 1])
    qml.RX(w[0] * w[1], 1)
    return qml.probs(wires=[1, 0]), qml.expval(qml.X(0) @ qml.Y(1))


LAYERS = {
    "computed angles": lambda: QuantumLayer.from_pennylane(computed_angles, n_inputs=2, weight_shapes={"w": 2}, seed=1),
    "re-uploading, float64": lambda: QuantumLayer(2, 2, seed=1, reupload=True, dtype=F64),
    "probabilities": lambda: QuantumLayer(2, 1, seed=1, observables="probs"),
    "variance": lambda: QuantumLayer(2, 3, seed=1, observables=[qml.var(qml.Y(0)), qml.expval(qml.Z(1))]),
    "amplitudes": lambda: QuantumLayer(1, 1, seed=1, encoding="amplitude"),
    "parameter-shift": lambda: QuantumLayer(2, 1, seed=1, gradient="parameter-shift"),
    "backprop": lambda: QuantumLayer(2, 1, seed=1, gradient="backprop"),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_every_kind_of_layer_is_exported(kind: str, tmp_path) -> None:
    layer = LAYERS[kind]()
    dtype = next(layer.parameters()).dtype
    path = export_onnx(layer, tmp_path / "layer.onnx", rows(3, 2, dtype))
    same(path, layer, 2, dtype)


# Without `strict` the contract and export_onnx trace every kind, too: three that differ most are enough here.
@pytest.mark.parametrize(
    ("strict", "kind"),
    [*((True, kind) for kind in LAYERS), *((False, kind) for kind in ("computed angles", "variance", "backprop"))],
)
def test_exported_programs_are_torch_operations_for_any_batch(strict: bool, kind: str, tmp_path) -> None:
    layer = LAYERS[kind]()
    batch = torch.export.Dim("batch")
    dtype = next(layer.parameters()).dtype
    program = torch.export.export(layer, (rows(3, 2, dtype),), dynamic_shapes=({0: batch},), strict=strict)
    assert not [n for n in program.graph.nodes if n.op == "call_function" and "qnn" in str(n.target)]
    torch.export.save(program, tmp_path / "layer.pt2")
    again = torch.export.load(tmp_path / "layer.pt2").module()
    for n in (0, 1, 5):
        inputs = rows(n, 2, dtype)
        torch.testing.assert_close(again(inputs), layer(inputs), atol=1e-5, rtol=0)


def test_a_row_alone_is_an_example_of_a_batch(tmp_path) -> None:
    layer = QuantumLayer(2, 1, seed=0)
    same(export_onnx(layer, tmp_path / "layer.onnx", rows(1, 2)), layer, 2)


class TwoInputs(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = QuantumLayer(2, 1, seed=0)
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, x, y):
        values = self.dropout(self.layer(x) + y)
        return values, values.sum(dim=1)


def test_several_inputs_and_outputs_in_evaluation_mode(tmp_path) -> None:
    import onnxruntime

    net = TwoInputs()
    net.layer.eval()
    path = export_onnx(net, tmp_path / "net.onnx", [rows(2, 2), rows(2, 2)])
    assert net.training and net.dropout.training and not net.layer.training  # as they were
    session = onnxruntime.InferenceSession(str(path))
    assert [node.name for node in session.get_inputs()] == ["inputs_0", "inputs_1"]
    found = session.run(None, {"inputs_0": rows(5, 2).numpy(), "inputs_1": rows(5, 2).numpy()})
    for one, other in zip(found, net.eval()(rows(5, 2), rows(5, 2)), strict=True):
        np.testing.assert_allclose(one, other.detach().numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "fact"),
    [
        ({"shots": 10}, r"`shots=10` cannot be exported"),
        ({"backend": "aer"}, r'`backend="aer"` cannot be exported'),
        ({"backend": "aer", "noise": "fake_manila"}, r'`backend="aer"` cannot be exported'),
        ({"backend": "pennylane:default.qubit"}, r'`backend="pennylane:default.qubit"` cannot be exported'),
    ],
)
def test_what_is_no_arithmetic_is_refused(options, fact: str, tmp_path) -> None:
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), QuantumLayer(2, 1, seed=0, **options))
    with pytest.raises(CapabilityError, match=fact + r'.*layer\.using\("statevector", shots=None\).*layer "1"'):
        export_onnx(net, tmp_path / "net.onnx", rows(2, 2))
    with pytest.raises(CapabilityError, match=fact):
        torch.export.export(net, (rows(2, 2),))
    assert not list(tmp_path.iterdir())


def test_torchs_own_exporter_refuses_shots_and_the_advice_helps(tmp_path) -> None:
    layer, path = QuantumLayer(2, 1, seed=0, shots=10), tmp_path / "net.onnx"
    with pytest.raises(torch.onnx.errors.OnnxExporterError, match="`shots=10` cannot be exported"):
        torch.onnx.export(layer, (rows(2, 2),), str(path), dynamo=True, verbose=False)
    with layer.using("statevector", shots=None):
        export_onnx(layer, path, rows(2, 2))
        same(path, layer, 2)


def test_registers_too_large_for_a_file_are_refused_before_any_work(tmp_path) -> None:
    layer = QuantumLayer(22, 1, seed=0)
    with pytest.raises(CapabilityError, match=r"`n_qubits` must be small .* got 22, which takes about [\d.]+ GiB"):
        export_onnx(layer, tmp_path / "net.onnx", rows(2, 22))


class Doubled(torch.nn.Module):
    """A model whose values under torch differ from those that are exported."""

    def forward(self, x):
        return x if torch.compiler.is_exporting() else 2 * x


def test_a_file_that_computes_something_else_is_not_written(tmp_path) -> None:
    with pytest.raises(
        ExportError, match=r"must agree with torch to 1e-05; got a difference of .* Nothing was written"
    ):
        export_onnx(Doubled(), tmp_path / "net.onnx", rows(2, 2))
    assert not list(tmp_path.iterdir())


class Branches(torch.nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


def test_what_torch_cannot_export_is_said_in_one_line(tmp_path) -> None:
    with pytest.raises(ExportError, match=r"`model` must be a network that torch\.onnx\.export can write.*; got \w+: "):
        export_onnx(Branches(), tmp_path / "net.onnx", rows(2, 2))


@pytest.mark.parametrize(
    ("arguments", "error", "fact"),
    [
        (("net", rows(2, 2)), DtypeError, "`model` must be a torch.nn.Module; got str"),
        ((torch.nn.Identity(), [1.0]), DtypeError, "`example_inputs` must be tensors; got float"),
        ((torch.nn.Identity(), rows(2, 2)[0]), ShapeError, r"must have a batch dimension .* got shape \(2,\)"),
        ((torch.nn.Identity(), rows(0, 2)), ShapeError, "must have at least one row"),
        ((TwoInputs(), [rows(2, 2), rows(3, 2)]), ShapeError, r"equally many rows; got \[2, 3\]"),
    ],
)
def test_arguments_that_cannot_be_used(arguments, error, fact: str, tmp_path) -> None:
    model, example = arguments
    with pytest.raises(error, match=fact):
        export_onnx(model, tmp_path / "net.onnx", example)


def test_without_the_extra_its_name_is_said(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(MissingDependencyError, match=r'needs the package "onnxscript".*"qnn\[onnx\]"'):
        export_onnx(torch.nn.Identity(), tmp_path / "net.onnx", rows(2, 2))


def test_without_onnxruntime_the_file_is_written_unchecked(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert export_onnx(Doubled(), tmp_path / "net.onnx", rows(2, 2)).exists()


def test_the_document_runs_as_printed(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "export.md").read_text(), re.DOTALL)
    exec(compile(code, "export.md", "exec"), {})
    assert (tmp_path / "digits.onnx").exists()


def test_the_tolerance_is_what_is_checked(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(export_check, "TOLERANCE", 10.0)
    assert export_onnx(Doubled(), tmp_path / "net.onnx", rows(2, 2)).exists()
