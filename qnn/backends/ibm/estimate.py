"""Seconds that a machine of IBM bills, estimated before anything is submitted.

IBM's formula: 2 s + (repetition delay + circuit length) * executions for each job, where executions are circuits times
shots; https://quantum.cloud.ibm.com/docs/guides/estimate-job-run-time, section "Estimate usage before submitting a
job". Its example counts the reset of the qubits as part of the circuit, and so does this. IBM may divide a large job
into several with 2 s each, and nobody outside knows when; noise learning of PEA and PEC is not counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from qnn.backends._qiskit.binding import BoundCircuit
from qnn.backends._qiskit.facts import duration_of, instruction_duration

PER_JOB_S = 2.0
_REP_DELAY_S = 250e-6  # on most machines, says IBM
_TYPICAL_LENGTH_S = 100e-6  # from which IBM's short formula 2 + 0.00035 * executions comes


@dataclass(frozen=True)
class Billing:
    """What one row of a circuit costs on a device.

    Attributes:
        per_row_s: seconds for one shot of every circuit of a row.
        per_job_s: seconds for one shot of what is added to each job, the calibration of readout mitigation.
        randomizations: numbers of twirled circuits and shots of each, as in IBM's ``TwirlingOptions``; None without.
    """

    per_row_s: float
    per_job_s: float
    randomizations: tuple[int | str, int | str] | None

    def seconds(self, n_rows: int, shots: int, n_jobs: int) -> float:
        """Seconds for rows in so many jobs."""
        executed = twirled_shots(shots, self.randomizations)
        return n_jobs * (PER_JOB_S + executed * self.per_job_s) + n_rows * executed * self.per_row_s


def billing(
    circuits: Sequence[BoundCircuit],
    device: Any,
    options: Any,
    *,
    target: Any,
    factors: Iterable[float],
    n_bases: int | None,
) -> Billing:
    """What rows cost.

    Args:
        circuits: the placed circuit of each setting; of an Estimator its one circuit.
        device: Qiskit's, for the default repetition delay.
        options: of the primitive, with IBM's defaults filled in.
        target: durations on the qubits of `circuits`.
        factors: noise factors of an extrapolation, each of which is one more circuit with the gates folded so often.
        n_bases: bases in which an Estimator measures its circuit; None for a Sampler.
    """
    delay = getattr(options.execution, "rep_delay", None)
    if not isinstance(delay, int | float):
        delay = getattr(device, "default_rep_delay", None)
    if not isinstance(delay, int | float):
        delay = _REP_DELAY_S
    resets = getattr(options.execution, "init_qubits", None) is not False
    per_row, reading = 0.0, 0.0
    for bound in circuits:
        reading = instruction_duration(target, "measure", bound.qubits)
        before = delay + (instruction_duration(target, "reset", bound.qubits) if resets else 0.0)
        length = duration_of(bound.measured(), target)
        if length is None:
            length, reading = _TYPICAL_LENGTH_S, 0.0
        per_row += sum(before + factor * (length - reading) + reading for factor in factors)
    mitigated = bool(getattr(getattr(options, "resilience", None), "measure_mitigation", False))
    return Billing(per_row * (n_bases or 1), (before + reading) * mitigated, _randomizations(options.twirling))


def _randomizations(twirling: Any) -> tuple[int | str, int | str] | None:
    if not (twirling.enable_gates or twirling.enable_measure):
        return None
    return twirling.num_randomizations, twirling.shots_per_randomization


def twirled_shots(shots: int, randomizations: tuple[int | str, int | str] | None) -> int:
    """Shots that are executed where `shots` are asked for: whole randomizations, by the rule of IBM's client."""
    if randomizations is None:
        return shots
    number, each = randomizations
    if not isinstance(each, int):
        each = ceil(shots / number) if isinstance(number, int) else max(64, ceil(shots / 32))
    return each * (number if isinstance(number, int) else ceil(shots / each))
