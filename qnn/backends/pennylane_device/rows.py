"""Tapes of equal structure as rows of one call: their angles together, their results apart.

Shapes: N rows of all tapes of a group, V parameter values of a tape, P of them angles, M outputs.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
import pennylane as qml
import torch
from pennylane.tape import QuantumScript

from qnn.backends.base import Angles, Backend, Executable
from qnn.backends.pennylane_device.structure import Reading, Structure, read

_KEPT = 128  # structures


@dataclass(frozen=True)
class Group:
    """Tapes of equal structure.

    Attributes:
        structure: what they have in common.
        tapes: the tapes.
        places: their positions in the batch.
        readings: their values.
    """

    structure: Structure
    tapes: list[QuantumScript]
    places: list[int]
    readings: list[Reading]

    @property
    def n_rows(self) -> int:
        """N."""
        return sum(reading.n_rows for reading in self.readings)

    def slices(self) -> Iterator[tuple[int, Reading, slice]]:
        """For every tape its number within the group, its reading and its rows."""
        start = 0
        for i, reading in enumerate(self.readings):
            yield i, reading, slice(start, start + reading.n_rows)
            start += reading.n_rows

    def values(self) -> np.ndarray:
        """All parameter values of all rows, shape (N, V)."""
        if all(reading.batch is None for reading in self.readings):
            return np.array([numbers(reading.values) for reading in self.readings], dtype=np.float64)
        table = np.empty((self.n_rows, len(self.readings[0].values)))
        for _, reading, rows in self.slices():
            for column, value in enumerate(numbers(reading.values)):
                table[rows, column] = value
        return table

    @property
    def shared(self) -> tuple[bool, ...] | None:
        """Which angles all rows have in common, where that is plain to see: within one broadcast tape."""
        if len(self.readings) > 1 or self.readings[0].batch is None:
            return None
        batched = self.readings[0].batched
        return tuple(not batched[place] for place in self.structure.angle_places)

    def angles(self, dtype: torch.dtype, *, split: bool = True) -> tuple[Angles, tuple[bool, ...] | None]:
        """The angles in the blocks that `Structure.executable(shared)` names, and that `shared`.

        Args:
            dtype: float32 or float64.
            split: False puts every angle in the rows block.
        """
        return blocks(self.values()[:, self.structure.angle_places], self.shared if split else None, dtype)


def blocks(
    table: np.ndarray, shared: tuple[bool, ...] | None, dtype: torch.dtype
) -> tuple[Angles, tuple[bool, ...] | None]:
    """Angles (N, P) apart in shared ones and others; without shared ones `shared` is None."""
    if shared is None or not any(shared):
        return Angles(torch.zeros(0, dtype=dtype), torch.from_numpy(table).to(dtype)), None
    alike = np.array(shared)
    return Angles(torch.from_numpy(table[0, alike]).to(dtype), torch.from_numpy(table[:, ~alike]).to(dtype)), shared


def numbers(values: Sequence[Any]) -> Sequence[Any]:
    """`values` without what autodiff frameworks wrap around them."""
    plain = all(type(value) in (float, int, np.float64, np.ndarray) for value in values)
    return values if plain else [np.asarray(qml.math.unwrap([value])[0]) for value in values]


class StructureCache:
    """The structures seen last, so that a repeated tape costs no translation."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._structures: OrderedDict[Hashable, Structure] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        """Number of structures kept."""
        return len(self._structures)

    def groups(self, tapes: Sequence[QuantumScript]) -> list[Group]:
        """The tapes by structure and shots, in order of first appearance."""
        found: dict[Hashable, Group] = {}
        for place, tape in enumerate(tapes):
            reading = read(tape)
            key = (reading.key, tape.shots)
            if key not in found:
                found[key] = Group(self._structure(reading.key, tape), [], [], [])
            group = found[key]
            group.tapes.append(tape)
            group.places.append(place)
            group.readings.append(reading)
        return list(found.values())

    def _structure(self, key: Hashable, tape: QuantumScript) -> Structure:
        with self._lock:
            if key in self._structures:
                self._structures.move_to_end(key)
                return self._structures[key]
        structure = Structure(tape, self._backend)
        with self._lock:
            self._structures[key] = structure
            while len(self._structures) > _KEPT:
                self._structures.popitem(last=False)
        return structure

    def __getstate__(self) -> dict[str, Any]:
        """The backend only: a copy translates for itself."""
        return {"_backend": self._backend}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Nothing is translated yet."""
        self.__init__(state["_backend"])  # type: ignore[misc]


def results_of(executable: Executable, group: Group, values: np.ndarray) -> list[Any]:
    """Outputs (N, M) as PennyLane wants them: for each tape an array per measurement, one alone without a tuple."""
    results = []
    for _, reading, rows in group.slices():
        column, own = 0, []
        for measurement in executable.circuit.measurements:
            block = values[rows, column : column + measurement.n_outputs]
            own.append(_shaped(block, measurement, reading.batch))
            column += measurement.n_outputs
        results.append(own[0] if len(own) == 1 else tuple(own))
    return results


def _shaped(block: np.ndarray, measurement: Any, batch: int | None) -> np.ndarray:
    """(N, m) without the axes that PennyLane leaves out; probabilities keep their own."""
    if measurement.n_outputs == 1:
        block = block[:, 0]
    return np.array(block if batch is not None else block[0])
