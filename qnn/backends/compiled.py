"""Compiling once: equal circuits share one executable per backend."""

from __future__ import annotations

from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from qnn.backends.base import Angles, Backend, Estimate, Executable
from qnn.backends.estimation import estimate
from qnn.circuits.circuit import Circuit
from qnn.circuits.folding import Folding

if TYPE_CHECKING:
    from qnn.backends._qiskit.folding import Site

_KEPT = 64  # executables; a model has a handful of circuits


class CompilingBackend(Backend):
    """A backend that keeps the executables of the circuits it saw last.

    Copies and pickles carry the options only: a worker compiles for itself.
    """

    def __init__(self) -> None:
        self._executables: OrderedDict[Circuit, Executable] = OrderedDict()
        self._lock = Lock()

    def compile(self, circuit: Circuit) -> Executable:
        """Prepare `circuit`, or return what was prepared for an equal one."""
        with self._lock:
            if circuit in self._executables:
                self._executables.move_to_end(circuit)
                return self._executables[circuit]
        executable = self._compile(circuit)
        with self._lock:
            self._executables[circuit] = executable
            while len(self._executables) > _KEPT:
                self._executables.popitem(last=False)
        return executable

    @abstractmethod
    def _compile(self, circuit: Circuit) -> Executable:
        """Prepare `circuit` for the first time."""

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the executables and their lock."""
        return {key: value for key, value in self.__dict__.items() if key not in ("_executables", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the options; nothing is compiled yet."""
        self.__dict__.update(state)
        CompilingBackend.__init__(self)


class SettingsExecutable(Executable):
    """A circuit compiled for a vendor, which runs one circuit for each measurement setting, exact or sampled.

    Args:
        circuit: what was compiled.
        backend: where it runs.
        facts: what `describe` adds, such as the layout; depth and two-qubit gates replace those of the circuit.
        site: where it was placed; None where nothing is transpiled.
    """

    def __init__(self, circuit: Circuit, backend: Backend, facts: dict[str, Any], site: Site | None = None) -> None:
        super().__init__(circuit, backend)
        self._facts = facts
        self._site = site

    def folded(self, folding: Folding) -> Executable | None:
        """Folded after transpiling: the same layout, and nothing that would cancel gates."""
        return None if self._site is None else self._site.folded(self.circuit, folding)

    def flipped(self, wires: Sequence[int], flips: bool) -> Executable | None:
        """On the same qubits, with the same noise."""
        return None if self._site is None else self._site.flipped(self.circuit, wires, flips)

    def circuits_per_row(self, shots: int | None) -> int:
        """One per measurement setting, sampled or exact: none where only constants are measured."""
        return len(self.plan.settings)

    def describe(self) -> dict[str, Any]:
        """Depth and two-qubit gates as executed, and where."""
        return super().describe() | self._facts

    def _without_running(self, angles: Angles, shots: int | None, keys: torch.Tensor | None) -> Estimate:
        """The estimate where there are no rows, or only constants to measure."""
        widths = [len(setting.wires) for setting in self.plan.settings]
        flat = [np.full((angles.n_rows, 2**width), 0.5**width) for width in widths]
        return estimate(self.plan, flat, angles, shots, keys)
