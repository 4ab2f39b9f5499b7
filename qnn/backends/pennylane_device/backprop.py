"""Results that autodiff goes through: the engine's program in torch, or PennyLane's own simulation.

The way to derivatives of any order, of states, and by the coefficients of an observable.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
import torch
from pennylane.devices import ExecutionConfig
from pennylane.devices.qubit import simulate
from pennylane.math import Interface

from qnn.backends.base import Angles
from qnn.backends.pennylane_device.rows import Group
from qnn.backends.statevector import StatevectorExecutable

_ON_NUMPY = (Interface.NUMPY, Interface.AUTOGRAD)


def is_traced(group: Group, config: ExecutionConfig) -> bool:
    """Whether autodiff follows some parameter, so that results must be made of operations it knows."""
    if config.interface not in _ON_NUMPY:
        return True
    measured = (mp.obs.data for tape in group.tapes for mp in tape.measurements if mp.obs is not None)
    values = chain(*(reading.values for reading in group.readings), *measured)
    return not all(isinstance(value, float | int | np.ndarray | np.generic) for value in values)


def differentiable_result(group: Group, i: int, config: ExecutionConfig, dtype: torch.dtype) -> Any:
    """The result of one tape in the tensors of `config.interface`."""
    structure, tape = group.structure, group.tapes[i]
    if structure.measurements is None or config.interface is not Interface.TORCH:
        return simulate(tape, interface=config.interface)
    angles, shared = _angles(group, i, dtype)
    executable = structure.executable(shared)
    assert isinstance(executable, StatevectorExecutable), "the backend is the embedded one"
    values = executable.differentiable(angles)
    sizes = [m.n_outputs for m in executable.circuit.measurements]
    blocks = [block if block.shape[1] > 1 else block[:, 0] for block in values.split(sizes, dim=1)]
    results = tuple(block if group.readings[i].batch is not None else block[0] for block in blocks)
    return results[0] if len(results) == 1 else results


def _angles(group: Group, i: int, dtype: torch.dtype) -> tuple[Angles, tuple[bool, ...] | None]:
    """The angles of one tape as tensors that remember where they came from."""
    reading, places = group.readings[i], group.structure.angle_places
    alike = [reading.batch is not None and not reading.batched[place] for place in places]
    columns = [torch.as_tensor(reading.values[place], dtype=dtype) for place in places]
    same = [column for column, a in zip(columns, alike, strict=True) if a]
    rest = [column.expand(reading.n_rows) for column, a in zip(columns, alike, strict=True) if not a]
    empty = torch.zeros(0, dtype=dtype)
    angles = Angles(
        torch.stack(same) if same else empty,
        torch.stack(rest, dim=1) if rest else empty.expand(reading.n_rows, 0),
    )
    return angles, tuple(alike) if same else None
