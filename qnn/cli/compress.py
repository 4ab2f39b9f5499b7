"""`qnn compress`: a bundle in, a smaller bundle and a report out."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

_SPLIT_NOTE = "a task such as digits, or a table with the columns of the bundle and its target"


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the verb `compress` to the command line."""
    parser = subparsers.add_parser(
        "compress",
        help="prune, quantise or replace by a surrogate what a bundle holds, with a report",
        description=(
            "Read a bundle, prune it, replace its circuits by Fourier series, quantise it (in this order, what is "
            "asked for), and write another bundle. What there is before and after is measured on held-out rows."
        ),
    )
    parser.add_argument("model", metavar="BUNDLE", help="what qnn train or qnn.save wrote")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="BUNDLE", help="the new bundle")
    parser.add_argument("--data", metavar="DATA", help=f"{_SPLIT_NOTE}; without, nothing is measured")
    pruning = parser.add_argument_group("pruning")
    pruning.add_argument(
        "--prune", metavar="METHOD", help="angle, fisher, gradient, layer, weight, neuron, activation, …"
    )
    pruning.add_argument("--part", choices=("circuit", "classical"), help="which part, where the method does not say")
    pruning.add_argument("--amount", type=_number, metavar="A", help="a share below 1, or a whole number")
    pruning.add_argument("--threshold", type=float, metavar="T", help="prune what is below, in place of --amount")
    pruning.add_argument("--fine-tune", type=int, metavar="N", help="epochs of training after each round")
    pruning.add_argument("--rounds", type=int, metavar="N", help="rounds of pruning and fine-tuning")
    others = parser.add_argument_group("surrogates and quantisation")
    others.add_argument("--surrogate", action="store_true", help="replace circuits by Fourier series")
    others.add_argument("--quantize", metavar="METHOD", help="int8-dynamic, int8-static, int8-weights or angles")
    others.add_argument("--bits", type=int, metavar="N", help="with --quantize angles: 2^N angles on the circle")
    output = parser.add_argument_group("output")
    output.add_argument(
        "--report", type=Path, metavar="FOLDER", help="write report.json, table.txt and report.png there"
    )
    output.add_argument("--onnx", type=Path, metavar="FILE", help="also write the network as an ONNX file")
    output.add_argument("--device", default="fake_sherbrooke", metavar="NAME", help="to which circuits are transpiled")
    output.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="of the split of a table that is not that of the training (default: 0)",
    )
    output.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the verb."""
    from qnn._files import check_writable
    from qnn.compression import compress_bundle
    from qnn.errors import ArgumentError

    if arguments.report is not None:
        if arguments.report.exists() and not arguments.report.is_dir():
            raise ArgumentError(f'`--report` must be a folder; got the file "{arguments.report}". Name another one.')
        check_writable(arguments.report / "report.json", "--report")
    report = compress_bundle(
        arguments.model,
        arguments.out,
        arguments.data,
        prune=_pruning(arguments),
        surrogate=arguments.surrogate,
        quantize=_quantising(arguments),
        onnx=arguments.onnx,
        device=arguments.device,
        seed=arguments.seed,
    )
    if arguments.report is not None:
        report.save(arguments.report)
    if arguments.json:
        print(json.dumps(report.as_dict(), indent=2))
        return 0
    print(f'{report}\n\nWritten to "{arguments.out}".')
    before, after = (_size(Path(path)) for path in (arguments.model, arguments.out))
    if after > before:
        print(f"It is larger than what was read: {before:,} -> {after:,} bytes.")
    return 0


def _size(bundle: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    files = [bundle] if bundle.is_file() else [path for path in bundle.rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in files)


def _pruning(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Options of `qnn.prune`; None where nothing is to be pruned.

    Raises:
        ArgumentError: options of pruning without a method.
    """
    from qnn.errors import ArgumentError

    options = {
        "part": "part",
        "amount": "amount",
        "threshold": "threshold",
        "fine_tune": "fine_tune",
        "rounds": "rounds",
    }
    given = {option: getattr(arguments, name) for option, name in options.items()}
    given = {option: value for option, value in given.items() if value is not None}
    if arguments.prune is None:
        if given:
            flag = "--" + next(iter(given)).replace("_", "-")
            raise ArgumentError(f"`{flag}` must come with --prune METHOD; got it alone. Add --prune angle.")
        return None
    return {"method": arguments.prune, **given}


def _quantising(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Options of `qnn.quantize`; None where nothing is to be quantised.

    Raises:
        ArgumentError: a number of bits without a method.
    """
    from qnn.errors import ArgumentError

    if arguments.quantize is None:
        if arguments.bits is not None:
            raise ArgumentError(f"`--bits` must come with --quantize angles; got {arguments.bits} alone. Add it.")
        return None
    return {"method": arguments.quantize} | ({} if arguments.bits is None else {"bits": arguments.bits})


def _number(text: str) -> float | int:
    """A whole number, or a share."""
    return int(text) if text.lstrip("-").isdigit() else float(text)
