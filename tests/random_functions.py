"""Random PennyLane quantum functions of inputs and weights, over every gate of the table.

Angles are copies, shared weights, products, elementary functions, IQP products and trainable frequencies.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pennylane as qml
import torch

from qnn.circuits.gates import GATES

N_INPUTS, WEIGHT_SHAPES = 3, {"w": (2, 3), "scale": ()}

Angle = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
KINDS: dict[str, Callable[[int, int], Angle]] = {
    "input": lambda i, j: lambda x, w, s: x[i],
    "weight": lambda i, j: lambda x, w, s: w[j % 2, i],
    "scalar weight": lambda i, j: lambda x, w, s: s,
    "constant": lambda i, j: lambda x, w, s: 0.3 + i,
    "product": lambda i, j: lambda x, w, s: x[i] * w[0, j],
    "arctan": lambda i, j: lambda x, w, s: torch.arctan(x[i]) + s,
    "iqp": lambda i, j: lambda x, w, s: x[i] * x[j],
    "frequency": lambda i, j: lambda x, w, s: s * x[i] + w[1, j],
    "weights only": lambda i, j: lambda x, w, s: torch.sin(w[0, i]) * w[1, j] / 2,
    "norm": lambda i, j: lambda x, w, s: torch.sqrt((x**2).sum() + 1) - w[0].mean(),
}


def gate(name: str, angle: Any, wires: list[int]) -> None:
    """Queue one gate of the table by PennyLane's own class."""
    if name.startswith("Adjoint("):
        qml.adjoint(getattr(qml, name[8:-1]))(wires=wires)
    else:
        getattr(qml, name)(*([] if angle is None else [angle]), wires=wires)


def random_function(seed: int, n_wires: int, names: list[str] | None = None, n_gates: int = 12) -> Callable[..., Any]:
    """A quantum function f(inputs, w, scale) that measures in several bases.

    Args:
        seed: fixes everything.
        n_wires: number of wires.
        names: gates that must occur; the others are drawn from the whole table.
        n_gates: number of gates in all.
    """
    rng = np.random.default_rng(seed)
    fitting = [n for n, g in GATES.items() if (g.n_wires or 1) <= n_wires]
    chosen = [n for n in names or [] if n in fitting]
    chosen += [fitting[rng.integers(len(fitting))] for _ in range(n_gates - len(chosen))]
    rng.shuffle(chosen)
    steps: list[tuple[str, Angle | None, list[int]]] = []
    kinds = list(KINDS)
    for wire in range(n_wires):  # off the poles, so that every gate matters
        steps.append(("RY", KINDS["frequency"](wire % 3, (wire + 1) % 3), [wire]))
    for number, name in enumerate(chosen):
        k = GATES[name].n_wires or int(rng.integers(1, n_wires + 1))
        wires = [int(w) for w in rng.permutation(n_wires)[:k]]
        angle = None
        if GATES[name].is_parametric:
            kind = kinds[(number + seed) % len(kinds)]
            angle = KINDS[kind](int(rng.integers(3)), int(rng.integers(3)))
        steps.append((name, angle, wires))
    first, last = (int(w) for w in (rng.integers(n_wires), rng.integers(n_wires)))
    last = last if last != first else (first + 1) % n_wires

    def function(inputs: torch.Tensor, w: torch.Tensor, scale: torch.Tensor) -> list[Any]:
        for name, angle, wires in steps:
            gate(name, None if angle is None else angle(inputs, w, scale), wires)
        results = [qml.expval(qml.Z(first)), qml.expval(qml.X(first) + 0.5 * qml.Y(first))]
        if n_wires > 1:
            results.append(qml.expval(qml.Y(first) @ qml.Z(last) - 0.7 * qml.X(last)))
        return [*results, qml.probs(wires=list({last: 0, first: 0}))]

    return function
