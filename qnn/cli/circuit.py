"""`qnn circuit`: draw, export or run an OpenQASM file."""

from __future__ import annotations

import argparse
import json
import secrets
import sys
import warnings
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qnn import __version__
from qnn.errors import ArgumentError, ShapeError, unknown_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from qnn.circuits.qasm import QasmProgram
    from qnn.running import Result

_PICTURES = (".png", ".pdf", ".svg")
_SHOTS = 1024
_WORDS = {"true": True, "false": False, "none": None}
_OWN_OPTIONS = ("backend", "shots", "seed")


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the verb `circuit` to the command line."""
    parser = subparsers.add_parser(
        "circuit",
        help="draw, export or run an OpenQASM file",
        description="Draw, export or run an OpenQASM 2 or 3 file. Wire 0 is the first qubit that the file declares.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    draw = _action(actions, "draw", _draw, "show the circuit in the terminal, or as a picture with --out")
    draw.add_argument("--style", default="pennylane", help="a drawing style of PennyLane (default: pennylane)")
    draw.add_argument("--out", type=Path, metavar="PICTURE", help="write a .png, .pdf or .svg file")
    export = _action(actions, "export", _export, "write the circuit in gates of the standard library")
    export.add_argument("--version", type=int, choices=(2, 3), default=3, help="OpenQASM version (default: 3)")
    export.add_argument("--measure", action="store_true", help="measure every qubit at the end")
    export.add_argument("--out", type=Path, metavar="FILE", help="write a file instead of to the terminal")
    run_ = _action(actions, "run", _run, "run the circuit and show how often each outcome was seen")
    run_.add_argument(
        "--backend", default="statevector", help="statevector, aer, pennylane:<device>, ibm:<device>, braket:<device>"
    )
    run_.add_argument("--shots", type=int, metavar="N", help=f"number of runs (default: {_SHOTS})")
    run_.add_argument("--exact", action="store_true", help="exact probabilities or expectation values, no shots")
    run_.add_argument(
        "--observable",
        action="append",
        default=[],
        metavar="PAULIS",
        help='expectation value instead of outcomes, such as "Z0 Z1" or ZZI; may be repeated',
    )
    run_.add_argument("--seed", type=int, metavar="N", help="repeats a run exactly (default: drawn, and shown)")
    run_.add_argument("--noise", metavar="NAME", help="noise of a device, such as fake_manila (backend aer)")
    run_.add_argument(
        "-o",
        dest="option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an option of the backend, such as method=density_matrix, or JSON after a bracket; may be repeated",
    )
    run_.add_argument("--json", action="store_true", help="print JSON")
    run_.add_argument("--out", type=Path, metavar="PICTURE", help="write a histogram as .png, .pdf or .svg")


def run(arguments: argparse.Namespace) -> int:
    """Run the verb."""
    arguments.perform(arguments)
    return 0


def _action(actions: argparse._SubParsersAction, name: str, perform: Any, summary: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=summary, description=f"{summary.capitalize()}.")
    parser.add_argument("file", type=Path, metavar="FILE", help="an OpenQASM 2 or 3 file")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="value of a free parameter in radians, such as theta=0.3, theta=-pi/4, or w=0.1,0.2 for an array",
    )
    parser.set_defaults(run=run, perform=perform)
    return parser


def _draw(arguments: argparse.Namespace) -> None:
    from qnn.circuits.drawing import draw, draw_text
    from qnn.circuits.observables import Probabilities

    _check_picture(arguments.out)
    program, values = _read(arguments)
    measured = (Probabilities(program.measured_wires),) if program.measured_wires else ()
    circuit, names = program.circuit(values, measured)
    if arguments.out is None:
        print(draw_text(circuit, names=names, wire_labels=program.qubit_names))
    else:
        figure = draw(circuit, style=arguments.style, names=names, wire_labels=program.qubit_names)
        _save(figure, arguments.out)
        print(f"Drawn: {arguments.out}")


def _export(arguments: argparse.Namespace) -> None:
    from qnn._files import write_atomic
    from qnn.circuits.qasm import circuit_to_qasm

    program, values = _read(arguments)
    if arguments.version == 2:
        _require_values(program, values, "OpenQASM 2 has no free parameters")
    circuit, angles = program.circuit(values)
    free = {name: shape for name, shape in program.shapes.items() if name not in values}
    comments = [f"Written by qnn {__version__} from {arguments.file.name}."]
    text = circuit_to_qasm(
        circuit,
        version=arguments.version,
        angles=angles,
        inputs=free,
        measure=arguments.measure,
        comments=comments,
    )
    if arguments.out is None:
        sys.stdout.write(text)
    else:
        write_atomic(arguments.out, text)
        print(f"Written: {arguments.out}")


def _run(arguments: argparse.Namespace) -> None:
    from qnn.errors import NoEffectWarning
    from qnn.running import run as run_circuit

    _check_picture(arguments.out)
    shots = _shots(arguments)
    options = _options(arguments)
    program, values = _read(arguments)
    _require_values(program, values, "the circuit cannot run with free parameters")
    observables = arguments.observable or None
    if observables and arguments.out is not None:
        raise ArgumentError("`--out` draws outcomes, which `--observable` does not measure. Leave out one of them.")
    seed = secrets.randbits(32) if arguments.seed is None else arguments.seed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoEffectWarning)  # said below
        result = run_circuit(
            program, arguments.backend, shots, observables=observables, parameters=values, seed=seed, **options
        )
    if shots is not None and result.seed is None:
        print(f'qnn: backend "{arguments.backend}" does not honour seeds: another run may differ.', file=sys.stderr)
    if arguments.json:
        facts = {"file": str(arguments.file), "backend": arguments.backend, "noise": arguments.noise}
        facts |= {"options": options, "shots": shots, "seed": result.seed, "parameters": values}
        print(json.dumps(facts | _findings(result), indent=2))
    else:
        _print_table(result, arguments)
    if arguments.out is not None:
        _save(result.histogram(title=_title(arguments)), arguments.out)
        print(f"Histogram: {arguments.out}", file=sys.stderr if arguments.json else sys.stdout)


def _shots(arguments: argparse.Namespace) -> int | None:
    shots: int | None = arguments.shots
    if arguments.exact:
        if shots is not None:
            raise ArgumentError(f"`--shots` has no meaning with --exact; got {shots}. Leave out one of them.")
        return None
    if shots is not None and shots < 1:
        raise ArgumentError(f"`--shots` must be at least 1; got {shots}. Use for example --shots 1024.")
    return _SHOTS if shots is None else shots


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Options of the backend: those of `-o`, as what they look like, and the noise."""
    options: dict[str, Any] = {"noise": arguments.noise} if arguments.noise else {}
    for setting in arguments.option:
        name, equals, written = setting.partition("=")
        if not (name.isidentifier() and equals and written):
            raise ArgumentError(f'`-o` must be KEY=VALUE; got "{setting}". Write for example -o optimization_level=1.')
        if name in _OWN_OPTIONS:
            raise ArgumentError(f"`-o {name}` is an option of the command. Write --{name} instead.")
        if name in options:
            raise ArgumentError(f'`-o` must give each option one value; got two for "{name}". Leave one out.')
        options[name] = _typed(written)
    return options


def _typed(written: str) -> Any:
    """The boolean, None or number that a text is, or else the text."""
    if written[:1] in ("{", "["):
        try:
            return json.loads(written)
        except json.JSONDecodeError as error:
            raise ArgumentError(
                f"`-o` must give JSON after a bracket; got {written}: {error}. Quote the keys."
            ) from error
    if written.lower() in _WORDS:
        return _WORDS[written.lower()]
    for number in (int, float):
        try:
            return number(written)
        except ValueError:
            pass
    return written


def _title(arguments: argparse.Namespace) -> str:
    noise = f" with the noise of {arguments.noise}" if arguments.noise else ""
    options = "".join(f", {setting}" for setting in arguments.option)
    return f"{arguments.file.name} on {arguments.backend}{noise}{options}"


def _findings(result: Result) -> dict[str, Any]:
    """What was measured, as plain data."""
    if result.observables:
        found = {"observables": list(result.observables), "expectation": result.expectation.tolist()}
        return found | ({"standard_error": result.standard_error.tolist()} if result.shots else {})
    outcomes = {"counts": result.counts} if result.shots else {"probabilities": result.probabilities}
    return {"wires": list(result.wires), "qubits": list(result.labels)} | outcomes


def _print_table(result: Result, arguments: argparse.Namespace) -> None:
    how = "exact" if result.shots is None else f"{result.shots} shots"
    seeded = f", seed {result.seed}" if result.seed is not None else ""
    print(f"{_title(arguments)}: {how}{seeded}")
    if not result.observables:
        print(f"Outcomes of {', '.join(result.labels)} (leftmost bit first)\n\n{result}")
        return
    width = max(map(len, result.observables))
    print("")
    for name, value, error in zip(result.observables, result.expectation, result.standard_error, strict=True):
        print(f"{name:<{width}}  {value:>9.6f}" + (f" ± {error:.6f}" if result.shots else ""))


def _read(arguments: argparse.Namespace) -> tuple[QasmProgram, dict[str, Any]]:
    """The program, and the values given to its parameters."""
    from qnn.circuits.qasm import read_qasm

    program = read_qasm(arguments.file)
    values: dict[str, Any] = {}
    for setting in arguments.set:
        name, equals, written = setting.partition("=")
        if not equals:
            raise ArgumentError(f'`--set` must be NAME=VALUE; got "{setting}". Write for example --set theta=0.3.')
        if not program.shapes:
            raise ArgumentError(f"`--set {name}` has nothing to set: {arguments.file} has no free parameters.")
        if name not in program.shapes:
            raise unknown_name("free parameter", name, program.shapes)
        if name in values:
            raise ArgumentError(f'`--set` must give each parameter one value; got two for "{name}". Leave one out.')
        values[name] = _value(name, written, program.shapes[name])
    return program, values


def _value(name: str, written: str, shape: tuple[int, ...]) -> Any:
    """A number, or nested lists of numbers in the shape of an array."""
    from math import prod

    from qnn.circuits.qasm import read_angle

    numbers: list[Any] = [read_angle(part) for part in written.split(",")]
    if len(numbers) != prod(shape):
        raise ShapeError(f"`--set {name}` must have {prod(shape)} value(s); got {len(numbers)}. Separate by commas.")
    for size in reversed(shape):
        numbers = [numbers[i : i + size] for i in range(0, len(numbers), size)]
    return numbers[0]


def _require_values(program: QasmProgram, values: Iterable[str], reason: str) -> None:
    missing = [name for name in program.parameters if name not in set(values)]
    if missing:
        example = f"{missing[0]}=0.3" + (",…" if program.shapes[missing[0]] else "")
        raise ArgumentError(
            f"`--set` must give a value to every free parameter, because {reason}; got none for "
            f"{', '.join(missing)}. Add for example: --set {example}"
        )


def _check_picture(path: Path | None) -> None:
    """Refuse a file name before the work is done."""
    if path is not None and path.suffix.lower() not in _PICTURES:
        raise ArgumentError(f'`--out` must end in {", ".join(_PICTURES)}; got "{path.name}". Use for example out.png.')


def _save(figure: Figure, path: Path) -> None:
    from qnn._files import write_atomic

    buffer = BytesIO()
    figure.savefig(buffer, format=path.suffix.lower()[1:], dpi=150)
    write_atomic(path, buffer.getvalue())
