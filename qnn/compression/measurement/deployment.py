"""Models on their way out: one ONNX file, and how fast it is beside torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from qnn._integers import whole
from qnn._optional import require
from qnn.compression.measurement.latencies import in_turns
from qnn.compression.measurement.measuring import repeated
from qnn.compression.tuning import as_inputs, outputs
from qnn.errors import ArgumentError, DtypeError, ShapeError
from qnn.layers.export import check_exportable, export_onnx
from qnn.training.isolation import module_mode


@dataclass(frozen=True)
class Latency:
    """Shortest times of one forward pass, in milliseconds, all models in turns, with the same number of threads.

    Attributes:
        label: of the model.
        batch_size: rows of a pass.
        torch_ms: by torch.
        onnxruntime_ms: by onnxruntime on the CPU.
        onnx_bytes: size of the ONNX file.
        largest_difference: between the outputs of the two.
        threads: of both.
    """

    label: str
    batch_size: int
    torch_ms: float
    onnxruntime_ms: float
    onnx_bytes: int
    largest_difference: float
    threads: int

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def compare_latency(
    models: dict[str, torch.nn.Module],
    inputs: torch.Tensor,
    *,
    batch_sizes: Sequence[int] = (1, 32, 256),
    threads: int = 1,
) -> list[Latency]:
    """Export models to ONNX, and time them in onnxruntime and in torch.

    Args:
        models: exact networks by label; see `qnn.export_onnx`.
        inputs: rows (N, D), repeated as batches need; each model takes them in its own dtype.
        batch_sizes: rows of a pass.
        threads: of torch and onnxruntime alike.

    Raises:
        CapabilityError, ExportError: a model cannot be exported.
        MissingDependencyError: the extra `onnx` is not installed.
        ArgumentError: no models or no batch sizes, or a batch size or a number of threads below 1.
        DtypeError, ShapeError: `inputs` are no tensor with rows.
    """
    if not isinstance(models, Mapping) or not models:
        got = "none" if isinstance(models, Mapping) else type(models).__name__
        raise ArgumentError(f'`models` must be networks by label; got {got}. Pass {{"model": model}}.')
    if not isinstance(inputs, torch.Tensor):
        raise DtypeError(f"`inputs` must be a tensor; got {type(inputs).__name__}. Use torch.as_tensor.")
    if inputs.ndim < 2 or not len(inputs):
        raise ShapeError(f"`inputs` must be rows (N, D), one at least; got shape {tuple(inputs.shape)}. Give a batch.")
    if not isinstance(batch_sizes, Sequence) or not batch_sizes:
        raise ArgumentError(
            f"`batch_sizes` must be a sequence of numbers of rows; got {batch_sizes!r}. Use (1, 32, 256)."
        )
    for name, numbers in (("batch_sizes", batch_sizes), ("threads", [threads])):
        for number in numbers:
            if (whole(number) or 0) < 1:
                raise ArgumentError(f"`{name}` must be whole numbers above 0; got {number!r}. Use 1.")
    runtime = require("onnxruntime", extra="onnx", purpose="Timing an ONNX file")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with TemporaryDirectory() as folder:
            paths = {label: Path(folder) / f"{number}.onnx" for number, label in enumerate(models)}
            sessions = {
                label: _session(runtime, _exported(models[label], path, as_inputs(models[label], inputs[:2])), threads)
                for label, path in paths.items()
            }
            sizes = {label: path.stat().st_size for label, path in paths.items()}
            found = [_compared(models, sessions, sizes, repeated(inputs, n).contiguous(), threads) for n in batch_sizes]
    finally:
        torch.set_num_threads(before)
    return [latency for of_model in zip(*found, strict=True) for latency in of_model]


def latency_table(latencies: Sequence[Latency]) -> str:
    """An aligned table."""
    heads = ("model", "rows", "torch ms", "onnxruntime ms", "times", "ONNX bytes")
    lines = [heads] + [
        (
            x.label, f"{x.batch_size:,}", f"{x.torch_ms:.3g}", f"{x.onnxruntime_ms:.3g}",
            f"{x.torch_ms / x.onnxruntime_ms:.2g}", f"{x.onnx_bytes:,}",
        )
        for x in latencies
    ]  # fmt: skip
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    return "\n".join(
        "  ".join(
            c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _exported(model: torch.nn.Module, path: Path, rows: torch.Tensor) -> Path:
    check_exportable(model)
    outputs(model, rows)  # says what is wrong with rows before torch's exporter speaks of it
    return export_onnx(model, path, rows)


def _session(runtime: Any, path: Path, threads: int) -> Any:
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _compared(
    models: dict[str, torch.nn.Module],
    sessions: dict[str, Any],
    sizes: dict[str, int],
    rows: torch.Tensor,
    threads: int,
) -> list[Latency]:
    """All models, by torch and by onnxruntime, in turns."""
    labels = list(models)
    taken = {label: as_inputs(model, rows) for label, model in models.items()}
    feeds = {
        label: {session.get_inputs()[0].name: taken[label].detach().cpu().numpy()}
        for label, session in sessions.items()
    }
    with ExitStack() as ends:
        for model in models.values():
            ends.enter_context(module_mode(model, training=False))
        ends.enter_context(torch.inference_mode())
        ours = [partial(models[label], taken[label]) for label in labels]
        theirs = [partial(sessions[label].run, None, feeds[label]) for label in labels]
        apart = [
            float((one().cpu() - torch.from_numpy(other()[0])).abs().max())
            for one, other in zip(ours, theirs, strict=True)
        ]
        times = in_turns([*ours, *theirs])
    return [
        Latency(label, len(rows), in_torch, in_onnx, sizes[label], difference, threads)
        for label, in_torch, in_onnx, difference in zip(
            labels, times[: len(labels)], times[len(labels) :], apart, strict=True
        )
    ]
