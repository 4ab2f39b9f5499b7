"""Compiled measurements of a tile, and the state λ that an adjoint sweep starts from.

Shapes: T batch rows, S = 2^Q amplitudes, W measured values. States are (2, S, T), real and imaginary part. A word with
masks (x, z) and n_y letters Y takes |j> to i^n_y (-1)^|j&z| |j^x>; its sign stands in the third column.
"""

from __future__ import annotations

import numpy as np

from qnn.simulation.kernels import _jit, sign, walsh, without_bit


@_jit
def count_bits(v):
    """Number of set bits."""
    n = 0
    while v:
        v &= v - 1
        n += 1
    return n


@_jit
def measure_words(state, words, out):
    """out[w, b] = <P_w>."""
    re, im = state[0], state[1]
    out[:] = 0
    for j in range(re.shape[0]):
        r, m = re[j], im[j]
        for w in range(len(words)):
            x, z, o = words[w, 0], words[w, 1], out[w]
            n_y = count_bits(x & z)
            f = re.dtype.type(words[w, 2] * sign(j & z) * (1 - 2 * ((n_y >> 1) & 1)))
            p, q = re[j ^ x], im[j ^ x]
            if n_y & 1:
                for b in range(re.shape[1]):
                    o[b] += f * (q[b] * r[b] - p[b] * m[b])
            else:
                for b in range(re.shape[1]):
                    o[b] += f * (p[b] * r[b] + q[b] * m[b])


@_jit
def words_cotangent(state, words, cotangent, out):
    """λ = Σ_w cotangent[w]·P_w ψ."""
    re, im = state[0], state[1]
    out[:] = 0
    for j in range(re.shape[0]):
        p, q = out[0, j], out[1, j]
        for w in range(len(words)):
            x, z, c = words[w, 0], words[w, 1], cotangent[w]
            n_y = count_bits(x & z)
            f = re.dtype.type(words[w, 2] * sign((j ^ x) & z) * (1 - 2 * ((n_y >> 1) & 1)))
            r, m = re[j ^ x], im[j ^ x]
            if n_y & 1:
                for b in range(re.shape[1]):
                    p[b] -= f * c[b] * m[b]
                    q[b] += f * c[b] * r[b]
            else:
                for b in range(re.shape[1]):
                    p[b] += f * c[b] * r[b]
                    q[b] += f * c[b] * m[b]


@_jit
def transform(table, lane_bits):
    """Walsh-Hadamard transform of (S, T) along its first axis."""
    inside = 1 << lane_bits
    n_lanes = inside * table.shape[1]
    rows = table.reshape(table.shape[0] // inside, n_lanes)
    walsh(rows)
    for k in range(lane_bits):
        for h in range(table.shape[0] // 2):
            j = without_bit(h, 1 << k)
            p, q = table[j], table[j | (1 << k)]
            for b in range(table.shape[1]):
                a0 = p[b]
                p[b] = a0 + q[b]
                q[b] = a0 - q[b]


@_jit
def measure_diagonal(state, words, lane_bits, out):
    """out[w, b] = <P_w> for words that are all diagonal: one transform of the probabilities."""
    table = np.empty((state.shape[1], state.shape[2]), state.dtype)
    for j in range(len(table)):
        r, m, p = state[0, j], state[1, j], table[j]
        for b in range(len(p)):
            p[b] = r[b] * r[b] + m[b] * m[b]
    transform(table, lane_bits)
    for w in range(len(words)):
        f, p, o = state.dtype.type(words[w, 2]), table[words[w, 1]], out[w]
        for b in range(len(p)):
            o[b] = f * p[b]


@_jit
def diagonal_cotangent(state, words, lane_bits, cotangent, out):
    """λ = Σ_w cotangent[w]·P_w ψ for words that are all diagonal."""
    table = np.zeros((state.shape[1], state.shape[2]), state.dtype)
    for w in range(len(words)):
        f, p, c = state.dtype.type(words[w, 2]), table[words[w, 1]], cotangent[w]
        for b in range(len(p)):
            p[b] += f * c[b]
    transform(table, lane_bits)
    for j in range(len(table)):
        r, m, p, lr, lm = state[0, j], state[1, j], table[j], out[0, j], out[1, j]
        for b in range(len(p)):
            lr[b] = p[b] * r[b]
            lm[b] = p[b] * m[b]


@_jit
def measure_outcomes(state, outcome, out):
    """out[w, b] = probability of outcome w."""
    out[:] = 0
    for j in range(state.shape[1]):
        r, m, p = state[0, j], state[1, j], out[outcome[j]]
        for b in range(len(p)):
            p[b] += r[b] * r[b] + m[b] * m[b]


@_jit
def outcomes_cotangent(state, outcome, cotangent, out):
    """λ = cotangent[outcome]·ψ, amplitude by amplitude."""
    for j in range(state.shape[1]):
        c, r, m, p, q = cotangent[outcome[j]], state[0, j], state[1, j], out[0, j], out[1, j]
        for b in range(len(c)):
            p[b] = c[b] * r[b]
            q[b] = c[b] * m[b]
