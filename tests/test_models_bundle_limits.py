"""Bundles that would cost far more than their size: time, memory, or the bundle that was there before."""

import json
import os
import tracemalloc
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import nn

import qnn
from qnn.errors import BundleError, StorageError
from qnn.models.bundle import archive, fields, tensors
from qnn.models.bundle.tree import check_equal, decode, tensors_of
from tests.bundle_samples import doubling, forge


def nested(depth: int, leaf: nn.Module | None = None) -> nn.Module:
    """2**depth places of one linear layer."""
    module = leaf or nn.Linear(1, 1)
    for _ in range(depth):
        module = nn.Sequential(OrderedDict(a=module, b=module))
    return module


def test_weights_are_collected_once_for_a_shared_module() -> None:
    """40 levels, of which `state_dict` would make a million million names."""
    model = nested(40)
    prefix = ".".join("a" * 40)
    assert list(tensors_of(model)) == [f"{prefix}.weight", f"{prefix}.bias"]
    check_equal(model, model)
    changed = nn.Sequential(OrderedDict(a=model, b=nested(40, nn.Linear(1, 1, bias=False))))
    with pytest.raises(BundleError, match=r'got the module "b'):
        check_equal(nn.Sequential(OrderedDict(a=model, b=model)), changed)


def test_the_names_are_those_of_the_state_dict() -> None:
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Sequential(nn.Linear(2, 2, bias=False), nn.BatchNorm1d(2)))
    model[1].register_buffer("passing", torch.ones(1), persistent=False)
    assert list(tensors_of(model)) == list(model.state_dict())


def test_sharing_is_bounded_by_places(tmp_path: Path) -> None:
    qnn.save(nested(3), tmp_path / "small")
    assert len(list(qnn.load(tmp_path / "small").named_modules(remove_duplicate=False))) == 15
    with pytest.raises(BundleError, match=r"must have at most 100,000 modules; got more. A shared module counts"):
        qnn.save(nested(20), tmp_path / "large")
    assert os.listdir(tmp_path) == ["small"]
    value = fields.Value(json.loads(json.dumps(doubling(50))), "bundle.json", "model")
    with pytest.raises(BundleError, match="must have at most 100,000 modules"):
        decode(value, lambda number, path: pytest.fail("no layers"), 0)


def test_paths_of_modules_are_bounded(tmp_path: Path) -> None:
    model = nn.Sequential(OrderedDict([("a" * 2001, nn.Tanh())]))
    with pytest.raises(BundleError, match=r"have a path of at most 2,000 characters; got 2,001"):
        qnn.save(model, tmp_path / "b")


def test_an_extra_state_is_refused(tmp_path: Path) -> None:
    class Counting(nn.Identity):
        def get_extra_state(self) -> int:
            return 1

    with pytest.raises(BundleError, match='got an extra state on Counting at "0"'):
        tensors_of(nn.Sequential(Counting()))


def test_a_weight_frozen_twice_is_refused(tmp_path: Path) -> None:
    model = nn.Linear(1, 1)
    model.bias.requires_grad_(False)
    folder = qnn.save(model, tmp_path / "b")
    assert not qnn.load(folder).bias.requires_grad
    forged = forge(folder, tmp_path / "f", lambda files: files["bundle.json"].update(frozen=["bias", "bias"]))
    with pytest.raises(BundleError, match=r'`bundle.json: frozen` must name each weight once; got "bias" again'):
        qnn.load(forged)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"[" + b"[]," * 1_000_000 + b"[]]", "`x.json` must have at most 1,000,000 lists and objects; got 1,000,002"),
        (b"[" + b" " * 2**24 + b"]", "`x.json` must be at most 16 MiB; got 16,777,218 bytes"),
    ],
)
def test_json_is_bounded_before_it_is_parsed(content: bytes, match: str, monkeypatch) -> None:
    monkeypatch.setattr(json, "loads", lambda *args, **kwargs: pytest.fail("parsed"))
    with pytest.raises(BundleError, match=match):
        fields.parse(content, "x.json")


def test_an_error_does_not_write_a_huge_value_in_full() -> None:
    value = fields.Value([list(range(1000))] * 1000, "x.json")
    tracemalloc.start()
    try:
        with pytest.raises(BundleError, match=r"`x.json` must be a string; got \[\[0, 1, 2"):
            value.text()
        assert tracemalloc.get_traced_memory()[1] < 1_000_000  # in full it is 5 MB
    finally:
        tracemalloc.stop()


def test_weights_are_in_memory_twice_at_most(monkeypatch) -> None:
    """While they are copied the file is gone, and each tensor of the parser goes when its copy is made.

    Python's memory is traced, which is the file and what the parser made of it; the copies are torch's.
    """
    weights = {str(i): torch.ones(250_000) for i in range(8)}
    size = 8 * 1_000_000
    declared = fields.Value(tensors.describe(weights), "bundle.json")
    traced: list[int] = []
    clone = torch.Tensor.clone

    def watched(tensor: torch.Tensor) -> torch.Tensor:
        traced.append(tracemalloc.get_traced_memory()[0])
        return clone(tensor)

    tracemalloc.start()
    try:
        content = [tensors.pack(weights)]
        monkeypatch.setattr(torch.Tensor, "clone", watched)
        made = tensors.unpack(content.pop(), declared)
    finally:
        tracemalloc.stop()
    assert all(torch.equal(made[name], weights[name]) for name in weights)
    assert traced[0] < 1.1 * size and traced[-1] < 0.2 * size


def failing(monkeypatch, fails) -> None:
    """Renames fail where `fails(source, target)`; folders are not exchanged."""
    rename = os.rename

    def tried(source, target):
        if fails(Path(source), Path(target)):
            raise PermissionError(13, "Permission denied")
        rename(source, target)

    monkeypatch.setattr(archive, "_exchange", lambda one, other: False)
    monkeypatch.setattr(os, "rename", tried)


@pytest.mark.parametrize("which", ["first", "second"])
def test_the_old_bundle_is_put_back_where_a_rename_fails(which: str, tmp_path: Path, monkeypatch) -> None:
    target = qnn.save(nn.Linear(2, 1), tmp_path / "b")
    if which == "first":
        failing(monkeypatch, lambda source, to: source == target)
    else:
        failing(monkeypatch, lambda source, to: to == target and source.name != "bundle")
    with pytest.raises(StorageError, match=r"Permission denied. .* what was there before is untouched"):
        qnn.save(nn.Tanh(), target)
    assert os.listdir(tmp_path) == ["b"] and type(qnn.load(target)) is nn.Linear


def test_an_old_bundle_that_cannot_be_put_back_is_kept(tmp_path: Path, monkeypatch) -> None:
    target = qnn.save(nn.Linear(2, 1), tmp_path / "b")
    failing(monkeypatch, lambda source, to: to == target)
    with pytest.raises(StorageError, match=r'putting the old bundle back. It is whole: rename ".*\.b\.old\..*" to'):
        qnn.save(nn.Tanh(), target)
    (left,) = os.listdir(tmp_path)
    assert type(qnn.load(tmp_path / left / "bundle")) is nn.Linear
