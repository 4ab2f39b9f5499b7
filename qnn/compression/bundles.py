"""A bundle in, a smaller bundle and a report out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from qnn._files import write_atomic
from qnn.compression.measurement.devices import DEVICE
from qnn.compression.measurement.measuring import Measuring
from qnn.compression.measurement.report import CompressionReport
from qnn.compression.places import check_places
from qnn.compression.steps import applied, checked_steps, named
from qnn.compression.table_bundles import SplitRows, predictions_of, rows_of_builtin, rows_of_table, table_of
from qnn.compression.tuning import as_inputs, training_rows
from qnn.errors import ArgumentError, unknown_name
from qnn.layers.export import check_exportable, export_onnx
from qnn.models.bundle import Bundle, read_bundle, save
from qnn.models.tables import TableModel
from qnn.tasks import list_tasks, load_task
from qnn.tasks.data import Part


def compress_bundle(
    path: str | Path,
    out: str | Path,
    data: Any = None,
    *,
    prune: str | Mapping[str, Any] | None = None,
    surrogate: bool | Mapping[str, Any] | None = None,
    quantize: str | Mapping[str, Any] | None = None,
    onnx: str | Path | None = None,
    device: str | None = DEVICE,
    seed: int = 0,
    **options: Any,
) -> CompressionReport:
    """Read a bundle, make its model cheaper, and write another bundle.

    What the bundle holds beside the model (scaling, columns of its table, configuration) is kept. Its metrics are those
    of another model, and become the entry "source" of the new ones, beside the report, "compression". In a bundle of
    `qnn train` the scores and the distribution of predictions, by which `qnn predict --monitor` knows drift, are found
    anew from the rows of the report; without data there are none. The bundle that is read stays as it is.

    Args:
        path: a bundle of `qnn.save` or `qnn train`.
        out: the new bundle; a zip where it ends in ".zip", else a folder.
        data: rows to fine-tune and calibrate on, and to report on: a task or its name; for a bundle of `qnn train`
            a table with its columns and its target, that of the training split as it was then, of others a quarter,
            drawn by `seed`, kept for the report; or a pair (x, y), which is used for everything. What a model was
            trained on tells little about it.
        prune: method of `qnn.prune`, or its options with "method" among them.
        surrogate: True, or options of `qnn.compression.surrogate`: circuits become Fourier series.
        quantize: method of `qnn.quantize`, or its options with "method" among them.
        onnx: also write the compressed network to this ONNX file. A network that cannot be exported leaves nothing
            written, the bundle neither.
        device: to which circuits are transpiled for the report; see `measure`.
        seed: of the split of a table that is not the one of the training.
        **options: as for `qnn.load`: `backend`, `shots`, ….

    Returns:
        The report, with the model before and after every step; without data it has no accuracies and no measurements.

    Raises:
        ArgumentError: nothing to do, `out` is `path` or no bundle, or `data` are a table and the bundle is of none; an
            option that a method does not have.
        StorageError: `out` or `onnx` is where nothing can be written.
        ExportError, CapabilityError: the compressed network cannot be an ONNX file.
        BundleError: `path` is no bundle, or a bundle cannot hold the compressed model.
        TableError: `data` has not the columns of the bundle, or bad rows.
    """
    todo = checked_steps({"prune": prune, "surrogate": surrogate, "quantize": quantize}, data)
    check_places(path, out, onnx, data)
    bundle = read_bundle(path, **options)
    if onnx is not None and "surrogate" not in todo:
        check_exportable(bundle.model)
    table = table_of(bundle)
    rows = rows_for(bundle, table, data, seed)
    model, details = bundle.model, dict[str, Any]()
    measuring = Measuring(rows, device=device)
    measuring.add("before", model)
    for step, settings in todo.items():
        model, report = applied(step, model, rows, settings, device)
        details |= {f"{step}: {name}": value for name, value in report.details.items()}
        n_bytes = report.after.bytes if report.measurements else None  # where the step's own report counts otherwise
        measuring.add(f"after {named(step, settings)}", model, n_bytes=n_bytes)
    if table is not None and rows is not None and table.target.task == "regression":
        target = table.target
        details["unit of the loss"] = f'({target.deviation:.4g})², the variance of "{target.name}" in training'
    steps = ", ".join(named(step, settings) for step, settings in todo.items())
    done = CompressionReport(f"{Path(path).name}: {steps}", measuring.finish(), details)
    content = None if onnx is None else _exported(model, training_rows(rows.test)[0][:2])  # before anything is written
    _save(model, out, bundle, table, rows, done)
    if onnx is not None and content is not None:
        write_atomic(onnx, content)
    return done


def rows_for(bundle: Bundle, table: TableModel | None, data: Any, seed: int = 0) -> Any:
    """`data` in the form that all methods take, prepared as the bundle says; None stays None.

    Raises:
        ArgumentError: a table for a bundle that is of none.
        UnknownNameError: no such task, nor a file.
    """
    if data is None or hasattr(data, "test"):
        return data
    named = isinstance(data, str) and data in list_tasks()
    if isinstance(data, str) and not named and not Path(data).suffix and not Path(data).exists():
        raise unknown_name("task or table", data, list_tasks())
    of_columns = isinstance(data, str | Path | Mapping) or hasattr(data, "columns")
    if table is None and not named and of_columns:
        shown = f'"{data}"' if isinstance(data, str | Path) else type(data).__name__
        raise ArgumentError(
            f"`data` must be a task, its name or a pair (x, y) for a bundle without columns; got {shown}. Give rows as "
            f"the model takes them, or one of the tasks {', '.join(list_tasks())}."
        )
    if named:
        return load_task(data) if table is None else rows_of_builtin(table, data)
    if table is not None and of_columns:
        return rows_of_table(table, data, seed)
    part = Part(*training_rows(data))
    return SplitRows(part, part, called="data")


def _exported(model: torch.nn.Module, rows: torch.Tensor) -> bytes:
    with TemporaryDirectory() as folder:
        return export_onnx(model, Path(folder) / "model.onnx", as_inputs(model, rows)).read_bytes()


def _save(
    model: torch.nn.Module,
    out: str | Path,
    bundle: Bundle,
    table: TableModel | None,
    rows: Any,
    done: CompressionReport,
) -> None:
    """Write the new bundle: what is known of the old model's predictions becomes that of the source."""
    kept = {name: getattr(bundle, name) for name in ("scaling", "task", "config", "extra")}
    metrics: dict[str, Any] = {"source": bundle.metrics} if bundle.metrics else {}
    if table is not None:
        predicted, scores = predictions_of(table, model, rows)
        kept["task"] = {**kept["task"], "predicted": predicted}
        metrics |= scores
    save(model, out, **kept, metrics={**metrics, "compression": done.as_dict()})
