"""Stateless sampling: what a circuit row draws is a function of its key, of nothing else.

A key is five integers ``(root, step, call, position, shift)``: the root seed of the layer, the
training step, the call within that step, the row's position in the global batch, and the number
of the shifted copy (0 for the row itself). The key selects a stream of the
counter-based generator Philox (Salmon et al. 2011), so f(θ+s) and f(θ-s) are independent,
two steps never share noise, and neither the order of rows nor the number of processes
matters.

The training loop opens a `step_scope`; layers read it. Outside a loop each layer counts its
own calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

_WORD = (1 << 64) - 1
_OUTSIDE = -1  # the step of calls made outside any training loop


@dataclass
class StepScope:
    """The step in progress, the rows' positions in the global batch, and calls made so far per root."""

    step: int
    positions: torch.Tensor | None = None  # shape: (B,)
    calls: dict[int, int] = field(default_factory=dict)

    def next_call(self, root: int) -> int:
        """The number of calls made before this one within the step, for one root seed."""
        call = self.calls.get(root, 0)
        self.calls[root] = call + 1
        return call


_scope: ContextVar[StepScope | None] = ContextVar("qnn_step_scope", default=None)


@contextmanager
def step_scope(step: int, positions: torch.Tensor | None = None) -> Iterator[StepScope]:
    """Declare which step runs inside the block, and which rows of the data set it uses.

    Args:
        step: number of the optimisation step, counted over the whole run. Evaluation passes use
            negative steps below -1.
        positions: shape (B,), the rows' positions in the data set; None counts from 0.
    """
    scope = StepScope(int(step), positions)
    token = _scope.set(scope)
    try:
        yield scope
    finally:
        _scope.reset(token)


def current_scope() -> StepScope | None:
    """The innermost open step, or None outside a training loop."""
    return _scope.get()


_drawn: set[int] = set()


def draw_root(seed: int | None) -> int:
    """The root of a layer's sampling: `seed`, or drawn from torch's default generator when None."""
    if seed is not None:
        return int(seed)
    root = int(torch.randint(0, 2**62, (), dtype=torch.int64).item())
    _drawn.add(root)
    return root


def was_drawn(root: int) -> bool:
    """Whether this process drew it, so that another one draws it again only if torch's generator is seeded."""
    return root in _drawn


def row_keys(root: int, n_rows: int, outside_call: int) -> torch.Tensor:
    """Keys of one call, shape (N, 5) int64: root, step, call, position, shift (0).

    Args:
        root: root seed of the layer.
        n_rows: N, the number of rows; a multiple of the global batch's rows when the layer's input has
            further leading dimensions.
        outside_call: the layer's own call counter, used where no step is open.
    """
    scope = current_scope()
    keys = torch.zeros((n_rows, 5), dtype=torch.int64)
    keys[:, 0] = root
    keys[:, 1] = _OUTSIDE if scope is None else scope.step
    keys[:, 2] = outside_call if scope is None else scope.next_call(root)
    positions = torch.arange(n_rows) if scope is None or scope.positions is None else scope.positions.to("cpu")
    if len(positions) != n_rows:
        inner = max(1, n_rows // max(1, len(positions)))
        expanded = positions[:, None] * inner + torch.arange(inner)
        positions = expanded.reshape(-1) if expanded.numel() == n_rows else torch.arange(n_rows)
    keys[:, 3] = positions
    return keys


def generators(keys: np.ndarray, stream: int = 0) -> Iterator[np.random.Generator]:
    """The NumPy generator of each executed circuit, good until the next one is asked for.

    One generator is set anew for each key: making a Philox asks the operating system for entropy first.

    Args:
        keys: shape (N, 5), keys as made by `row_keys`.
        stream: tells apart draws within one circuit (its measurement bases, say).
    """
    root, step, call, position, shift = np.asarray(keys, dtype=np.int64).astype(np.uint64).T
    word = (call << np.uint64(32)) ^ shift
    zero, streams = np.zeros_like(word), np.full_like(word, stream)
    counters, roots = np.stack([zero, word, position, streams], axis=1), np.stack([root, step], axis=1)
    bits = np.random.Philox(0)
    made = np.random.Generator(bits)
    state: Any = {"bit_generator": "Philox", "state": {}, "buffer": np.zeros(4, dtype=np.uint64), "buffer_pos": 4}
    state |= {"has_uint32": 0, "uinteger": 0}
    for counter, key in zip(counters, roots, strict=True):
        state["state"] = {"counter": counter, "key": key}
        bits.state = state
        yield made


def generator(key: np.ndarray, stream: int = 0) -> np.random.Generator:
    """The NumPy generator of one executed circuit, for one key of shape (5,)."""
    return next(generators(np.asarray(key)[None], stream))
