"""A bundle in, a smaller bundle and a report out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from qnn.compression.measuring import DEVICE, Measuring
from qnn.compression.report import CompressionReport
from qnn.errors import ArgumentError, TableError
from qnn.layers import export_onnx
from qnn.models.bundle import Bundle, read_bundle, save
from qnn.models.tables import TableModel
from qnn.tasks import list_tasks, load_task
from qnn.tasks.data import Part
from qnn.tasks.tables import read_table

#: In the order in which they are done.
STEPS = ("prune", "surrogate", "quantize")
_TEST_SHARE = 0.25


@dataclass(frozen=True)
class SplitRows:
    """Rows to fine-tune and calibrate on, and rows to report on."""

    train: Part
    test: Part
    validation: Part | None = None


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

    What the bundle holds beside the model (scaling, columns of its table, configuration) is kept; the report is added
    to its metrics. The bundle that is read stays as it is.

    Args:
        path: a bundle of `qnn.save` or `qnn train`.
        out: the new bundle; a zip where it ends in ".zip", else a folder.
        data: rows to fine-tune and calibrate on, and to report on: a task or its name; for a bundle of `qnn train`
            a table with its columns and its target, of which a quarter, drawn by `seed`, is kept for the report; or
            a pair (x, y), which is used for everything. What a model was trained on tells little about it.
        prune: method of `qnn.prune`, or its options with "method" among them.
        surrogate: True, or options of `qnn.compression.surrogate`: circuits become Fourier series.
        quantize: method of `qnn.quantize`, or its options with "method" among them.
        onnx: also write the compressed network to this ONNX file.
        device: to which circuits are transpiled for the report; see `measure`.
        seed: of the split of a table.
        **options: as for `qnn.load`: `backend`, `shots`, ….

    Returns:
        The report, with the model before and after every step; without data it has no accuracies and no measurements.

    Raises:
        ArgumentError: nothing to do, or `out` is `path`.
        BundleError: `path` is no bundle, or a bundle cannot hold the compressed model.
        TableError: `data` has not the columns of the bundle, or bad rows.
    """
    todo = _checked({"prune": prune, "surrogate": surrogate, "quantize": quantize}, path, out)
    if onnx is not None and data is None:
        raise ArgumentError(
            "`data` must be given to write an ONNX file, which is checked on rows; got None. Give some."
        )
    bundle = read_bundle(path, **options)
    rows = rows_for(bundle, path, data, seed)
    model, details = bundle.model, dict[str, Any]()
    measuring = Measuring(rows, device=device)
    measuring.add("before", model)
    for step, settings in todo.items():
        model, report = _applied(step, model, rows, settings, device)
        details |= {f"{step}: {name}": value for name, value in report.details.items()}
        n_bytes = report.after.bytes if report.measurements else None  # where the step's own report counts otherwise
        measuring.add(f"after {_named(step, settings)}", model, n_bytes=n_bytes)
    steps = ", ".join(_named(step, settings) for step, settings in todo.items())
    done = CompressionReport(f"{Path(path).name}: {steps}", measuring.finish(), details)
    kept = {name: getattr(bundle, name) for name in ("scaling", "task", "config", "extra")}
    save(model, out, **kept, metrics={**(bundle.metrics or {}), "compression": done.as_dict()})
    if onnx is not None:
        export_onnx(model, onnx, rows.test.x[:2])
    return done


def rows_for(bundle: Bundle, path: str | Path, data: Any, seed: int = 0) -> Any:
    """`data` in the form that all methods take, prepared as the bundle says; None stays None."""
    if data is None or (not isinstance(data, str | Path) and not _is_table(bundle, data)):
        return data if data is None or hasattr(data, "test") else SplitRows(Part(*data), Part(*data))
    if isinstance(data, str) and data in list_tasks():
        return load_task(data)
    model = TableModel.load(path)
    table = read_table(data)
    prepared = model.preparation(table)
    y, missing, outside = model.target.values(table)
    problems = [line for found in (prepared.missing, prepared.unseen, missing, outside) for line in found.lines()]
    if problems:
        raise TableError(
            f"`data` must have values and known categories in every row; {table.source} has not: "
            f"{'; '.join(problems[:3])}. Drop or mend these rows."
        )
    if model.target.task == "regression":
        y = ((y - model.target.mean) / model.target.deviation).astype("float32")
    x, labels = torch.as_tensor(prepared.x, dtype=torch.float32), torch.as_tensor(y)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    n_test = max(1, round(_TEST_SHARE * len(x)))
    test, train = order[:n_test], order[n_test:]
    return SplitRows(Part(x[train], labels[train]), Part(x[test], labels[test]))


def _is_table(bundle: Bundle, data: Any) -> bool:
    """Whether these are columns by name for a bundle of `qnn train`."""
    return (bundle.task or {}).get("kind") == "table" and (isinstance(data, Mapping) or hasattr(data, "columns"))


def _checked(given: Mapping[str, Any], path: str | Path, out: str | Path) -> dict[str, dict[str, Any]]:
    """The steps to do, with their options."""
    if Path(path).resolve() == Path(out).resolve():
        raise ArgumentError(f'`out` must be another place than the bundle that is read; got "{out}" for both.')
    todo: dict[str, dict[str, Any]] = {}
    for step in STEPS:
        wanted = given[step]
        if wanted is None or wanted is False:
            continue
        todo[step] = dict(wanted) if isinstance(wanted, Mapping) else ({} if wanted is True else {"method": wanted})
    if not todo:
        raise ArgumentError(f'One of {", ".join(f"`{s}`" for s in STEPS)} must be given; got none. Use prune="angle".')
    return todo


def _applied(
    step: str, model: torch.nn.Module, rows: Any, settings: Mapping[str, Any], device: str | None
) -> tuple[torch.nn.Module, CompressionReport]:
    import qnn.compression as room

    if step == "surrogate":
        return room.surrogate(model, rows, device=device, **settings)
    function = room.prune if step == "prune" else room.quantize
    return function(model, rows, device=device, **settings)


def _named(step: str, settings: Mapping[str, Any]) -> str:
    method = settings.get("method")
    return f"{step} ({method})" if method else step
