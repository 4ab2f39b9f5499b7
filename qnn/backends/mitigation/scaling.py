"""The same circuit with more noise: folded by the backend after transpiling, or in gates of the table before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from qnn.backends.base import Angles, Estimate, Executable
from qnn.backends.confusion import flip_circuit
from qnn.circuits.folding import Folded, Folding, fold


def folded(executable: Executable, folding: Folding) -> Executable:
    """`executable` with its gates folded; its angles and measurements stay as they are."""
    if folding.scale == 1:
        return executable
    found = executable.folded(folding)
    if found is not None:
        return found
    written = fold(executable.circuit, folding)
    return FoldedExecutable(executable, executable.backend.compile(written.circuit), written)


def flipped(executable: Executable, wires: Sequence[int], flips: bool) -> Executable:
    """What prepares zeros (or ones, where it `flips`) on `wires` and measures Z on each, where `executable` measures.

    Its first outputs are those of `wires`. Where nothing is transpiled all wires of the circuit's gates are
    measured too, so that a backend that numbers the wires in use has the same numbers for them.
    """
    found = executable.flipped(wires, flips)
    if found is not None:
        return found
    others = {wire for operation in executable.circuit.operations for wire in operation.wires}.difference(wires)
    return executable.backend.compile(flip_circuit(executable.circuit.n_wires, wires, flips, sorted(others)))


class FoldedExecutable(Executable):
    """A folded circuit that takes the angles of the original."""

    def __init__(self, original: Executable, inner: Executable, folded: Folded) -> None:
        super().__init__(original.circuit, original.backend)
        self.noise_scale = folded.scale
        self._inner = inner
        self._shared, self._rows = _gather(folded.shared), _gather(folded.rows)

    def run(self, angles: Angles, *, shots: int | None = None, keys: torch.Tensor | None = None) -> Estimate:
        """Execute every row; see `Executable.run`."""
        copies = [
            block.index_select(-1, index.to(block.device)) * signs.to(block)
            for block, (index, signs) in ((angles.shared, self._shared), (angles.rows, self._rows))
        ]
        return self._inner.run(Angles(*copies), shots=shots, keys=keys)

    def describe(self) -> dict[str, Any]:
        """Facts about the folded circuit."""
        return self._inner.describe()

    def circuits_per_row(self, shots: int | None) -> int:
        """Those of the folded circuit."""
        return self._inner.circuits_per_row(shots)

    def jobs_for(self, n_rows: int, shots: int | None) -> int:
        """Those of the folded circuit."""
        return self._inner.jobs_for(n_rows, shots)

    def seconds_for(self, n_rows: int, shots: int | None) -> float | None:
        """Those of the folded circuit."""
        return self._inner.seconds_for(n_rows, shots)


def _gather(copies: Sequence[tuple[int, int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Places and signs of the copies of a block's angles."""
    index, signs = ([copy[i] for copy in copies] for i in (0, 1))
    return torch.tensor(index, dtype=torch.int64), torch.tensor(signs, dtype=torch.float64)
