"""Compiled loops of the embedded simulator: Pauli rotations on a tile of batch lanes.

Shapes: T lanes of a tile, S = 2^Q amplitudes, K rotations, W measured values. A state is two
arrays (S, T), real and imaginary part, lanes contiguous: every inner loop runs over lanes and
vectorises. For a Pauli with masks (x, z) and n_y letters Y, P|j> = i^n_y (-1)^|j&z| |j^x>, so that
amplitudes mix in pairs (j, j^x), by a real factor where n_y is odd and by an imaginary one where it
is even.
"""

from __future__ import annotations

import numba
import numpy as np
from numba.extending import overload

_jit = numba.njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
_inline = numba.njit(nogil=True, inline="always", fastmath={"contract"}, error_model="numpy")


def lane(value, b):
    """Entry `b` of an array, or the value itself when shared by all lanes."""
    return value[b] if isinstance(value, np.ndarray) else value


@overload(lane, inline="always")
def _lane(value, b):
    if isinstance(value, numba.types.Array):
        return lambda value, b: value[b]
    return lambda value, b: value


@_inline
def parity(v):
    """1 if an odd number of bits is set, else 0."""
    v ^= v >> 32
    v ^= v >> 16
    v ^= v >> 8
    v ^= v >> 4
    return (0x6996 >> (v & 15)) & 1


@_inline
def top_bit(x):
    """The highest set bit of x > 0."""
    bit = 1
    while bit <= x >> 1:
        bit <<= 1
    return bit


@_inline
def word_sign(n_y):
    """(-1)^(n_y // 2): the real factor left of i^n_y when one i is taken out for odd n_y."""
    return 1.0 - 2.0 * ((n_y >> 1) & 1)


@_inline
def count_bits(v):
    """Number of set bits."""
    n = 0
    while v:
        v &= v - 1
        n += 1
    return n


@_jit
def rotate(re, im, x, z, cos, sin):
    """ψ ← cos·ψ - i sin·Pψ; cos and sin are scalars (all lanes) or arrays (T,)."""
    n_amplitudes, n_lanes = re.shape
    one = re.dtype.type(1)
    if x == 0:
        for j in range(n_amplitudes):
            f = one - 2 * re.dtype.type(parity(j & z))
            r, m = re[j], im[j]
            for b in range(n_lanes):
                c, s = lane(cos, b), f * lane(sin, b)
                a, d = r[b], m[b]
                r[b] = c * a + s * d
                m[b] = c * d - s * a
        return
    n_y = count_bits(x & z)
    top = top_bit(x)
    base = re.dtype.type(word_sign(n_y))
    for h in range(n_amplitudes // 2):
        j = ((h & ~(top - 1)) << 1) | (h & (top - 1))
        f = base * (one - 2 * re.dtype.type(parity(j & z)))
        r0, m0, r1, m1 = re[j], im[j], re[j ^ x], im[j ^ x]
        if n_y & 1:
            for b in range(n_lanes):
                c, s = lane(cos, b), f * lane(sin, b)
                a0, d0, a1, d1 = r0[b], m0[b], r1[b], m1[b]
                r0[b] = c * a0 - s * a1
                m0[b] = c * d0 - s * d1
                r1[b] = c * a1 + s * a0
                m1[b] = c * d1 + s * d0
        else:
            for b in range(n_lanes):
                c, s = lane(cos, b), f * lane(sin, b)
                a0, d0, a1, d1 = r0[b], m0[b], r1[b], m1[b]
                r0[b] = c * a0 + s * d1
                m0[b] = c * d0 - s * a1
                r1[b] = c * a1 + s * d0
                m1[b] = c * d1 - s * a0


@_jit
def overlap(lr, lm, re, im, x, z, out):
    """out[b] += Im <λ|P|ψ>, which is the derivative with respect to the angle of a rotation about P."""
    n_amplitudes, n_lanes = re.shape
    one = re.dtype.type(1)
    n_y = count_bits(x & z)
    base = re.dtype.type(word_sign(n_y))
    for j in range(n_amplitudes):
        f = base * (one - 2 * re.dtype.type(parity(j & z)))
        r, m, p, q = re[j], im[j], lr[j ^ x], lm[j ^ x]
        if n_y & 1:
            for b in range(n_lanes):
                out[b] += f * (p[b] * r[b] + q[b] * m[b])
        else:
            for b in range(n_lanes):
                out[b] += f * (p[b] * m[b] - q[b] * r[b])


@_jit
def expectation(re, im, x, z, out):
    """out[b] = <ψ|P|ψ>."""
    n_amplitudes, n_lanes = re.shape
    one = re.dtype.type(1)
    n_y = count_bits(x & z)
    base = re.dtype.type(word_sign(n_y))
    out[:] = 0
    for j in range(n_amplitudes):
        f = base * (one - 2 * re.dtype.type(parity(j & z)))
        r, m, p, q = re[j], im[j], re[j ^ x], im[j ^ x]
        if n_y & 1:
            for b in range(n_lanes):
                out[b] += f * (q[b] * r[b] - p[b] * m[b])
        else:
            for b in range(n_lanes):
                out[b] += f * (p[b] * r[b] + q[b] * m[b])


@_jit
def add_word(lr, lm, re, im, x, z, weight):
    """λ ← λ + weight[b]·Pψ."""
    n_amplitudes, n_lanes = re.shape
    one = re.dtype.type(1)
    n_y = count_bits(x & z)
    base = re.dtype.type(word_sign(n_y))
    for j in range(n_amplitudes):
        f = base * (one - 2 * re.dtype.type(parity(j & z)))
        r, m, p, q = re[j], im[j], lr[j ^ x], lm[j ^ x]
        if n_y & 1:
            for b in range(n_lanes):
                w = f * weight[b]
                p[b] -= w * m[b]
                q[b] += w * r[b]
        else:
            for b in range(n_lanes):
                w = f * weight[b]
                p[b] += w * r[b]
                q[b] += w * m[b]


@_jit
def evolve(re, im, xs, zs, per_row, place, cos_s, sin_s, cos_r, sin_r):
    """|0...0> through all rotations; cos_s is (Ks,), cos_r is (Kr, T); place[k] says where k stands."""
    re[:] = 0
    im[:] = 0
    re[0, :] = 1
    for k in range(len(xs)):
        i = place[k]
        if per_row[k]:
            rotate(re, im, xs[k], zs[k], cos_r[i], sin_r[i])
        else:
            rotate(re, im, xs[k], zs[k], cos_s[i], sin_s[i])


@_jit
def sweep_back(re, im, lr, lm, xs, zs, per_row, place, cos_s, sin_s, cos_r, sin_r, wanted, gradient):
    """Undo the rotations on ψ and λ, last first, leaving each wanted derivative in gradient (K, T)."""
    first = 0
    while first < len(xs) and not wanted[first]:
        first += 1
    for k in range(len(xs) - 1, first - 1, -1):
        i = place[k]
        if wanted[k]:
            overlap(lr, lm, re, im, xs[k], zs[k], gradient[k])
        if k == first:
            break
        if per_row[k]:
            rotate_back(re, im, lr, lm, xs[k], zs[k], cos_r[i], sin_r[i])
        else:
            rotate_back(re, im, lr, lm, xs[k], zs[k], cos_s[i], sin_s[i])


@_jit
def rotate_back(re, im, lr, lm, x, z, cos, sin):
    """Undo one rotation on both states."""
    rotate(re, im, x, z, cos, -sin)
    rotate(lr, lm, x, z, cos, -sin)


@_jit
def measure_words(re, im, xs, zs, out):
    """out[w, b] = <P_w>."""
    for w in range(len(xs)):
        expectation(re, im, xs[w], zs[w], out[w])


@_jit
def measure_outcomes(re, im, outcome, out):
    """out[w, b] = probability of outcome w."""
    out[:] = 0
    for j in range(re.shape[0]):
        r, m, p = re[j], im[j], out[outcome[j]]
        for b in range(re.shape[1]):
            p[b] += r[b] * r[b] + m[b] * m[b]


@_jit
def words_cotangent(re, im, xs, zs, cotangent, lr, lm):
    """λ = Σ_w cotangent[w]·P_w ψ."""
    lr[:] = 0
    lm[:] = 0
    for w in range(len(xs)):
        add_word(lr, lm, re, im, xs[w], zs[w], cotangent[w])


@_jit
def outcomes_cotangent(re, im, outcome, cotangent, lr, lm):
    """λ = cotangent[outcome]·ψ, amplitude by amplitude."""
    for j in range(re.shape[0]):
        w = cotangent[outcome[j]]
        for b in range(re.shape[1]):
            lr[j, b] = w[b] * re[j, b]
            lm[j, b] = w[b] * im[j, b]
