"""Driving the compiled kernels over batch tiles, forward and in reverse.

Shapes: N rows, T lanes of a tile, S = 2^Q amplitudes, K rotations, W measured values.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from qnn.errors import ArgumentError
from qnn.simulation import measuring, sweeps
from qnn.simulation.program import Program
from qnn.simulation.schedule import Schedule, schedule

TILE_BYTES = 1 << 20  # two states of a tile stay within a core's second-level cache
MOST_ROWS, LEAST_ROWS = 512, 32  # of a tile
LEAST_LANES, WIDE_LANES = 8, 128  # where a tile has fewer rows, low bits of the index join them in the lanes
WORK_BYTES = 1 << 30  # the states of a tile at most: large registers run with fewer lanes
KEEP_BYTES = 1 << 28  # final states kept for the adjoint; beyond, they are computed again
MAX_BYTES = 1 << 34  # the largest working set that is started at all
_SEEN = 256  # batch sizes remembered
_PARALLEL_FROM = 1 << 19  # amplitude updates below which threads cost more than they give


@dataclass(frozen=True)
class _Tiling:
    """How a batch is cut: tiles of `width` rows, with index bits inside the lanes where rows alone do not fill them."""

    n_tiles: int
    width: int
    lane_bits: int
    wide_bits: int

    @classmethod
    def of(cls, n_rows: int, n_wires: int, itemsize: int) -> _Tiling:
        one = 4 * 2**n_wires * itemsize  # two states of one row
        widest = max(1, min(MOST_ROWS, max(LEAST_ROWS, TILE_BYTES // one), WORK_BYTES // one))
        n_tiles = max(1, -(-n_rows // widest))
        width = max(1, -(-n_rows // n_tiles))
        missing = lambda lanes: max(0, (lanes - 1).bit_length() - (width - 1).bit_length())
        return cls(n_tiles, width, missing(LEAST_LANES) if n_wires >= 7 else 0, missing(WIDE_LANES))


class _Prepared(NamedTuple):
    """What is the same for every batch of one size."""

    tiling: _Tiling
    plan: Schedule
    operands: tuple[Any, ...]


class Engine:
    """One program, scheduled for the compiled sweeps."""

    def __init__(self, program: Program) -> None:
        self.program = program
        r = program.rotations
        columns = [np.flatnonzero(~r.per_row), np.flatnonzero(r.per_row)]
        factors = np.stack([r.scale, r.constant], axis=1)
        self._angles = tuple(part for k in columns for part in (r.column[k], factors[k]))
        self._varying = np.flatnonzero(r.column[columns[0]] >= 0)
        self._schedules: dict[tuple[int, int], Schedule] = {}
        self._seen: dict[tuple[int, int], _Prepared] = {}

    def forward(self, shared: np.ndarray, rows: np.ndarray, *, keep: bool) -> tuple[np.ndarray, np.ndarray]:
        """Measured values (N, W), and the final states (n_tiles, 2S, T), or an empty array where not kept.

        Args:
            shared: shape (S,), in the dtype of `rows`.
            rows: shape (N, R), contiguous, float32 or float64.
            keep: whether the states are wanted, for `backward`.
        """
        tiling, plan, operands = self._prepared(rows)
        values = np.empty((len(rows), self.program.measurement.n_values), dtype=rows.dtype)
        shape = (2 ** (self.program.n_wires + 1), tiling.width)
        keep = keep and tiling.n_tiles * shape[0] * shape[1] * rows.itemsize <= KEEP_BYTES
        states = np.empty((tiling.n_tiles if keep else 0, *shape), dtype=rows.dtype)

        def work(tile: int) -> None:
            v = states[tile] if keep else np.empty(shape, dtype=rows.dtype)
            part = slice(tile * tiling.width, (tile + 1) * tiling.width)
            sweeps.forward(v, _spare(plan, v), *operands, shared, rows[part], values[part])
            if plan.apart:
                _measure(plan, v, values[part])

        self._each(work, tiling, len(rows))
        return values, states

    def backward(
        self,
        shared: np.ndarray,
        rows: np.ndarray,
        states: np.ndarray,
        cotangent: np.ndarray,
        *,
        need_shared: bool = True,
        need_rows: bool = True,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives of Σ cotangent·values by the angles.

        Args:
            shared: as for `forward`.
            rows: as for `forward`.
            states: as `forward` returned them, to be overwritten; empty to compute them again.
            cotangent: shape (N, W), in the dtype of `rows`.
            need_shared: whether derivatives by shared angles are wanted.
            need_rows: whether derivatives by the rows' own angles are wanted.

        Returns:
            Shapes (S,) and (N, R); zero or unfinished where not wanted.
        """
        tiling, plan, operands = self._prepared(rows)
        last = plan.first_of_interest(need_shared, need_rows)
        column, factor = self._angles[:2]
        by_shared = np.zeros((tiling.n_tiles, len(column)))
        grad_rows = np.zeros_like(rows)
        values = np.empty_like(cotangent) if not len(states) else cotangent
        shape = (2 ** (self.program.n_wires + 1), tiling.width)

        def work(tile: int) -> None:
            v = states[tile] if len(states) else np.empty(shape, dtype=rows.dtype)
            part = slice(tile * tiling.width, (tile + 1) * tiling.width)
            spare = _spare(plan, v)
            if not len(states):
                sweeps.forward(v, spare, *operands, shared, rows[part], values[part])
            lam, weights, outputs = np.empty_like(v), cotangent[part], (by_shared[tile], grad_rows[part])
            if plan.apart:
                _cotangent(plan, v, weights, lam)
            sweeps.backward(v, lam, spare, *operands, shared, rows[part], weights, last, *outputs)

        self._each(work, tiling, len(rows))
        by_angle = (by_shared.sum(axis=0) * factor[:, 0])[self._varying]
        grad_shared = np.bincount(column[self._varying], by_angle, minlength=len(shared))
        return grad_shared.astype(shared.dtype), grad_rows

    def states(self, shared: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Final amplitudes (N, S), complex; of a program from `states_program` they are the circuit's."""
        tiling, n_amplitudes = self._prepared(rows).tiling, 2**self.program.n_wires
        plan = self._plain
        states = np.empty((len(rows), n_amplitudes), dtype=np.result_type(rows, np.complex64))
        none = np.empty((len(rows), 0), dtype=rows.dtype)

        def work(tile: int) -> None:
            v = np.empty((2 * n_amplitudes, tiling.width), dtype=rows.dtype)
            part = slice(tile * tiling.width, (tile + 1) * tiling.width)
            sweeps.forward(v, v[:0], *plan.operands, *self._angles, shared, rows[part], none[part])
            states[part].real, states[part].imag = v.reshape(2, n_amplitudes, -1)[:, :, : len(rows[part])].swapaxes(
                1, 2
            )

        self._each(work, tiling, len(rows))
        return states

    @cached_property
    def _plain(self) -> Schedule:
        return schedule(self.program, plain=True)

    def _prepared(self, rows: np.ndarray) -> _Prepared:
        """Tiling and schedule for a batch of this size, found once."""
        key = len(rows), rows.itemsize
        prepared = self._seen.get(key)
        if prepared is None:
            check_memory(self.program.n_wires, rows.itemsize)
            tiling = _Tiling.of(len(rows), self.program.n_wires, rows.itemsize)
            bits = tiling.lane_bits, tiling.wide_bits
            if bits not in self._schedules:
                self._schedules[bits] = schedule(self.program, *bits)
            if len(self._seen) >= _SEEN:
                self._seen.clear()
            plan = self._schedules[bits]
            prepared = self._seen[key] = _Prepared(tiling, plan, (*plan.operands, *self._angles))
        return prepared

    def _each(self, work: Callable[[int], None], tiling: _Tiling, n_rows: int) -> None:
        size = n_rows * 2**self.program.n_wires * max(1, len(self.program.rotations))
        if tiling.n_tiles > 1 and size >= _PARALLEL_FROM and n_threads() > 1:
            list(_pool().map(work, range(tiling.n_tiles)))
        else:
            for tile in range(tiling.n_tiles):
                work(tile)


def _spare(plan: Schedule, v: np.ndarray) -> np.ndarray:
    """Room for amplitudes that move."""
    return np.empty_like(v) if len(plan.labels) else v[:0]


def _measure(plan: Schedule, v: np.ndarray, values: np.ndarray) -> None:
    if len(plan.outcome):
        measuring.measure_outcomes(v, plan.outcome, values)
    else:
        measuring.measure_diagonal(v, plan.masks, plan.words, plan.lane_bits, values)


def _cotangent(plan: Schedule, v: np.ndarray, cotangent: np.ndarray, lam: np.ndarray) -> None:
    if len(plan.outcome):
        measuring.outcomes_cotangent(v, plan.outcome, cotangent, lam)
    else:
        measuring.diagonal_cotangent(v, plan.masks, plan.words, plan.lane_bits, cotangent, lam)


def check_memory(n_wires: int, itemsize: int) -> None:
    """Refuse a register whose two states would not fit, before anything is allocated."""
    size = 4 * 2**n_wires * itemsize
    if size > MAX_BYTES:
        raise ArgumentError(
            f"`n_qubits` must be small enough for memory; got {n_wires}, whose two states take {size / 2**30:.0f} GiB "
            f"and the bound is {MAX_BYTES / 2**30:.0f} GiB. Use fewer qubits."
        )


def n_threads() -> int:
    """Threads for tiles: as many as torch uses."""
    import torch

    return torch.get_num_threads()


_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}


def _pool() -> ThreadPoolExecutor:
    """A pool of this process; a forked child makes its own."""
    key = (os.getpid(), n_threads())
    if key not in _pools:
        _pools[key] = ThreadPoolExecutor(key[1], thread_name_prefix="qnn")
    return _pools[key]
