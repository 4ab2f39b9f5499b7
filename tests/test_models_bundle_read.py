"""Bundles that are damaged, forged, hostile or from elsewhere: refused by field, and nothing is executed."""

import hashlib
import io
import json
import os
import pickle
import shutil
import stat
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

import qnn
from qnn import QuantumLayer
from qnn.errors import ArgumentError, BundleError, DtypeError, QnnError, UnknownNameError
from tests.bundle_samples import doubling, forge, small_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return qnn.save(small_model(), tmp_path_factory.mktemp("saved") / "model", extra={"a": [1.5, None]})


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    return qnn.save(small_model(), tmp_path_factory.mktemp("saved") / "model.zip")


def copied(folder: Path, target: Path) -> Path:
    shutil.copytree(folder, target)
    return target


def fingerprint(model: torch.nn.Module) -> str:
    weights = {name: tensor.tolist() for name, tensor in model.state_dict().items()}
    return repr((weights, model, [m.circuit for m in model.modules() if isinstance(m, QuantumLayer)]))


class Exploit:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load((folder / "weights.safetensors").read_bytes())


def test_damaged_bits_and_ends_are_found(folder: Path, archive: Path, tmp_path: Path) -> None:
    """Bits flipped and ends cut off anywhere: an error of ours, or the same model."""
    rng = np.random.default_rng(0)
    original = fingerprint(qnn.load(folder))
    refused = 0
    sources = [*folder.iterdir(), archive]
    for source in sources:
        content = source.read_bytes()
        target = copied(folder, tmp_path / "copy") if source.parent == folder else tmp_path
        damaged = target / source.name
        cuts = [content[: rng.integers(len(content))] for _ in range(6)] + [b"", content[:-1]]
        for bit in rng.integers(8 * len(content), size=60):
            flipped = bytearray(content)
            flipped[bit // 8] ^= 1 << bit % 8
            cuts.append(bytes(flipped))
        for cut in cuts:
            damaged.write_bytes(cut)
            try:
                loaded = qnn.load(target if source.parent == folder else damaged)
            except BundleError:
                refused += 1
            else:
                assert fingerprint(loaded) == original
        if source.parent == folder:
            shutil.rmtree(target)
    assert refused > 50 * len(sources)


def test_every_value_is_checked_though_digests_fit(folder: Path, tmp_path: Path) -> None:
    """Each entry replaced by each of some values, digests made anew: an error of ours, or a model."""
    rng = np.random.default_rng(0)
    strange = [None, -1, 10**30, 1.5, 1e300, "x", [], {}, True, [[1]], {"node": 7}, 3]

    def places(data, path=()):
        yield path
        for key, value in data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ():
            yield from places(value, (*path, key))

    refused = tried = 0
    for name in ("bundle.json", "angle_map_0.json"):
        document = json.loads((folder / name).read_text())
        every = [path for path in places(document) if path and path[0] not in ("digest", "extra", "versions")]
        for path in every:
            for value in rng.permutation(np.array(strange, dtype=object))[: 2 if name == "bundle.json" else 3]:

                def change(files, name=name, path=path, value=value):
                    place = files[name]
                    for key in path[:-1]:
                        place = place[key]
                    place[path[-1]] = value

                tried += 1
                try:
                    qnn.load(forge(folder, tmp_path / "forged", change))
                except BundleError as error:
                    refused += 1
                    assert len(str(error)) < 2000
    assert tried > 200 and refused > 0.9 * tried


def test_a_flipped_bit_names_the_file(folder: Path, tmp_path: Path) -> None:
    for name in ("weights.safetensors", "circuit_0.qasm", "angle_map_0.json"):
        target = copied(folder, tmp_path / name)
        content = bytearray((target / name).read_bytes())
        content[-3] ^= 1
        (target / name).write_bytes(content)
        with pytest.raises(BundleError, match=f"`{name}` must have the digest that bundle.json declares"):
            qnn.load(target)
        (target / name).write_bytes(content[:-1])
        with pytest.raises(BundleError, match=f"`{name}` must have .* bytes; got .*: it is truncated"):
            qnn.load(target)
    target = copied(folder, tmp_path / "manifest")
    text = (target / "bundle.json").read_text()
    (target / "bundle.json").write_text(text.replace('"a"', '"b"'))
    with pytest.raises(BundleError, match=r"`bundle.json: digest` must be that of the file"):
        qnn.load(target)


def put(**given):
    """A change that puts values at dotted places of bundle.json."""

    def change(files):
        for dotted, value in given.items():
            place = files["bundle.json"]
            *path, last = dotted.split("__")
            for key in path:
                place = place[int(key) if key.isdigit() else key]
            place[int(last) if last.isdigit() else last] = value

    return change


def weights(**changed):
    def change(files):
        tensors = {**safetensors.torch.load(files["weights.safetensors"]), **changed}
        files["weights.safetensors"] = safetensors.torch.save(tensors)
        files["bundle.json"]["tensors"] = {
            n: {"dtype": str(t.dtype)[6:], "shape": list(t.shape)} for n, t in tensors.items()
        }

    return change


def angle_map(**given):
    def change(files):
        files["angle_map_0.json"]["angle_map"] |= given

    return change


def content(name: str, data: bytes):
    return lambda files: files.update({name: data})


def without(name: str):
    return lambda files: files["bundle.json"].pop(name)


def exploit(protocol: int) -> bytes:
    return pickle.dumps(Exploit(), protocol)


def torch_saved() -> bytes:
    buffer = io.BytesIO()
    torch.save({"0.weight": torch.zeros(1)}, buffer)
    return buffer.getvalue()


DOUBLING = [["input", [], {}], ["getitem", [{"node": 0}, 0], {}]]
DOUBLING += [["add.Tensor", [{"node": i}, {"node": i}], {}] for i in range(1, 60)]
DOUBLING += [["weight", [0], {}], ["getitem", [{"node": 61}, 1], {}]]
HUGE = [["weight", [0], {}], ["repeat.default", [{"node": 0}, [2**40]], {}], ["sum.default", [{"node": 1}], {}]]

FORGED = {
    "a newer format": (
        put(format_version=2),
        "`bundle.json: format_version` must be at most 1 for this qnn; got 2. Load",
    ),
    "another format": (put(format="keras"), '`bundle.json: format` must be "qnn-bundle"'),
    "a missing entry": (without("frozen"), '`bundle.json` must have an entry "frozen"; got none'),
    "a further entry": (put(run="os.system"), '`bundle.json` must have no entries but .*; got "run"'),
    "code": (
        put(model__children__0__1__kind="os.system"),
        r"children\[0\]\[1\].kind` must be a known kind .*'os.system'",
    ),
    "a huge layer": (
        put(model__children__0__1__options__in_features=2**30),
        r"`weights.safetensors: 0.weight` must fit the model, which has .* of shape \(1, 1073741824\)",
    ),
    "a layer that torch refuses": (
        put(model__children__2__1__options__p=3.0),
        r"model.children\[2\]\[1\]` must have options that make a Dropout; got ValueError",
    ),
    "a type": (
        put(model__children__2__1__options__p="0.5"),
        r"children\[2\]\[1\].options.p` must be a number; got '0.5'",
    ),
    "a layer twice": (
        put(model__children__2__1={"kind": "QuantumLayer", "layer": 0}),
        "name a quantum layer of its own",
    ),
    "the same as a later one": (
        put(model__children__0__1={"kind": "same", "as": "1"}),
        "the same as an earlier module",
    ),
    "a module in 2**50 places": (
        put(model=doubling(50)),
        "must have at most 100,000 modules; got more. A shared module counts",
    ),
    "no quantum layer": (
        put(model__children__1__1={"kind": "Tanh", "options": {}}),
        "use each of the 1 quantum layers",
    ),
    "a file outside": (
        put(quantum_layers__0__circuit="../../etc/passwd"),
        r"quantum_layers\[0\].circuit` must be one of circuit_0.qasm; got '../../etc/passwd'",
    ),
    "a file too many": (
        put(files__secret={"size": 0, "sha256": ""}),
        'be those of the layers; got it declared for "secret"',
    ),
    "frozen": (put(frozen=["5.bias"]), '`bundle.json: frozen` must name weights of the model; got "5.bias"'),
    "shots": (put(quantum_layers__0__shots=0), r"quantum_layers\[0\].shots` must be an integer from 1"),
    "gradient": (put(quantum_layers__0__gradient="magic"), r"quantum_layers\[0\].gradient` must be one of"),
    "facts": (put(quantum_layers__0__n_wires=7), r"quantum_layers\[0\].n_wires` must be that of the circuit, 1; got 7"),
    "the dtype": (
        put(quantum_layers__0__dtype="float64"),
        r"`weights.safetensors: 1.w` must be float64 of shape \(2,\)",
    ),
    "backend options": (
        put(quantum_layers__0__backend={"name": "aer", "noise": "fake_nowhere"}),
        r'quantum_layers\[0\].backend` must be a backend that runs here; got "aer".*backend="statevector"',
    ),
    "the capability": (
        put(quantum_layers__0__gradient="adjoint", quantum_layers__0__shots=5),
        r"`bundle.json: quantum_layers\[0\]` must describe a layer that runs here; got: ",
    ),
    "a weight": (weights(**{"0.weight": torch.ones(2, 2)}), "`weights.safetensors: 0.weight` must fit the model"),
    "whole numbers": (
        weights(**{"0.bias": torch.ones(1, dtype=torch.int64)}),
        "0.bias` must fit the model, .*got torch.int64",
    ),
    "one more weight": (weights(more=torch.ones(1)), '`weights.safetensors` .*; got "more", which the file alone has'),
    "infinity": (weights(**{"0.bias": torch.tensor([float("inf")])}), "`weights.safetensors: 0.bias` must be finite"),
    "NaN": (weights(**{"1.w": torch.tensor([float("nan"), 0])}), "`weights.safetensors: 1.w` must be finite; got NaN"),
    "declared otherwise": (
        put(**{"tensors__0.bias": {"dtype": "float64", "shape": [1]}}),
        r"`weights.safetensors: 0.bias` must be float64 of shape \(1,\), as declared; got float32",
    ),
    "a pickle": (
        content("weights.safetensors", exploit(4)),
        "must be safetensors; got a pickle; nothing of it was executed",
    ),
    "an old pickle": (content("weights.safetensors", exploit(0)), "must be safetensors; got something else"),
    "torch.save": (
        content("weights.safetensors", torch_saved()),
        "must be safetensors; got a zip archive, such as torch.save",
    ),
    "a header too long": (
        content("weights.safetensors", struct.pack("<Q", 2**60) + b"{}"),
        "must be safetensors; got SafetensorError",
    ),
    "no JSON": (content("angle_map_0.json", exploit(2)), "`angle_map_0.json` must be JSON in UTF-8"),
    "deep JSON": (
        content("angle_map_0.json", b"[" * 100_000 + b"]" * 100_000),
        "`angle_map_0.json` must have at most 200",
    ),
    "rather deep JSON": (
        content("angle_map_0.json", b"[" * 300 + b"]" * 300),
        "`angle_map_0.json` must have at most 200",
    ),
    "NaN in JSON": (content("angle_map_0.json", b"[NaN]"), "must be JSON in UTF-8; got NaN, which is no JSON"),
    "a number too large": (content("angle_map_0.json", b"[1e999]"), "the number 1e999, which is too large"),
    "a number too long": (content("angle_map_0.json", b"1" * 10_000), "`angle_map_0.json` must be JSON in UTF-8"),
    "an entry twice": (content("angle_map_0.json", b'{"a": 1, "a": 2}'), "must be JSON in UTF-8; got an entry twice"),
    "no QASM": (content("circuit_0.qasm", exploit(4)), "`circuit_0.qasm` must be an OpenQASM 3 program"),
    "other QASM": (
        content("circuit_0.qasm", b'OPENQASM 3.0; include "stdgates.inc"; qubit q; x q; ry(0.2) q;'),
        r"`circuit_0.qasm` must have RX on wires \(0,\) as gate 0, as the layer; got PauliX",
    ),
    "other angles": (
        content(
            "circuit_0.qasm", b'OPENQASM 3.0; include "stdgates.inc"; input float x_0; qubit q; rx(x_0) q; ry(0.2) q;'
        ),
        "`circuit_0.qasm` must have RX .* as gate 0",
    ),
    "shorter QASM": (
        content("circuit_0.qasm", b'OPENQASM 3.0; include "stdgates.inc"; qubit q; x q;'),
        "must have 2 gates on 1 wires, as the layer; got 1 on 1",
    ),
    "an operation of torch": (
        angle_map(nodes=[["input", [], {}], ["load.default", [{"node": 0}], {}], ["sin.default", [{"node": 0}], {}]]),
        "`angle_map_0.json: angle_map` must be valid; got An angle is computed with torch's 'load'",
    ),
    "an endless formula": (
        angle_map(nodes=DOUBLING, row_extras=[60], shared_extras=[62]),
        r"`circuit_0.qasm` must have RX on wires \(0,\) as gate 0",
    ),
    "a map that fills the memory": (
        angle_map(nodes=HUGE, row_extras=[2], shared_extras=[2]),
        "compute at most 1,048,576 intermediate values",
    ),
    "a map that cannot run": (
        angle_map(
            nodes=[["input", [], {}], ["select.int", [{"node": 0}, 0, 9], {}]], row_extras=[1], shared_extras=[1]
        ),
        "1.angle_map` must compute angles; got IndexError",
    ),
    "other types in the map": (angle_map(batched=0), "angle_map` must be as it is written"),
}


@pytest.mark.parametrize("kind", FORGED)
def test_forged_bundles_are_refused_by_field(kind: str, folder: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    change, match = FORGED[kind]
    with pytest.raises(BundleError, match=match):
        qnn.load(forge(folder, tmp_path / "forged", change))
    assert os.listdir(tmp_path) == ["forged"]  # nothing was executed


def test_openqasm_in_other_words_is_compared(folder: Path, tmp_path: Path) -> None:
    """By gates, wires and angles: the program may come from another version of qnn."""
    text = b'OPENQASM 3.0;\ninclude "stdgates.inc";\ninput float w_1; input float w_0; input float s; input float x_0;'
    text += b"\nqubit p; rx(w_0 * x_0 + 0) p; ry(s * sin(w_1)) p;"
    loaded = qnn.load(forge(folder, tmp_path / "forged", content("circuit_0.qasm", text)))
    assert fingerprint(loaded) == fingerprint(qnn.load(folder))


def zipped(path: Path, entries, compression=zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as made:
        for name, data in entries:
            made.writestr(name, data)
    return path


def link(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.create_system, entry.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return entry


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("entries", "match"),
    [
        ([("../bundle.json", "{}")], r"files of a bundle only; got the entry '../bundle.json'"),
        ([("/etc/bundle.json", "{}")], "got the entry '/etc/bundle.json'"),
        ([("..\\evil", "")], r"got the entry '..\\\\evil'"),
        ([("model/bundle.json", "{}")], "Zip the files themselves, not the folder"),
        (
            [("bundle.json", "{}"), ("archive/data.pkl", exploit(4))],
            "got the entry 'archive/data.pkl'. A bundle has no",
        ),
        ([("bundle.json", "{}"), ("bundle.json", "{}")], 'hold each file once; got "bundle.json" again'),
        ([(link("weights.safetensors"), "/etc/passwd")], 'plain files; got "weights.safetensors", which is a link'),
        (
            [("bundle.json", b" " * 30_000_000)],
            r"compressed at most 200 times; got \"bundle.json\", 30,000,000 .*: a zip bomb",
        ),
        ([("circuit_0.qasm", b"")], "`path` must hold bundle.json; got none"),
    ],
)
def test_archives_that_are_no_bundles(entries, match: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=match):
        qnn.load(zipped(tmp_path / "b.zip", entries))


def test_an_archive_is_not_unpacked_before_it_is_checked(archive: Path, tmp_path: Path, monkeypatch) -> None:
    bomb = zipped(tmp_path / "b.zip", [(f"circuit_{i}.qasm", b"\0" * 900_000) for i in range(20)])
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *args: pytest.fail("unpacked"))
    with pytest.raises(BundleError, match=r"`path` must be at most 10,000,000 bytes; got 18,000,000. Give a larger"):
        qnn.load(bomb, max_bytes=10_000_000)
    with pytest.raises(BundleError, match="must be at most 100 bytes"):
        qnn.load(archive, max_bytes=100)
    with pytest.raises(ArgumentError, match="`max_bytes` must be a positive integer; got 0"):
        qnn.load(archive, max_bytes=0)
    monkeypatch.undo()
    with pytest.raises(BundleError, match="stored or deflated; got method 14"):
        qnn.load(zipped(tmp_path / "lzma.zip", [("bundle.json", "{}")], zipfile.ZIP_LZMA))


def test_sizes_that_lie(tmp_path: Path) -> None:
    """The central directory says one byte, the data are a million."""
    path = zipped(tmp_path / "b.zip", [("bundle.json", b" " * 500_000)])
    content = bytearray(path.read_bytes())
    directory = content.index(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = struct.pack("<I", 1)
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"`path` must be a whole zip; got .*damaged"):
        qnn.load(path)


def test_links_and_other_things_in_folders(folder: Path, tmp_path: Path) -> None:
    for name, make in {"linked": os.symlink, "pipe": lambda _, path: os.mkfifo(path)}.items():
        target = copied(folder, tmp_path / name)
        (target / "weights.safetensors").unlink()
        make(folder / "weights.safetensors", target / "weights.safetensors")
        with pytest.raises(
            BundleError, match=r"`weights.safetensors` must be a file of the bundle itself; got (a link|something)"
        ):
            qnn.load(target)
    (tmp_path / "elsewhere").symlink_to(folder)
    qnn.load(tmp_path / "elsewhere")  # the folder itself may be a link
    target = copied(folder, tmp_path / "less")
    (target / "circuit_0.qasm").unlink()
    with pytest.raises(BundleError, match=r'`path` must hold the file "circuit_0.qasm" and declare it; got none'):
        qnn.load(target)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (exploit(4), 'a folder or a zip; got "model", which is a pickle. Nothing of it was executed'),
        (torch_saved(), "got the entry 'archive/data.pkl'"),
        (safetensors.torch.save({"a": torch.ones(1)}), "which is safetensors alone"),
        (b"", "which is something else"),
    ],
)
def test_files_of_other_kinds(content: bytes, match: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("model").write_bytes(content)
    with pytest.raises(BundleError, match=match):
        qnn.load("model")
    assert os.listdir() == ["model"]


def test_paths_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="which does not exist"):
        qnn.load(tmp_path / "nowhere")
    with pytest.raises(BundleError, match=r"`path` must hold bundle.json; got none. Save"):
        qnn.load(tmp_path)
    with pytest.raises(DtypeError, match="`path` must be a path; got int"):
        qnn.load(1)


def test_a_device_by_default_does_not_matter(folder: Path) -> None:
    with torch.device("meta"):
        loaded = qnn.load(folder)
    assert {tensor.device.type for tensor in loaded.state_dict().values()} == {"cpu"}


def test_digests_are_those_of_the_files(folder: Path) -> None:
    for name, entry in json.loads((folder / "bundle.json").read_text())["files"].items():
        data = (folder / name).read_bytes()
        assert entry == {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}


def test_where_the_layers_run(tmp_path: Path) -> None:
    layer = QuantumLayer(2, 1, backend="aer", shots=100, gradient="finite-difference", seed=0, seed_transpiler=5)
    path = qnn.save(layer, tmp_path / "b")
    assert "seed_transpiler" in (path / "bundle.json").read_text()
    elsewhere = qnn.load(path, backend="statevector")
    assert (elsewhere.backend.name, elsewhere.shots, elsewhere.plan.method) == ("statevector", None, "adjoint")
    same = qnn.load(path, backend="aer", optimization_level=1)
    assert (same.shots, same.plan.method) == (100, "finite-difference")
    assert (same.backend.seed_transpiler, same.backend.optimization_level) == (5, 1)
    chosen = qnn.load(path, backend="statevector", shots=7, gradient="spsa")
    assert (chosen.shots, chosen.plan.method) == (7, "spsa")
    with pytest.raises(UnknownNameError, match='No backend named "statvector"'):
        qnn.load(path, backend="statvector")
    with pytest.raises(ArgumentError, match="`shots` must be given with `backend`; got it alone"):
        qnn.load(path, shots=3)
    with pytest.raises(QnnError, match="adjoint"):
        qnn.load(path, backend="aer", gradient="adjoint")


@pytest.mark.parametrize("name", ["ibm:ibm_fez", "braket:sv1", "pennylane:my.plugin", "statevector\n"])
def test_a_file_chooses_no_service(name: str, folder: Path, tmp_path: Path) -> None:
    forged = forge(folder, tmp_path / "b", put(quantum_layers__0__backend={"name": name}))
    with pytest.raises(BundleError, match=r"backend` must be a simulator on this machine to be used unasked; got"):
        qnn.load(forged)
    assert qnn.load(forged, backend="statevector")[1].backend.name == "statevector"


def test_names_of_accounts_are_not_stored(tmp_path: Path, monkeypatch) -> None:
    layer = QuantumLayer(1, 1, seed=0)
    given = {"name": "ibm:ibm_fez", "account": "me", "instance": "crn:mine", "s3_folder": "mine", "tags": ("a",)}
    monkeypatch.setattr(layer.backend, "specification", lambda: given)  # a machine would have to be asked for
    qnn.save(layer, tmp_path / "b")
    stored = json.loads((tmp_path / "b" / "bundle.json").read_text())["quantum_layers"][0]["backend"]
    assert stored == {"name": "ibm:ibm_fez", "tags": ["a"]}
