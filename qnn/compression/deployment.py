"""Models on their way out: one ONNX file, and how fast it is beside torch."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from qnn._integers import whole
from qnn._optional import require
from qnn.compression.measuring import REPEATS, repeated, timed
from qnn.errors import ArgumentError
from qnn.layers import export_onnx
from qnn.training.isolation import module_mode


@dataclass(frozen=True)
class Latency:
    """Median times of one forward pass, in milliseconds, taken in turns with the same number of threads.

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
        inputs: rows (N, D), repeated as batches need.
        batch_sizes: rows of a pass.
        threads: of torch and onnxruntime alike.

    Raises:
        CapabilityError, ExportError: a model cannot be exported.
        MissingDependencyError: the extra `onnx` is not installed.
        ArgumentError: a batch size or a number of threads below 1.
    """
    for name, numbers in (("batch_sizes", batch_sizes), ("threads", [threads])):
        for number in numbers:
            if (whole(number) or 0) < 1:
                raise ArgumentError(f"`{name}` must be whole numbers above 0; got {number!r}. Use 1.")
    runtime = require("onnxruntime", extra="onnx", purpose="Timing an ONNX file")
    found, before = [], torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with TemporaryDirectory() as folder:
            for number, (label, model) in enumerate(models.items()):
                path = export_onnx(model, Path(folder) / f"{number}.onnx", inputs[:2])
                session = _session(runtime, path, threads)
                found += [
                    _compared(label, model, session, path, repeated(inputs, n).contiguous(), threads)
                    for n in batch_sizes
                ]
    finally:
        torch.set_num_threads(before)
    return found


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


def _session(runtime: Any, path: Path, threads: int) -> Any:
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _compared(
    label: str, model: torch.nn.Module, session: Any, path: Path, rows: torch.Tensor, threads: int
) -> Latency:
    """Both in turns, so that what else the machine does falls on both."""
    feed = {session.get_inputs()[0].name: rows.numpy()}
    with module_mode(model, training=False), torch.inference_mode():
        ours, theirs = model(rows), torch.from_numpy(session.run(None, feed)[0])
        passes: tuple[Callable[[], Any], ...] = (lambda: model(rows), lambda: session.run(None, feed))
        times = [[timed(one) for one in passes] for _ in range(REPEATS)]
    in_torch, in_onnx = (1e3 * statistics.median(column) for column in zip(*times, strict=True))
    difference = float((ours - theirs).abs().max())
    return Latency(label, len(rows), in_torch, in_onnx, path.stat().st_size, difference, threads)
