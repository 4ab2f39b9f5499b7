"""`qnn predict`: a bundle and a table in, predictions out, and drift on request."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qnn.cli.limits import add_limits, given_limits

if TYPE_CHECKING:
    from qnn.models.tables import Predictions

_DRIFT = 3  # exit code when --monitor finds drift
_PLACE = ("backend", "shots", "noise", "mitigation")


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the verb `predict` to the command line."""
    parser = subparsers.add_parser(
        "predict",
        help="predict the rows of a table with a trained bundle, and watch for drift",
        description=(
            "Predict the rows of a table with a bundle of qnn train. Columns go by name. Exit code: 0, "
            f"2 after an error, {_DRIFT} when --monitor finds drift (predictions are written all the same)."
        ),
    )
    parser.add_argument("model", metavar="BUNDLE", help="what qnn train wrote")
    parser.add_argument("data", metavar="DATA", help="a .csv, .tsv, .parquet, .npy or .npz file")
    parser.add_argument(
        "-o", "--out", type=Path, metavar="FILE", help="write a .csv or .parquet file instead of to the terminal"
    )
    parser.add_argument("--keep", default="", metavar="NAMES", help="columns to show beside, comma-separated")
    parser.add_argument("--score", action="store_true", help="compare with the target's column")
    parser.add_argument("--monitor", action="store_true", help="measure drift of inputs and predictions since training")
    parser.add_argument(
        "--alpha", type=float, default=0.05, metavar="P", help="chance of a false alarm of --monitor (default: 0.05)"
    )
    parser.add_argument(
        "--min-psi", type=float, default=0.1, metavar="PSI", help="smaller shifts are no drift (default: 0.1)"
    )
    parser.add_argument(
        "--bad-rows",
        choices=("error", "skip"),
        default="error",
        help="rows with missing values or unseen categories: stop and name them, or leave their prediction empty",
    )
    parser.add_argument("--backend", metavar="NAME", help="where circuits run (default: as in training)")
    parser.add_argument("--shots", type=int, metavar="N", help="shots per circuit (with --backend)")
    parser.add_argument("--noise", metavar="NAME", help="noise of a device, such as fake_manila (with --backend aer)")
    parser.add_argument(
        "--mitigation", metavar="NAME", help="of errors: readout, zne or readout+zne, or JSON (with --backend)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another number, other shots (default: 0)")
    add_limits(parser)
    parser.add_argument("--json", action="store_true", help="print JSON: predictions (without --out), scores and drift")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the verb.

    Returns:
        0, or 3 when `--monitor` finds drift.
    """
    from qnn._meter import budget
    from qnn.models.tables import check_output, predict_table

    if arguments.out is not None:
        check_output(arguments.out)
    place = {name: getattr(arguments, name) for name in _PLACE if getattr(arguments, name) is not None}
    if "mitigation" in place:
        from qnn.backends.mitigation.written import from_text

        place["mitigation"] = from_text(place["mitigation"])
    limits = given_limits(arguments)
    with budget(**limits) if limits else nullcontext():
        found = predict_table(
            arguments.model,
            arguments.data,
            bad_rows=arguments.bad_rows,
            keep=[name.strip() for name in arguments.keep.split(",") if name.strip()],
            score=arguments.score,
            monitor=arguments.monitor,
            alpha=arguments.alpha,
            min_psi=arguments.min_psi,
            seed=arguments.seed,
            **place,
        )
    if arguments.out is not None:
        found.write(arguments.out)
    if arguments.json:
        print(json.dumps(_facts(found, arguments.out), indent=2))
    else:
        _show(found, arguments.out)
    return _DRIFT if found.drift is not None and found.drift.drifted else 0


def _show(found: Predictions, out: Path | None) -> None:
    """Predictions on stdout, the rest on stderr; all on stdout where predictions are in a file."""
    beside = sys.stderr if out is None else sys.stdout
    if out is None:
        sys.stdout.write(found.to_csv())
        sys.stdout.flush()
    else:
        print(f"Predicted: {len(found.rows)} rows in {out}")
    if found.skipped:
        print(f"Skipped: {'; '.join(found.skipped)}", file=beside)
    if found.scores is not None:
        print(f"Score: {found.scores}", file=beside)
    if found.drift is not None:
        print(found.drift, file=beside)


def _facts(found: Predictions, out: Path | None) -> dict[str, Any]:
    facts: dict[str, Any] = {"predictions": found.columns()} if out is None else {"out": str(out)}
    facts |= {"n_rows": len(found.rows), "skipped": list(found.skipped)}
    if found.scores is not None:
        facts["scores"] = found.scores.as_dict()
    if found.drift is not None:
        facts["drift"] = found.drift.as_dict()
    return facts
