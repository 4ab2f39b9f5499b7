"""Small models for bundles, and forged bundles: altered on purpose, with digests that fit again."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pennylane as qml
import torch

from qnn import QuantumLayer
from qnn.models.bundle.read import digest_of


def small_model() -> torch.nn.Module:
    """A classical layer, a quantum layer whose angles are computed, and dropout."""

    def function(inputs, w, s):
        qml.RX(inputs[0] * w[0], wires=0)
        qml.RY(torch.sin(w[1]) * s, wires=0)

    layer = QuantumLayer.from_pennylane(
        function, n_inputs=1, weight_shapes={"w": 2, "s": ()}, observables=[qml.X(0)], seed=0
    )
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(2, 1), layer, torch.nn.Dropout(0.5))


def doubling(depth: int) -> dict[str, object]:
    """The tree of a model that has one module in 2**depth places: each level holds the one below it twice."""
    node: dict[str, object] = {"kind": "Tanh", "options": {}}
    for level in range(depth):
        below = ".".join("a" * (depth - level))
        children = [["a", node], ["b", {"kind": "same", "as": below}]]
        node = {"kind": "Sequential", "options": {}, "children": children}
    return node


def forge(folder: Path, target: Path, change: Callable[[dict[str, object]], None]) -> Path:
    """A copy of a bundle whose files were changed by somebody who knows how digests are made.

    Args:
        folder: the bundle, a folder.
        target: where the copy goes.
        change: alters the files, given as a mapping from names to parsed JSON, or to bytes.
    """
    files: dict = {path.name: path.read_bytes() for path in folder.iterdir()}
    files = {name: json.loads(data) if name.endswith(".json") else data for name, data in files.items()}
    change(files)
    manifest = files.pop("bundle.json")
    contents = {n: data if isinstance(data, bytes) else json.dumps(data).encode() for n, data in files.items()}
    if isinstance(manifest.get("files"), dict):
        manifest["files"] |= {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
            for name, data in contents.items()
            if name in manifest["files"]
        }
    manifest["digest"] = digest_of(manifest)
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for name, data in contents.items() | {("bundle.json", json.dumps(manifest).encode())}:
        (target / name).write_bytes(data)
    return target
