"""The embedded simulator as a backend: exact values, adjoint gradients, shots."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy import sparse

from qnn.backends.base import Angles, Backend, Capabilities, Estimate, Executable
from qnn.backends.estimation import estimate, like
from qnn.backends.operands import check_operands
from qnn.circuits.circuit import Circuit
from qnn.circuits.observables import Expectation
from qnn.simulation import torch_engine
from qnn.simulation.engine import Engine, check_memory
from qnn.simulation.program import Program, WordMeasurement, outcomes_program, words_program

_DENSE = 2**20  # entries of a matrix that is kept with its zeros
_FULL = 8  # a column with more than one entry in so many is kept with its zeros


class Statevector(Backend):
    """Batched state-vector simulation on the CPU, or in torch operations where the angles are elsewhere."""

    name = "statevector"

    @property
    def capabilities(self) -> Capabilities:
        """Exact, shots, adjoint gradients, and torch's own autograd."""
        return Capabilities(vjp=True, differentiable=True, max_wires=30)

    def specification(self) -> dict[str, Any]:
        """The name: there are no options."""
        return {"name": self.name}

    def compile(self, circuit: Circuit) -> StatevectorExecutable:
        """Translate the circuit into Pauli rotations.

        Raises:
            ArgumentError: the register would not fit in memory.
        """
        check_memory(circuit.n_wires, 4)
        return StatevectorExecutable(circuit, self)


class StatevectorExecutable(Executable):
    """Programs for exact expectation values and for outcome distributions, each made when first needed."""

    @cached_property
    def _exact(self) -> tuple[tuple[Engine, Any], ...]:
        """Engines for exact values, each with the matrix (W, M) from its values to outputs; large ones are sparse."""
        if all(isinstance(m, Expectation) for m in self.circuit.measurements):
            program = words_program(self.circuit)
            assert isinstance(program.measurement, WordMeasurement)
            return ((Engine(program), program.measurement.weights),)
        return tuple(
            (engine, setting.weights.toarray() if np.prod(setting.weights.shape) <= _DENSE else setting.weights)
            for engine, setting in zip(self._sampled, self.plan.settings, strict=True)
        )

    @cached_property
    def _sampled(self) -> tuple[Engine, ...]:
        """An engine per measurement setting, whose values are the outcome probabilities."""
        return tuple(Engine(outcomes_program(self.circuit, setting)) for setting in self.plan.settings)

    def run(self, angles: Angles, *, shots: int | None = None, keys: torch.Tensor | None = None) -> Estimate:
        """Execute every row; see `Executable.run`."""
        check_operands(self.circuit, angles, shots, keys)
        self.reserve(angles.n_rows, shots)
        self.record(angles.n_rows, shots)
        if shots is None:
            return Estimate(
                self.differentiable(angles) if angles.rows.device.type != "cpu" else self._forward(angles, False)[0]
            )
        shared, rows = _numpy(angles)
        distributions = [engine.forward(shared, rows, keep=False)[0] for engine in self._sampled]
        return estimate(self.plan, distributions, angles, shots, keys)

    def linearize(self, angles: Angles, *, need_shared: bool, need_rows: bool) -> tuple[Estimate, torch.Tensor]:
        """Exact values and the final states, by which `pullback` runs the circuit in reverse."""
        self.reserve(angles.n_rows, None)
        self.record(angles.n_rows, None)
        values, states = self._forward(angles, need_shared or need_rows)
        return Estimate(values), states

    def _forward(self, angles: Angles, keep: bool) -> tuple[torch.Tensor, torch.Tensor]:
        shared, rows = _numpy(angles)
        if self._plain:
            values, states = self._exact[0][0].forward(shared, rows, keep=keep)
            return torch.from_numpy(values).to(angles.rows.device), torch.from_numpy(states)
        keep = keep and len(self._exact) == 1
        total: np.ndarray = self.plan.constants[None, :]
        states = np.empty(0, dtype=rows.dtype)
        for engine, weights in self._exact:
            values, states = engine.forward(shared, rows, keep=keep)
            total = total + values @ weights
        return like(total, angles), torch.from_numpy(states)

    @cached_property
    def _plain(self) -> bool:
        """Whether the engine's values are the outputs as they stand."""
        if len(self._exact) != 1 or self.plan.constants.any():
            return False
        weights = self._exact[0][1]
        if sparse.issparse(weights):
            rows, columns = weights.shape
            return rows == columns and (weights != sparse.eye_array(rows, format="csr")).nnz == 0
        return np.array_equal(weights, np.eye(len(weights)))

    def pullback(
        self, angles: Angles, residuals: torch.Tensor, cotangent: torch.Tensor, *, need_shared: bool, need_rows: bool
    ) -> Angles:
        """Adjoint differentiation: two states per row whatever the depth.

        References:
            Jones and Gacon, arXiv:2009.02823, algorithm 1.
        """
        shared, rows = _numpy(angles)
        states, by_output = residuals.cpu().numpy(), cotangent.detach().cpu().numpy()
        grad_shared, grad_rows = np.zeros_like(shared), np.zeros_like(rows)
        for engine, weights in self._exact:
            by_value = by_output if self._plain else (by_output @ weights.T).astype(rows.dtype)
            kept = states.copy() if states.size else states[:0]  # overwritten by the sweep, and wanted again perhaps
            operands = shared, rows, kept, by_value
            by_shared, by_rows = engine.backward(*operands, need_shared=need_shared, need_rows=need_rows)
            grad_shared += by_shared
            grad_rows += by_rows
        return Angles(*(torch.from_numpy(part).to(angles.rows.device) for part in (grad_shared, grad_rows)))

    def gradient(self, angles: Angles, cotangent: torch.Tensor) -> Angles:
        """Gradients of Σ cotangent·values without counting a run: for questions about the circuit itself."""
        _, states = self._forward(angles, True)
        return self.pullback(angles, states, cotangent, need_shared=True, need_rows=True)

    def differentiable(self, angles: Angles) -> torch.Tensor:
        """Exact values (N, M) in torch operations: any device, any order of derivative."""
        if self._plain:
            return torch_engine.run(self._exact[0][0].program, angles.shared, angles.rows)
        total = torch.as_tensor(self.plan.constants, dtype=angles.rows.dtype, device=angles.rows.device)[None, :]
        for engine, weights in self._exact:
            values = torch_engine.run(engine.program, angles.shared, angles.rows)
            total = total + _product(values, weights)
        return total.expand(angles.n_rows, -1)

    @property
    def programs(self) -> tuple[Program, ...]:
        """The programs for exact values."""
        return tuple(engine.program for engine, _ in self._exact)


def _product(values: torch.Tensor, weights: Any) -> torch.Tensor:
    """Values (N, W) times weights (W, M), in plain torch operations.

    Of a sparse matrix, columns with many entries (Pauli words) stay a matrix and the others (probabilities) become
    places to read and to add to. Torch's own sparse tensors know neither forward mode nor export.
    """
    constant = lambda entries: torch.as_tensor(entries, dtype=values.dtype, device=values.device)
    place = lambda entries: torch.as_tensor(entries, dtype=torch.int64, device=values.device)
    if not sparse.issparse(weights):
        return values @ constant(weights)
    full = np.diff(weights.tocsc().indptr) * _FULL > weights.shape[0]
    entries = weights.tocoo()
    single = ~full[entries.col]
    source, target = entries.row[single], entries.col[single]
    read = values.index_select(1, place(source)) * constant(entries.data[single])
    total = values.new_zeros(values.shape[0], weights.shape[1]).index_add(1, place(target), read)
    if not full.any():
        return total
    words = values @ constant(weights[:, np.flatnonzero(full)].toarray())
    return total.index_add(1, place(np.flatnonzero(full)), words)


def _numpy(angles: Angles) -> tuple[np.ndarray, np.ndarray]:
    shared, rows = angles.shared.detach().cpu().numpy(), angles.rows.detach().cpu().numpy()
    return np.ascontiguousarray(shared, dtype=rows.dtype), np.ascontiguousarray(rows)
