"""Choosing a gradient method, and running circuits so that it can be applied.

The choice is a pure function of what was asked for, what the backend can do, and whether there are
shots.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch

from qnn.backends.base import Angles, Backend, Capabilities, Estimate, Executable
from qnn.circuits.circuit import Circuit
from qnn.errors import CapabilityError, unknown_name
from qnn.gradients import stencils, subset

METHODS = ("adjoint", "backprop", "finite-difference", "parameter-shift", "spsa")


def choose(request: str, capabilities: Capabilities, shots: int | None, backend_name: str) -> tuple[str, str]:
    """The gradient method to use, and the reason in a few words.

    Args:
        request: "auto" or one of `METHODS`.
        capabilities: of the backend.
        shots: None is exact.
        backend_name: for the error message.

    Raises:
        UnknownNameError: no such method.
        CapabilityError: the backend cannot do this.
    """
    exact = shots is None
    if request == "auto":
        if exact and capabilities.vjp:
            return "adjoint", "exact, and the backend has amplitudes: two states per row whatever the depth"
        if not capabilities.linear:
            return "finite-difference", "values are no linear function of outcome distributions, as shift rules need"
        return "parameter-shift", "exact rule per gate, needs expectation values only"
    if request not in METHODS:
        raise unknown_name("gradient method", request, (*METHODS, "auto"))
    if request in ("adjoint", "backprop"):
        _require_amplitudes(request, capabilities, exact, backend_name)
    if request == "parameter-shift" and not capabilities.linear:
        raise CapabilityError(
            '`gradient="parameter-shift"` needs values that are linear in outcome distributions; got a `mitigation` of '
            f'backend "{backend_name}" by an exponential or with `clip`. Use gradient="finite-difference".'
        )
    return request, "as requested"


def _require_amplitudes(request: str, capabilities: Capabilities, exact: bool, backend_name: str) -> None:
    able = capabilities.vjp if request == "adjoint" else capabilities.differentiable
    if not able:
        raise CapabilityError(
            f'`gradient="{request}"` needs amplitudes, which backend "{backend_name}" cannot return. '
            'Use gradient="parameter-shift", or backend="statevector".'
        )
    if not exact:
        raise CapabilityError(
            f'`gradient="{request}"` needs exact amplitudes; got shots. '
            'Use gradient="parameter-shift" with shots, or shots=None.'
        )


class Differentiator(ABC):
    """A compiled circuit together with the rule for its gradients."""

    def __init__(self, circuit: Circuit, executable: Executable, shots: int | None) -> None:
        self.circuit = circuit
        self.executable = executable
        self.shots = shots

    @abstractmethod
    def run(self, angles: Angles, keys: torch.Tensor | None) -> Estimate:
        """Values only, in one call of the backend."""

    @abstractmethod
    def linearize(
        self, angles: Angles, keys: torch.Tensor | None, need_shared: bool, need_rows: bool
    ) -> tuple[Estimate, torch.Tensor]:
        """Values, and what `pullback` needs, in one call of the backend."""

    @abstractmethod
    def pullback(
        self, angles: Angles, residuals: torch.Tensor, cotangent: torch.Tensor, need_shared: bool, need_rows: bool
    ) -> Angles:
        """Gradients of Σ cotangent·values, in the blocks of `angles`."""

    @abstractmethod
    def circuits_per_row(self, need_shared: bool, need_rows: bool) -> int:
        """Circuits executed per row in a forward and backward pass with gradients of the given blocks."""


class AdjointDifferentiator(Differentiator):
    """Gradients by the backend itself."""

    def run(self, angles: Angles, keys: torch.Tensor | None) -> Estimate:
        """Values only."""
        return self.executable.run(angles, shots=self.shots, keys=keys)

    def linearize(
        self, angles: Angles, keys: torch.Tensor | None, need_shared: bool, need_rows: bool
    ) -> tuple[Estimate, torch.Tensor]:
        """Values and final states."""
        return self.executable.linearize(angles, need_shared=need_shared, need_rows=need_rows)

    def pullback(
        self, angles: Angles, residuals: torch.Tensor, cotangent: torch.Tensor, need_shared: bool, need_rows: bool
    ) -> Angles:
        """The backend's own vector-Jacobian product."""
        return self.executable.pullback(angles, residuals, cotangent, need_shared=need_shared, need_rows=need_rows)

    def circuits_per_row(self, need_shared: bool, need_rows: bool) -> int:
        """Those of a run: the reverse sweep is not a circuit execution."""
        return self.executable.circuits_per_row(self.shots)


class StencilDifferentiator(Differentiator):
    """Gradients from shifted evaluations; forward and shifted rows are one call.

    The executable is of the circuit with all slots in the rows block. Residuals are the Jacobian,
    shape (N, M, A).
    """

    def __init__(self, circuit: Circuit, executable: Executable, shots: int | None, method: str) -> None:
        super().__init__(circuit, executable, shots)
        self.method = method

    def run(self, angles: Angles, keys: torch.Tensor | None) -> Estimate:
        """Values only."""
        return self.executable.run(_as_rows(angles), shots=self.shots, keys=keys)

    def linearize(
        self, angles: Angles, keys: torch.Tensor | None, need_shared: bool, need_rows: bool
    ) -> tuple[Estimate, torch.Tensor]:
        """Values, and the Jacobian from the shifted rows of the same call."""
        n_rows = angles.n_rows
        stencil = self._stencil(self._wanted(need_shared, need_rows), keys)
        dense = angles.dense().double()
        offsets = torch.from_numpy(stencil.offsets).to(dense.device)
        shifted = (dense[None] + offsets[:, None]).reshape(-1, dense.shape[1])
        rows = torch.cat([dense, shifted])
        estimate = self.executable.run(
            Angles(rows.new_zeros(0), rows), shots=self.shots, keys=_shifted_keys(keys, stencil.numbers)
        )
        values = estimate.values.reshape(len(offsets) + 1, n_rows, self.circuit.n_outputs)
        jacobian = _combined(stencil, values[1:])
        return _first_rows(estimate, n_rows, angles.rows.dtype), jacobian.to(angles.rows.dtype)

    def pullback(
        self, angles: Angles, residuals: torch.Tensor, cotangent: torch.Tensor, need_shared: bool, need_rows: bool
    ) -> Angles:
        """The Jacobian contracted with the incoming gradient."""
        gradient = (cotangent[:, :, None] * residuals).sum(dim=1)
        n_shared = self.circuit.n_shared
        return Angles(gradient[:, :n_shared].sum(dim=0), gradient[:, n_shared:].contiguous())

    def circuits_per_row(self, need_shared: bool, need_rows: bool) -> int:
        """Those of a run, for the row itself and for each shifted evaluation."""
        wanted = self._wanted(need_shared, need_rows)
        shifts = len(self._stencil(wanted, None).offsets) if wanted else 0
        return (1 + shifts) * self.executable.circuits_per_row(self.shots)

    def _wanted(self, need_shared: bool, need_rows: bool) -> list[int]:
        """Columns of the dense angles whose derivative is needed."""
        n_shared = self.circuit.n_shared
        wanted = [*range(n_shared if need_shared else 0)]
        wanted += range(n_shared, n_shared + self.circuit.n_rows) if need_rows else ()
        return subset.within(wanted)

    def _stencil(self, wanted: list[int], keys: torch.Tensor | None) -> stencils.Stencil:
        circuit = self.executable.circuit
        if self.method == "parameter-shift":
            return stencils.parameter_shift(circuit, wanted)
        if self.method == "finite-difference":
            return stencils.central_difference(circuit, wanted, stencils.difference_step(self.shots))
        key = np.zeros(5, dtype=np.int64) if keys is None or not len(keys) else keys[0].cpu().numpy().copy()
        key[3] = 0  # the same directions for all rows of a call, in whatever process a row is
        step = stencils.SPSA_STEP if self.shots is None else stencils.difference_step(self.shots)
        return stencils.spsa(circuit, wanted, key, step)


def differentiator(circuit: Circuit, backend: Backend, method: str, shots: int | None) -> Differentiator:
    """Compile `circuit` on `backend` in the form that `method` needs."""
    if method in ("adjoint", "backprop"):
        return AdjointDifferentiator(circuit, backend.compile(circuit), shots)
    return StencilDifferentiator(circuit, backend.compile(circuit.all_rows()), shots, method)


def _combined(stencil: stencils.Stencil, values: torch.Tensor) -> torch.Tensor:
    """Jacobian (N, M, A) from shifted values (T, N, M).

    By the few entries of the stencil that are not zero: a matrix product of this size mostly waits for threads.
    """
    t, a = (torch.from_numpy(index).to(values.device) for index in stencil.weights.nonzero())
    weights = torch.from_numpy(stencil.weights).to(values)[t, a]
    jacobian = values.new_zeros(stencil.weights.shape[1], *values.shape[1:])
    return jacobian.index_add_(0, a, values[t] * weights[:, None, None]).permute(1, 2, 0).contiguous()


def _as_rows(angles: Angles) -> Angles:
    return Angles(angles.rows.new_zeros(0), angles.dense()) if angles.shared.numel() else angles


def _first_rows(estimate: Estimate, n_rows: int, dtype: torch.dtype) -> Estimate:
    variance = None if estimate.variance is None else estimate.variance[:n_rows].to(dtype)
    counts = None if estimate.counts is None else tuple(c[:n_rows] for c in estimate.counts)
    values = estimate.values[:n_rows].to(dtype, copy=True)  # no view of all shifted rows
    return Estimate(values, variance, estimate.shots, counts)


def _shifted_keys(keys: torch.Tensor | None, numbers: np.ndarray) -> torch.Tensor | None:
    """Keys of the rows, which are shift 0, and of all their shifted copies."""
    if keys is None:
        return None
    copies = keys.repeat(len(numbers) + 1, 1)
    copies[:, 4] = torch.from_numpy(np.concatenate([[0], numbers])).repeat_interleave(len(keys))
    return copies
