"""Which frequencies a circuit can show in its inputs, read from its gates and its angle map.

An input that becomes the angle of a gate enters the state by exp(-i a·x G), and what is measured oscillates with the
differences of the eigenvalues of the generators G, summed over the gates (Schuld, Sweke, Meyer 2021).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch

from qnn.circuits.angle_map import MOVES, AngleMap, references
from qnn.circuits.circuit import Slot
from qnn.circuits.gates import gate_named
from qnn.errors import ArgumentError, UnsupportedError
from qnn.layers import QuantumLayer

# Operations that make rational functions of rational functions: such a function is affine if its derivative is the
# same at a few random places.
_RATIONAL = MOVES | {
    "add.Scalar", "add.Tensor", "bmm.default", "cumsum.default", "div.Scalar", "div.Tensor", "dot.default",
    "matmul.default", "mean.default", "mean.dim", "mm.default", "mul.Scalar", "mul.Tensor", "mv.default",
    "neg.default", "outer.default", "rsub.Scalar", "rsub.Tensor", "select_scatter.default", "slice_scatter.default",
    "sub.Scalar", "sub.Tensor", "sum.default", "sum.dim_IntList", "_to_copy.default", "zeros_like.default",
    "ones_like.default", "full_like.default",
}  # fmt: skip
_LARGEST_RATIO = 100  # denominators of ratios of frequencies that count as whole multiples of one number
_SAME = 1e-12


@dataclass(frozen=True)
class Encoding:
    """One gate that an input enters by.

    Attributes:
        direction: shape (D,), a in angle = a·x + b.
        gaps: the positive differences of its generator's eigenvalues, ascending.
    """

    direction: np.ndarray  # shape: (D,)
    gaps: tuple[float, ...]


@dataclass(frozen=True)
class Frequencies:
    """Those of one input: the whole multiples of `unit` from -`highest` to `highest`."""

    unit: float
    highest: int

    @property
    def period(self) -> float:
        """After which the outputs repeat, in radians of the input."""
        return 2.0 * math.pi / self.unit

    @property
    def n_queries(self) -> int:
        """Places in a period that fix all coefficients."""
        return 2 * self.highest + 1


def encodings_of(layer: QuantumLayer) -> list[Encoding]:
    """The gates that inputs enter by; twice where the circuit measures variances, which are squares of expectations.

    Raises:
        UnsupportedError: an angle that is not a sum of multiples of inputs.
    """
    directions = _directions(layer)
    found = []
    for operation in layer.circuit.operations:
        if isinstance(operation.angle, Slot) and operation.angle.block == "rows":
            direction = directions[layer.angle_map.rows_index[operation.angle.index]]
            if np.any(direction):
                found.append(Encoding(direction, gate_named(operation.gate).frequencies))
    return found * (2 if layer.circuit.variance_columns else 1)


def frequencies_of(encodings: Sequence[Encoding], n_inputs: int) -> list[Frequencies]:
    """For each input the whole multiples of one number that its frequencies are.

    Raises:
        ArgumentError: the frequencies of an input are no such multiples.
    """
    return [_of_input(encodings, place) for place in range(n_inputs)]


def _of_input(encodings: Sequence[Encoding], place: int) -> Frequencies:
    rates = [[gap * abs(e.direction[place]) for gap in e.gaps] for e in encodings if e.direction[place]]
    if not rates:
        return Frequencies(1.0, 0)
    every = sorted({rate for some in rates for rate in some})
    ratios = [Fraction(rate / every[0]).limit_denominator(_LARGEST_RATIO) for rate in every]
    if any(abs(float(q) - rate / every[0]) > _SAME * float(q) for q, rate in zip(ratios, every, strict=True)):
        shown = ", ".join(f"{rate:.6g}" for rate in every[:4])
        raise ArgumentError(
            f"`model` must have frequencies that are whole multiples of one number for each input; got {shown} for "
            f'inputs[{place}], which are scaled or trained. Use method="random".'
        )
    unit = every[0] / math.lcm(*(ratio.denominator for ratio in ratios))
    return Frequencies(unit, sum(round(max(some) / unit) for some in rates))


def _directions(layer: QuantumLayer) -> np.ndarray:
    """For each entry of the row source its derivatives by the inputs, shape (D + E, D), the same everywhere."""
    angle_map, n_inputs = layer.angle_map, layer.n_inputs
    if not angle_map.row_extras:
        return np.eye(n_inputs)
    for extra in angle_map.row_extras:
        _check_rational(angle_map, extra)
    weights = {name: getattr(layer, name).detach().double() for name, _ in angle_map.weight_shapes}
    device = next(iter(weights.values())).device if weights else torch.device("cpu")
    places = torch.rand(4, n_inputs, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(device) * 8 - 4

    def angles(x: torch.Tensor) -> torch.Tensor:
        return angle_map.sources(x[None], weights)[1][0]

    slopes = np.stack([torch.func.jacrev(angles)(x).detach().cpu().numpy() for x in places])
    if not np.isfinite(slopes).all() or np.abs(slopes - slopes[0]).max() > 1e-9 * max(1.0, np.abs(slopes[0]).max()):
        raise _not_affine("a product or a quotient of inputs")
    slopes[0][np.abs(slopes[0]) < _SAME] = 0.0
    return slopes[0]


def _check_rational(angle_map: AngleMap, extra: int) -> None:
    """Refuse what is neither a sum nor a product, on the way from the inputs."""
    of_inputs: set[int] = set()
    for index in angle_map.needed((extra,)):
        node = angle_map.nodes[index]
        if node.op == "input" or of_inputs.intersection(references(node)):
            of_inputs.add(index)
            if node.op != "input" and node.op not in _RATIONAL:
                raise _not_affine(node.op.partition(".")[0])


def _not_affine(what: str) -> UnsupportedError:
    return UnsupportedError(
        f"`model` must encode sums of multiples of its inputs to have a Fourier series in them; got {what}. Compute "
        "that before the quantum layer, in a module of its own, and give the layer the result."
    )
