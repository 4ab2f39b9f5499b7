"""One circuit on IBM Quantum: all rows and all measurement settings in one job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from qnn import _meter
from qnn.backends._qiskit import BoundCircuit
from qnn.backends.base import Angles, Estimate
from qnn.backends.compiled import SettingsExecutable
from qnn.backends.estimation import from_counts, like
from qnn.backends.operands import check_operands, check_table, dense_angles, seed_from
from qnn.circuits.circuit import Circuit
from qnn.errors import ArgumentError, CapabilityError

if TYPE_CHECKING:
    from qnn.backends.ibm import IBM


@dataclass(frozen=True)
class Unit:
    """What becomes one PUB.

    Attributes:
        bound: the gates, and how angles become their parameters.
        circuit: what is submitted; with measurements for the Sampler.
        observables: one operator per output for the Estimator, or None.
    """

    bound: BoundCircuit
    circuit: Any
    observables: Sequence[Any] | None

    def pub(self, angles: np.ndarray) -> tuple:
        """The PUB of rows (N, S + R)."""
        values = angles @ self.bound.matrix.T + self.bound.offset
        if self.observables is None:
            return self.circuit, {self.bound.parameters: values}
        return self.circuit, list(self.observables), {self.bound.parameters: values[:, None, :]}


class IBMExecutable(SettingsExecutable):
    """A circuit transpiled for a device of IBM."""

    def __init__(
        self, circuit: Circuit, backend: IBM, device: Any, units: Sequence[Unit], facts: dict[str, Any]
    ) -> None:
        super().__init__(circuit, backend, facts)
        self.backend: IBM = backend
        self._device = device
        self._units = tuple(units)

    def run(self, angles: Angles, *, shots: int | None = None, keys: torch.Tensor | None = None) -> Estimate:
        """Execute every row of every setting in one job, or in as few as the service's limit allows.

        Raises:
            CapabilityError: exact values are asked for.
            ArgumentError: more shots than a job may have, or a table of counts too large for memory.
            BackendError: IBM refused or failed; its subclasses say whether trying later helps.
        """
        check_operands(self.circuit, angles, shots, keys)
        if shots is None:
            raise CapabilityError(f"`shots` must be given for {self.backend}, which only samples; got None. Use 1024.")
        n_rows, settings = angles.n_rows, self.plan.settings
        if n_rows == 0 or not settings:
            return self._without_running(angles, shots, keys)
        results = self.backend.results_of(self._submitted(dense_angles(angles), shots, self._seed(keys)))
        if self.backend.primitive == "estimator":
            return self._from_values(results, angles, shots)
        sizes = [2 ** len(setting.wires) for setting in settings]
        counts = [
            np.concatenate([_histograms(result[i].data.c.array, size) for result in results])
            for i, size in enumerate(sizes)
        ]
        return from_counts(self.plan, counts, angles, shots)

    def circuits_per_row(self, shots: int | None) -> int:
        """One for each measurement basis, times the noise factors of an extrapolation."""
        return super().circuits_per_row(shots) * self.backend.circuits_per_setting

    def jobs_for(self, n_rows: int, shots: int | None) -> int:
        """As many as IBM's limit of executions makes of the rows."""
        return -(-n_rows // self._rows_per_job(n_rows, shots)) if n_rows and shots else 1

    def _submitted(self, angles: np.ndarray, shots: int, seed: int | None) -> list[Any]:
        """One job, or as few as the service's limit allows, for rows (N, S + R)."""
        step = self._rows_per_job(len(angles), shots)
        jobs: list[Any] = []
        for start in range(0, len(angles), step):
            rows = angles[start : start + step]
            pubs = [unit.pub(rows) for unit in self._units]
            own = None if seed is None else (seed + start) % 2**31
            jobs.append(self.backend.submit(self._device, pubs, shots, own, before=jobs))
            circuits = len(rows) * self.circuits_per_row(shots)
            _meter.record(circuits=circuits, shots=circuits * shots, jobs=1)
        return jobs

    def _rows_per_job(self, n_rows: int, shots: int) -> int:
        per_row = shots * self.circuits_per_row(shots)
        limit = self.backend.max_executions
        most = self.backend.max_shots
        if most is not None and shots > most:
            raise ArgumentError(f"`shots` must be at most {most:,} on {self.backend.name}; got {shots:,}. Use fewer.")
        if per_row > limit:
            raise ArgumentError(
                f"`shots` must be at most {limit // self.circuits_per_row(shots):,} for this circuit on "
                f"{self.backend.name}, so that one row fits into a job; got {shots:,}. Use fewer shots."
            )
        if self.backend.primitive == "sampler":
            widest = max(len(setting.wires) for setting in self.plan.settings)
            advice = 'Use fewer rows, or primitive="estimator", which has no such table.'
            check_table(self.circuit, n_rows, widest, advice)
        return min(n_rows, limit // per_row)

    def _seed(self, keys: torch.Tensor | None) -> int | None:
        """The seed of local mode. None where several PUBs would draw the same random numbers from it."""
        return None if keys is None or len(self._units) > 1 else seed_from(keys)

    def _from_values(self, results: Sequence[Any], angles: Angles, shots: int) -> Estimate:
        values = np.concatenate([np.asarray(r[0].data.evs, dtype=np.float64) for r in results])
        errors = np.concatenate([np.asarray(r[0].data.stds, dtype=np.float64) for r in results])
        return Estimate(like(values, angles), like(errors**2, angles), shots)


def _histograms(bits: np.ndarray, size: int) -> np.ndarray:
    """Counts (N, size) from packed shots (N, shots, bytes), the most significant byte first."""
    outcomes = np.zeros(bits.shape[:2], dtype=np.int64)
    for byte in range(bits.shape[2]):
        outcomes = (outcomes << 8) | bits[:, :, byte]
    n_rows = len(outcomes)
    flat = (outcomes + np.arange(n_rows)[:, None] * size).ravel()
    return np.bincount(flat, minlength=n_rows * size).reshape(n_rows, size)
