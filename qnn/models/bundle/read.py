"""Loading a model from plain data: a bundle is input, and is checked like input."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from qnn._fingerprint import canonical_json
from qnn._integers import whole
from qnn.backends.base import Backend
from qnn.errors import ArgumentError, DtypeError
from qnn.layers import QuantumLayer
from qnn.models.bundle import archive, quantum, tensors, tree
from qnn.models.bundle.fields import Value, parse, refusal
from qnn.models.bundle.place import keep_place, stored_place

FORMAT = "qnn-bundle"
VERSION = 1
SECTIONS = ("scaling", "task", "config", "metrics", "extra")
MAX_BYTES = 2 * 2**30
_ENTRIES = (
    "format", "format_version", "model", "quantum_layers", "tensors", "frozen", *SECTIONS, "versions", "files",
    "digest",
)  # fmt: skip


@dataclass(frozen=True)
class Bundle:
    """What a bundle holds.

    Attributes:
        model: in evaluation mode, on the CPU.
        scaling: as given to `save`, plain data; None where nothing was given.
        task: likewise.
        config: likewise.
        metrics: likewise.
        extra: likewise.
        versions: of qnn, Python and packages, when it was saved.
        format_version: of the layout.
        path: where it was read.
    """

    model: torch.nn.Module
    scaling: dict[str, Any] | None
    task: dict[str, Any] | None
    config: dict[str, Any] | None
    metrics: dict[str, Any] | None
    extra: dict[str, Any] | None
    versions: dict[str, str]
    format_version: int
    path: Path


def load(
    path: str | Path, *, backend: str | Backend | None = None, max_bytes: int = MAX_BYTES, **options: Any
) -> torch.nn.Module:
    """The model of a bundle, in evaluation mode: with the same weights, values and next samples as when it was saved.

    Nothing is unpickled or executed. Everything in the file is checked: digests, sizes, types, shapes, that numbers
    are finite, that the OpenQASM says what the circuit says. A digest finds damage; it does not say who wrote a file.

    Args:
        path: a folder or zip written by `qnn.save`.
        backend: where all quantum layers are to run; None is where they ran when saved, which must be a simulator on
            this machine. A file does not make you a customer: a service or a plug-in runs only where its name is given
            here. The name that was saved brings its stored options with it.
        max_bytes: largest size of the bundle, unpacked.
        **options: with `backend`, as for `QuantumLayer.to_backend`: `shots`, `gradient`, options of the backend.

    Raises:
        BundleError: the bundle is damaged, forged, of a newer version, or needs what is not here; the message names
            the field.
    """
    return read_bundle(path, backend=backend, max_bytes=max_bytes, **options).model


def read_bundle(
    path: str | Path, *, backend: str | Backend | None = None, max_bytes: int = MAX_BYTES, **options: Any
) -> Bundle:
    """The model with all that was saved beside it; see `load`."""
    if not isinstance(path, str | Path):
        raise DtypeError(f"`path` must be a path; got {type(path).__name__}. Use a string.")
    if (whole(max_bytes) or 0) < 1:
        raise ArgumentError(f"`max_bytes` must be a positive integer; got {max_bytes!r}. Use 2**31.")
    with archive.opened(Path(path), max_bytes) as source, torch.device("cpu"):
        return _read(source, Path(path), stored_place(backend, options))


def rehearse(files: Mapping[str, bytes], model: torch.nn.Module) -> None:
    """Read what is about to be written, and compare.

    Raises:
        BundleError: what comes back is not `model`; something was changed after it was built.
    """
    _, layers = tree.encode(model)
    made = _read(archive.Source(files), Path(), keep_place([layer for _, layer in layers])).model
    tree.check_equal(made, model)


def _read(source: archive.Source, path: Path, place: Any) -> Bundle:
    manifest = _manifest(source)
    contents = _Contents(source, manifest["files"])
    weights = tensors.unpack(contents.read(tensors.FILE), manifest["tensors"])
    layers = list(manifest["quantum_layers"].items(100_000))
    wanted = {tensors.FILE, *(name for k in range(len(layers)) for name in quantum.files_of(k).values())}
    contents.check_names(wanted)

    def build(number: int, at: str) -> QuantumLayer:
        return quantum.build(layers[number], number, contents.read, weights, at, place(number))

    model = tree.decode(manifest["model"], build, len(layers))
    tree.put_in(model, weights, [name.text() for name in manifest["frozen"].items()])
    sections = {name: _section(manifest[name]) for name in SECTIONS}
    versions = {name: value.text() for name, value in manifest["versions"].any_entries().items()}
    return Bundle(model.eval(), **sections, versions=versions, format_version=VERSION, path=path)


def digest_of(manifest: Mapping[str, Any]) -> str:
    """SHA-256 of bundle.json without its entry `digest`."""
    rest = {name: value for name, value in manifest.items() if name != "digest"}
    return hashlib.sha256(canonical_json(rest).encode()).hexdigest()


def _manifest(source: archive.Source) -> dict[str, Value]:
    """The entries of bundle.json, once its version and its digest are right."""
    if archive.MANIFEST not in source.sizes:
        raise refusal("path", f"hold {archive.MANIFEST}", "none", "Save the model with qnn.save.")
    value = parse(_sized(source, archive.MANIFEST), archive.MANIFEST)
    start = value.any_entries()
    if "format" not in start or start["format"].data != FORMAT or "format_version" not in start:
        raise refusal("bundle.json: format", f'be "{FORMAT}" with a version', "something else")
    if (version := start["format_version"].whole()) > VERSION:
        advice = "Load it with the version of qnn that saved it, or a newer one."
        raise refusal("bundle.json: format_version", f"be at most {VERSION} for this qnn", str(version), advice)
    start["format_version"].whole(1)
    entries = value.entries(_ENTRIES)
    try:
        digest = digest_of(value.data)
    except (ValueError, RecursionError) as error:
        raise refusal("bundle.json", "be plain data", str(error)) from error
    if entries["digest"].text() != digest:
        raise refusal("bundle.json: digest", "be that of the file", "another: the file was altered or is damaged")
    return entries


def _sized(source: archive.Source, name: str) -> bytes:
    content = source.read(name)
    if len(content) != source.sizes[name]:
        raise refusal(name, f"have {source.sizes[name]:,} bytes", f"{len(content):,}")
    return content


class _Contents:
    """The files of a bundle, each with the size and the digest that bundle.json says."""

    def __init__(self, source: archive.Source, declared: Value) -> None:
        self._source = source
        self._declared = declared.any_entries()

    def check_names(self, wanted: set[str]) -> None:
        """Refuse files that no layer has."""
        for name in self._declared.keys() ^ wanted:
            got = "it declared" if name in self._declared else "none"
            raise refusal("bundle.json: files", "be those of the layers", f'{got} for "{name[:80]}"')

    def read(self, name: str) -> bytes:
        """The content, after the checks."""
        if name not in self._declared or name not in self._source.sizes:
            raise refusal("path", f'hold the file "{name}" and declare it', "none")
        entries = self._declared[name].entries(("sha256", "size"))
        size, found = entries["size"].whole(), self._source.sizes[name]
        if size != found:
            raise refusal(name, f"have {size:,} bytes", f"{found:,}: it is truncated or was replaced")
        content = _sized(self._source, name)
        if hashlib.sha256(content).hexdigest() != entries["sha256"].text():
            raise refusal(name, "have the digest that bundle.json declares", "another: it was altered or is damaged")
        return content


def _section(value: Value) -> dict[str, Any] | None:
    if not isinstance(value.data, dict | None):
        raise value.refusal("be an object or null")
    return value.data
