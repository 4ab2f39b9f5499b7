"""`qnn compare`: train quantum and classical models on equal budgets, and write the verdict and a report."""

from __future__ import annotations

import argparse
import sys

from qnn.comparison import budget as defaults

_INTERRUPTED = 130  # 128 + SIGINT, as shells have it

_STUDY_OPTIONS = (
    "seeds",
    "epochs",
    "reduced_epochs",
    "batch_size",
    "reduced_batch_size",
    "n_train",
    "reduced_train",
    "shots",
    "mitigation",
    "tuning_trials",
    "n_qubits",
    "n_layers",
    "split_seed",
    "shuffle_labels",
)


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the verb `compare` to the command line."""
    parser = subparsers.add_parser(
        "compare",
        help="train quantum and classical models on equal budgets, with a verdict and a report",
        description=(
            "Train quantum and classical models on the same rows with the same budget, several seeds each, and write "
            "records.jsonl, table.md, pictures and report.html. After Ctrl-C the same command goes on where it stopped."
        ),
    )
    parser.add_argument(
        "--task",
        action="append",
        metavar="NAMES",
        help="tasks, comma-separated or repeated (default: digits)",
    )
    parser.add_argument(
        "--models",
        action="append",
        metavar="NAMES",
        help="contestants, comma-separated or repeated: hybrid@statevector, hybrid@aer, hybrid@aer+fake_manila, "
        "logistic, mlp, mlp-matched, cnn (default: all of these)",
    )
    parser.add_argument("--out", metavar="FOLDER", help="run folder (default: runs/TASKS-ID)")
    _add_number(parser, "--seeds", "seeds for each contestant", defaults.SEEDS)
    _add_number(parser, "--epochs", f"epochs (default: {defaults.FULL_EPOCHS} on full data)", None)
    _add_number(
        parser,
        "--reduced-epochs",
        f"epochs with shots and noise (default: --epochs, or {defaults.REDUCED_EPOCHS})",
        None,
    )
    _add_number(
        parser, "--batch-size", f"rows per optimisation step (default: {defaults.FULL_BATCH_SIZE} on full data)", None
    )
    _add_number(
        parser,
        "--reduced-batch-size",
        f"the same with shots and noise (default: --batch-size, or {defaults.REDUCED_BATCH_SIZE})",
        None,
    )
    _add_number(parser, "--n-train", "training rows of the full data table (default: all)", None)
    _add_number(
        parser,
        "--reduced-train",
        f"training rows of the shots and noise table (default: {defaults.REDUCED_TRAIN}, or all if fewer)",
        None,
    )
    _add_number(
        parser,
        "--shots",
        "shots per executed circuit, for every hybrid that can sample, but hybrid@statevector "
        f"(default: {defaults.SHOTS} on aer and where nothing is exact, none elsewhere)",
        None,
    )
    parser.add_argument(
        "--mitigation",
        metavar="NAME",
        help="of errors of all that have shots or noise: readout, zne or readout+zne; or JSON, such as "
        "'{\"zne\": [1, 3]}' (default: none)",
    )
    _add_number(parser, "--tuning-trials", "learning rates tried for each contestant", defaults.TUNING_TRIALS)
    _add_number(parser, "--n-qubits", "wires of the quantum layer", defaults.N_QUBITS)
    _add_number(parser, "--n-layers", "layers of its ansatz", defaults.N_LAYERS)
    _add_number(parser, "--split-seed", "seed of train, validation and test rows", defaults.SPLIT_SEED)
    parser.add_argument(
        "--jobs", type=int, metavar="N", help="workers (default: one per CPU core of the engine; 0: in this process)"
    )
    parser.add_argument(
        "--engine",
        metavar="NAME",
        default="local",
        help="where the workers are: local, ray, ray://HOST:PORT, spark, spark://HOST:PORT, dask, dask://HOST:PORT "
        "(default: local)",
    )
    parser.add_argument("--shuffle-labels", action="store_true", help="the control in which nothing can be learnt")
    parser.add_argument("--quiet", action="store_true", help="no progress display, no summary")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the verb.

    Returns:
        0, or 130 after Ctrl-C.
    """
    from qnn.comparison.comparison import (
        compare,
        default_out,
    )  # loads torch and Qiskit: seconds that --help need not take
    from qnn.comparison.define import define_study

    task, models = arguments.task or "digits", arguments.models
    options = {name: getattr(arguments, name) for name in _STUDY_OPTIONS}
    out = arguments.out or str(default_out(define_study(task, models, **options)))
    try:
        comparison = compare(
            task,
            models,
            out=out,
            jobs=arguments.jobs,
            engine=arguments.engine,
            progress=not arguments.quiet,
            **options,
        )
    except KeyboardInterrupt:
        command = define_study(task, models, **options).command
        engine = "" if arguments.engine == "local" else f" --engine {arguments.engine}"
        print(f"\nInterrupted. What is done is kept; go on with:\n  {command} --out {out}{engine}", file=sys.stderr)
        return _INTERRUPTED
    if not arguments.quiet:
        for verdict in comparison.verdicts:
            print("\n".join((verdict.sentence, *(f"  {text}" for text in verdict.further))))
        print(f"Report: {comparison.out / 'report.html'}")
    return 0


def _add_number(parser: argparse.ArgumentParser, name: str, text: str, default: int | None) -> None:
    shown = text if default is None else f"{text} (default: {default})"
    parser.add_argument(name, type=int, metavar="N", default=default, help=shown)
