"""How each contestant looks, the same in every figure.

The colours are those of Okabe and Ito, which colour-blind readers can tell apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from qnn.comparison.study import Contestant

INK = "#222222"
QUIET = "#6b6b6b"

_QUANTUM_COLOURS = ("#0072b2", "#56b4e9", "#cc79a7", "#5d3a9b")
_CLASSICAL_COLOURS = ("#d55e00", "#e69f00", "#009e73", "#555555")
_LINES = ("solid", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))


@dataclass(frozen=True)
class Look:
    """Colour, marker and line of one contestant: cool circles are quantum, warm squares classical."""

    colour: str
    marker: str
    line: Any  # as matplotlib takes it


def looks(contestants: Iterable[Contestant]) -> dict[str, Look]:
    """The look of each contestant, by name, in the order in which they first appear."""
    found: dict[str, Look] = {}
    seen = {True: 0, False: 0}
    for contestant in contestants:
        if contestant.name in found:
            continue
        number, quantum = seen[contestant.quantum], contestant.quantum
        colours = _QUANTUM_COLOURS if quantum else _CLASSICAL_COLOURS
        found[contestant.name] = Look(
            colours[number % len(colours)], "o" if quantum else "s", _LINES[number % len(_LINES)]
        )
        seen[quantum] += 1
    return found
