"""One circuit, mitigated: run at several scales of noise, detectors inverted, and extrapolated."""

from __future__ import annotations

import math
import warnings
from collections.abc import Hashable, Sequence
from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np
import torch

from qnn import _meter
from qnn._fingerprint import fingerprint
from qnn._run import Run, current_run
from qnn.backends.amount import Amount, amount_of
from qnn.backends.base import Angles, Backend, Estimate, Executable
from qnn.backends.estimation import like
from qnn.backends.mitigation import scaling
from qnn.backends.mitigation.calibration import Calibration, apart, calibrate
from qnn.backends.mitigation.exact_readout import ExactReadout
from qnn.backends.mitigation.extrapolation import Extrapolation, extrapolation
from qnn.backends.mitigation.options import Options
from qnn.backends.mitigation.readout import Readout
from qnn.backends.operands import check_operands
from qnn.circuits.circuit import Circuit
from qnn.circuits.folding import Folding
from qnn.errors import ArgumentError, CapabilityError, NoEffectWarning
from qnn.jobs import PATIENCE

CALIBRATION_SHOTS = 10_000
_POSITION = 48  # bits of a sampling key's position, above which the scale of noise is written


class MitigatedExecutable(Executable):
    """A circuit at all scales of noise, and the circuits that calibrate its detectors.

    Args:
        circuit: what is measured.
        backend: the `Mitigated`.
        place: where circuits run.
        options: what is mitigated, and how.
    """

    def __init__(self, circuit: Circuit, backend: Backend, place: Backend, options: Options) -> None:
        super().__init__(circuit, backend)
        self._place, self._options = place, options
        self.inner = place.compile(circuit)
        self._lock = Lock()
        self._scaled = self._at_scales(self.inner) if self.plan.settings else [self.inner]
        self._warn_if_nothing_folds()

    def _at_scales(self, executable: Executable) -> list[Executable]:
        scales = self._options.scales or (1.0,)
        found = [scaling.folded(executable, Folding(scale, self._options.kind)) for scale in scales]
        reached = {round(e.noise_scale, 9) for e in found}
        if len(reached) == 1:
            return found[:1]  # there are no gates to fold
        if len(reached) < len(found):
            raise ArgumentError(
                f"`zne` must have scales that differ for this circuit; got {scales}, for which folding whole gates "
                f"gives {[round(e.noise_scale, 3) for e in found]}. Use odd numbers."
            )
        return found

    def _warn_if_nothing_folds(self) -> None:
        if self._options.scales and len(self._scaled) == 1 and self.circuit.operations and self.plan.settings:
            warnings.warn(
                f'`zne` has no effect on a circuit without gates to fold by folding="{self._options.kind}". '
                'Use folding="global", or leave `zne` out.',
                NoEffectWarning,
                stacklevel=5,  # the caller of `compile`
            )

    @cached_property
    def _exact(self) -> tuple[ExactReadout | None, list[Executable]]:
        """For exact values: what is measured instead, and the executables that measure it."""
        if not self._options.readout:
            return None, self._scaled
        instead = ExactReadout(self.circuit.measurements)
        return instead, self._at_scales(self._place.compile(self.circuit.with_measurements(instead.measurements)))

    def _executables(self, shots: int | None) -> list[Executable]:
        return self._exact[1] if shots is None else self._scaled

    @cached_property
    def _extrapolation(self) -> Extrapolation | None:
        if len(self._scaled) == 1:
            return None
        scales = [executable.noise_scale for executable in self._scaled]
        return extrapolation(self._options.curve, scales, self._options.asymptote, self.plan)

    def run(self, angles: Angles, *, shots: int | None = None, keys: torch.Tensor | None = None) -> Estimate:
        """Execute every row at every scale, one call of the backend each.

        Raises:
            CapabilityError: the backend returned no counts, or there are too many outcomes.
            BackendError: a detector cannot be inverted, or what the backend raises.
            BudgetError: a budget has no room for all of it; nothing was executed.
        """
        check_operands(self.circuit, angles, shots, keys)
        if not angles.n_rows or not self.plan.settings:
            return self.inner.run(angles, shots=shots, keys=keys)
        executables = self._executables(shots)
        left = [amount_of(executable, angles.n_rows, shots) for executable in executables]
        calibrated, found = self._begun(left, shots, keys), []
        try:
            for number, executable in enumerate(executables):
                self._give_back(left.pop(0))  # which it takes itself
                found.append(executable.run(angles, shots=shots, keys=_keys_at(keys, number)))
        finally:
            for amount in left:
                self._give_back(amount)
        return self._combined(found, calibrated, angles, shots)

    def _combined(
        self,
        found: Sequence[Estimate],
        calibrated: tuple[Calibration, Readout] | None,
        angles: Angles,
        shots: int | None,
    ) -> Estimate:
        """The mitigated estimate from those at each scale."""
        readout = None if calibrated is None else calibrated[1]
        frequencies: list[list[np.ndarray]] = []
        variances: list[np.ndarray] | None = None
        if calibrated is None:
            values = [_array(e.values) for e in found]
            if shots is not None:
                variances = [_array(e.variance) for e in found if e.variance is not None]
        elif shots is None:
            instead = self._exact[0]
            assert instead is not None
            values = [instead.values(_array(e.values), calibrated[0]) for e in found]
        else:
            assert readout is not None
            shots = found[0].shots or shots  # which a device may round
            frequencies = [self._frequencies(estimate, shots) for estimate in found]
            values = [readout.values(f) for f in frequencies]
            variances = [readout.variance(f, shots) for f in frequencies]
        stacked = np.stack(values)
        zero, slopes = stacked[0], np.ones_like(stacked)
        if self._extrapolation is not None:
            spread = np.sqrt(np.stack(variances)) if variances else 0.0
            zero, slopes = self._extrapolation.at_zero(stacked, spread)
        if not variances:
            return Estimate(like(zero, angles), shots=shots)
        variance = sum(s**2 * v for s, v in zip(slopes, variances, strict=True))
        if readout is not None:  # of the calibration, which all scales have in common
            for moved in zip(*(readout.by_calibration(f) for f in frequencies), strict=True):
                slope = sum(s * by for s, (_, by) in zip(slopes, moved, strict=True))
                variance = variance + slope**2 * moved[0][0]
        return Estimate(like(zero, angles), like(variance, angles), shots)

    def _frequencies(self, estimate: Estimate, shots: int) -> list[np.ndarray]:
        if estimate.counts is None:
            raise CapabilityError(
                f"`readout` must have counts to mitigate; backend {self._place!r} returned none. "
                'Use mitigation="zne", or leave `mitigation` out.'
            )
        return [counts.cpu().numpy() / shots for counts in estimate.counts]

    # calibration ----------------------------------------------------------------------------------------------

    @cached_property
    def _wires(self) -> tuple[int, ...]:
        """Measured wires."""
        return tuple(sorted({wire for setting in self.plan.settings for wire in setting.wires}))

    @cached_property
    def _flips(self) -> tuple[Executable, Executable]:
        """What prepares all zeros and all ones."""
        zeros, ones = (scaling.flipped(self.inner, self._wires, flips) for flips in (False, True))
        return zeros, ones

    def _calibration_shots(self, shots: int | None) -> int | None:
        return None if shots is None else self._options.calibration_shots or max(CALIBRATION_SHOTS, shots)

    def _name(self, shots: int | None, root: int) -> tuple[int | None, int]:
        """Which calibration of a run it takes: one for each seed, so that it depends on no other layer's runs."""
        return self._calibration_shots(shots), 0 if shots is None else root

    def _label(self, name: tuple[int | None, int]) -> tuple[str, Backend | None]:
        """That calibration by its content, the same in every process that finds the same qubits; and whose it is.

        It is everybody's where the content says all, and where a journal tells it by nothing else.
        """
        given = self._place.specification()
        place = {k: v for k, v in (given or {"name": self._place.name}).items() if k not in ("workers", *PATIENCE)}
        layout = self.inner.describe().get("layout") or {}
        qubits = [layout.get(wire) for wire in self._wires]
        circuits = [executable.circuit.fingerprint for executable in self._flips]
        shared = given is not None or self._place.capabilities.remote
        return f"calibration {fingerprint([circuits, place, qubits, name])}", None if shared else self._place

    def _begun(
        self, calls: Sequence[Amount], shots: int | None, keys: torch.Tensor | None
    ) -> tuple[Calibration, Readout] | None:
        """Take what all `calls` use from the open budgets, and calibrate if this run has not.

        Raises:
            BudgetError: a budget has no room for all of it; nothing was executed.
        """
        needed = sum(calls, Amount())
        if not self._options.readout:
            self._take(needed)
            return None
        name, run = self._name(shots, 0 if keys is None else int(keys[0, 0])), current_run()
        with self._lock:
            kept = run.once.kept.setdefault(self, {})
            if name in kept:
                self._take(needed)
                return kept[name]
            calibration = self._calibration(run, name, needed, shots)
            kept[name] = calibration, Readout(self.plan, calibration, bool(self._options.clip))
            return kept[name]

    def _calibration(self, run: Run, name: tuple[int | None, int], needed: Amount, shots: int | None) -> Calibration:
        """That of the run, made if there is none yet; `needed` and what it uses are taken from the open budgets."""
        label, whose = self._label(name)
        with run.once.alone(label):
            made = run.once.kept.setdefault(whose or run.once, {})
            if label in made:
                self._take(needed)
                return made[label]
            with run.once.making(label) as new:
                once = self.once(shots) if new else Amount()
                self._take(needed + once)
                work = lambda: calibrate(*self._flips, self._wires, *name)
                try:
                    with _meter.measure() as spent:
                        made[label] = apart(run, work, counted=new and run.leads)
                except BaseException:
                    self._give_back(needed if spent.jobs else needed + once)
                    raise
            return made[label]

    # bookkeeping ----------------------------------------------------------------------------------------------

    def once(self, shots: int | None) -> Amount:
        """The calibration circuits, before the first call."""
        if not self._options.readout or not self.plan.settings:
            return Amount()
        shots = self._calibration_shots(shots)
        try:
            return sum((amount_of(executable, 1, shots) for executable in self._flips), Amount())
        except ArgumentError as error:  # by the name of an option that was not given
            raise ArgumentError(
                f"`calibration_shots` must be what {self._place.name} takes for a circuit; got {shots:,}: {error}"
                if shots
                else str(error)
            ) from error

    def pending(self, shots: int | None, root: int = 0) -> Hashable | None:
        """Which calibration that is, where the present run has not made it."""
        if not self._options.readout or not self.plan.settings:
            return None
        name, once = self._name(shots, root), current_run().once
        if name in once.kept.get(self, ()):
            return None
        label, whose = self._label(name)
        return None if label in once.kept.get(whose or once, ()) else (label, whose)

    def circuits_per_row(self, shots: int | None) -> int:
        """Those of all scales."""
        return sum(executable.circuits_per_row(shots) for executable in self._executables(shots))

    def jobs_for(self, n_rows: int, shots: int | None) -> int:
        """Those of all scales."""
        return sum(executable.jobs_for(n_rows, shots) for executable in self._executables(shots))

    def seconds_for(self, n_rows: int, shots: int | None) -> float | None:
        """Those of all scales; None where nobody bills them."""
        each = [executable.seconds_for(n_rows, shots) for executable in self._executables(shots)]
        known = [seconds for seconds in each if seconds is not None]
        return sum(known) if len(known) == len(each) else None

    def _take(self, amount: Amount) -> None:
        """Reserve it in every open budget.

        Raises:
            BudgetError: a budget has no room for it.
        """
        _meter.reserve(**self._by_unit(amount))

    def _give_back(self, amount: Amount) -> None:
        _meter.give_back(**self._by_unit(amount))

    def _by_unit(self, amount: Amount) -> dict[str, Any]:
        counts = {"circuits": amount.circuits, "shots": amount.shots, "jobs": amount.jobs}
        return {**counts, "seconds": self._billed(amount)}

    def _billed(self, amount: Amount) -> float | None:
        """Seconds as a budget counts them: those of machines elsewhere; None where nobody can say."""
        seconds = amount.seconds if self.backend.capabilities.remote else None
        return 0.0 if seconds is None else None if math.isnan(seconds) else seconds

    def describe(self) -> dict[str, Any]:
        """The inner backend's facts, and what is mitigated."""
        facts = self.inner.describe()
        options = self._options
        if options.readout and self.plan.settings:
            shots = options.calibration_shots or f"{CALIBRATION_SHOTS:,} or more"
            facts["readout_mitigation"] = f"{self.once(1).circuits} circuits of {shots} shots before the first run"
        if self._extrapolation is not None:
            facts["noise_scales"] = ", ".join(f"{e.noise_scale:g}" for e in self._scaled)
            facts["two_qubit_gates_by_scale"] = ", ".join(str(e.describe()["two_qubit_gates"]) for e in self._scaled)
            facts["extrapolation"] = f"{options.curve}, {options.kind} folding"
        return facts


def _array(values: torch.Tensor | None) -> np.ndarray:
    assert values is not None
    return values.detach().cpu().double().numpy()


def _keys_at(keys: torch.Tensor | None, number: int) -> torch.Tensor | None:
    """Sampling keys of a scale, apart from all others; the first draws what a circuit without mitigation draws."""
    if keys is None or not number:
        return keys
    apart = keys.clone()
    apart[:, 3] += number << _POSITION
    return apart
