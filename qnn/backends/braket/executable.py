"""One circuit on Amazon Braket: all rows and all measurement settings in one submission."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from qnn.backends.base import Angles, Estimate
from qnn.backends.braket.gates import BraketGates
from qnn.backends.braket.places import Block, Origin, Place
from qnn.backends.braket.words import WordReadout
from qnn.backends.compiled import SettingsExecutable
from qnn.backends.estimation import estimate, from_counts, like
from qnn.backends.operands import check_operands, dense_angles
from qnn.circuits.circuit import Circuit
from qnn.errors import CapabilityError

if TYPE_CHECKING:
    from qnn.backends._qiskit.folding import Site
    from qnn.backends.braket import Braket


@dataclass(frozen=True)
class SettingProgram:
    """One measurement setting for Braket; its OpenQASM programs are written when first needed.

    Attributes:
        gates: its gates, and how angles become their parameters.
        write_exact: writes the program that returns the outcome probabilities, or the expectation values of words.
        write_measured: writes the program that measures every qubit.
        make_readout: finds the words; None where the place returns probabilities.
    """

    gates: BraketGates
    write_exact: Callable[[WordReadout | None], Any]
    write_measured: Callable[[], Any]
    make_readout: Callable[[], WordReadout] | None = None

    @cached_property
    def readout(self) -> WordReadout | None:
        """The words, and how they become outputs."""
        return None if self.make_readout is None else self.make_readout()

    @cached_property
    def exact(self) -> Any:
        """The program for exact values."""
        return self.write_exact(self.readout)

    @cached_property
    def measured(self) -> Any:
        """The program that measures every qubit."""
        return self.write_measured()


class BraketExecutable(SettingsExecutable):
    """A circuit as OpenQASM programs with named parameters."""

    def __init__(
        self,
        circuit: Circuit,
        backend: Braket,
        place: Place | None,
        settings: Sequence[SettingProgram],
        facts: dict[str, Any],
        site: Site | None = None,
    ) -> None:
        super().__init__(circuit, backend, facts, site)
        self.backend: Braket = backend
        self._place = place
        self._settings = tuple(settings)

    def run(self, angles: Angles, *, shots: int | None = None, keys: torch.Tensor | None = None) -> Estimate:
        """Execute every row of every setting in one submission.

        Raises:
            CapabilityError: exact values are asked of a device that has none.
            BackendError: Braket refused, failed, or did not answer in time; see the subclasses.
            JournalError: the journal of jobs at AWS cannot be read or written.
            BudgetError: a budget has no room for the call; nothing was submitted.
        """
        check_operands(self.circuit, angles, shots, keys)
        if shots is None and not self.backend.capabilities.exact:
            raise CapabilityError(
                f"`shots` must be given for {self.backend.name}, which counts outcomes only; got None. "
                'Use shots=1000, or backend="braket:local" for exact values.'
            )
        n_rows = angles.n_rows
        if n_rows == 0 or self._place is None:
            return self._without_running(angles, shots, keys)
        local = not self.backend.capabilities.remote  # tasks at AWS are reserved and counted one by one
        if local:
            self.reserve(n_rows, shots)
        values = dense_angles(angles)
        if shots is not None and self.backend.sampler == "braket":
            result = from_counts(self.plan, self._counts(values, shots, keys), angles, shots)
        elif self._settings[0].readout is not None:
            result = Estimate(like(self._from_words(values), angles))
        else:
            result = estimate(self.plan, self._exact(values), angles, shots, keys)
        if local:
            self.record(n_rows, shots)
        return result

    def jobs_for(self, n_rows: int, shots: int | None) -> int:
        """One on this machine; at AWS as many tasks as the device makes of the rows."""
        return 1 if self._place is None else self._place.n_tasks(n_rows * self.circuits_per_row(shots), shots)

    def _from_words(self, values: np.ndarray) -> np.ndarray:
        """Exact outputs from the expectation values of words, shape (N, M)."""
        total = self.plan.constants[None, :]
        for setting, block in zip(self._settings, self._exact(values), strict=True):
            assert setting.readout is not None
            total = total + setting.readout.offset + block @ setting.readout.matrix
        return total

    def _exact(self, values: np.ndarray) -> list[np.ndarray]:
        """For each setting the distribution of outcomes (N, 2^k), or the expectation values of its words (N, W)."""
        assert self._place is not None
        blocks = [
            Block(
                s.exact,
                s.gates.inputs(values, repeat=False),
                s.gates.measured,
                2 ** len(s.gates.measured) if s.readout is None else len(s.readout.words),
            )
            for s in self._settings
        ]
        found = self._place.exact(blocks, Origin(self.circuit.fingerprint, None))
        return [np.broadcast_to(block, (len(values), block.shape[1])) for block in found]

    def _counts(self, values: np.ndarray, shots: int, keys: torch.Tensor | None) -> list[np.ndarray]:
        """Braket's own shots for each setting, shape (N, 2^k)."""
        assert self._place is not None
        blocks = [Block(s.measured, s.gates.inputs(values, repeat=True), s.gates.measured, 0) for s in self._settings]
        return self._place.counts(blocks, shots, Origin(self.circuit.fingerprint, keys))
