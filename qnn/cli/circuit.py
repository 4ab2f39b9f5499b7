"""`qnn circuit`: draw, export or run an OpenQASM file."""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qnn import __version__
from qnn.errors import ArgumentError, ShapeError, unknown_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from qnn.circuits.qasm import QasmProgram

_PICTURES = (".png", ".pdf", ".svg")
_MAX_WIRES = 24  # a histogram has 2^n outcomes


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
    run_.add_argument("--backend", default="statevector", help="statevector, aer, pennylane:<device>, …")
    run_.add_argument("--shots", type=int, default=1024, metavar="N", help="number of runs (default: 1024)")
    run_.add_argument("--seed", type=int, metavar="N", help="repeats a run exactly (default: drawn, and shown)")
    run_.add_argument("--noise", metavar="NAME", help="noise of a device, such as fake_manila (backend aer)")
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
    from qnn.cli.histogram import counts_figure, counts_table

    _check_picture(arguments.out)
    if arguments.shots < 1:
        raise ArgumentError(f"`--shots` must be at least 1; got {arguments.shots}. Use for example --shots 1024.")
    program, values = _read(arguments)
    _require_values(program, values, "the circuit cannot run with free parameters")
    if program.n_qubits > _MAX_WIRES:
        raise ArgumentError(
            f"`FILE` must have at most {_MAX_WIRES} qubits to be run here; {arguments.file} has {program.n_qubits}. "
            "Use a smaller circuit."
        )
    wires = program.measured_wires or tuple(range(program.n_qubits))
    seed = secrets.randbits(32) if arguments.seed is None else arguments.seed
    if not 0 <= seed < 2**63:
        raise ArgumentError(f"`--seed` must be from 0 to 2^63 - 1; got {seed}. Use --seed 0.")
    counts, is_keyed = _count(program, values, wires, arguments, seed)
    if not is_keyed:
        print(f'qnn: backend "{arguments.backend}" does not honour seeds: another run differs.', file=sys.stderr)
    noise = f" with the noise of {arguments.noise}" if arguments.noise else ""
    title = f"{arguments.file.name} on {arguments.backend}{noise}"
    qubits = [program.qubit_names[w] for w in wires]
    if arguments.json:
        facts = {"file": str(arguments.file), "backend": arguments.backend, "noise": arguments.noise}
        facts |= {"shots": arguments.shots, "seed": seed if is_keyed else None, "parameters": values}
        print(json.dumps({**facts, "wires": list(wires), "qubits": qubits, "counts": counts}, indent=2))
    else:
        seeded = f", seed {seed}" if is_keyed else ""
        print(f"{title}: {arguments.shots} shots{seeded}\nOutcomes of {', '.join(qubits)} (leftmost bit first)\n")
        print(counts_table(counts))
    if arguments.out is not None:
        _save(counts_figure(counts, title=title), arguments.out)
        print(f"Histogram: {arguments.out}", file=sys.stderr if arguments.json else sys.stdout)


def _count(
    program: QasmProgram, values: dict[str, Any], wires: tuple[int, ...], arguments: argparse.Namespace, seed: int
) -> tuple[dict[str, int], bool]:
    """How often each outcome that occurred was seen, and whether the backend honours the seed."""
    import torch

    from qnn._seeding import row_keys
    from qnn.backends import registry
    from qnn.backends.base import Angles
    from qnn.circuits.observables import Probabilities

    backend = registry.resolve(arguments.backend, **({"noise": arguments.noise} if arguments.noise else {}))
    circuit, _ = program.circuit(values, (Probabilities(wires),))
    angles = Angles(torch.zeros(0, dtype=torch.float64), torch.zeros(1, 0, dtype=torch.float64))
    estimate = backend.compile(circuit).run(angles, shots=arguments.shots, keys=row_keys(seed, 1, 0))
    assert estimate.counts is not None, "a run with shots has counts"
    row = estimate.counts[0][0]
    seen = {f"{int(i):0{len(wires)}b}": int(row[i]) for i in torch.nonzero(row).reshape(-1)}
    return seen, backend.capabilities.keyed


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
