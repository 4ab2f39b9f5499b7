"""A network with quantum layers as one ONNX file, which runs where neither qnn nor torch is installed."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from qnn._files import write_atomic
from qnn._optional import require
from qnn.errors import CapabilityError, DtypeError, ExportError, ShapeError
from qnn.layers.export_check import check_values
from qnn.layers.quantum_layer import QuantumLayer

_LARGEST = 2**31 - 1  # bytes of a protocol buffer, which an ONNX file is


def export_onnx(
    model: torch.nn.Module, path: str | Path, example_inputs: torch.Tensor | Sequence[torch.Tensor]
) -> Path:
    """Write `model` with its present weights to an ONNX file that takes any batch size.

    The circuit becomes arithmetic: the file needs no quantum package, nor torch, to run. Where onnxruntime is
    installed the file is run beside the model before it is written, on the example and on another batch size. The
    model is exported as in evaluation mode; it stays as it is.

    Args:
        model: the network; its quantum layers must be exact and on a backend made of torch operations, which is
            ``backend="statevector"``.
        path: the file; written whole or not at all.
        example_inputs: what the model is called with, or a sequence of it; the first dimension is the batch.

    Returns:
        `path`.

    Raises:
        CapabilityError: a quantum layer has shots or noise, or runs on another backend.
        ExportError: torch cannot export the rest of the model, or onnxruntime computes something else.
        StorageError: the file could not be written.
        MissingDependencyError: the extra `onnx` is not installed.

    Example:
        >>> import tempfile
        >>> net = torch.nn.Sequential(torch.nn.Linear(3, 2), QuantumLayer(n_qubits=2, n_layers=1, seed=0))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     print(export_onnx(net, f"{folder}/net.onnx", torch.zeros(4, 3)).name)
        net.onnx
    """
    if not isinstance(model, torch.nn.Module):
        raise DtypeError(f"`model` must be a torch.nn.Module; got {type(model).__name__}. Pass the network itself.")
    inputs = _examples(example_inputs)
    check_exportable(model)
    for name, module in model.named_modules():
        if isinstance(module, QuantumLayer):
            _check_size(name, module)
    with _evaluating(model), torch.no_grad():
        content = _serialized(model, inputs)
        check_values(model, content, inputs)
    return write_atomic(path, content)


def _examples(example_inputs: Any) -> tuple[torch.Tensor, ...]:
    """Examples of two rows or more: from one row torch would conclude that there is always one."""
    given = (example_inputs,) if isinstance(example_inputs, torch.Tensor) else tuple(example_inputs)
    for example in given:
        if not isinstance(example, torch.Tensor):
            raise DtypeError(
                f"`example_inputs` must be tensors; got {type(example).__name__}. Use torch.as_tensor on each."
            )
        if example.ndim < 2:
            raise ShapeError(
                "`example_inputs` must have a batch dimension before the features; "
                f"got shape {tuple(example.shape)}. Add it with example[None]."
            )
    sizes = {len(example) for example in given}
    if len(sizes) != 1:
        raise ShapeError(f"`example_inputs` must have equally many rows; got {sorted(sizes)}. Give one batch.")
    if sizes == {0}:
        raise ShapeError("`example_inputs` must have at least one row; got none. Give one batch.")
    return tuple(example.repeat(2, *[1] * (example.ndim - 1)) if len(example) < 2 else example for example in given)


def check_exportable(model: torch.nn.Module) -> None:
    """Refuse a network with circuits that no arithmetic is, as they are or with fewer gates.

    Raises:
        CapabilityError: a quantum layer has shots or noise, or runs on another backend.
        MissingDependencyError: the extra `onnx` is not installed.
    """
    for name, module in model.named_modules():
        if isinstance(module, QuantumLayer) and not module.plan.differentiable:
            raise CapabilityError(module.plan.not_exportable() + _where(name))
    for package in ("onnx", "onnxscript"):
        require(package, extra="onnx", purpose="Exporting to ONNX")


def _check_size(name: str, layer: QuantumLayer) -> None:
    size = sum(
        12 * 2 ** (program.n_wires + 1) * (len(program.rotations) + program.measurement.n_values)
        for program in layer.plan.amplitudes.programs
    )
    if size > _LARGEST:
        raise CapabilityError(
            f"`n_qubits` must be small enough for a file of at most 2 GiB; got {layer.circuit.n_wires}, which takes "
            f"about {size / 2**30:.1f} GiB. Use fewer qubits or fewer layers{_where(name)}."
        )


def _where(name: str) -> str:
    return f' (layer "{name}")' if name else ""


@contextmanager
def _evaluating(model: torch.nn.Module) -> Iterator[None]:
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _serialized(model: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> bytes:
    names = ["inputs"] if len(inputs) == 1 else [f"inputs_{i}" for i in range(len(inputs))]
    batch = torch.export.Dim("batch")
    try:
        with _quiet():
            program = torch.onnx.export(
                model, inputs, dynamo=True, dynamic_shapes=tuple({0: batch} for _ in inputs), input_names=names,
                verbose=False,
            )  # fmt: skip
        assert program is not None, "the exporter by torch.export returns a program"
        return program.model_proto.SerializeToString()
    except Exception as error:  # exporters raise what they like
        raise ExportError(
            f"`model` must be a network that torch.onnx.export can write for any batch size; got {_reason(error)} "
            "Replace what depends on the values or on the number of rows."
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says about packages that have nothing to do with the model, and about torch itself."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():  # torch's exporter copies a class of its own that torch calls deprecated
            warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
            yield
    finally:
        logger.setLevel(before)


def _reason(error: BaseException) -> str:
    """The first cause, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    line = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {line.rstrip('.')}."
