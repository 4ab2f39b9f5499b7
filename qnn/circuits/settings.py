"""Measurement settings: which circuits must be sampled to estimate all measurements.

Observables whose words agree wherever they overlap (they commute qubit by qubit) share one
setting, a Pauli basis per wire; each further basis is one more circuit. From the outcome
distribution of each setting every output is a linear function,

    value_m = Σ_s Σ_o F_s[o, m] p_s(o),

so that exact values, shot estimates, their variances and their correlations all come from the
same sparse matrices F_s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from qnn.circuits.observables import Expectation, Measurement, PauliWord, Variance
from qnn.errors import ArgumentError

_Member = tuple[PauliWord, int, Measurement, float]  # basis, first column, measurement, coefficient


@dataclass(frozen=True)
class Setting:
    """One basis to measure in.

    Attributes:
        basis: ((wire, "X" | "Y" | "Z"), ...), the measured wires in ascending order; the first is the
            leftmost bit of an outcome.
        members: what is read from the outcomes.
        n_outputs: M.
    """

    basis: tuple[tuple[int, str], ...]
    members: tuple[_Member, ...]
    n_outputs: int

    @property
    def wires(self) -> tuple[int, ...]:
        """The measured wires."""
        return tuple(wire for wire, _ in self.basis)

    @cached_property
    def weights(self) -> sparse.csr_array:
        """F, shape (2^k, M): contribution of each outcome to each output; exact expectation values do without."""
        return _weights(self)


@dataclass(frozen=True)
class MeasurementPlan:
    """All settings of a circuit, and the constants that need no measurement."""

    settings: tuple[Setting, ...]
    constants: np.ndarray  # shape: (M,)

    def values(self, distributions: Sequence[np.ndarray]) -> np.ndarray:
        """Outputs from the outcome distribution of each setting.

        Args:
            distributions: for each setting, shape (N, 2^k), rows summing to 1.

        Returns:
            Shape (N, M), float64.
        """
        total = self.constants[None, :]
        for setting, p in zip(self.settings, distributions, strict=True):
            total = total + np.asarray(p, dtype=np.float64) @ setting.weights
        return total

    def variance(self, distributions: Sequence[np.ndarray], shots: int) -> np.ndarray:
        """Variance of the shot estimates, Σ_s Var_s(F) / shots; (1-<P>²)/shots for a single Pauli word.

        Returns:
            Shape (N, M), float64.
        """
        total = np.zeros((1, len(self.constants)))
        for setting, p in zip(self.settings, distributions, strict=True):
            dense = np.asarray(p, dtype=np.float64)
            mean = dense @ setting.weights
            total = total + np.maximum(dense @ setting.weights.power(2) - mean**2, 0.0)
        return total / shots


def plan_measurements(measurements: Sequence[Measurement]) -> MeasurementPlan:
    """Group measurements into settings, greedily, widest first.

    Raises:
        ArgumentError: a variance, which is no linear function of outcome distributions.
    """
    n_outputs = sum(m.n_outputs for m in measurements)
    constants = np.zeros(n_outputs)
    requests: list[_Member] = []
    column = 0
    for measurement in measurements:
        if isinstance(measurement, Variance):
            raise ArgumentError(
                f"`measurements` must be expectation values or probabilities to be executed; got {measurement}. "
                "Execute circuit.linear(), and read the values out with qnn.backends.read_out."
            )
        if isinstance(measurement, Expectation):
            for coefficient, word in measurement.observable.terms:
                if word:
                    requests.append((word, column, measurement, coefficient))
                else:
                    constants[column] += coefficient
        else:
            word = tuple(sorted((wire, "Z") for wire in measurement.wires))
            requests.append((word, column, measurement, 1.0))
        column += measurement.n_outputs
    settings = (Setting(tuple(sorted(basis.items())), tuple(members), n_outputs) for basis, members in _group(requests))
    return MeasurementPlan(tuple(settings), constants)


def _group(requests: list[_Member]) -> list[tuple[dict[int, str], list[_Member]]]:
    groups: list[tuple[dict[int, str], list[_Member]]] = []
    for request in sorted(requests, key=lambda r: -len(r[0])):
        for basis, members in groups:
            if all(basis.get(wire, letter) == letter for wire, letter in request[0]):
                basis.update(request[0])
                members.append(request)
                break
        else:
            groups.append((dict(request[0]), [request]))
    return groups


def _weights(setting: Setting) -> sparse.csr_array:
    place = {wire: len(setting.basis) - 1 - i for i, wire in enumerate(setting.wires)}  # bit significance of each wire
    outcomes = np.arange(2 ** len(setting.basis))
    rows, columns, values = [], [], []
    for word, column, measurement, coefficient in setting.members:
        if isinstance(measurement, Expectation):
            parity = np.zeros_like(outcomes)
            for wire, _ in word:
                parity ^= (outcomes >> place[wire]) & 1
            rows.append(outcomes)
            columns.append(np.full_like(outcomes, column))
            values.append(coefficient * (1.0 - 2.0 * parity))
        else:
            label = np.zeros_like(outcomes)
            for wire in measurement.wires:
                label = (label << 1) | ((outcomes >> place[wire]) & 1)
            rows.append(outcomes)
            columns.append(column + label)
            values.append(np.ones(len(outcomes)))
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return sparse.coo_array(entries, shape=(len(outcomes), setting.n_outputs)).tocsr()
