"""Measurements read from the outcomes of one basis: for backends that give distributions or counts, no states.

Shapes: N rows, k measured wires.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pennylane as qml
import torch
from pennylane.measurements import ExpectationMP, ProbabilityMP, VarianceMP
from pennylane.tape import QuantumScript
from pennylane.transforms.core import transform

from qnn import _seeding
from qnn.backends.pennylane_device.rows import Group
from qnn.backends.pennylane_device.structure import circuit_measurement

_STREAM = 1 << 20  # apart from the streams of the measurement settings


@transform
def one_basis_each(tape: QuantumScript) -> tuple[list[QuantumScript], Callable[[Any], Any]]:
    """Split a tape into one with all values of a circuit, and one for each basis of the other measurements.

    The basis change is appended to the operations; the measurements stay as they are.
    """
    places = [places for places in _by_basis(tape) if places] or [[]]
    tapes = []
    for group in places:
        processes = [tape.measurements[i] for i in group]
        rotations = [] if not processes or are_values(processes, tape) else _rotations(processes)
        tapes.append(tape.copy(operations=[*tape.operations, *rotations], measurements=processes))

    def joined(results: Any) -> Any:
        copies = zip(*results, strict=True) if tape.shots.has_partitioned_shots else [results]
        own = [_joined(copy, places) for copy in copies]
        return tuple(own) if tape.shots.has_partitioned_shots else own[0]

    return tapes, joined


def _joined(results: Any, places: list[list[int]]) -> Any:
    """The results of the parts in the order of the tape's measurements."""
    ordered: dict[int, Any] = {}
    for own, group in zip(results, places, strict=True):
        ordered |= dict(zip(group, [own] if len(group) == 1 else own, strict=True))
    return ordered[0] if len(ordered) == 1 else tuple(ordered[i] for i in range(len(ordered)))


def _by_basis(tape: QuantumScript) -> list[list[int]]:
    """Numbers of the measurements that go together: values, outcomes as such, Pauli words basis by basis, others."""
    values: list[int] = []
    plain: list[int] = []
    words: list[int] = []
    others: list[int] = []
    for i, process in enumerate(tape.measurements):
        if are_values([process], tape):
            values.append(i)
        elif process.obs is None:
            plain.append(i)
        else:
            (words if qml.pauli.is_pauli_word(process.obs) else others).append(i)
    bases = qml.pauli.compute_partition_indices([tape.measurements[i].obs for i in words]) if words else ()
    return [values, plain, *([words[i] for i in basis] for basis in bases), *([i] for i in others)]


def are_values(processes: list[Any], tape: QuantumScript) -> bool:
    """Whether these are values of a circuit; with shots Pauli words only, a matrix is sampled in its own basis."""
    number = {label: i for i, label in enumerate(tape.wires)}
    return all(
        circuit_measurement(mp, number) is not None
        and not (tape.shots and mp.obs is not None and mp.obs.pauli_rep is None)
        for mp in processes
    )


def _rotations(processes: list[Any]) -> list[Any]:
    with qml.QueuingManager.stop_recording():
        if len(processes) == 1:
            return list(processes[0].diagonalizing_gates())
        if any(mp.obs is None for mp in processes):
            return []
        return list(qml.pauli.diagonalize_qwc_pauli_words([mp.obs for mp in processes])[0])


def measure_outcomes(group: Group, keys: np.ndarray | None) -> list[Any]:
    """The results of every tape, from the outcomes of all its measured wires in one run.

    Args:
        group: tapes in one basis.
        keys: shape (N, 5), sampling keys; needed with shots.
    """
    angles, shared = group.angles(torch.float64)
    wires, executable = group.structure.outcomes(group.tapes[0], shared)
    shots = group.tapes[0].shots
    if not shots:
        distributions = executable.run(angles).values.numpy()
        return [
            _packed([_exact(mp, distributions[rows], wires, reading.batch) for mp in group.tapes[i].measurements])
            for i, reading, rows in group.slices()
        ]
    assert keys is not None, "sampling needs keys"
    frequencies = executable.run(angles, shots=shots.total_shots, keys=torch.from_numpy(keys)).values.numpy()
    counts = np.rint(frequencies * shots.total_shots).astype(np.int64)
    results = []
    for i, reading, rows in group.slices():
        samples = np.stack([_samples(own, key) for own, key in zip(counts[rows], keys[rows], strict=True)])
        samples = samples if reading.batch is not None else samples[0]
        order = qml.wires.Wires(wires)
        copies = [
            _packed([mp.process_samples(samples[..., low:high, :], order) for mp in group.tapes[i].measurements])
            for low, high in shots.bins()
        ]
        results.append(tuple(copies) if shots.has_partitioned_shots else copies[0])
    return results


def _packed(results: list[Any]) -> Any:
    return results[0] if len(results) == 1 else tuple(results)


def _samples(counts: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Outcomes (2^k,) counted, as bits (shots, k) in random order: what independent shots would have been."""
    k = len(counts).bit_length() - 1
    outcomes = np.repeat(np.arange(len(counts)), counts)
    outcomes = _seeding.generator(key, _STREAM).permutation(outcomes)
    return (outcomes[:, None] >> np.arange(k - 1, -1, -1)) & 1


def _exact(process: Any, distributions: np.ndarray, wires: tuple[Any, ...], batch: int | None) -> np.ndarray:
    """An expectation value, a variance or probabilities from the distribution (N, 2^k) of all measured wires."""
    own = tuple(process.wires) or wires
    axes = [1 + wires.index(wire) for wire in own]
    table = distributions.reshape((-1,) + (2,) * len(wires))
    table = table.transpose(0, *axes, *(1 + i for i in range(len(wires)) if 1 + i not in axes))
    p = table.reshape(len(distributions), 2 ** len(own), -1).sum(axis=2)
    if not isinstance(process, ProbabilityMP):
        assert isinstance(process, ExpectationMP | VarianceMP), "others need samples"
        values = np.asarray(process.eigvals(), dtype=np.float64)
        mean = p @ values
        p = mean if isinstance(process, ExpectationMP) else p @ values**2 - mean**2
    return np.array(p if batch is not None else p[0])
