"""What both devices have in common: options, seeds, and results put back in order."""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np
import pennylane as qml
import torch
from pennylane.devices import Device, ExecutionConfig
from pennylane.exceptions import DeviceError

from qnn import _seeding
from qnn._integers import checked_seed
from qnn.backends.base import Backend
from qnn.backends.pennylane_device.rows import Group, StructureCache, results_of
from qnn.errors import ArgumentError

_counting = threading.Lock()  # threads that share a device draw their own shots; no part of a device, which is pickled


def _count_anew() -> None:
    """A forked process must not wait for a thread that it does not have."""
    global _counting
    _counting = threading.Lock()


os.register_at_fork(after_in_child=_count_anew)


class EngineDevice(Device):
    """A PennyLane device in front of a backend of ours.

    Args:
        backend: where circuits run.
        wires: number of wires, or their labels; None takes what each circuit uses.
        shots: default number of shots; PennyLane prefers `qml.set_shots` on the QNode.
        seed: root of all sampling; None draws it from torch's default generator.
        unknown: options that the device does not have, to be refused by name.
    """

    def __init__(self, backend: Backend, wires: Any, shots: Any, seed: int | None, unknown: dict[str, Any]) -> None:
        if unknown:
            known = ", ".join(("wires", "shots", "seed", *self._options))
            raise ArgumentError(f'Device "{self.name}" has no option `{next(iter(unknown))}`. It has: {known}.')
        root = _seeding.draw_root(checked_seed(seed))
        super().__init__(wires=wires, shots=shots)
        self.backend = backend
        self._structures = StructureCache(backend)
        self._root = root
        self._calls = 0

    _options: tuple[str, ...] = ()  # names of further options

    def _keys(self, groups: list[Group]) -> list[np.ndarray]:
        """Sampling keys of one call, for every group of shape (N, 5): rows are numbered through the batch."""
        places = sorted((place, g, i) for g, group in enumerate(groups) for i, place in enumerate(group.places))
        total = sum(group.n_rows for group in groups)
        with _counting:
            call = self._calls
            self._calls += 1
        keys = _seeding.row_keys(self._root, total, call).numpy()
        parts: list[list[np.ndarray]] = [[] for _ in groups]
        start = 0
        for _, g, i in places:
            n = groups[g].readings[i].n_rows
            parts[g].append(keys[start : start + n])
            start += n
        return [np.concatenate(part) for part in parts]

    def _sampled_values(self, group: Group, dtype: torch.dtype, keys: np.ndarray) -> list[Any]:
        """Estimates of a circuit's values from shots, one run for each entry of the shot vector."""
        angles, shared = group.angles(dtype)
        executable = group.structure.executable(shared)
        shots = group.tapes[0].shots
        copies = []
        for number, n_shots in enumerate(shots):
            own = torch.from_numpy(keys.copy())
            own[:, 4] = number
            estimate = executable.run(angles, shots=n_shots, keys=own)
            copies.append(results_of(executable, group, estimate.values.numpy()))
        return list(zip(*copies, strict=True)) if shots.has_partitioned_shots else copies[0]

    def _check_config(self, config: ExecutionConfig) -> None:
        for option in config.device_options:
            raise DeviceError(f"device option {option} not present on {self.name}")


def in_order(groups: list[Group], results: list[list[Any]]) -> tuple[Any, ...]:
    """Results of groups as those of the batch."""
    ordered: list[Any] = [None] * sum(len(group.tapes) for group in groups)
    for group, own in zip(groups, results, strict=True):
        for place, result in zip(group.places, own, strict=True):
            ordered[place] = result
    return tuple(ordered)


def has_pauli_observables(tape: qml.tape.QuantumScript) -> bool:
    """Whether each expectation value is one of Pauli words, so that samples of words are samples of the observable."""
    return all(mp.obs is None or mp.obs.pauli_rep is not None for mp in tape.measurements)
