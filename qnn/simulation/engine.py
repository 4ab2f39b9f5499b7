"""Driving the compiled kernels over batch tiles, forward and in reverse.

Shapes: N rows, T lanes of a tile, S = 2^Q amplitudes, K rotations, W measured values.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from qnn.errors import ArgumentError
from qnn.simulation import measuring, sweeps
from qnn.simulation.program import Program
from qnn.simulation.schedule import Schedule, schedule

TILE_BYTES = 1 << 20  # two states of a tile stay within a core's second-level cache
MOST_ROWS, LEAST_ROWS = 512, 32  # of a tile
LEAST_LANES = 32  # where a tile has fewer rows, low bits of the index fill the lanes
WORK_BYTES = 1 << 30  # the states of a tile at most: large registers run with fewer lanes
KEEP_BYTES = 1 << 28  # final states kept for the adjoint; beyond, they are computed again
MAX_BYTES = 1 << 34  # the largest working set that is started at all
_PARALLEL_FROM = 1 << 19  # amplitude updates below which threads cost more than they give


@dataclass(frozen=True)
class _Tiling:
    n_rows: int
    n_tiles: int
    width: int
    lane_bits: int

    @classmethod
    def of(cls, n_rows: int, n_wires: int, itemsize: int) -> _Tiling:
        one = 4 * 2**n_wires * itemsize  # two states of one row
        widest = max(1, min(MOST_ROWS, max(LEAST_ROWS, TILE_BYTES // one), WORK_BYTES // one))
        n_tiles = max(1, -(-n_rows // widest))
        width = max(1, -(-n_rows // n_tiles))
        lane_bits = max(0, (LEAST_LANES - 1).bit_length() - (width - 1).bit_length()) if n_wires >= 7 else 0
        return cls(n_rows, n_tiles, width, lane_bits)

    def split(self, columns: np.ndarray) -> np.ndarray:
        """(N, C) as (n_tiles, C, T), padded with zeros."""
        if self.n_tiles == 1:
            return np.ascontiguousarray(columns.T)[None]
        padded = np.zeros((self.n_tiles * self.width, columns.shape[1]), dtype=columns.dtype)
        padded[: self.n_rows] = columns
        return np.ascontiguousarray(padded.reshape(self.n_tiles, self.width, columns.shape[1]).transpose(0, 2, 1))

    def join(self, tiles: np.ndarray) -> np.ndarray:
        """(n_tiles, C, T) as (N, C)."""
        padded = tiles.transpose(0, 2, 1).reshape(self.n_tiles * self.width, tiles.shape[1])
        return np.ascontiguousarray(padded[: self.n_rows])

    def lanes(self, state: np.ndarray) -> np.ndarray:
        """A state (2, S, T) as the rows of lanes that the sweeps work on."""
        return state.reshape(-1, self.width << self.lane_bits)


class Engine:
    """One program, scheduled for the compiled sweeps."""

    def __init__(self, program: Program) -> None:
        self.program = program
        r = program.rotations
        self._shared, self._rows = np.flatnonzero(~r.per_row), np.flatnonzero(r.per_row)
        self._schedules: dict[int, Schedule] = {}

    def schedule(self, lane_bits: int) -> Schedule:
        """The instructions for tiles with `lane_bits` index bits within the lanes."""
        if lane_bits not in self._schedules:
            self._schedules[lane_bits] = schedule(self.program, lane_bits)
        return self._schedules[lane_bits]

    def forward(self, shared: np.ndarray, rows: np.ndarray, *, keep: bool) -> tuple[np.ndarray, np.ndarray]:
        """Measured values (N, W), and the final states (n_tiles, 2, S, T), or an empty array where not kept."""
        tiling, angles = self._tiling(rows), self._angles(shared, rows)
        plan, n_amplitudes = self.schedule(tiling.lane_bits), 2**self.program.n_wires
        values = np.empty((tiling.n_tiles, self.program.measurement.n_values, tiling.width), dtype=rows.dtype)
        keep = keep and 2 * tiling.n_tiles * n_amplitudes * tiling.width * rows.itemsize <= KEEP_BYTES
        states = np.empty((tiling.n_tiles if keep else 0, 2, n_amplitudes, tiling.width), dtype=rows.dtype)

        def work(tile: int) -> None:
            state = states[tile] if keep else np.empty(states.shape[1:], dtype=rows.dtype)
            self._evolve(plan, tiling, state, angles, tile)
            _measure(plan, state, values[tile])

        self._each(work, tiling)
        return tiling.join(values), states

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
            shared: shape (S,).
            rows: shape (N, R).
            states: as `forward` returned them; empty to compute them again. They are overwritten.
            cotangent: shape (N, W).
            need_shared: whether derivatives by shared angles are wanted.
            need_rows: whether derivatives by the rows' own angles are wanted.

        Returns:
            Shapes (S,) and (N, R); zero where not wanted.
        """
        r, tiling, angles = self.program.rotations, self._tiling(rows), self._angles(shared, rows)
        plan, n_amplitudes = self.schedule(tiling.lane_bits), 2**self.program.n_wires
        last = plan.first_of_interest(need_shared, need_rows)
        weights = tiling.split(cotangent)
        by_shared = np.zeros((tiling.n_tiles, len(self._shared)))
        by_rows = np.zeros((tiling.n_tiles, len(self._rows), tiling.width), dtype=rows.dtype)

        def work(tile: int) -> None:
            psi = states[tile] if len(states) else np.empty((2, n_amplitudes, tiling.width), dtype=rows.dtype)
            if not len(states):
                self._evolve(plan, tiling, psi, angles, tile)
            lam = np.empty_like(psi)
            _cotangent(plan, psi, weights[tile], lam)
            v, w = tiling.lanes(psi), tiling.lanes(lam)
            spare = _spare(plan, v)
            sweeps.sweep_back(v, w, spare, *plan.operands, *angles(tile), last, by_shared[tile], by_rows[tile])

        self._each(work, tiling)
        grad_shared, grad_rows = np.zeros_like(shared), np.zeros_like(rows)
        if need_shared:
            k = self._shared[r.column[self._shared] >= 0]
            by_angle = by_shared.sum(axis=0)[r.column[self._shared] >= 0] * r.scale[k]
            grad_shared += np.bincount(r.column[k], by_angle, minlength=len(shared)).astype(shared.dtype)
        if need_rows:
            self._add_rows(tiling.join(by_rows), grad_rows)
        return grad_shared, grad_rows

    def _add_rows(self, by_rotation: np.ndarray, gradient: np.ndarray) -> None:
        column, scale = self.program.rotations.column[self._rows], self.program.rotations.scale[self._rows]
        by_angle = by_rotation * scale.astype(by_rotation.dtype)
        if len(column) == len(set(column.tolist())):
            gradient[:, column] = by_angle
        else:
            np.add.at(gradient.T, column, by_angle.T)

    def states(self, shared: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Final amplitudes (N, S), complex; of a program from `states_program` they are the circuit's."""
        tiling, angles = replace(self._tiling(rows), lane_bits=0), self._angles(shared, rows)
        plan = schedule(self.program, plain=True)
        tiles = np.empty((tiling.n_tiles, 2, 2**self.program.n_wires, tiling.width), dtype=rows.dtype)
        self._each(lambda tile: self._evolve(plan, tiling, tiles[tile], angles, tile), tiling)
        real, imaginary = (tiling.join(tiles[:, part]) for part in range(2))
        return real + np.multiply(1j, imaginary, dtype=np.result_type(real, np.complex64))

    def _tiling(self, rows: np.ndarray) -> _Tiling:
        check_memory(self.program.n_wires, rows.itemsize)
        return _Tiling.of(len(rows), self.program.n_wires, rows.itemsize)

    def _evolve(self, plan: Schedule, tiling: _Tiling, state: np.ndarray, angles: Callable, tile: int) -> None:
        v = tiling.lanes(state)
        sweeps.evolve(v, _spare(plan, v), *plan.operands, *angles(tile))

    def _angles(self, shared: np.ndarray, rows: np.ndarray) -> Callable[[int], tuple[np.ndarray, ...]]:
        """Half angles of the shared rotations, their cosines and sines, and those of the rows, tile by tile."""
        r, k, dtype = self.program.rotations, self._shared, rows.dtype
        fixed = np.concatenate([shared, [0.0]]).astype(np.float64)[r.column[k]]  # column -1 is the 0
        half = (fixed * r.scale[k] + r.constant[k]) / 2
        k = self._rows
        half_rows = (rows[:, r.column[k]] * r.scale[k] + r.constant[k]).astype(dtype) / 2
        tiles = self._tiling(rows).split(half_rows)
        cos_s, sin_s = np.cos(half).astype(dtype), np.sin(half).astype(dtype)
        cos_r, sin_r = np.cos(tiles), np.sin(tiles)
        return lambda tile: (half, cos_s, sin_s, cos_r[tile], sin_r[tile])

    def _each(self, work: Callable[[int], None], tiling: _Tiling) -> None:
        size = tiling.n_rows * 2**self.program.n_wires * max(1, len(self.program.rotations))
        if tiling.n_tiles > 1 and size >= _PARALLEL_FROM and n_threads() > 1:
            list(_pool().map(work, range(tiling.n_tiles)))
        else:
            for tile in range(tiling.n_tiles):
                work(tile)


def _spare(plan: Schedule, v: np.ndarray) -> np.ndarray:
    """Room for amplitudes that move."""
    return np.empty_like(v) if len(plan.labels) else v[:0]


def _measure(plan: Schedule, state: np.ndarray, out: np.ndarray) -> None:
    if len(plan.outcome):
        measuring.measure_outcomes(state, plan.outcome, out)
    elif plan.diagonal:
        measuring.measure_diagonal(state, plan.words, plan.lane_bits, out)
    else:
        measuring.measure_words(state, plan.words, out)


def _cotangent(plan: Schedule, psi: np.ndarray, weights: np.ndarray, lam: np.ndarray) -> None:
    if len(plan.outcome):
        measuring.outcomes_cotangent(psi, plan.outcome, weights, lam)
    elif plan.diagonal:
        measuring.diagonal_cotangent(psi, plan.words, plan.lane_bits, weights, lam)
    else:
        measuring.words_cotangent(psi, plan.words, weights, lam)


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
