"""Detectors: how often each wire's bit is reported wrong, measured on the backend itself.

Each detector has a confusion matrix of its own,

    C = [[1 - e0, e0], [e1, 1 - e1]],   C[true, reported],

from two circuits, all zeros and all ones. Errors that several detectors make together are not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import Context
from dataclasses import dataclass

import numpy as np
import torch

from qnn import _meter
from qnn._run import Run, run_scope
from qnn.backends.base import Angles, Executable
from qnn.errors import BackendError

STEP = -(2**62)  # of the sampling keys of calibrations, apart from all steps of trainings
_SLOPES = (np.array([[-1.0, 1.0], [0.0, 0.0]]), np.array([[0.0, 0.0], [1.0, -1.0]]))  # of C, by e0 and e1


@dataclass(frozen=True)
class Calibration:
    """Detectors of some wires.

    Attributes:
        wires: the wires.
        errors: shape (W, 2): e0 and e1 of each.
        shots: of each of the two circuits; None is exact.
    """

    wires: tuple[int, ...]
    errors: np.ndarray
    shots: int | None

    def confusion(self, wire: int) -> np.ndarray:
        """C[true, reported] of one wire, shape (2, 2)."""
        e0, e1 = self.errors[self.wires.index(wire)]
        return np.array([[1 - e0, e0], [e1, 1 - e1]])

    def inverse(self, wire: int) -> np.ndarray:
        """C⁻¹, by which reported frequencies as a row become those of the true bits, shape (2, 2)."""
        e0, e1 = self.errors[self.wires.index(wire)]
        return np.array([[1 - e1, -e0], [-e1, 1 - e0]]) / (1 - e0 - e1)

    def inverse_slope(self, wire: int, error: int) -> np.ndarray:
        """The derivative of C⁻¹ by e0 (`error` 0) or e1 (1), -C⁻¹ C' C⁻¹."""
        inverse = self.inverse(wire)
        return -inverse @ _SLOPES[error] @ inverse

    def variance(self, wire: int, error: int) -> float:
        """Var e = e (1 - e) / shots."""
        e = self.errors[self.wires.index(wire), error]
        return 0.0 if self.shots is None else float(e * (1 - e) / self.shots)


def calibrate(zeros: Executable, ones: Executable, wires: Sequence[int], shots: int | None, root: int) -> Calibration:
    """Run the two circuits.

    Args:
        zeros: measures Z on `wires` first, all in |0>.
        ones: the same, all flipped.
        wires: to calibrate.
        shots: of each circuit; None is exact.
        root: of the sampling keys. What is drawn depends on nothing else, so that a process that goes on with a
            training has the calibration of the one before.

    Raises:
        BackendError: a detector reports its bits at random, or the wrong way round.
    """
    nothing = Angles(torch.zeros(0, dtype=torch.float64), torch.zeros(1, 0, dtype=torch.float64))
    z = []
    for position, executable in enumerate((zeros, ones)):
        keys = None if shots is None else torch.tensor([[root, STEP, 0, position, 0]], dtype=torch.int64)
        found = executable.run(nothing, shots=shots, keys=keys)
        z.append(found.values[0, : len(wires)].double().cpu().numpy())
    errors = np.stack([(1 - z[0]) / 2, (1 + z[1]) / 2], axis=1).clip(0.0, 1.0)
    bad = [(wire, e0, e1) for wire, (e0, e1) in zip(wires, errors.tolist(), strict=True) if e0 + e1 >= 1]
    if bad:
        wire, e0, e1 = bad[0]
        raise BackendError(
            f"`mitigation` of readout must have detectors that tell 0 from 1; that of wire {wire} reports {e0:.3g} of "
            f'zeros as 1 and {e1:.3g} of ones as 0. Use more `calibration_shots`, other qubits, or mitigation="zne".'
        )
    return Calibration(tuple(wires), errors, found.shots)


def apart(run: Run, work: Callable[[], Calibration], counted: bool) -> Calibration:
    """Do `work` within the run and within nothing else: of no step, and taken from budgets by whoever calls this.

    Args:
        run: the run that its jobs belong to.
        work: calibrates.
        counted: whether open meters count what it executes.
    """
    spent = _meter.Usage()

    def alone() -> Calibration:
        with run_scope(run), _meter.measure() as used:
            try:
                return work()
            finally:
                spent.add(**used.as_dict())

    try:
        return Context().run(alone)
    finally:
        if counted:
            _meter.record(**spent.as_dict())
