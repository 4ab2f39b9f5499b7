"""Pauli words as bit masks against dense matrices."""

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qnn.circuits.gates import word_matrix
from qnn.simulation.pauli import CliffordFrame, Pauli

N = 3
words = st.text("IXYZ", min_size=N, max_size=N)


def dense(pauli: Pauli) -> np.ndarray:
    """i^e X^x Z^z as a matrix, bit n-1-w for wire w."""
    matrix = np.eye(1, dtype=complex)
    for wire in range(N):
        bit = 1 << (N - 1 - wire)
        factor = np.eye(2, dtype=complex)
        if pauli.x & bit:
            factor = factor @ oracles.X
        if pauli.z & bit:
            factor = factor @ oracles.Z
        matrix = np.kron(matrix, factor)
    return 1j**pauli.e * matrix


def from_word(word: str) -> Pauli:
    return Pauli.from_letters([(w, p) for w, p in enumerate(word) if p != "I"], N)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(words, words)
def test_products_and_commutation(a: str, b: str) -> None:
    p, q = from_word(a), from_word(b)
    np.testing.assert_allclose(dense(p), word_matrix(a), atol=1e-12)
    np.testing.assert_allclose(dense(p * q), dense(p) @ dense(q), atol=1e-12)
    assert p.anticommutes(q) == (not np.allclose(dense(p) @ dense(q), dense(q) @ dense(p)))
    assert p.sign == 1 and p.times_i(2).sign == -1


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.tuples(words, st.integers(-5, 5)), max_size=6), words)
def test_the_frame_is_conjugation_by_the_product_of_clifford_rotations(turns, word: str) -> None:
    frame, unitary = CliffordFrame(N), np.eye(2**N, dtype=complex)
    for letters, quarters in turns:
        frame.absorb(from_word(letters), quarters)
        half = quarters * np.pi / 4
        p = word_matrix(letters)
        unitary = (np.cos(half) * np.eye(2**N) - 1j * np.sin(half) * p) @ unitary
    expected = unitary.conj().T @ word_matrix(word) @ unitary
    np.testing.assert_allclose(dense(frame.image(from_word(word))), expected, atol=1e-12)


def test_a_sign_is_real_only_for_hermitian_words() -> None:
    with pytest.raises(AssertionError, match="Hermitian"):
        _ = Pauli(1, 0, 1).sign
