"""One circuit on Qiskit Aer: all rows and all measurement settings in one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from qiskit import QuantumCircuit
from qiskit.exceptions import QiskitError

from qnn.backends._qiskit.binding import BoundCircuit
from qnn.backends._qiskit.folding import Site
from qnn.backends.base import Angles, Estimate
from qnn.backends.compiled import SettingsExecutable
from qnn.backends.confusion import apply_confusion
from qnn.backends.estimation import estimate, from_counts
from qnn.backends.operands import check_operands, check_table, dense_angles, seed_from
from qnn.circuits.circuit import Circuit
from qnn.errors import ArgumentError, BackendError, CapabilityError

if TYPE_CHECKING:
    from qnn.backends.aer import Aer


@dataclass(frozen=True)
class MeasuredSetting:
    """One measurement setting on Aer.

    Attributes:
        bound: its gates, and how angles become their parameters.
        exact: the circuit that saves the outcome probabilities.
        measured: the circuit with measurements, for Aer's own shots.
        confusions: for each measured wire C[true, reported], or None where the detector is perfect.
    """

    bound: BoundCircuit
    exact: Any
    measured: Any
    confusions: tuple[np.ndarray | None, ...]


class AerExecutable(SettingsExecutable):
    """A circuit transpiled for Aer."""

    def __init__(
        self,
        circuit: Circuit,
        backend: Aer,
        simulator: Any,
        settings: Sequence[MeasuredSetting],
        facts: dict[str, Any],
        site: Site | None = None,
    ) -> None:
        super().__init__(circuit, backend, facts, site)
        self.backend: Aer = backend
        self._simulator = simulator
        self._settings = tuple(settings)

    def run(self, angles: Angles, *, shots: int | None = None, keys: torch.Tensor | None = None) -> Estimate:
        """Execute every row of every setting in one call of `AerSimulator.run`.

        Raises:
            CapabilityError: exact values are asked of random trajectories.
            BackendError: Aer failed.
            BudgetError: a budget has no room for the call.
        """
        check_operands(self.circuit, angles, shots, keys)
        if shots is None and not self.backend.capabilities.exact:
            raise CapabilityError(
                f"`shots` must be given for {self.backend}, whose noise is simulated by random trajectories; "
                'got None. Use shots=1024, or method="density_matrix".'
            )
        n_rows = angles.n_rows
        if n_rows == 0 or not self._settings:
            return self._without_running(angles, shots, keys)
        widest = max(len(s.confusions) for s in self._settings)
        check_table(self.circuit, n_rows, widest, "Measure fewer wires, or run fewer rows at a time.")
        self.reserve(n_rows, shots)
        values = dense_angles(angles)
        if shots is not None and self.backend.sampler == "aer":
            result = from_counts(self.plan, self._counts(values, shots, keys), angles, shots)
        else:
            result = estimate(self.plan, self._distributions(values), angles, shots, keys)
        self.record(n_rows, shots)
        return result

    def _distributions(self, values: np.ndarray) -> list[np.ndarray]:
        """The distribution of reported outcomes of each setting, shape (N, 2^k)."""
        requests = [s.bound.requests(s.exact, values, repeat=False) for s in self._settings]
        distributions = []
        for setting, results in zip(self._settings, self._launch(requests, len(values), shots=1), strict=True):
            true = np.stack([np.asarray(result.data.probabilities) for result in results])
            reported = apply_confusion(true, setting.confusions)
            distributions.append(np.broadcast_to(reported, (len(values), reported.shape[1])))
        return distributions

    def _counts(self, values: np.ndarray, shots: int, keys: torch.Tensor | None) -> list[np.ndarray]:
        """Aer's own shots for each setting, shape (N, 2^k)."""
        if keys is None:
            raise ArgumentError("`keys` must be given to sample shots; got None. Make them with qnn._seeding.row_keys.")
        requests = [s.bound.requests(s.measured, values, repeat=True) for s in self._settings]
        blocks = self._launch(requests, len(values), shots=shots, seed_simulator=seed_from(keys))
        return [
            np.stack([_histogram(result.data.counts, 2 ** len(setting.confusions)) for result in results])
            for setting, results in zip(self._settings, blocks, strict=True)
        ]

    def _launch(self, requests: Sequence[tuple[list, list]], n_rows: int, **options: Any) -> list[list[Any]]:
        """The results of each setting, from one call of Aer."""
        results = iter(
            launch(
                self._simulator,
                [circuit for circuits, _ in requests for circuit in circuits],
                [binding for _, bindings in requests for binding in bindings],
                max_parallel_threads=self.backend.threads,
                **options,
            )
        )
        sizes = [n_rows if any(bindings) else len(circuits) for circuits, bindings in requests]
        return [list(islice(results, size)) for size in sizes]


def _histogram(counts: dict[str, int], size: int) -> np.ndarray:
    """Counts by hexadecimal outcome as an array of shape (size,)."""
    histogram = np.zeros(size, dtype=np.int64)
    for outcome, count in counts.items():
        histogram[int(outcome, 16)] = count
    return histogram


def launch(simulator: Any, circuits: list[QuantumCircuit], bindings: list[dict], **options: Any) -> list[Any]:
    """One call of `simulator.run` for all circuits and all rows.

    Returns:
        One result for each circuit and row, circuit by circuit; a single one for a circuit without parameters.

    Raises:
        BackendError: Aer refused or failed.
    """
    try:
        result = simulator.run(circuits, parameter_binds=bindings if any(bindings) else None, **options).result()
    except QiskitError as error:
        raise BackendError(
            f"Qiskit Aer refused the circuits: {str(error).rstrip('.')}. Check the backend's options."
        ) from error
    if not result.success:
        failed = {str(r.status) for r in result.results if not r.success} or {str(result.status)}
        raise BackendError(
            f"Qiskit Aer failed: {'; '.join(sorted(failed)).rstrip('.')}. "
            "Use fewer qubits or another method; `qnn doctor` shows what this machine offers."
        )
    return list(result.results)
