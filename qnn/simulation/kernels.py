"""Compiled passes over a tile of batch lanes.

Shapes: T batch rows of a tile, S = 2^Q amplitudes, L = T·2^l lanes, R = S/2^l rows of lanes.

A state is one real array (2R, L): the real parts of all amplitudes, then the imaginary parts. The l lowest bits of an
amplitude's index lie inside the lanes, so that a single batch row still fills the vector units; for wide tiles l = 0.
Every inner loop runs over lanes and vectorises.

In this form -iP, for any Pauli word P, is a real antisymmetric matrix: it takes row J to row J^X with the factor
g·(-1)^|J&Z|. X and Z are P's own masks, with the bit above them (imaginary part or not) set in both when P has
an even number of letters Y. So one kernel serves every rotation. Passes reach the first 2^d rows of each part: at
the start of a circuit the others are still zero.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numba.extending import intrinsic, overload

from qnn.simulation.compiling import kernel, reducing_kernel

_ROUND = 6755399441055744.0  # 1.5·2^52: adding and subtracting it rounds to an integer, in vector units too

_LINE = 16  # numbers of a state that are fetched together

_FAR = 1e5  # radians from which the short way of taking off multiples of π/2 loses digits


def lane(value, b):
    """Entry `b` of an array, or the value itself when shared by all lanes."""
    return value[b] if isinstance(value, np.ndarray) else value


@overload(lane, inline="always")
def _lane(value, b):
    if isinstance(value, numba.types.Array):
        return lambda value, b: value[b]
    return lambda value, b: value


@intrinsic
def count_bits(typing_context: Any, v: Any) -> Any:
    """Number of set bits, one machine instruction."""

    def generate(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return v(v), generate


@kernel
def sign(v):
    """-1 if an odd number of bits is set, else 1."""
    return 1 - 2 * (count_bits(v) & 1)  # type: ignore[call-arg]


@kernel
def top_bit(x):
    """The highest set bit of x > 0."""
    bit = 1
    while bit <= x >> 1:
        bit <<= 1
    return bit


@kernel
def without_bit(h, bit):
    """The h-th of the numbers in which `bit` is not set."""
    return ((h & ~(bit - 1)) << 1) | (h & (bit - 1))


@kernel
def row_of(h, d, n_rows):
    """The row of a compact number: d bits of the row, and above them the part."""
    return (h & ((1 << d) - 1)) + (h >> d) * n_rows


@kernel
def multiply(v, factor):
    """State times a factor."""
    for j in range(v.shape[0]):
        p = v[j]
        for b in range(v.shape[1]):
            p[b] *= factor


@kernel
def clear(v):
    """All entries zero."""
    for j in range(v.shape[0]):
        p = v[j]
        for b in range(v.shape[1]):
            p[b] = 0


@kernel
def signs_within(z, lane_bits, out):
    """out[i·w + b] = (-1)^|i&z| for the i-th index within the lanes."""
    width = len(out) >> lane_bits
    for i in range(1 << lane_bits):
        f = out.dtype.type(sign(i & z))
        for b in range(i * width, (i + 1) * width):
            out[b] = f


@kernel
def spread(values, out):
    """A value of each batch row (T,), repeated for every index within the lanes (L,)."""
    width = len(values)
    for i in range(len(out) // width):
        for b in range(width):
            out[i * width + b] = values[b]


@kernel
def rotate(v, x, z, g, d, cos, sin, flip):
    """ψ ← cos·ψ + sin·(-iP)ψ.

    `cos` and `sin` are scalars, or arrays (L,) where lanes differ; `flip` has the signs of P within the lanes.
    """
    n_rows = v.shape[0] // 2
    top = top_bit(x)
    for h in range(1 << d):
        j = without_bit(h, top)
        f = v.dtype.type(g * sign(j & z))
        p, q = v[row_of(j, d, n_rows)], v[row_of(j ^ x, d, n_rows)]
        for b in range(v.shape[1]):
            c, s = lane(cos, b), f * lane(flip, b) * lane(sin, b)
            a0, a1 = p[b], q[b]
            p[b] = c * a0 - s * a1
            q[b] = c * a1 + s * a0


@reducing_kernel
def rotate_back(v, w, x, z, g, d, cos, sin, flip):
    """Undo on ψ and λ a rotation that all rows share; returns Re <λ|-iP|ψ>, the derivative by its angle."""
    n_rows = v.shape[0] // 2
    top = top_bit(x)
    total = 0.0
    for h in range(1 << d):
        j = without_bit(h, top)
        f = v.dtype.type(g * sign(j & z))
        jr, kr = row_of(j, d, n_rows), row_of(j ^ x, d, n_rows)
        p, q, r, t = v[jr], v[kr], w[jr], w[kr]
        part = v.dtype.type(0)
        for b in range(v.shape[1]):
            fb = f * lane(flip, b)
            c, s = cos, fb * sin
            a0, a1, b0, b1 = p[b], q[b], r[b], t[b]
            part += fb * (b1 * a0 - b0 * a1)
            p[b] = c * a0 + s * a1
            q[b] = c * a1 - s * a0
            r[b] = c * b0 + s * b1
            t[b] = c * b1 - s * b0
        total += part
    return total


@kernel
def rotate_rows_back(v, w, x, z, g, d, cos, sin, flip, out):
    """The same where lanes have angles of their own; the derivatives are added to `out` (L,)."""
    n_rows = v.shape[0] // 2
    top = top_bit(x)
    for h in range(1 << d):
        j = without_bit(h, top)
        f = v.dtype.type(g * sign(j & z))
        jr, kr = row_of(j, d, n_rows), row_of(j ^ x, d, n_rows)
        p, q, r, t = v[jr], v[kr], w[jr], w[kr]
        for b in range(v.shape[1]):
            fb = f * lane(flip, b)
            c, s = cos[b], fb * sin[b]
            a0, a1, b0, b1 = p[b], q[b], r[b], t[b]
            out[b] += fb * (b1 * a0 - b0 * a1)
            p[b] = c * a0 + s * a1
            q[b] = c * a1 - s * a0
            r[b] = c * b0 + s * b1
            t[b] = c * b1 - s * b0


@kernel
def two_turns(v, x1, z1, g1, x2, z2, g2, d, flip1, flip2):
    """ψ ← (1 - iP_2)(1 - iP_1)ψ, twice a product of quarter turns, in one pass; x1 and x2 differ."""
    n_rows = v.shape[0] // 2
    high = top_bit(x1)
    low = top_bit(x2 ^ x1 if x2 & high else x2)
    low, high = min(low, high), max(low, high)
    for h in range(1 << (d - 1)):
        j = without_bit(without_bit(h, low), high)
        f1, f2 = g1 * sign(j & z1), g2 * sign(j & z2)
        f1_too, f2_too = v.dtype.type(f1 * sign(x2 & z1)), v.dtype.type(f2 * sign(x1 & z2))
        f1, f2 = v.dtype.type(f1), v.dtype.type(f2)
        p, q = v[row_of(j, d, n_rows)], v[row_of(j ^ x1, d, n_rows)]
        r, t = v[row_of(j ^ x2, d, n_rows)], v[row_of(j ^ x1 ^ x2, d, n_rows)]
        for b in range(v.shape[1]):
            s1, s2 = lane(flip1, b), lane(flip2, b)
            a0, a1, a2, a3 = p[b], q[b], r[b], t[b]
            c0, c1 = a0 - f1 * s1 * a1, a1 + f1 * s1 * a0
            c2, c3 = a2 - f1_too * s1 * a3, a3 + f1_too * s1 * a2
            p[b] = c0 - f2 * s2 * c2
            r[b] = c2 + f2 * s2 * c0
            q[b] = c1 - f2_too * s2 * c3
            t[b] = c3 + f2_too * s2 * c1


@kernel
def phases(v, first, d, cos, sin):
    """ψ_j ← (cos_j - i sin_j)ψ_j for 2^d rows from `first` on; tables are (2^d, 1), or (2^d, L) where lanes differ."""
    n_rows = v.shape[0] // 2
    for j in range(1 << d):
        p, q = v[first + j], v[n_rows + first + j]
        if cos.shape[1] == 1:
            c, s = cos[j, 0], sin[j, 0]
            for b in range(v.shape[1]):
                a0, a1 = p[b], q[b]
                p[b] = c * a0 + s * a1
                q[b] = c * a1 - s * a0
        else:
            cl, sl = cos[j], sin[j]
            for b in range(v.shape[1]):
                a0, a1 = p[b], q[b]
                p[b] = cl[b] * a0 + sl[b] * a1
                q[b] = cl[b] * a1 - sl[b] * a0


@reducing_kernel
def phases_back(v, w, first, d, cos, sin, overlap):
    """Undo phases that all lanes share on ψ and λ; overlap[j] = Im(λ_j* ψ_j) summed over the lanes."""
    n_rows = v.shape[0] // 2
    for j in range(1 << d):
        p, q, r, t = v[first + j], v[n_rows + first + j], w[first + j], w[n_rows + first + j]
        c, s, part = cos[j, 0], sin[j, 0], v.dtype.type(0)
        for b in range(v.shape[1]):
            a0, a1, b0, b1 = p[b], q[b], r[b], t[b]
            part += b0 * a1 - b1 * a0
            p[b] = c * a0 - s * a1
            q[b] = c * a1 + s * a0
            r[b] = c * b0 - s * b1
            t[b] = c * b1 + s * b0
        overlap[j] = part


@kernel
def phases_back_in_lanes(v, w, first, d, cos, sin, lane_bits, overlap):
    """The same where lanes differ; overlap (2^d, 2^l) is summed over the batch rows only."""
    n_rows, width = v.shape[0] // 2, v.shape[1] >> lane_bits
    products = np.empty(v.shape[1], v.dtype)
    for j in range(1 << d):
        p, q, r, t = v[first + j], v[n_rows + first + j], w[first + j], w[n_rows + first + j]
        cl, sl = cos[j], sin[j]
        for b in range(v.shape[1]):
            products[b] = r[b] * q[b] - t[b] * p[b]
        for b in range(v.shape[1]):
            a0, a1 = p[b], q[b]
            p[b] = cl[b] * a0 - sl[b] * a1
            q[b] = cl[b] * a1 + sl[b] * a0
        for b in range(v.shape[1]):
            b0, b1 = r[b], t[b]
            r[b] = cl[b] * b0 - sl[b] * b1
            t[b] = cl[b] * b1 + sl[b] * b0
        for i in range(1 << lane_bits):
            total = v.dtype.type(0)
            for b in range(i * width, (i + 1) * width):
                total += products[b]
            overlap[j, i] = total


@kernel
def images(sources, first, count):
    """Σ_t j_t sources_{first + t} for all j of `count` bits."""
    table = np.empty(1 << count, np.int64)
    table[0] = 0
    for t in range(count):
        for j in range(1 << t):
            table[j + (1 << t)] = table[j] ^ sources[first + t]
    return table


@kernel
def tile_of_lines(inverse, bits):
    """Indices after a relabelling, closed under flipping the `bits` low bits of the index there and before it.

    Returns them with the low bits zero, and ascending the highest bits in which they differ: another tile begins at
    every index in which these and the low bits are zero.
    """
    lines, pivots = np.zeros(1 << bits, np.int64), np.empty(bits, np.int64)
    count = 0
    for t in range(bits):
        flips = inverse[t] & ~((1 << bits) - 1)
        for s in range(count):
            if flips & pivots[s]:
                flips ^= lines[1 << s]
        if flips:
            pivots[count] = top_bit(flips)
            for h in range(1 << count):
                lines[h + (1 << count)] = lines[h] ^ flips
            count += 1
    return lines[: 1 << count], np.sort(pivots[:count])


@kernel
def relabel(v, out, sources, inverse):
    """out[j] = v[Σ_t j_t sources_t] for the amplitudes of both parts of states (2S, T); `inverse` maps back.

    All amplitudes of the cache lines that a tile touches move together.
    """
    n_amplitudes, width = v.shape[0] // 2, v.shape[1]
    bits = 0
    while width << bits < _LINE:
        bits += 1
    lines, pivots = tile_of_lines(inverse, bits)
    half = len(sources) // 2
    within, low, high = images(sources, 0, bits), images(sources, 0, half), images(sources, half, len(sources) - half)
    line_sources = np.empty_like(lines)
    for h in range(len(lines)):
        line_sources[h] = low[lines[h] & ((1 << half) - 1)] ^ high[lines[h] >> half]
    for tile in range((n_amplitudes >> bits) // len(lines)):
        first = tile << bits
        for s in range(len(pivots)):
            first = without_bit(first, pivots[s])
        origin = low[first & ((1 << half) - 1)] ^ high[first >> half]
        for part in range(0, 2 * n_amplitudes, n_amplitudes):  # real, imaginary
            for h in range(len(lines)):
                j, source = part + (first ^ lines[h]), origin ^ line_sources[h]
                for i in range(1 << bits):
                    if width == 1:
                        out[j + i, 0] = v[part + (source ^ within[i]), 0]
                    else:
                        p, q = out[j + i], v[part + (source ^ within[i])]
                        for b in range(width):
                            p[b] = q[b]


@kernel
def walsh(a):
    """a_z ← Σ_j (-1)^|j&z| a_j along the first axis of (S, T), S a power of two."""
    n_rows = a.shape[0]
    bit = 1
    while 2 * bit < n_rows:
        for h in range(n_rows // 4):
            j = without_bit(without_bit(h, bit), 2 * bit)
            p, q, r, t = a[j], a[j | bit], a[j | 2 * bit], a[j | 3 * bit]
            for b in range(a.shape[1]):
                c0, c1, c2, c3 = p[b] + q[b], p[b] - q[b], r[b] + t[b], r[b] - t[b]
                p[b] = c0 + c2
                q[b] = c1 + c3
                r[b] = c0 - c2
                t[b] = c1 - c3
        bit *= 4
    if bit < n_rows:
        for j in range(n_rows // 2):
            p, q = a[j], a[j | bit]
            for b in range(a.shape[1]):
                c0 = p[b]
                p[b] = c0 + q[b]
                q[b] = c0 - q[b]


@kernel
def walsh_vector(a):
    """The same for a vector (S,): the low bits run beside each other where there are enough of them."""
    n, inside = len(a), 1
    while inside < 32 and inside * inside * 4 <= n:
        inside *= 2
    if inside == 1:
        walsh(a.reshape(n, 1))
        return
    block = a.reshape(n // inside, inside)
    walsh(block)
    turned = np.empty((inside, 64), dtype=a.dtype)
    for first in range(0, n // inside, 64):
        count = min(64, n // inside - first)
        for i in range(count):
            for t in range(inside):
                turned[t, i] = block[first + i, t]
        walsh(turned)
        for i in range(count):
            for t in range(inside):
                block[first + i, t] = turned[t, i]


@kernel
def cos_and_sin(angles, scale, cos, sin):
    """scale·cos and scale·sin of angles (S,) in float64, into vectors (S·w,), each value w times.

    References:
        Cephes (Moshier, 1989), sin.c: polynomials on [-π/4, π/4].
    """
    width = len(cos) // len(angles)
    c = cos if width == 1 else np.empty(len(angles), dtype=cos.dtype)
    s = sin if width == 1 else np.empty(len(angles), dtype=cos.dtype)
    largest = 0.0
    for j in range(len(angles)):
        largest = max(largest, abs(angles[j]))
    if largest > _FAR:
        for j in range(len(angles)):
            c[j] = scale * math.cos(angles[j])
            s[j] = scale * math.sin(angles[j])
    for j in range(len(angles) if largest <= _FAR else 0):
        k = (angles[j] * (2 / math.pi) + _ROUND) - _ROUND
        r = ((angles[j] - k * 1.5707963267341256) - k * 6.0771005063039e-11) - k * 2.0222662487959506e-21
        u = r * r
        p = 1.58962301576546568060e-10 * u - 2.50507477628578072866e-8
        p = (p * u + 2.75573136213857245213e-6) * u - 1.98412698295895385996e-4
        p = r + r * u * ((p * u + 8.33333333332211858878e-3) * u - 1.66666666666666307295e-1)
        q = -1.13585365213876817300e-11 * u + 2.08757008419747316778e-9
        q = (q * u - 2.75573141792967388112e-7) * u + 2.48015872888517045348e-5
        q = 1.0 - 0.5 * u + u * u * ((q * u - 1.38888888888730564116e-3) * u + 4.16666666666665929218e-2)
        half = ((0.5 * k - 0.25) + _ROUND) - _ROUND  # k // 2
        odd = k - 2 * half
        turned = 1 - 2 * (half - 2 * (((0.5 * half - 0.25) + _ROUND) - _ROUND))  # -1 in the third and fourth quadrant
        c[j] = scale * turned * (q - odd * (q + p))
        s[j] = scale * turned * (p - odd * (p - q))
    if width > 1:
        for j in range(len(angles)):
            for b in range(j * width, (j + 1) * width):
                cos[b], sin[b] = c[j], s[j]
