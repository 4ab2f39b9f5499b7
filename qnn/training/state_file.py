"""Nested plain data with tensors in one file: safetensors, with the rest as JSON in its header. Nothing is unpickled.

A digest over all of it tells a truncated or altered file. Dictionaries (with keys of any plain kind), lists, tuples,
numbers, strings, None and tensors come back as they were.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from qnn._files import create_atomic, write_atomic
from qnn.errors import CheckpointError

VERSION = 1
_KIND = "qnn-checkpoint"
_LONGEST_HEADER = 100_000_000  # bytes; what safetensors itself allows


def write_state(path: str | Path, state: dict[str, Any]) -> Path:
    """Write `state` atomically.

    Raises:
        StorageError: the file cannot be written; what was there stays.
        CheckpointError: the state holds something that is not plain data.
    """
    return write_atomic(path, _to_bytes(state))


def create_state(path: str | Path, state: dict[str, Any]) -> bool:
    """Write `state` atomically, if no file is there; whether it did. Of several processes one does.

    Raises:
        StorageError, CheckpointError: as `write_state`.
    """
    return create_atomic(path, _to_bytes(state))


def read_state(path: str | Path) -> dict[str, Any]:
    """What `write_state` wrote; tensors are on the CPU.

    Raises:
        CheckpointError: no such file, not such a file, of another version, truncated or altered.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f'`checkpoint` must be a readable file; reading "{path}" failed: {error.strerror or error}. Check the path.'
        ) from error
    metadata = _metadata(content, path)
    if metadata.get("kind") != _KIND:
        raise _refused(path, "it is a safetensors file of another kind", "Give the file that `fit` wrote.")
    if metadata.get("version") != str(VERSION):
        advice = "Go on with the version of qnn that wrote it."
        raise _refused(path, f"its format is version {metadata.get('version')!r}, this qnn reads {VERSION}", advice)
    try:
        tensors = safetensors.torch.load(content)
        intact = metadata["sha256"] == _digest(metadata["document"], tensors)
        state = _decode(json.loads(metadata["document"]), tensors) if intact else None
    except Exception as error:  # safetensors and json raise many kinds for what is not one of their files
        raise _damaged(path, str(error)) from error
    if not isinstance(state, dict):
        raise _damaged(path, "its digest does not fit its content")
    return state


def _to_bytes(state: dict[str, Any]) -> bytes:
    tensors: dict[str, torch.Tensor] = {}
    document = json.dumps(_encode(state, tensors, "state"), allow_nan=False)
    metadata = {"kind": _KIND, "version": str(VERSION), "document": document, "sha256": _digest(document, tensors)}
    return safetensors.torch.save(tensors, metadata)


def _metadata(content: bytes, path: Path) -> dict[str, str]:
    """The header's own entries, without trusting anything in it."""
    size = int.from_bytes(content[:8], "little") if len(content) >= 8 else 0
    if not 2 <= size <= min(len(content) - 8, _LONGEST_HEADER):
        raise _damaged(path, "it is no safetensors file, or is cut off")
    try:
        metadata = json.loads(content[8 : 8 + size])["__metadata__"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(path, "its header cannot be read") from error
    if not isinstance(metadata, dict):
        raise _damaged(path, "its header cannot be read")
    return metadata


def _encode(value: Any, tensors: dict[str, torch.Tensor], where: str) -> Any:
    """`value` as JSON; tensors are put aside under running numbers."""
    if isinstance(value, torch.Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return {"tensor": name}
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, dict):
        pairs = [[_encode(k, tensors, where), _encode(v, tensors, f"{where}.{k}")] for k, v in value.items()]
        return {"dict": pairs}
    if isinstance(value, list | tuple):
        items = [_encode(item, tensors, f"{where}[{i}]") for i, item in enumerate(value)]
        return items if isinstance(value, list) else {"tuple": items}
    raise CheckpointError(
        f"What a checkpoint keeps must be numbers, strings, lists, dictionaries and tensors; got "
        f"{type(value).__name__} at {where}. Leave it out of the `state_dict` that gives it."
    )


def _decode(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """The inverse of `_encode`."""
    if isinstance(value, list):
        return [_decode(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, inner),) = value.items()
    if kind == "tensor":
        return tensors[inner]
    if kind == "float":
        return float(inner)
    if kind == "tuple":
        return tuple(_decode(item, tensors) for item in inner)
    if kind == "dict":
        return {_decode(k, tensors): _decode(v, tensors) for k, v in inner}
    raise ValueError(f'unknown entry "{kind}"')


def _digest(document: str, tensors: dict[str, torch.Tensor]) -> str:
    """SHA-256 over the document and, for each tensor, its name, dtype, shape and bytes."""
    digest = hashlib.sha256(document.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"|{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return digest.hexdigest()


def _refused(path: Path, why: str, advice: str) -> CheckpointError:
    return CheckpointError(f'"{path}" must be a checkpoint that fits; {why}. {advice}')


def _damaged(path: Path, why: str) -> CheckpointError:
    return _refused(path, f"it is damaged ({why})", "Use another checkpoint, or move it away to start anew.")
