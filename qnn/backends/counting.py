"""A backend that executes nothing and counts what another one would execute.

Training that runs on it makes the very calls that it would make elsewhere, with answers that are made up; so its counts
are those of the training by construction, and not a second account of what training does.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from typing import Any

import torch

from qnn.backends.amount import Amount, amount_of
from qnn.backends.base import Angles, Backend, Capabilities, Estimate, Executable
from qnn.circuits.circuit import Circuit
from qnn.circuits.observables import Probabilities

_MOST_OUTCOMES = 2**20  # in a line of made-up counts
_SPREAD = 1e-3  # of made-up values between rows: not all alike, and hardly any gradient


class Counting(Backend):
    """Stands in for `inner`: compiles there, has its capabilities, executes nothing, and adds up what it was asked for.

    Nothing is counted in open meters or taken from open budgets. Copies count with the original.

    Args:
        inner: the backend whose calls are counted.
        begun: the names of what was counted as `beforehand`; the layers of a model share them.

    Attributes:
        used: what calls of `inner` would have executed.
        beforehand: what it would have executed before the first of them, once in the run that is open, as for a
            calibration.

    Example:
        >>> from qnn import QuantumLayer
        >>> layer = QuantumLayer(2, 1, seed=0)
        >>> counting = Counting(layer.backend)
        >>> with layer.using(counting):
        ...     layer(torch.zeros(5, 2)).shape
        torch.Size([5, 2])
        >>> counting.used
        Amount(jobs=1, circuits=5, shots=0, seconds=None)
    """

    def __init__(self, inner: Backend, begun: set[Hashable] | None = None) -> None:
        self.inner = inner
        self.name = inner.name
        self.used, self.beforehand = Amount(), Amount()
        self.begun = set() if begun is None else begun

    @property
    def capabilities(self) -> Capabilities:
        """Those of the inner backend."""
        return self.inner.capabilities

    def compile(self, circuit: Circuit) -> CountingExecutable:
        """Prepare `circuit` where it would run; what was compiled there need not be compiled again."""
        return CountingExecutable(circuit, self, self.inner.compile(circuit))

    def __deepcopy__(self, memo: dict[int, Any]) -> Counting:
        return self


class CountingExecutable(Executable):
    """A circuit whose runs are counted, by the account that its executable gives of itself."""

    def __init__(self, circuit: Circuit, backend: Counting, inner: Executable) -> None:
        super().__init__(circuit, backend)
        self.backend: Counting = backend
        self.inner = inner

    def run(self, angles: Angles, *, shots: int | None = None, keys: torch.Tensor | None = None) -> Estimate:
        """Count the call; the estimate is made up."""
        root = int(keys[0, 0]) if shots is not None and keys is not None and len(keys) else 0
        self._count(angles.n_rows, shots, root)
        values = self._values(angles)
        if shots is None:
            return Estimate(values)
        return Estimate(values, torch.full_like(values, 1 / shots), shots, self._counts(angles.n_rows, shots))

    def linearize(self, angles: Angles, *, need_shared: bool, need_rows: bool) -> tuple[Estimate, torch.Tensor]:
        """Count the call; there are no residuals."""
        return self.run(angles), angles.rows.new_empty(0)

    def pullback(
        self, angles: Angles, residuals: torch.Tensor, cotangent: torch.Tensor, *, need_shared: bool, need_rows: bool
    ) -> Angles:
        """Zeros: a reverse sweep is no execution."""
        return Angles(torch.zeros_like(angles.shared), torch.zeros_like(angles.rows))

    def differentiable(self, angles: Angles) -> torch.Tensor:
        """Made-up values that torch differentiates, to zero; counted by `record`, as everywhere."""
        return self._values(angles) + 0 * angles.shared.sum() + 0 * angles.rows.sum(dim=1, keepdim=True)

    def circuits_per_row(self, shots: int | None) -> int:
        """Those of the inner executable."""
        return self.inner.circuits_per_row(shots)

    def jobs_for(self, n_rows: int, shots: int | None) -> int:
        """Those of the inner executable."""
        return self.inner.jobs_for(n_rows, shots)

    def seconds_for(self, n_rows: int, shots: int | None) -> float | None:
        """Those of the inner executable."""
        return self.inner.seconds_for(n_rows, shots)

    def describe(self) -> dict[str, Any]:
        """The inner executable's facts."""
        return self.inner.describe()

    def reserve(self, n_rows: int, shots: int | None) -> None:
        """Nothing: a budget is for what is executed."""

    def record(self, n_rows: int, shots: int | None) -> None:
        """Count one call that torch differentiates itself, in one go."""
        self._count(n_rows, shots, jobs=1)

    def _count(self, n_rows: int, shots: int | None, root: int = 0, jobs: int | None = None) -> None:
        amount = amount_of(self.inner, n_rows, shots)
        if not amount.jobs:
            return
        self.backend.used += amount if jobs is None else replace(amount, jobs=jobs)
        pending = self.inner.pending(shots, root)
        if pending is not None and pending not in self.backend.begun:
            self.backend.begun.add(pending)
            self.backend.beforehand += self.inner.once(shots)

    def _values(self, angles: Angles) -> torch.Tensor:
        """(N, M): near 1/2, or the uniform distribution, and a little different in each row.

        All alike would be divided by a standard deviation of zero, and zeros by their norm.
        """
        rows = angles.rows.detach()
        sizes = [
            [1 / m.n_outputs if isinstance(m, Probabilities) else 0.5] * m.n_outputs for m in self.circuit.measurements
        ]
        typical = rows.new_tensor([size for block in sizes for size in block])
        place = torch.arange(angles.n_rows, dtype=rows.dtype, device=rows.device)[:, None]
        column = torch.arange(len(typical), dtype=rows.dtype, device=rows.device)
        return typical * (1 + _SPREAD * torch.sin(place + column))

    def _counts(self, n_rows: int, shots: int) -> tuple[torch.Tensor, ...] | None:
        """All shots at the first outcome, one line for all rows; None where a line is too long."""
        if any(2 ** len(setting.wires) > _MOST_OUTCOMES for setting in self.plan.settings):
            return None
        lines = [torch.zeros(2 ** len(setting.wires), dtype=torch.int64) for setting in self.plan.settings]
        for line in lines:
            line[0] = shots
        return tuple(line.expand(n_rows, -1) for line in lines)
