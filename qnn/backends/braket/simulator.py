"""What makes Braket's local simulators bearable in a training loop.

Braket's simulator reads a program's text anew for every row, which for a few qubits takes many times as long as the
simulation, and hands a batch to a pool of new processes. The mixin here keeps its mathematics: it reads each text
once, sets the parameters of the gates that came out, and stays in its process. Where a text is not made of gates with
plain parameters it steps aside.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cached_property
from numbers import Real
from threading import Lock
from typing import Any, NamedTuple

_ANGLES = ("_angle", "_angle_1", "_angle_2")


class _Reading(NamedTuple):
    """A program as read once.

    Attributes:
        context: what Braket's interpreter made of the text, with symbols in the place of parameters.
        slots: gate, attribute and parameter's name of every symbol.
    """

    context: Any
    slots: tuple[tuple[Any, str, str], ...]


class ReadsOnce:
    """Mixin in front of a simulator of `braket.default_simulator`, made for one circuit and kept with it."""

    def __init__(self) -> None:
        super().__init__()
        self._readings: dict[str, _Reading | None] = {}
        self._lock = Lock()  # a reading belongs to one row at a time

    @cached_property
    def properties(self) -> Any:
        """The simulator's properties, which it validates anew at every look, thus at every row."""
        return super().properties  # type: ignore[misc]

    def run_multiple(
        self, programs: Sequence[Any], max_parallel: int | None = None, *args: Any, **kwargs: Any
    ) -> list[Any]:
        """The results of all programs, one after the other in this process; `max_parallel` has no effect."""
        with self._lock, warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="You are running a noise-free circuit on the density matrix")
            return [self.run(program, *args, **kwargs) for program in programs]  # type: ignore[attr-defined]

    def parse_program(self, program: Any) -> Any:
        """The interpreted program with the values of its inputs."""
        if program.source not in self._readings:
            blank = type(program)(source=program.source)
            self._readings[program.source] = _reading(super().parse_program(blank))  # type: ignore[misc]
        reading = self._readings[program.source]
        if reading is None:
            return super().parse_program(program)  # type: ignore[misc]
        for gate, attribute, name in reading.slots:
            setattr(gate, attribute, program.inputs[name])
        return reading.context

    def _parse_program_with_shots(self, program: Any, shots: int) -> Any:
        """Shots make a difference to the reading only where a gate depends on a measured bit."""
        return self.parse_program(program)


def _reading(context: Any) -> _Reading | None:
    """What to set in each row; None where that is more than the plain parameters of gates."""
    circuit = context.circuit
    if context.is_branched or circuit.qubit_set != set(range(len(circuit.qubit_set))):
        return None
    slots = []
    for gate in circuit.instructions:
        for attribute in _ANGLES:
            value: Any = getattr(gate, attribute, 0.0)
            if isinstance(value, Real):
                continue
            if not getattr(value, "is_Symbol", False):
                return None
            slots.append((gate, attribute, value.name))
    return _Reading(context, tuple(slots))
