"""One circuit on IBM Quantum: all rows and all measurement settings in one job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from qnn import _meter
from qnn.backends._qiskit.binding import BoundCircuit
from qnn.backends._qiskit.facts import gates_of
from qnn.backends._qiskit.folding import Site
from qnn.backends.base import Angles, Estimate, Executable
from qnn.backends.compiled import SettingsExecutable
from qnn.backends.estimation import from_counts, like
from qnn.backends.ibm.estimate import Billing, billing
from qnn.backends.ibm.results import arrays_of, estimator_form, sampler_form
from qnn.backends.ibm.service import IBMPayload
from qnn.backends.operands import check_operands, check_table, dense_angles, seed_from
from qnn.backends.requests import joined, run_jobs
from qnn.circuits.circuit import Circuit
from qnn.circuits.folding import Folding
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
        self,
        circuit: Circuit,
        backend: IBM,
        device: Any,
        units: Sequence[Unit],
        facts: dict[str, Any],
        site: Site | None = None,
    ) -> None:
        super().__init__(circuit, backend, facts, site)
        self.backend: IBM = backend
        self._device = device
        self._units = tuple(units)
        used = {qubit for unit in units for _, qubits in gates_of(unit.bound.circuit) for qubit in qubits}
        # what tells its jobs from others of its circuit: another process may find other qubits to be the best
        self._variant: dict[str, Any] = {"layout": facts.get("layout"), "used": sorted(used)}

    def folded(self, folding: Folding) -> Executable | None:
        """Folded after transpiling: the same layout, and nothing that would cancel gates."""
        found = cast("IBMExecutable | None", super().folded(folding))
        if found is not None:
            found._variant |= {"folding": [folding.scale, folding.kind]}
        return found

    def flipped(self, wires: Sequence[int], flips: bool) -> Executable | None:
        """On the same qubits of the device."""
        found = cast("IBMExecutable | None", super().flipped(wires, flips))
        if found is not None:
            found._variant = {"qubits": [found._facts["layout"][wire] for wire in wires]}
        return found

    def run(self, angles: Angles, *, shots: int | None = None, keys: torch.Tensor | None = None) -> Estimate:
        """Execute every row of every setting in one job, or in as few as the service's limit allows.

        Raises:
            CapabilityError: exact values are asked for.
            ArgumentError: more shots than a job may have, or a table of counts too large for memory.
            BudgetError: a budget has no room for it; nothing was submitted.
            JournalError: the journal of jobs on machines cannot be read or written.
            BackendError: IBM refused or failed; its subclasses say whether trying later helps.
        """
        check_operands(self.circuit, angles, shots, keys)
        if shots is None:
            raise CapabilityError(f"`shots` must be given for {self.backend}, which only samples; got None. Use 1024.")
        n_rows = angles.n_rows
        if n_rows == 0 or not self._units:
            return self._without_running(angles, shots, keys)
        values = dense_angles(angles)
        service = self.backend.service()
        if service is None:
            self.reserve(n_rows, shots)
            parts = self._run_here(values, shots, self._seed(keys))
        else:
            parts = run_jobs(
                self,
                service,
                self.backend.policy,
                values,
                keys,
                shots=shots,
                rows_per_job=self._rows_per_job(n_rows, shots),
                payload=lambda part: IBMPayload(self._pubs(values[part]), shots),
                form=lambda part: self._form(part.stop - part.start),
                options=self.backend.result_options | self._variant,
            )
        if self.backend.primitive == "estimator":
            found, errors = joined(parts)
            return Estimate(like(found, angles), like(errors**2, angles), shots)
        counts = joined(parts)
        executed = int(counts[0][0].sum())  # twirling rounds up to whole randomizations
        return from_counts(self.plan, counts, angles, executed)

    def circuits_per_row(self, shots: int | None) -> int:
        """One for each measurement basis, times the noise factors of an extrapolation."""
        return super().circuits_per_row(shots) * self.backend.circuits_per_setting

    def jobs_for(self, n_rows: int, shots: int | None) -> int:
        """As many as IBM's limit of executions makes of the rows."""
        return -(-n_rows // self._rows_per_job(n_rows, shots)) if n_rows and shots else 1

    def seconds_for(self, n_rows: int, shots: int | None) -> float | None:
        """Seconds that a machine bills by IBM's formula, see `qnn.backends.ibm.estimate`; of a fake device, its own.

        https://quantum.cloud.ibm.com/docs/guides/estimate-job-run-time
        """
        if not shots or not self._units:
            return None
        return self._billing.seconds(n_rows, shots, self.jobs_for(n_rows, shots)) if n_rows else 0.0

    def reserve(self, n_rows: int, shots: int | None) -> None:
        """Take one call in local mode from the open budgets; nobody bills its seconds."""
        circuits = n_rows * self.circuits_per_row(shots)
        jobs = self.jobs_for(n_rows, shots) if n_rows else 0
        _meter.reserve(circuits=circuits, shots=circuits * (shots or 0), jobs=jobs)

    @cached_property
    def _billing(self) -> Billing:
        estimator = self.backend.primitive == "estimator"
        return billing(
            [unit.bound for unit in self._units],
            self.backend.device,
            self.backend.final_options(self._device),
            target=self._device.target,
            factors=self.backend.noise_factors,
            n_bases=len(self.plan.settings) if estimator else None,
        )

    def _pubs(self, rows: np.ndarray) -> list[tuple]:
        return [unit.pub(rows) for unit in self._units]

    def _form(self, n_rows: int) -> dict[str, Any]:
        if self.backend.primitive == "estimator":
            return estimator_form(len(self.circuit.measurements), n_rows)
        return sampler_form([2 ** len(setting.wires) for setting in self.plan.settings], n_rows)

    def _run_here(self, angles: np.ndarray, shots: int, seed: int | None) -> list[list[np.ndarray]]:
        """The arrays of each job in local mode, for rows (N, S + R)."""
        step = self._rows_per_job(len(angles), shots)
        jobs: list[Any] = []
        forms: list[dict[str, Any]] = []
        for start in range(0, len(angles), step):
            rows = angles[start : start + step]
            own = None if seed is None else (seed + start) % 2**31
            jobs.append(self.backend.submit(self._device, self._pubs(rows), shots, own, before=jobs))
            forms.append(self._form(len(rows)))
            circuits = len(rows) * self.circuits_per_row(shots)
            _meter.record(circuits=circuits, shots=circuits * shots, jobs=1)
        results = self.backend.results_of(jobs)
        return [arrays_of(r, form, job.job_id()) for r, form, job in zip(results, forms, jobs, strict=True)]

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
