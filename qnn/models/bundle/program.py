"""The circuit of a layer as OpenQASM 3, for other tools to read, and the check that it says the same."""

from __future__ import annotations

import math

import torch

from qnn.circuits.angle_map import AngleMap, references
from qnn.circuits.circuit import Circuit, Slot
from qnn.circuits.qasm import circuit_to_qasm, read_qasm
from qnn.circuits.symbols import to_qasm
from qnn.errors import ArgumentError, QnnError, UnsupportedError
from qnn.models.bundle.fields import reason, refusal

_MAX_LENGTH = 1_000_000  # operands of all formulas together
_TOLERANCE = 1e-9  # relative, of an angle


def program(circuit: Circuit, angle_map: AngleMap) -> str:
    """Angles as formulas of inputs and weights; one free parameter per angle where OpenQASM cannot, or at length."""
    try:
        if _formula_length(angle_map) <= _MAX_LENGTH:
            return to_qasm(circuit, angle_map)
    except (ArgumentError, UnsupportedError):  # a function or a name that OpenQASM does not have
        pass
    return circuit_to_qasm(circuit)


def _formula_length(angle_map: AngleMap) -> int:
    """A bound of the operands in all formulas: what is used twice is written twice, so that length may double."""
    lengths: dict[int, int] = {}
    for index, node in enumerate(angle_map.nodes):
        lengths[index] = min(1 + sum(lengths[ref] for ref in references(node)), _MAX_LENGTH + 1)
    extras = angle_map.shared_extras + angle_map.row_extras
    return sum(lengths[extra] for extra in extras) + len(angle_map.shared_index) + len(angle_map.rows_index)


def check_program(content: bytes, file: str, circuit: Circuit, angle_map: AngleMap) -> None:
    """Refuse an OpenQASM file that is not the circuit's.

    The text that this version would write is known to be; any other is read, and its gates, wires and angles compared.

    Raises:
        BundleError: it is no OpenQASM, or another circuit.
    """
    if content == program(circuit, angle_map).encode():
        return
    try:
        read = read_qasm(content.decode() + "\n")
        found, _ = read.circuit()
    except (QnnError, UnicodeDecodeError) as error:
        raise refusal(file, "be an OpenQASM 3 program", reason(error)) from error
    if (found.n_wires, len(found.operations)) != (circuit.n_wires, len(circuit.operations)):
        wanted = f"{len(circuit.operations)} gates on {circuit.n_wires} wires"
        raise refusal(file, f"have {wanted}, as the layer", f"{len(found.operations)} on {found.n_wires}")
    bound, expected = _angles(circuit, angle_map)
    try:
        found, _ = read.circuit({name: bound[name] for name in read.parameters if not read.shapes[name]})
    except (KeyError, QnnError) as error:
        raise refusal(file, "have the inputs and weights of the layer", reason(error)) from error
    for number, (one, other) in enumerate(zip(found.operations, circuit.operations, strict=True)):
        angle = expected[other.angle] if isinstance(other.angle, Slot) else other.angle
        if (one.gate, one.wires) != (other.gate, other.wires) or not _equal(one.angle, angle):
            wanted = f"{other.gate} on wires {other.wires} as gate {number}, as the layer"
            raise refusal(file, f"have {wanted}", f"{one.gate} on wires {one.wires}, angle {one.angle}")


def _equal(one: Slot | float | None, other: Slot | float | None) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE) or math.isnan(other)
    return one is None and other is None


def _angles(circuit: Circuit, angle_map: AngleMap) -> tuple[dict[str, float], dict[Slot, float]]:
    """Inputs and weights at a point, by the names of the program, and the angles there."""
    generator = torch.Generator().manual_seed(0)

    def draw(shape: tuple[int, ...]) -> torch.Tensor:
        return 0.1 + 0.8 * torch.rand(shape, generator=generator, dtype=torch.float64, device="cpu")

    inputs = draw((1, angle_map.n_inputs))
    weights = {name: draw(shape) for name, shape in angle_map.weight_shapes}
    with torch.no_grad():
        shared, rows = angle_map.sources(inputs, weights)
    angles = {Slot("shared", i): float(shared[place]) for i, place in enumerate(angle_map.shared_index)}
    angles |= {Slot("rows", i): float(rows[0, place]) for i, place in enumerate(angle_map.rows_index)}
    values = {f"x_{i}": float(value) for i, value in enumerate(inputs[0])}
    for name, weight in weights.items():
        for index, value in zip(torch.ones(weight.shape).nonzero().tolist(), weight.reshape(-1), strict=True):
            values["_".join([name, *map(str, index)])] = float(value)
    return {f"{slot.block}_{slot.index}": angle for slot, angle in angles.items()} | values, angles
