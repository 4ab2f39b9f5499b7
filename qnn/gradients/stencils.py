"""Gradient rules that only evaluate the circuit: at which angles, and how the values combine.

Every such rule is a stencil,

    ∂f/∂θ_a = Σ_t weights[t, a] · f(θ + offsets[t]),

so that parameter-shift, central differences and SPSA run through the same code, all shifted rows of
a batch in one call.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import pi

import numpy as np

from qnn import _seeding
from qnn.circuits.circuit import Circuit, Slot
from qnn.circuits.gates import gate_named

DIFFERENCE_STEP = 1e-4  # radians; in float64 truncation (h²/6) and rounding (ε/h) are both near 1e-9 or below
SPSA_STEP = 0.01 * pi
_ILL_CONDITIONED = 1e3
_MAX_TERMS = 64  # evaluations of one angle's rule
_SPSA_STREAM = 2**32  # apart from the streams of measurement settings


@dataclass(frozen=True)
class Stencil:
    """Shifted evaluations and their combination.

    Attributes:
        offsets: shape (T, A), radians added to the angles in each evaluation.
        weights: shape (T, A), contribution of each evaluation to each derivative.
        numbers: shape (T,), positive and different; what an evaluation draws depends on its number, which is the same
            whichever other derivatives are wanted.
    """

    offsets: np.ndarray
    weights: np.ndarray
    numbers: np.ndarray


@cache
def shift_rule(frequencies: tuple[float, ...]) -> tuple[tuple[float, float], ...]:
    """Pairs (coefficient, shift) with f'(θ) = Σ coefficient·f(θ + shift), for f with these frequencies.

    One frequency gives the two-term rule, {1/2, 1} the four-term rule of controlled rotations.

    References:
        Wierichs et al., Quantum 6, 677 (2022), section 3: Σ_μ 2 c_μ sin(Ω_k s_μ) = Ω_k.
    """
    r = len(frequencies)
    omega = np.array(frequencies)
    odd = 2 * np.arange(1, r + 1) - 1
    # The usual first shift, and smaller ones for spectra at which the usual shifts cannot tell two frequencies apart.
    starts = pi / (2 * r * min(frequencies)) / np.linspace(1, max(frequencies) / min(frequencies) + 1, 50)
    systems = [2 * np.sin(np.outer(omega, odd * start)) for start in starts]
    usable = [i for i, system in enumerate(systems) if np.linalg.cond(system) < _ILL_CONDITIONED]
    best = usable[0] if usable else int(np.argmin([np.linalg.cond(system) for system in systems]))
    shifts = odd * starts[best]
    coefficients = np.linalg.solve(systems[best], omega)
    pairs = [(c, s) for c, s in zip(coefficients, shifts, strict=True)]
    return tuple((float(c), float(s)) for c, s in pairs) + tuple((-float(c), -float(s)) for c, s in pairs)


def parameter_shift(circuit: Circuit, wanted: Sequence[int]) -> Stencil:
    """Exact derivatives by the rule that fits each angle's gate.

    Args:
        circuit: with all slots in the rows block (`Circuit.all_rows`).
        wanted: columns whose derivative is needed.
    """
    rows: list[tuple[int, float, float]] = []
    for column in wanted:
        operation = circuit.slot_operations[Slot("rows", column)]
        rows += [(column, c, s) for c, s in shift_rule(gate_named(operation.gate).frequencies)]
    return _one_at_a_time(rows, circuit.n_rows)


def central_difference(circuit: Circuit, wanted: Sequence[int], step: float = DIFFERENCE_STEP) -> Stencil:
    """(f(θ+h) - f(θ-h)) / 2h for each angle; the error is h²/6 times the third derivative."""
    half = 1 / (2 * step)
    rows = [(column, sign * half, sign * step) for column in wanted for sign in (1.0, -1.0)]
    return _one_at_a_time(rows, circuit.n_rows)


def difference_step(shots: int | None) -> float:
    """The step of central differences: small when exact, (9/shots)^(1/6) radians with shots.

    The variance 1/(2 shots h²) and the squared bias h⁴/36, for a value and a third derivative of order one, have the
    smallest sum there; an exact run's step would turn shot noise into gradients of the order of a hundred.
    """
    return DIFFERENCE_STEP if shots is None else min(1.0, (9 / shots) ** (1 / 6))


def spsa(
    circuit: Circuit,
    wanted: Sequence[int],
    key: np.ndarray,
    step: float = SPSA_STEP,
) -> Stencil:
    """Simultaneous perturbation: all angles at once in random directions ±h, two evaluations a direction.

    The estimate is unbiased up to order h²; its variance grows with the number of angles.

    Args:
        circuit: with all slots in the rows block.
        wanted: columns whose derivative is needed.
        key: shape (5,), the sampling key the directions are drawn with.
        step: h in radians.

    References:
        Spall, IEEE Trans. Automatic Control 37, 332 (1992), eq. (2.1).
    """
    columns = np.asarray(wanted, dtype=np.int64)
    signs = _seeding.generator(key, _SPSA_STREAM).choice([-1.0, 1.0], size=len(columns))
    offsets = np.zeros((2 if wanted else 0, circuit.n_rows))
    offsets[:, columns] = step * np.array([signs, -signs])[: len(offsets)]
    return Stencil(offsets, offsets / (2 * step**2), 1 + np.arange(len(offsets)))


def _one_at_a_time(rows: list[tuple[int, float, float]], n_angles: int) -> Stencil:
    offsets = np.zeros((len(rows), n_angles))
    weights = np.zeros((len(rows), n_angles))
    numbers = np.zeros(len(rows), dtype=np.int64)
    terms: Counter[int] = Counter()  # of each column, so far
    for t, (column, coefficient, shift) in enumerate(rows):
        offsets[t, column] = shift
        weights[t, column] = coefficient
        numbers[t] = 1 + column * _MAX_TERMS + terms[column]
        terms[column] += 1
    return Stencil(offsets, weights, numbers)
