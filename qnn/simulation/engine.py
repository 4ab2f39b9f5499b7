"""Driving the compiled kernels over batch tiles, forward and in reverse.

Shapes: N rows, T lanes of a tile, S = 2^Q amplitudes, K rotations, W measured values.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from qnn.errors import ArgumentError
from qnn.simulation import kernels
from qnn.simulation.program import Program, WordMeasurement

TILE_BYTES = 1 << 18  # two states of a tile stay within a core's second-level cache
WORK_BYTES = 1 << 30  # the states of a tile at most: large registers run with fewer lanes
KEEP_BYTES = 1 << 28  # final states kept for the adjoint; beyond, they are computed again
MAX_BYTES = 1 << 34  # the largest working set that is started at all
_PARALLEL_FROM = 1 << 19  # amplitude updates below which threads cost more than they give


@dataclass(frozen=True)
class _Tiling:
    n_rows: int
    n_tiles: int
    lanes: int

    @classmethod
    def of(cls, n_rows: int, n_amplitudes: int, itemsize: int) -> _Tiling:
        one_lane = 4 * n_amplitudes * itemsize  # two states
        widest = max(1, min(512, max(32, TILE_BYTES // one_lane), WORK_BYTES // one_lane))
        n_tiles = max(1, -(-n_rows // widest))
        return cls(n_rows, n_tiles, max(1, -(-n_rows // n_tiles)))

    def split(self, columns: np.ndarray) -> np.ndarray:
        """(N, C) as (n_tiles, C, T), padded with zeros."""
        padded = np.zeros((self.n_tiles * self.lanes, columns.shape[1]), dtype=columns.dtype)
        padded[: self.n_rows] = columns
        return np.ascontiguousarray(padded.reshape(self.n_tiles, self.lanes, columns.shape[1]).transpose(0, 2, 1))

    def join(self, tiles: np.ndarray) -> np.ndarray:
        """(n_tiles, C, T) as (N, C)."""
        padded = tiles.transpose(0, 2, 1).reshape(self.n_tiles * self.lanes, tiles.shape[1])
        return np.ascontiguousarray(padded[: self.n_rows])


class Engine:
    """One program with its rotations in the kernels' form."""

    def __init__(self, program: Program) -> None:
        self.program = program
        rotations = program.rotations
        self._shared = np.flatnonzero(~rotations.per_row)
        self._rows = np.flatnonzero(rotations.per_row)
        place = np.empty(len(rotations), dtype=np.int64)
        place[self._shared] = np.arange(len(self._shared))
        place[self._rows] = np.arange(len(self._rows))
        self._structure = (rotations.x, rotations.z, rotations.per_row, place)

    def forward(self, shared: np.ndarray, rows: np.ndarray, *, keep: bool) -> tuple[np.ndarray, np.ndarray]:
        """Measured values (N, W), and the final states (n_tiles, 2, S, T), or an empty array where not kept."""
        tiling, trig = self._prepare(shared, rows)
        n_amplitudes = 2**self.program.n_wires
        values = np.empty((tiling.n_tiles, self.program.measurement.n_values, tiling.lanes), dtype=rows.dtype)
        keep = keep and 2 * tiling.n_tiles * n_amplitudes * tiling.lanes * rows.itemsize <= KEEP_BYTES
        states = np.empty((tiling.n_tiles if keep else 0, 2, n_amplitudes, tiling.lanes), dtype=rows.dtype)

        def work(tile: int) -> None:
            state = states[tile] if keep else np.empty(states.shape[1:], dtype=rows.dtype)
            kernels.evolve(state[0], state[1], *self._structure, *trig(tile))
            self._measure(state, values[tile])

        self._each(work, tiling)
        return tiling.join(values), states

    def states(self, shared: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Final amplitudes (N, S), complex; of a program from `states_program` they are the circuit's."""
        tiling, trig = self._prepare(shared, rows)
        tiles = np.empty((tiling.n_tiles, 2, 2**self.program.n_wires, tiling.lanes), dtype=rows.dtype)

        def work(tile: int) -> None:
            kernels.evolve(tiles[tile, 0], tiles[tile, 1], *self._structure, *trig(tile))

        self._each(work, tiling)
        real, imaginary = (tiling.join(tiles[:, part]) for part in range(2))
        return real + np.multiply(1j, imaginary, dtype=np.result_type(real, np.complex64))

    def backward(
        self, shared: np.ndarray, rows: np.ndarray, states: np.ndarray, cotangent: np.ndarray, wanted: np.ndarray
    ) -> np.ndarray:
        """Derivative of Σ cotangent·values by each rotation's angle.

        Args:
            shared: shape (S,).
            rows: shape (N, R).
            states: as `forward` returned them; empty to compute them again.
            cotangent: shape (N, W).
            wanted: shape (K,) bool; other derivatives are left zero.

        Returns:
            Shape (N, K).
        """
        tiling, trig = self._prepare(shared, rows)
        shape = (2, 2**self.program.n_wires, tiling.lanes)
        gradient = np.zeros((tiling.n_tiles, len(wanted), tiling.lanes), dtype=rows.dtype)
        weights = tiling.split(cotangent)

        def work(tile: int) -> None:
            psi = states[tile].copy() if len(states) else np.empty(shape, dtype=rows.dtype)
            if not len(states):
                kernels.evolve(psi[0], psi[1], *self._structure, *trig(tile))
            lam = np.empty(shape, dtype=rows.dtype)
            self._seed_cotangent(psi, weights[tile], lam)
            states_ = (psi[0], psi[1], lam[0], lam[1])
            kernels.sweep_back(*states_, *self._structure, *trig(tile), wanted, gradient[tile])  # type: ignore[call-arg]

        self._each(work, tiling)
        return tiling.join(gradient)

    def _prepare(self, shared: np.ndarray, rows: np.ndarray) -> tuple[_Tiling, Callable[[int], tuple]]:
        rotations, dtype = self.program.rotations, rows.dtype
        n_amplitudes = 2**self.program.n_wires
        check_memory(self.program.n_wires, dtype.itemsize)
        tiling = _Tiling.of(len(rows), n_amplitudes, dtype.itemsize)
        k = self._shared
        fixed = np.concatenate([shared, [0.0]]).astype(np.float64)[rotations.column[k]]  # column -1 is the 0
        half_s = (fixed * rotations.scale[k] + rotations.constant[k]) / 2
        k = self._rows
        half_r = (rows[:, rotations.column[k]] * rotations.scale[k] + rotations.constant[k]).astype(dtype) / 2
        tiles = tiling.split(half_r)
        cos_s, sin_s = np.cos(half_s).astype(dtype), np.sin(half_s).astype(dtype)
        cos_r, sin_r = np.cos(tiles), np.sin(tiles)
        return tiling, lambda tile: (cos_s, sin_s, cos_r[tile], sin_r[tile])

    def _measure(self, state: np.ndarray, out: np.ndarray) -> None:
        m = self.program.measurement
        if isinstance(m, WordMeasurement):
            kernels.measure_words(state[0], state[1], m.x, m.z, out)
        else:
            kernels.measure_outcomes(state[0], state[1], m.outcome, out)

    def _seed_cotangent(self, psi: np.ndarray, weights: np.ndarray, lam: np.ndarray) -> None:
        m = self.program.measurement
        if isinstance(m, WordMeasurement):
            kernels.words_cotangent(psi[0], psi[1], m.x, m.z, weights, lam[0], lam[1])
        else:
            kernels.outcomes_cotangent(psi[0], psi[1], m.outcome, weights, lam[0], lam[1])

    def _each(self, work: Callable[[int], None], tiling: _Tiling) -> None:
        size = tiling.n_rows * 2**self.program.n_wires * max(1, len(self.program.rotations))
        if tiling.n_tiles > 1 and size >= _PARALLEL_FROM and n_threads() > 1:
            list(_pool().map(work, range(tiling.n_tiles)))
        else:
            for tile in range(tiling.n_tiles):
                work(tile)


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
