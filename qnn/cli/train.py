"""`qnn train`: a table or a task in, a trained bundle out."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qnn.cli.limits import add_limits, given_limits
from qnn.errors import ArgumentError, BudgetError, ChangedRunWarning, QnnWarning

if TYPE_CHECKING:
    from qnn.models.tables import TableModel

_INTERRUPTED = 130  # 128 + SIGINT, as shells have it
_OVER_BUDGET = 2
_UNLIMITED = {"max_circuits": 10**18}  # counts, so that a limit given later knows what was used before
_LISTS = ("features", "categorical", "classes", "metrics")

# option -> (type, metavar, help); None where left out, so that defaults are those of the functions
_TABLE: dict[str, tuple[Any, str, str]] = {
    "features": (str, "NAMES", "columns to predict from, comma-separated (default: all but the target)"),
    "categorical": (str, "NAMES", "columns whose numbers are names, such as postcodes"),
    "classes": (str, "NAMES", "names of the classes in order (default: those of the column)"),
    "max_categories": (int, "N", "refuse columns of texts with more categories (default: 50)"),
    "validation_fraction": (float, "SHARE", "rows to choose the best epoch by (default: 0.16)"),
    "test_fraction": (float, "SHARE", "rows to report on (default: 0.2)"),
    "split_seed": (int, "N", "which rows are in which part (default: 0)"),
}
_NETWORK: dict[str, tuple[Any, str, str]] = {
    "n_qubits": (int, "N", "wires of the quantum layer (default: 4)"),
    "n_layers": (int, "N", "layers of its ansatz (default: 3)"),
    "n_quantum": (int, "N", "quantum layers in a row (default: 1)"),
    "n_hidden": (str, "WIDTHS", "widths of classical layers in front, such as 16,8 (default: none)"),
    "encoding": (str, "NAME", "how angles enter the circuit (default: angle)"),
    "ansatz": (str, "NAME", "the trainable circuit (default: h_rx_cnot)"),
    "backend": (str, "NAME", "where circuits run: statevector, aer, ibm:<device>, … (default: statevector)"),
    "noise": (str, "NAME", "noise of a device, such as fake_manila (backend aer)"),
    "shots": (int, "N", "shots per circuit (default: exact)"),
    "mitigation": (str, "NAME", "of errors: readout, zne or readout+zne; or JSON, such as '{\"zne\": [1, 3]}'"),
    "gradient": (str, "NAME", "adjoint, backprop, parameter-shift, finite-difference or spsa (default: auto)"),
}
_FIT: dict[str, tuple[Any, str, str]] = {
    "epochs": (int, "N", "passes over the training rows (default: 30)"),
    "batch_size": (str, "N", 'rows per step, or "all" (default: 32)'),
    "optimizer": (str, "NAME", "adam, adamw, sgd, rmsprop, lbfgs, or a quantum one (default: adam)"),
    "learning_rate": (float, "RATE", "step size (default: 0.05)"),
    "momentum": (float, "SHARE", "of sgd and rmsprop (default: 0)"),
    "weight_decay": (float, "RATE", "of the optimizer (default: 0)"),
    "l1_penalty": (float, "RATE", "on |w| (default: 0)"),
    "l2_penalty": (float, "RATE", "on w² (default: 0)"),
    "max_gradient_norm": (float, "NORM", "gradients are scaled down to it (default: no limit)"),
    "scheduler": (str, "NAME", "of the learning rate: cosine or exponential (default: none)"),
    "metrics": (str, "NAMES", "scikit-learn metrics for the log, such as f1_score"),
    "device": (str, "NAME", "torch device of the classical layers, such as cuda"),
    "seed": (int, "N", "of weights, the order of rows and shots (default: 0)"),
}


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the verb `train` to the command line."""
    parser = subparsers.add_parser(
        "train",
        help="train a quantum neural network on a table or a task, and write a bundle",
        description=(
            "Train a quantum neural network on a table (.csv, .tsv, .parquet, .npy, .npz) or a built-in task, measure "
            "it on rows held out, and write a bundle for qnn predict. After Ctrl-C or a crash the same command goes "
            "on. In several processes: torchrun --nproc-per-node 2 -m qnn train …"
        ),
    )
    parser.add_argument("data", metavar="DATA", help="a file, or a task such as digits")
    parser.add_argument("--target", metavar="COLUMN", help="the column to predict")
    parser.add_argument("--task", choices=("auto", "classification", "regression"), help="what is predicted")
    parser.add_argument("--scaling", choices=("standard", "angle", "none"), help="of numbers (default: standard)")
    parser.add_argument(
        "--missing", choices=("error", "drop", "fill"), help="what to do about missing values (default: error)"
    )
    parser.add_argument("--reupload", action="store_true", help="repeat the encoding before every layer")
    for title, options in (("table", _TABLE), ("network", _NETWORK), ("training", _FIT)):
        group = parser.add_argument_group(title)
        for name, (kind, metavar, text) in options.items():
            group.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar=metavar, help=text)
    parser.add_argument("--out", type=Path, metavar="BUNDLE", help="folder or .zip to write (default: DATA.qnn)")
    parser.add_argument("--overwrite", action="store_true", help="replace a bundle that is there")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--checkpoint", metavar="FOLDER", help="where to save what is needed to go on")
    where.add_argument("--no-checkpoint", action="store_true", help="save nothing on the way")
    add_limits(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="say what the same command would use, and execute and write nothing"
    )
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--quiet", action="store_true", help="no progress display, no summary")
    shown.add_argument("--json", action="store_true", help="print the scores as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the verb.

    Returns:
        0, 2 where a limit was reached, or 130 after Ctrl-C.
    """
    from qnn.models.tables import is_main  # loads torch and PennyLane: seconds that --help need not take

    out = arguments.out or Path(f"{Path(arguments.data).stem}.qnn")
    options = _options(arguments) | {
        "out": out,
        "checkpoint": arguments.checkpoint or not arguments.no_checkpoint,
        "overwrite": arguments.overwrite,
    }
    limits = given_limits(arguments)
    if arguments.dry_run:
        return _dry_run(arguments, options, limits, main=is_main())
    return _train(arguments, options, limits, main=is_main())


def _dry_run(arguments: argparse.Namespace, options: dict[str, Any], limits: dict[str, Any], *, main: bool) -> int:
    """Print what training would use."""
    from qnn.models.tables import forecast_table

    found = forecast_table(arguments.data, arguments.target, **options)
    if main and not arguments.quiet:
        print(json.dumps(found.as_dict(), indent=2) if arguments.json else found)
    if main:
        for name, limit in limits.items():
            needed = getattr(found.total, name.removeprefix("max_")) or 0  # of seconds none where nobody bills them
            if not needed <= limit:
                shown = "an unknown number" if needed != needed else f"{needed:,.6g}"
                print(f"qnn: --{name.replace('_', '-')} {limit:,} would stop it: it needs {shown}.", file=sys.stderr)
    return 0


def _train(arguments: argparse.Namespace, options: dict[str, Any], limits: dict[str, Any], *, main: bool) -> int:
    """Train, and print the scores."""
    from qnn._meter import budget
    from qnn.models.tables import train_table
    from qnn.training.callbacks import RunBudget

    out, noticed = options["out"], []

    def notice(message: Warning | str, category: type[Warning], *where: Any) -> None:
        if not issubclass(category, ChangedRunWarning):
            noticed.append(str(message))
        elif main:  # at once: what it tells of costs money
            print(f"\nqnn: {message}", file=sys.stderr)

    try:
        with warnings.catch_warnings(), budget(**limits or _UNLIMITED) as left:
            warnings.simplefilter("always", QnnWarning)
            warnings.showwarning = notice  # type: ignore[assignment]  # any further positions, too
            model = train_table(
                arguments.data,
                arguments.target,
                progress=main and not (arguments.quiet or arguments.json),
                callbacks=[RunBudget(left)],
                **options,
            )
    except KeyboardInterrupt as interrupt:
        if main:
            print(f"\n{interrupt or 'Interrupted.'}", file=sys.stderr)
            if not arguments.no_checkpoint:
                print(f"Go on with:\n  {shlex.join(['qnn', *arguments.words])}", file=sys.stderr)
        return _INTERRUPTED
    except BudgetError as error:
        print(f"\nqnn: {error}", file=sys.stderr)
        if main and not arguments.no_checkpoint:
            print(
                "Training is saved as far as its last checkpoint: the same command with a larger limit goes on.",
                file=sys.stderr,
            )
        return _OVER_BUDGET
    if main and not arguments.quiet:
        for text in (*model.notes, *dict.fromkeys(noticed)):
            print(f"qnn: {text}", file=sys.stderr)
        print(_json(model, out) if arguments.json else _summary(model, out))
    return 0


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options that were given, as `train_table` takes them."""
    names = ("task", "scaling", "missing", *_TABLE, *_NETWORK, *_FIT)
    options = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    for name in _LISTS:
        if name in options:
            options[name] = [item.strip() for item in options[name].split(",") if item.strip()]
    if "n_hidden" in options:
        options["n_hidden"] = [_integer("--n-hidden", width) for width in options["n_hidden"].split(",")]
    if "mitigation" in options:
        from qnn.backends.mitigation.written import from_text

        options["mitigation"] = from_text(options["mitigation"])
    if "batch_size" in options:
        size = options["batch_size"]
        options["batch_size"] = None if size == "all" else _integer("--batch-size", size)
    return options | ({"reupload": True} if arguments.reupload else {})


def _integer(option: str, written: str) -> int:
    try:
        return int(written)
    except ValueError as error:
        raise ArgumentError(f'`{option}` must be whole numbers; got "{written}". Use for example 16.') from error


def _summary(model: TableModel, out: Path) -> str:
    """What was trained, how well it does, and where it is."""
    target, preparation = model.target, model.preparation
    kind = f"{len(target.classes)} classes" if target.classes else "a number"
    n_weights = sum(weight.numel() for weight in model.model.parameters())
    n_quantum = sum(w.numel() for layer in model.model.quantum_layers for w in layer.parameters())
    lines = [
        f"Trained on {model.scores['train'].n} rows of {model.config['data']}: {target.name} ({kind}) from "
        f"{len(preparation.columns)} columns ({len(preparation.feature_names)} features); "
        f"{n_weights} weights, {n_quantum} of them quantum."
    ]
    lines += [f"{name}: {score}" for name, score in model.scores.items()]
    if "test" not in model.scores:
        lines.append("No test rows were held out: the figures above are optimistic.")
    used = ", ".join(f"{model.metrics['usage'][unit]:,} {unit}" for unit in ("jobs", "circuits", "shots"))
    lines += ["Brackets: 95 % intervals for the sampling of rows.", f"Used: {used}."]
    return "\n".join([*lines, f"Bundle: {out}"])


def _json(model: TableModel, out: Path) -> str:
    scores = {name: score.as_dict() for name, score in model.scores.items()}
    facts = {"bundle": str(out), "target": model.target.to_json(), "features": model.preparation.feature_names}
    facts |= {"scores": scores, "usage": model.metrics["usage"], "notes": list(model.notes)}
    return json.dumps(facts, indent=2)
