"""The waist between circuits and the places that run them.

A `Backend` compiles a `Circuit` once into an `Executable`, which runs any number of rows of angles
in one call. What a backend can do is data (`Capabilities`), so that choosing a gradient method is
a pure function and never a matter of trial and error.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from qnn import _meter
from qnn.backends.amount import Amount
from qnn.circuits.circuit import Circuit
from qnn.circuits.folding import Folding
from qnn.circuits.settings import MeasurementPlan, plan_measurements
from qnn.errors import CapabilityError
from qnn.jobs.service import Service


@dataclass(frozen=True)
class Angles:
    """Angles in radians, in the two blocks that a circuit names.

    Attributes:
        shared: shape (S,), the same for every row.
        rows: shape (N, R), one row per execution; N counts executions even where R is 0.
    """

    shared: torch.Tensor  # shape: (S,)
    rows: torch.Tensor  # shape: (N, R)

    @property
    def n_rows(self) -> int:
        """N, the number of executions."""
        return self.rows.shape[0]

    def dense(self) -> torch.Tensor:
        """All angles of every row, shape (N, S + R): shared columns first."""
        return torch.cat([self.shared.expand(self.n_rows, -1), self.rows], dim=1)


@dataclass(frozen=True)
class Estimate:
    """What came back from a run.

    Attributes:
        values: shape (N, M), the measured values; exact, or estimated from shots.
        variance: shape (N, M), variance of each estimate; None when exact.
        shots: shots per executed circuit; None when exact.
        counts: for each measurement setting, shape (N, 2^k), how often each outcome was seen; None
            when exact.
    """

    values: torch.Tensor  # shape: (N, M)
    variance: torch.Tensor | None = None  # shape: (N, M)
    shots: int | None = None
    counts: tuple[torch.Tensor, ...] | None = None


@dataclass(frozen=True)
class Capabilities:
    """What a backend can do.

    Attributes:
        exact: returns exact expectation values (shots=None).
        shots: can sample.
        noisy: applies a noise model.
        vjp: computes gradients itself (`linearize` and `pullback`).
        differentiable: is made of torch operations, so that torch's autograd goes through it.
        remote: a run is a job on another machine.
        keyed: honours sampling keys; otherwise a seed cannot repeat a run.
        max_wires: largest number of wires, or None.
        rowwise: a row's exact values are the same to the last bit, and its shots by their key, whatever rows are beside
            it.
        counts: with shots, returns how often each outcome was seen.
        verbatim: executes the gates that were compiled, on the qubits that they were compiled for; otherwise something
            behind `compile` may cancel gates or move them.
        linear: values are linear in outcome distributions, which is what shift rules need.
        extrapolates: mitigates the noise of gates by itself.
    """

    exact: bool = True
    shots: bool = True
    noisy: bool = False
    vjp: bool = False
    differentiable: bool = False
    remote: bool = False
    keyed: bool = True
    max_wires: int | None = None
    rowwise: bool = False
    counts: bool = True
    verbatim: bool = True
    linear: bool = True
    extrapolates: bool = False


class Executable(ABC):
    """A circuit, ready to run on one backend."""

    #: Noise by that of the circuit as it was compiled.
    noise_scale: float = 1.0

    def __init__(self, circuit: Circuit, backend: Backend) -> None:
        self.circuit = circuit
        self.backend = backend
        self.plan: MeasurementPlan = plan_measurements(circuit.measurements)

    @abstractmethod
    def run(self, angles: Angles, *, shots: int | None = None, keys: torch.Tensor | None = None) -> Estimate:
        """Execute every row of `angles` in one call (on a remote backend: one job).

        Args:
            angles: the angles; results come back in their dtype and on their device.
            shots: shots per executed circuit; None is exact.
            keys: shape (N, 5) int64 sampling keys (root, step, call, position, shift); needed with shots.
        """

    def linearize(self, angles: Angles, *, need_shared: bool, need_rows: bool) -> tuple[Estimate, torch.Tensor]:
        """Exact values, with what `pullback` needs to know: only on backends with the capability `vjp`."""
        raise CapabilityError(self._no_vjp())

    def pullback(
        self, angles: Angles, residuals: torch.Tensor, cotangent: torch.Tensor, *, need_shared: bool, need_rows: bool
    ) -> Angles:
        """Vector-Jacobian product: gradients of Σ cotangent·values in the blocks of `angles`.

        Args:
            angles: those given to `linearize`.
            residuals: as returned by `linearize`.
            cotangent: shape (N, M).
            need_shared: whether the gradient of the shared block is wanted; zeros otherwise.
            need_rows: whether the gradient of the rows block is wanted; zeros otherwise.
        """
        raise CapabilityError(self._no_vjp())

    def describe(self) -> dict[str, Any]:
        """Facts about the compiled circuit for `explain`, such as depth after transpiling."""
        return {
            "depth": self.circuit.depth(),
            "two_qubit_gates": self.circuit.n_two_qubit_gates(),
        }

    def circuits_per_row(self, shots: int | None) -> int:
        """Circuits executed for one row: one per measurement setting when sampling, one when amplitudes are at hand."""
        return max(1, len(self.plan.settings)) if shots else 1

    def jobs_for(self, n_rows: int, shots: int | None) -> int:
        """Jobs that one call with `n_rows` rows is: one, unless a service's limits ask for more."""
        return 1

    def seconds_for(self, n_rows: int, shots: int | None) -> float | None:
        """Estimated seconds on a machine that bills them, for one call with `n_rows` rows; None where nobody does."""
        return None

    def reserve(self, n_rows: int, shots: int | None) -> None:
        """Take one call with `n_rows` rows from the open budgets, before it is made.

        Raises:
            BudgetError: a budget has no room for it.
        """
        circuits = n_rows * self.circuits_per_row(shots)
        _meter.reserve(circuits=circuits, shots=circuits * (shots or 0), jobs=int(n_rows > 0))

    def record(self, n_rows: int, shots: int | None) -> None:
        """Count one call with `n_rows` rows in the open meters."""
        if not n_rows:
            return
        circuits = n_rows * self.circuits_per_row(shots)
        _meter.record(circuits=circuits, shots=circuits * (shots or 0), jobs=1)

    def once(self, shots: int | None) -> Amount:
        """What a run executes before its first call with so many shots, and not again."""
        return Amount()

    def pending(self, shots: int | None, root: int = 0) -> Hashable | None:
        """The name of what `once` counts, where the present run has not done it for sampling keys of this root.

        Executables that share what is done have the same name for it.
        """
        return None

    def folded(self, folding: Folding) -> Executable | None:
        """The same circuit from more gates, on the same qubits, for the same angles.

        None where nothing is transpiled, so that folding the gates of `circuit` does it.
        """
        return None

    def flipped(self, wires: Sequence[int], flips: bool) -> Executable | None:
        """A circuit of no gates, or of a bit flip on each of `wires`, that measures Z on them by the same detectors.

        None where nothing is transpiled, so that wires are what they are in any circuit.
        """
        return None

    def _no_vjp(self) -> str:
        return (
            f'`gradient="adjoint"` needs amplitudes, which backend "{self.backend.name}" cannot return. '
            'Use gradient="parameter-shift", or backend="statevector".'
        )


class Backend(ABC):
    """A place where circuits run."""

    #: Full name as in the registry, such as "aer" or "pennylane:default.qubit".
    name: str
    #: What to do where circuits are not executed as they are.
    WITHOUT_VERBATIM = "Use another backend."

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What this backend, with its present options, can do."""

    @abstractmethod
    def compile(self, circuit: Circuit) -> Executable:
        """Prepare `circuit`; cheap to call again with an equal circuit."""

    def verbatim(self) -> Backend:
        """The same place, with nothing behind `compile` that would cancel gates or move them: itself, or another.

        Raises:
            CapabilityError: that cannot be had.
        """
        if self.capabilities.verbatim:
            return self
        raise CapabilityError(
            f"`backend` must execute the gates that were compiled, on the qubits that they were compiled for; {self!r} "
            f"may compile circuits once more. {self.WITHOUT_VERBATIM}"
        )

    def with_readout_mitigation(self) -> Backend | None:
        """The same place, with mitigation of readout by the provider; None where there is none."""
        return None

    def service(self) -> Service | None:
        """Its jobs at the provider, for a journal; None where circuits run on this machine.

        Raises:
            BackendError: there is no way to the provider.
        """
        return None

    def specification(self) -> dict[str, Any] | None:
        """Plain data from which `registry.resolve` makes an equal backend; None when there is no such data."""
        return None

    def __repr__(self) -> str:
        """The name."""
        return f"<qnn backend {self.name}>"


@dataclass(frozen=True)
class BackendInfo:
    """One line of `qnn doctor`.

    Attributes:
        name: as given to `resolve`.
        usable: whether it runs here.
        note: what it is, or why it is not usable and what to do.
    """

    name: str
    usable: bool
    note: str
