"""Observables as sums of Pauli words: matrices and projectors by decomposition, and squares."""

from __future__ import annotations

from functools import lru_cache, reduce
from itertools import product
from operator import matmul
from typing import Any

import numpy as np
import pennylane as qml
import torch
from pennylane.operation import Operator
from pennylane.ops.op_math import Prod, SProd, Sum
from pennylane.ops.qubit.observables import BasisStateProjector
from pennylane.pauli import PauliSentence, PauliWord
from torch._subclasses.fake_tensor import is_fake
from torch.utils._python_dispatch import _disable_current_modes

from qnn.errors import UnsupportedError

MAX_MATRIX_WIRES = 6  # 4^6 words of 2^6 rows each
MAX_PROJECTOR_WIRES = 10  # 2^10 words, all measured in one basis
_MAX_SQUARE_WIRES = 62  # bits of a mask
_ROUNDING = 1e-14  # of the largest coefficient: what a decomposition leaves where the exact number is 0
Terms = tuple[tuple[float, tuple[tuple[int, str], ...]], ...]


def sentence_of(observable: Operator) -> PauliSentence:
    """Any PennyLane observable as a linear combination of Pauli words, with complex coefficients.

    Sums, products and multiples are taken apart; what remains is decomposed by its matrix.

    Raises:
        UnsupportedError: a matrix on too many wires, an operator without a matrix, or numbers that are only known
            when the circuit runs.
    """
    if any(is_fake(parameter) for parameter in observable.parameters if isinstance(parameter, torch.Tensor)):
        raise UnsupportedError(
            f"`observables` must not depend on inputs or weights; got {observable.name} on wires "
            f"{list(observable.wires)} with a tensor of the quantum function. Multiply the layer's output by a weight, "
            "and write constants as numbers or NumPy arrays."
        )
    with _disable_current_modes():  # capture traces: a torch matrix would lose its values here
        return _sentence(observable)


def _sentence(observable: Operator) -> PauliSentence:
    if observable.pauli_rep is not None:
        return observable.pauli_rep
    if isinstance(observable, Prod):
        return reduce(matmul, map(_sentence, observable.operands))
    if isinstance(observable, Sum):
        return sum(map(_sentence, observable.operands), PauliSentence())
    if isinstance(observable, SProd):
        return _sentence(observable.base) * complex(observable.scalar)
    if isinstance(observable, BasisStateProjector):
        return _basis_projector(observable)
    return _decomposed(observable)


def _basis_projector(observable: BasisStateProjector) -> PauliSentence:
    """|b><b| = Π_i (1 ± Z_i)/2, minus where the bit is 1."""
    _check_size(observable, MAX_PROJECTOR_WIRES, "Measure probabilities, with qml.probs(wires=...).")
    bits = [int(bit) for bit in observable.parameters[0]]
    wires = list(observable.wires)
    terms = {}
    for chosen in product((0, 1), repeat=len(wires)):
        sign = (-1) ** sum(bit for bit, c in zip(bits, chosen, strict=True) if c)
        terms[PauliWord({wire: "Z" for wire, c in zip(wires, chosen, strict=True) if c})] = sign / 2 ** len(wires)
    return PauliSentence(terms)


def _decomposed(observable: Operator) -> PauliSentence:
    """By the matrix: c_P = tr(P O) / 2^k."""
    _check_size(observable, MAX_MATRIX_WIRES, "Write it as a sum of Pauli words, or of matrices on fewer wires.")
    try:
        matrix = np.asarray(qml.matrix(observable, wire_order=observable.wires))
        sentence = qml.pauli_decompose(matrix, wire_order=observable.wires, pauli=True, check_hermitian=False)
    except Exception as error:
        raise UnsupportedError(
            f"`observables` must have a Pauli representation; got {label(observable)} ({error}). "
            "Write it as a sum of Pauli words, or as qml.Hermitian on a few wires."
        ) from error
    largest = max((abs(c) for c in sentence.values()), default=0.0)
    return PauliSentence({word: c for word, c in sentence.items() if abs(c) > _ROUNDING * largest})


def _check_size(observable: Operator, most: int, advice: str) -> None:
    if len(observable.wires) > most:
        raise UnsupportedError(
            f"`observables` of the kind {observable.name} must act on at most {most} wires; got "
            f"{len(observable.wires)}. {advice}"
        )


def label(observable: Operator) -> str:
    """An observable in an error message, short however large its matrix."""
    text = str(observable)
    return text if len(text) <= 80 else f"{observable.name} on wires {list(observable.wires)}"


@lru_cache(maxsize=256)
def squared(terms: Terms) -> Terms:
    """The terms of O² for O = Σ c_k P_k: Σ c_k² + 2 Σ c_i c_j P_i P_j over the pairs i < j that commute.

    Args:
        terms: (c_k, P_k), the words by ascending wire and different from each other.

    Cost:
        Time and memory O(T²) for T terms.
    """
    wires = sorted({wire for _, word in terms for wire, _ in word})
    if len(wires) > _MAX_SQUARE_WIRES:
        raise UnsupportedError(
            f"`observables` of a variance must act on at most {_MAX_SQUARE_WIRES} wires; got {len(wires)}. "
            "Take the variance of a part of it."
        )
    bit = {wire: 1 << i for i, wire in enumerate(wires)}
    x = np.array([sum(bit[w] for w, p in word if p in "XY") for _, word in terms], dtype=np.int64)
    z = np.array([sum(bit[w] for w, p in word if p in "YZ") for _, word in terms], dtype=np.int64)
    c = np.array([coefficient for coefficient, _ in terms])
    xs, zs, values = _pair_products(x, z, c)
    found = _collected(np.append(xs, 0), np.append(zs, 0), np.append(values, (c**2).sum()))
    largest = max((abs(v) for _, _, v in found), default=0.0)
    return tuple((v, _word(a, b, bit)) for a, b, v in found if abs(v) > _ROUNDING * largest)


def _pair_products(x: np.ndarray, z: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, ...]:
    """Masks and coefficients of 2 c_i c_j P_i P_j for commuting pairs i < j; P is i^|x∧z| X^x Z^z."""
    n_y = np.bitwise_count(x & z).astype(np.int64)
    parts: list[tuple[np.ndarray, ...]] = [(x[:0], z[:0], c[:0])]
    for i in range(len(c)):
        later = slice(i + 1, None)
        commute = (np.bitwise_count(x[i] & z[later]) + np.bitwise_count(z[i] & x[later])) % 2 == 0
        px, pz = (x[i] ^ x[later])[commute], (z[i] ^ z[later])[commute]
        swaps = np.bitwise_count(z[i] & x[later])[commute].astype(np.int64)
        power = (n_y[i] + n_y[later][commute] - np.bitwise_count(px & pz) + 2 * swaps) % 4  # of i: 0 or 2
        parts.append((px, pz, 2 * c[i] * c[later][commute] * (1.0 - power)))
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def _collected(x: np.ndarray, z: np.ndarray, values: np.ndarray) -> list[tuple[int, int, float]]:
    """Sums of `values` over equal (x, z)."""
    xs, x_place = np.unique(x, return_inverse=True)
    zs, z_place = np.unique(z, return_inverse=True)
    keys, place = np.unique(x_place * len(zs) + z_place, return_inverse=True)
    sums = np.bincount(place, weights=values)
    pairs = zip(xs[keys // len(zs)].tolist(), zs[keys % len(zs)].tolist(), strict=True)
    return [(a, b, v) for (a, b), v in zip(pairs, sums.tolist(), strict=True)]


def _word(x: int, z: int, bit: dict[int, int]) -> tuple[tuple[int, str], ...]:
    letters: Any = {(1, 0): "X", (1, 1): "Y", (0, 1): "Z"}
    return tuple(
        (wire, letters[bool(x & mask), bool(z & mask)]) for wire, mask in bit.items() if (x & mask) or (z & mask)
    )
