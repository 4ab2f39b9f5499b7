"""Quantum kernels: how alike two rows are, by the states that encode them."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.utils.validation import check_array

from qnn import _meter
from qnn._integers import checked_seed, whole
from qnn._seeding import draw_root, step_scope
from qnn.backends import registry
from qnn.backends.base import Backend
from qnn.circuits.angle_map import AngleMap
from qnn.circuits.capture import capture
from qnn.circuits.feature_maps import FeatureMap, feature_map
from qnn.circuits.observables import Probabilities, pauli
from qnn.errors import ArgumentError, NoEffectWarning, NotFiniteError, ShapeError, unknown_name
from qnn.layers import QuantumLayer
from qnn.simulation.engine import MAX_BYTES, Engine
from qnn.simulation.program import states_program

KINDS = ("fidelity", "projected")
_MAX_OUTCOMES = 2**24  # entries of the table of outcomes of one call
_ONCE = 0  # the step that every call samples in: what tells calls apart is in the root


class QuantumKernel(BaseEstimator):
    """k(x, y) of the states |ψ(x)> = U(x)|0…0>, a callable (N, D), (M, D) ↦ (N, M).

    "fidelity" is |<ψ(x)|ψ(y)>|². "projected" is exp(-γ Σ_k ‖ρ_k(x) - ρ_k(y)‖²) with the reduced density matrices ρ_k of
    single qubits k and the Frobenius norm, that is exp(-γ/2 Σ_k |r_k(x) - r_k(y)|²) of their Bloch vectors
    r = (<X>, <Y>, <Z>). Both are positive semidefinite.

    On the embedded simulator without shots a fidelity kernel is one batch of N + M states and one matrix product.
    Elsewhere, or with shots, each pair of rows is a circuit U(y)†U(x) of which the share of all zeros is the value;
    the kernel of rows with themselves is symmetric and has ones on its diagonal. A projected kernel is one
    circuit per row and basis (three of them), N + M rows in all; shot noise adds to the distances, so that it
    lowers the values between different rows.

    Args:
        kind: "fidelity" or "projected".
        encoding: "angle", "basis", "iqp", "amplitude", or a PennyLane quantum function f(inputs, wires) of `n_qubits`
            inputs.
        n_qubits: wires; None is one for each feature (as few as hold the amplitudes in an amplitude encoding). Features
            beyond one per wire are encoded in further rounds, see `qnn.circuits.feature_maps.feature_map`.
        n_layers: how often all features are encoded.
        gamma: γ of the projected kernel; None is 1.
        backend: name or `Backend`, as for `QuantumLayer`.
        backend_options: options of the backend by name, such as ``{"noise": "fake_manila"}``; None is none.
        shots: shots per circuit; None is exact.
        seed: with it the shots follow from the rows of a call; None draws anew at every call.

    References:
        Havlíček et al., Nature 567, 209 (2019), fidelity. Huang et al., Nature Communications 12, 2631 (2021),
        eq. (9), projected.

    Example:
        >>> QuantumKernel()([[0.0, 0.0]], [[np.pi / 2, 0.0], [np.pi, 0.0]]).round(6)
        array([[0.5, 0. ]])
    """

    def __init__(
        self,
        kind: str = "fidelity",
        *,
        encoding: str | Callable[[Any, Any], Any] = "angle",
        n_qubits: int | None = None,
        n_layers: int = 1,
        gamma: float | None = None,
        backend: str | Backend = "statevector",
        backend_options: Mapping[str, Any] | None = None,
        shots: int | None = None,
        seed: int | None = None,
    ) -> None:
        self.kind = kind
        self.encoding = encoding
        self.n_qubits = n_qubits
        self.n_layers = n_layers
        self.gamma = gamma
        self.backend = backend
        self.backend_options = backend_options
        self.shots = shots
        self.seed = seed

    def __call__(self, x: Any, y: Any = None) -> np.ndarray:  # (N, D), (M, D) -> (N, M)
        """The kernel matrix.

        Args:
            x: shape (N, D), float32 or float64, others are converted to float64.
            y: shape (M, D); None, or the same rows, is `x`.

        Returns:
            Shape (N, M), in the dtype of the rows.

        Raises:
            ArgumentError: an option that cannot be used.
            ShapeError: rows of different length.
            NotFiniteError: NaN or infinity, or a row without a state.
        """
        x = _rows("x", x)
        same = y is None or y is x
        y = x if same else _rows("y", y)
        if x.shape[1] != y.shape[1]:
            raise ShapeError(
                f"`y` must have {x.shape[1]} features like `x`; got {y.shape[1]}. Give both the same features."
            )
        same = same or np.array_equal(x, y)
        features = self._features(x.shape[1])
        place = registry.resolve(self.backend, **(self.backend_options or {}))
        left, right = _filled(x, features.n_inputs), _filled(y, features.n_inputs)
        if self.kind == "projected":
            return self._projected(features, place, left, None if same else right)
        if place.name == "statevector" and self.shots is None:
            prepare = _prepared_by_name if isinstance(self.encoding, str) else _prepared
            states = prepare(self.encoding, x.shape[1], self.n_qubits, self.n_layers)
            return _fidelity(states, left, None if same else right)
        return self._overlaps(features, place, left, None if same else right)

    def _features(self, n_features: int) -> FeatureMap:
        """The feature map, after a look at all options."""
        if self.kind not in KINDS:
            raise unknown_name("kind of kernel", self.kind, KINDS)
        for name in ("n_qubits", "n_layers"):
            value = getattr(self, name)
            if (name != "n_qubits" or value is not None) and (whole(value) or 0) < 1:
                raise ArgumentError(f"`{name}` must be a positive integer; got {value!r}. Use {name}=2.")
        features = feature_map(self.encoding, n_features, n_qubits=self.n_qubits, n_layers=self.n_layers)
        if features.idle:
            _warn(f"`n_qubits`={self.n_qubits} is more than {n_features} features: {features.idle} qubit(s) are idle.")
        if self.gamma is not None and self.kind != "projected":
            _warn(f'`gamma`={self.gamma} has no effect with kind="{self.kind}". Leave it out, or use kind="projected".')
        return features

    def _root(self, *rows: np.ndarray | None) -> int:
        """The root of the shots: of the seed and of all rows of the call, so that other rows draw other shots."""
        seed = checked_seed(self.seed)
        if seed is None:
            return draw_root(None)
        digest = hashlib.blake2b(str(seed).encode(), digest_size=8)
        for part in rows:
            digest.update(b"" if part is None else part.tobytes())
        return int.from_bytes(digest.digest(), "big") >> 1

    def _layer(self, features: FeatureMap, place: Backend, observables: Any, root: int) -> QuantumLayer:
        """The circuit as a layer without weights."""
        return QuantumLayer.from_pennylane(
            features.function,
            n_inputs=features.n_inputs,
            weight_shapes={},
            n_qubits=features.n_qubits,
            observables=observables,
            backend=place,
            shots=self.shots,
            seed=root,
        )

    def _projected(self, features: FeatureMap, place: Backend, x: np.ndarray, y: np.ndarray | None) -> np.ndarray:
        gamma = 1.0 if self.gamma is None else self.gamma
        if isinstance(gamma, bool) or not isinstance(gamma, Real) or not 0 < gamma < math.inf:
            raise ArgumentError(f"`gamma` must be a positive number; got {gamma!r}. Use gamma=1.0.")
        words = [pauli(((wire, letter),)) for wire in range(features.n_qubits) for letter in "XYZ"]
        rows = x if y is None else np.vstack([x, y])
        bloch = np.vstack([*_values(self._layer(features, place, words, self._root(x, y)), [rows])])
        distances = euclidean_distances(bloch[: len(x)], None if y is None else bloch[len(x) :], squared=True)
        return np.exp(-float(gamma) / 2 * distances).astype(x.dtype)

    def _overlaps(self, features: FeatureMap, place: Backend, x: np.ndarray, y: np.ndarray | None) -> np.ndarray:
        other = x if y is None else y
        matrix = np.ones((len(x), len(other)), dtype=x.dtype)
        i, j = np.triu_indices(len(x), 1) if y is None else np.divmod(np.arange(matrix.size), len(other))
        if not len(i):
            return matrix
        outcomes = [Probabilities(tuple(range(features.n_qubits)))]
        layer = self._layer(features.overlap(), place, outcomes, self._root(x, y))
        size = max(1, _MAX_OUTCOMES >> features.n_qubits)
        parts = [slice(start, start + size) for start in range(0, len(i), size)]
        pairs = (np.hstack([x[i[part]], other[j[part]]]) for part in parts)
        for part, shares in zip(parts, _values(layer, pairs), strict=True):
            matrix[i[part], j[part]] = shares[:, 0]
        if y is None:
            matrix[j, i] = matrix[i, j]
        return matrix


def _values(layer: QuantumLayer, parts: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """What the layer measures, a call for each part of the rows; what a row draws depends on its number alone."""
    start = 0
    for rows in parts:
        with torch.no_grad(), step_scope(_ONCE, torch.arange(start, start + len(rows))):
            found = layer(torch.from_numpy(rows)).numpy()
        start += len(rows)
        yield found


class _States(NamedTuple):
    """How rows become states."""

    angle_map: AngleMap
    engine: Engine


def _prepared(encoding: Any, n_features: int, n_qubits: int | None, n_layers: int) -> _States:
    made = feature_map(encoding, n_features, n_qubits=n_qubits, n_layers=n_layers)
    options: dict[str, Any] = {"n_inputs": made.n_inputs, "weight_shapes": {}, "n_wires": made.n_qubits}
    captured = capture(made.function, observables="Z", **options)  # observables do not matter for states
    return _States(captured.angle_map, Engine(states_program(captured.circuit)))


_prepared_by_name = lru_cache(maxsize=64)(_prepared)  # functions of the user's may do otherwise the next time


def _fidelity(states: _States, x: np.ndarray, y: np.ndarray | None) -> np.ndarray:
    """|<ψ(x)|ψ(y)>|² from one batch of states, shape (N, M)."""
    rows, n_qubits = x if y is None else np.vstack([x, y]), states.engine.program.n_wires
    states_size, products_size = 16 * len(rows) * 2**n_qubits, 16 * len(x) * (len(x) if y is None else len(y))
    if states_size > MAX_BYTES:
        raise ArgumentError(
            f"`n_qubits` must be small enough for the states of {len(rows)} rows to fit in memory; got "
            f'{n_qubits}, {states_size / 2**30:.0f} GiB. Use fewer qubits, or kind="projected", without states.'
        )
    if states_size + products_size > MAX_BYTES:
        raise ArgumentError(
            f"`x` and `y` must have few enough rows for all products of their states to fit in memory; got {len(x)} "
            f"and {len(x if y is None else y)}, {(states_size + products_size) / 2**30:.0f} GiB with the states. "
            "Give fewer rows a call."
        )
    shared, angles = states.angle_map.sources(torch.from_numpy(rows), {})
    columns = list(states.angle_map.shared_index), list(states.angle_map.rows_index)
    blocks = shared.numpy()[columns[0]], np.ascontiguousarray(angles.numpy()[:, columns[1]])
    for row in np.flatnonzero(~np.isfinite(blocks[1]).all(axis=1))[:1]:
        name, number = ("x", row) if row < len(x) else ("y", row - len(x))
        raise NotFiniteError(
            f"`{name}` must have a state for every row; got row {number}, whose angles are not finite. "
            "Drop rows of zeros before an amplitude encoding."
        )
    _meter.record(circuits=len(rows), shots=0, jobs=1)
    psi = states.engine.states(*blocks).astype(np.complex128)  # sums of 2^n terms in float32 are off by 1e-6
    psi /= np.linalg.norm(psi, axis=1, keepdims=True)
    products = psi[: len(x)] @ (psi if y is None else psi[len(x) :]).conj().T
    matrix = (products.real**2 + products.imag**2).astype(x.dtype)
    if y is None:
        matrix = (matrix + matrix.T) / 2
        np.fill_diagonal(matrix, 1.0)
    return matrix


def _rows(name: str, rows: Any) -> np.ndarray:
    """Rows of numbers, contiguous, float32 or float64."""
    array = check_array(rows, dtype=[np.float64, np.float32], ensure_all_finite=False, input_name=name, order="C")
    for row, column in np.argwhere(~np.isfinite(array))[:1]:
        raise NotFiniteError(
            f"`{name}` must be finite; got {array[row, column]} in row {row}, column {column}. "
            "Drop or fill in such values."
        )
    return array


def _filled(rows: np.ndarray, n_inputs: int) -> np.ndarray:
    """The rows with zeros behind their features, (N, n_inputs)."""
    filled = np.zeros((len(rows), n_inputs), dtype=rows.dtype)
    filled[:, : rows.shape[1]] = rows
    return filled


def _warn(message: str) -> None:
    warnings.warn(message, NoEffectWarning, stacklevel=4)
