"""The weights of a bundle: safetensors, and nothing else whatever the file is called."""

from __future__ import annotations

from collections.abc import Mapping

import safetensors.torch
import torch

from qnn.errors import BundleError, NotFiniteError
from qnn.models.bundle.fields import Value, reason, refusal

FILE = "weights.safetensors"
DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64,
        torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool,
    )
}  # fmt: skip


def pack(tensors: Mapping[str, torch.Tensor]) -> bytes:
    """The tensors as one safetensors file.

    Raises:
        NotFiniteError: one of them holds NaN or infinity.
        BundleError: one of them has a dtype that a bundle does not hold.
    """
    for name, tensor in tensors.items():
        if dtype_name(tensor) not in DTYPES:
            raise BundleError(
                f'`model` must have weights of a dtype among {", ".join(DTYPES)}; got {tensor.dtype} in "{name}". '
                "Convert it."
            )
        if not is_finite(tensor):
            raise NotFiniteError(
                f'`model` must have finite weights to be saved; got NaN or infinity in "{name}". '
                "Save the model as it was before it diverged."
            )
    return safetensors.torch.save({n: t.detach().cpu().contiguous().clone() for n, t in tensors.items()})


def describe(tensors: Mapping[str, torch.Tensor]) -> dict[str, dict[str, object]]:
    """Dtype and shape of each tensor, as plain data."""
    return {name: {"dtype": dtype_name(t), "shape": list(t.shape)} for name, t in tensors.items()}


def unpack(content: bytes, declared: Value) -> dict[str, torch.Tensor]:
    """The tensors of a file, each as declared and finite.

    Args:
        content: of the file; given up as soon as it is parsed, so that the weights are in memory twice at most.
        declared: what `describe` gave.

    Raises:
        BundleError: no safetensors, or other tensors than declared.
    """
    if kind := foreign(content):
        raise refusal(FILE, "be safetensors", f"{kind}; nothing of it was executed")
    try:
        found = safetensors.torch.load(content)
    except Exception as error:  # the parser has errors of its own, and torch's are of many kinds
        raise refusal(FILE, "be safetensors", reason(error)) from error
    del content
    expected = declared.any_entries()
    for name in found.keys() ^ expected.keys():
        where = "declared only" if name in expected else "in the file only"
        raise refusal(FILE, "hold the tensors that bundle.json declares", f'"{name[:80]}" {where}')
    for name, place in expected.items():
        entries = place.entries(("dtype", "shape"))
        dtype = DTYPES[entries["dtype"].text(DTYPES)]
        shape = tuple(size.whole() for size in entries["shape"].items())
        tensor = found[name]
        if (tensor.dtype, tuple(tensor.shape)) != (dtype, shape):
            got = f"{dtype_name(tensor)} of shape {tuple(tensor.shape)}"
            raise refusal(f"{FILE}: {name}", f"be {dtype_name(dtype)} of shape {shape}, as declared", got)
        if not is_finite(tensor):
            raise refusal(f"{FILE}: {name}", "be finite", "NaN or infinity")
    # Memory of torch, aligned as that of the saved model was; each is given up as it is copied.
    return {name: found.pop(name).clone() for name in expected}


def foreign(content: bytes) -> str | None:
    """What a file is that only pretends to be plain data: a pickle, or an archive of torch.save."""
    if (
        content[:1] == b"\x80"
        and content[1:2] in (b"\x01", b"\x02", b"\x03", b"\x04", b"\x05")
        and content[8:9] != b"{"
    ):
        return "a pickle"
    if content[:4] == b"PK\x03\x04":
        return "a zip archive, such as torch.save writes"
    if content[8:9] != b"{":
        return "something else"
    return None


def is_finite(tensor: torch.Tensor) -> bool:
    """Whether no entry is NaN or infinite."""
    return not (tensor.is_floating_point() or tensor.is_complex()) or bool(torch.isfinite(tensor).all())


def dtype_name(tensor: torch.Tensor | torch.dtype) -> str:
    """Such as "float32"."""
    return str(tensor if isinstance(tensor, torch.dtype) else tensor.dtype).removeprefix("torch.")
