"""Saving a model as plain data."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from qnn.errors import BundleError, DtypeError
from qnn.models.bundle import archive, quantum, tensors, tree
from qnn.models.bundle.plain import section
from qnn.models.bundle.read import FORMAT, SECTIONS, VERSION, digest_of, rehearse

_PACKAGES = ("torch", "pennylane", "numpy", "safetensors", "qiskit", "qiskit-aer", "scikit-learn")


def save(
    model: torch.nn.Module,
    path: str | Path,
    *,
    scaling: Any = None,
    task: Any = None,
    config: Any = None,
    metrics: Any = None,
    extra: Any = None,
) -> Path:
    """Write `model` and what belongs to it to one folder, or to one zip: plain data, nothing pickled.

    The folder holds ``weights.safetensors``, for each quantum layer ``circuit_<k>.qasm`` (OpenQASM 3) and
    ``angle_map_<k>.json``, and ``bundle.json`` with all the rest. An existing bundle is replaced as a whole; nothing
    else is ever overwritten. Before anything is written the model is built from the data and compared.

    Args:
        model: made of quantum layers, qnn's and torch's layers, and of classes registered with
            `qnn.models.register_module`. Weights, buffers, which weights are frozen, where quantum layers run and how
            they sample are kept; `history`, hooks and whether it is training are not.
        path: a zip where it ends in ".zip", else a folder.
        scaling: how inputs were scaled, plain data, a mapping; as `config`.
        task: features, classes and statistics of the training data.
        config: how it was trained, such as a `qnn.FitConfig`.
        metrics: how well, such as `history.as_dict()`.
        extra: whatever else.

    Returns:
        `path`.

    Raises:
        BundleError: a module, a backend or a weight that a bundle cannot hold; the message says which.
        NotFiniteError: a weight or a number is NaN or infinite.
        ArgumentError: something else than a bundle is at `path`.
        StorageError: it cannot be written; what was there is as before.

    Example:
        >>> import tempfile, qnn
        >>> net = torch.nn.Sequential(torch.nn.Linear(3, 2), qnn.QuantumLayer(2, 1, seed=0))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     loaded = qnn.load(qnn.save(net, f"{folder}/net.zip", metrics={"test_accuracy": 0.9}))
        >>> torch.equal(loaded(torch.ones(1, 3)), net(torch.ones(1, 3)))
        True
    """
    if not isinstance(model, torch.nn.Module):
        raise DtypeError(f"`model` must be a torch.nn.Module; got {type(model).__name__}. Pass the network itself.")
    target = archive.target_of(path)
    given = {"scaling": scaling, "task": task, "config": config, "metrics": metrics, "extra": extra}
    sections = {name: section(given[name], name) for name in SECTIONS}
    with torch.device("cpu"):
        files = _files(model, sections)
        rehearse(files, model)
    archive.write(target, files)
    return Path(path)


def _files(model: torch.nn.Module, sections: Mapping[str, Any]) -> dict[str, bytes]:
    """The content of each file; bundle.json comes first."""
    nodes, layers = tree.encode(model)
    weights = tree.tensors_of(model)
    files: dict[str, bytes] = {}
    entries = []
    for number, (path, layer) in enumerate(layers):
        entry, made = quantum.describe(layer, number, path)
        entries.append(entry)
        files |= made
    files[tensors.FILE] = tensors.pack(weights)
    manifest = {
        "format": FORMAT,
        "format_version": VERSION,
        "model": nodes,
        "quantum_layers": entries,
        "tensors": tensors.describe(weights),
        "frozen": sorted(
            name
            for name, tensor in weights.items()
            if isinstance(tensor, torch.nn.Parameter) and not tensor.requires_grad
        ),
        **sections,
        "versions": _versions(),
        "files": {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)} for name, data in files.items()
        },
    }
    try:
        manifest["digest"] = digest_of(manifest)
        text = json.dumps(manifest, indent=1, allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"`model` must have options that are plain data; got: {error}. Correct them.") from error
    return {archive.MANIFEST: (text + "\n").encode()} | files


def _versions() -> dict[str, str]:
    """Versions of qnn, Python and the packages that matter, where installed."""
    found = {"qnn": metadata.version("qnn"), "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
