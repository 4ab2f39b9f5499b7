"""Samples and counts of a layer's circuit: which bits the wires show when all are measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from qnn import _seeding
from qnn.backends.base import Angles, Backend, Executable
from qnn.circuits.circuit import Circuit
from qnn.circuits.observables import Probabilities
from qnn.errors import ArgumentError, CapabilityError

_ORDER_STREAM = 2**33  # apart from the streams of measurement settings and of SPSA
_MAX_COUNTS = 2**28  # entries of a dense table of counts: 2 GiB


def draw_counts(circuit: Circuit, backend: Backend, angles: Angles, shots: int, keys: torch.Tensor) -> torch.Tensor:
    """How often each outcome of all wires is seen, in one call of the backend.

    Args:
        circuit: its operations; its own measurements do not matter.
        backend: where it runs.
        angles: N rows.
        shots: per row.
        keys: shape (N, 5), sampling keys.

    Returns:
        Shape (N, 2^n), int64, rows summing to `shots`; wire 0 is the leftmost bit of an outcome.

    Raises:
        ArgumentError: a table of counts too large for memory.
        CapabilityError: the backend does not count outcomes.
    """
    if angles.n_rows * 2**circuit.n_wires > _MAX_COUNTS:
        raise ArgumentError(
            f"`inputs` must have few enough rows for the counts of all outcomes to fit in memory; got {angles.n_rows} "
            f"rows of 2^{circuit.n_wires} outcomes. Sample fewer rows at a time, or measure fewer wires with qml.probs."
        )
    if not backend.capabilities.shots:
        raise _without_counts(backend)
    counts = _executable(circuit, backend).run(angles, shots=shots, keys=keys).counts
    if not counts:
        raise _without_counts(backend)
    return counts[0]


@lru_cache(maxsize=16)
def _executable(circuit: Circuit, backend: Backend) -> Executable:
    return backend.compile(circuit.with_measurements((Probabilities(tuple(range(circuit.n_wires))),)))


def _without_counts(backend: Backend) -> CapabilityError:
    mitigates = hasattr(backend, "mitigation")  # whose histograms would be of outcomes that nobody saw
    advice = "using(mitigation=None)" if mitigates else 'backend="statevector"'
    return CapabilityError(
        f'Backend "{backend.name}" returns no counts{" with mitigation" if mitigates else ""}, so that it cannot be '
        f"sampled. Use {advice}."
    )


def as_samples(counts: torch.Tensor, shots: int, keys: torch.Tensor) -> torch.Tensor:
    """Single shots in random order, as bits.

    Args:
        counts: shape (N, 2^n), rows summing to `shots`.
        shots: per row.
        keys: shape (N, 5), which fix the order.

    Returns:
        Shape (N, shots, n), int64.
    """
    n_rows, n_outcomes = counts.shape
    table = counts.numpy()
    row, outcome = np.nonzero(table)
    seen = np.repeat(outcome, table[row, outcome]).reshape(n_rows, shots)
    for line, generator in zip(seen, _seeding.generators(keys.numpy(), _ORDER_STREAM), strict=True):
        generator.shuffle(line)
    places = np.arange(n_outcomes.bit_length() - 1)[::-1]
    return torch.from_numpy((seen[:, :, None] >> places) & 1)


def as_histograms(counts: torch.Tensor, leading: Sequence[int]) -> Any:
    """Dictionaries {"0110": times seen}, in lists nested like the leading dimensions; one dictionary for none.

    Args:
        counts: shape (N, 2^n).
        leading: sizes whose product is N.
    """
    width = counts.shape[1].bit_length() - 1
    lines = (
        {format(outcome, f"0{width}b"): int(line[outcome]) for outcome in np.flatnonzero(line).tolist()}
        for line in counts.numpy()
    )
    return _nested(lines, tuple(leading))


def _nested(items: Iterator[Any], leading: tuple[int, ...]) -> Any:
    return [_nested(items, leading[1:]) for _ in range(leading[0])] if leading else next(items)
