"""Which points a preset runs, and who takes part."""

from __future__ import annotations

from dataclasses import dataclass

from engine.contestants import CONTESTANTS
from engine.workload import FIGURES, Point

MEMORY = 4 << 30  # two states a row of the whole batch

ALL = tuple(CONTESTANTS)
PACKAGES = ("qnn", "c-best", "c-gates", "tensorcircuit", "pennylane", "lightning", "deepquantum")
LARGE = ("qnn", "c-best", "c-gates", "lightning", "tensorcircuit")

QUBITS = (2, 3, 4, 6, 8, 10, 12, 14, 16, 18, 20)
BATCHES = (1, 4, 16, 64, 256, 1024)
DEPTHS = (1, 2, 5, 10, 20, 50)


@dataclass(frozen=True)
class Line:
    """Points of one axis, the other two sizes fixed; the first line of each axis is drawn."""

    axis: str
    points: tuple[Point, ...]


def _fitting(points: list[Point]) -> tuple[Point, ...]:
    return tuple(point for point in points if point.two_states_bytes <= MEMORY)


def lines() -> list[Line]:
    """Time against qubits, batch and depth: 2 to 20 qubits, batch 1 to 1024, depth 1 to 50."""
    qubits = [Line("qubits", _fitting([Point(n, 3, batch) for n in QUBITS])) for batch in (32, 1, 1024)]
    batches = [Line("batch", _fitting([Point(n, 3, batch) for batch in BATCHES])) for n in (8, 4, 12, 16)]
    depths = [Line("depth", _fitting([Point(n, depth, 32) for depth in DEPTHS])) for n in (8, 4, 12)]
    return qubits + batches + depths


def sweep() -> list[Point]:
    """Every point of every line once, small ones first."""
    unique = {point for line in lines() for point in line.points}
    return sorted(unique, key=lambda p: (p.two_states_bytes * p.n_qubits * p.n_layers, p.n_qubits, p.batch))


def figures() -> list[Point]:
    """The six circuits of the published table."""
    return [Point(*sizes) for sizes in FIGURES]
