"""Compiled measurements of a tile, and the state λ that an adjoint sweep starts from.

Shapes: T batch rows, S = 2^Q amplitudes, W measured values. States are (2S, T), real parts first; values and
cotangents are (rows, W), and a tile may be wider than there are rows. As a real matrix a
Pauli word P is symmetric: it takes row J to row J^X with the factor g·(-1)^|J&Z|; a line of `words` has the number of
index bits inside the lanes, X, Z, Z inside the lanes, and g.
"""

from __future__ import annotations

import numpy as np

from qnn.simulation.compiling import entry, inlined, kernel
from qnn.simulation.kernels import clear, sign, signs_within, top_bit, walsh, without_bit


@inlined
def measure_words(v, words, values):
    """values[b, w] = <P_w>."""
    clear(values)
    for w in range(len(words)):
        inside, x, z, g = words[w, 0], words[w, 1], words[w, 2], words[w, 4]
        u = v.reshape(v.shape[0] >> inside, v.shape[1] << inside)
        total, flip = np.zeros(u.shape[1], v.dtype), np.empty(u.shape[1], v.dtype)
        add_overlaps(u, x, z, g, total)
        signs_within(words[w, 3], inside, flip)
        for i in range(1 << inside):
            first = i * v.shape[1]
            for b in range(len(values)):
                values[b, w] += flip[first + b] * total[first + b]


@inlined
def add_overlaps(u, x, z, g, total):
    """total[b] += ψ_J (Pψ)_J over all rows, the signs within the lanes left out."""
    if x == 0:
        for j in range(u.shape[0]):
            f, p = u.dtype.type(g * sign(j & z)), u[j]
            for b in range(u.shape[1]):
                total[b] += f * p[b] * p[b]
        return
    top = top_bit(x)
    for h in range(u.shape[0] // 2):
        j = without_bit(h, top)
        f, p, q = u.dtype.type(2 * g * sign(j & z)), u[j], u[j ^ x]
        for b in range(u.shape[1]):
            total[b] += f * p[b] * q[b]


@inlined
def words_cotangent(v, words, cotangent, out):
    """λ = Σ_w cotangent[:, w]·P_w ψ."""
    clear(out)
    for w in range(len(words)):
        inside, x, z, g = words[w, 0], words[w, 1], words[w, 2], words[w, 4]
        shape = (v.shape[0] >> inside, v.shape[1] << inside)
        factor = np.empty(shape[1], v.dtype)
        signs_within(words[w, 3], inside, factor)
        for i in range(1 << inside):
            first = i * v.shape[1]
            for b in range(v.shape[1]):
                factor[first + b] *= cotangent[b, w] if b < len(cotangent) else 0
        add_word(v.reshape(shape), x, z, g, factor, out.reshape(shape))


@inlined
def add_word(u, x, z, g, factor, out):
    """λ ← λ + factor[b]·Pψ."""
    if x == 0:
        for j in range(u.shape[0]):
            f, p, r = u.dtype.type(g * sign(j & z)), u[j], out[j]
            for b in range(u.shape[1]):
                r[b] += f * factor[b] * p[b]
        return
    top = top_bit(x)
    for h in range(u.shape[0] // 2):
        j = without_bit(h, top)
        f, p, q, r, t = u.dtype.type(g * sign(j & z)), u[j], u[j ^ x], out[j], out[j ^ x]
        for b in range(u.shape[1]):
            c = f * factor[b]
            r[b] += c * q[b]
            t[b] += c * p[b]


@kernel
def transform(table, lane_bits):
    """Walsh-Hadamard transform of (S, T) along its first axis."""
    walsh(table.reshape(table.shape[0] >> lane_bits, table.shape[1] << lane_bits))
    for k in range(lane_bits):
        for h in range(table.shape[0] // 2):
            j = without_bit(h, 1 << k)
            p, q = table[j], table[j | (1 << k)]
            for b in range(table.shape[1]):
                a0 = p[b]
                p[b] = a0 + q[b]
                q[b] = a0 - q[b]


@entry
def measure_diagonal(v, masks, words, lane_bits, values):
    """values[b, w] = <P_w> for words that are all diagonal: one transform of the probabilities."""
    n = v.shape[0] // 2
    table = np.empty((n, v.shape[1]), v.dtype)
    for j in range(n):
        r, m, p = v[j], v[n + j], table[j]
        for b in range(len(p)):
            p[b] = r[b] * r[b] + m[b] * m[b]
    transform(table, lane_bits)
    for w in range(len(words)):
        f, p = v.dtype.type(words[w, 4]), table[masks[w]]
        for b in range(len(values)):
            values[b, w] = f * p[b]


@entry
def diagonal_cotangent(v, masks, words, lane_bits, cotangent, out):
    """λ = Σ_w cotangent[:, w]·P_w ψ for words that are all diagonal."""
    n = v.shape[0] // 2
    table = np.zeros((n, v.shape[1]), v.dtype)
    for w in range(len(words)):
        f, p = v.dtype.type(words[w, 4]), table[masks[w]]
        for b in range(len(cotangent)):
            p[b] += f * cotangent[b, w]
    transform(table, lane_bits)
    for j in range(n):
        r, m, p, lr, lm = v[j], v[n + j], table[j], out[j], out[n + j]
        for b in range(len(p)):
            lr[b] = p[b] * r[b]
            lm[b] = p[b] * m[b]


@entry
def measure_outcomes(v, outcome, values):
    """values[b, w] = probability of outcome w."""
    n = v.shape[0] // 2
    out = np.zeros((values.shape[1], v.shape[1]), v.dtype)
    for j in range(n):
        r, m, p = v[j], v[n + j], out[outcome[j]]
        for b in range(len(p)):
            p[b] += r[b] * r[b] + m[b] * m[b]
    for b in range(len(values)):
        for w in range(len(out)):
            values[b, w] = out[w, b]


@entry
def outcomes_cotangent(v, outcome, cotangent, out):
    """λ = cotangent[:, outcome]·ψ, amplitude by amplitude."""
    n = v.shape[0] // 2
    weights = np.zeros((cotangent.shape[1], v.shape[1]), v.dtype)
    for b in range(len(cotangent)):
        for w in range(len(weights)):
            weights[w, b] = cotangent[b, w]
    for j in range(n):
        c, r, m, p, q = weights[outcome[j]], v[j], v[n + j], out[j], out[n + j]
        for b in range(len(c)):
            p[b] = c[b] * r[b]
            q[b] = c[b] * m[b]
