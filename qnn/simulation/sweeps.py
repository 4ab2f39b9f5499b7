"""Whole circuits in one compiled call each way.

Shapes as in `kernels`; K_s rotations by shared angles, K_r by angles of their own for every row. Everything between the
angles of a tile and its measured values, or its gradients, happens inside one call, so that a small circuit costs
little more than its arithmetic.
"""

from __future__ import annotations

import numpy as np

from qnn.simulation.compiling import entry, inlined, kernel
from qnn.simulation.kernels import (
    clear,
    cos_and_sin,
    multiply,
    phases,
    phases_back,
    phases_back_in_lanes,
    relabel,
    rotate,
    rotate_back,
    rotate_rows_back,
    sign,
    signs_within,
    spread,
    two_turns,
    walsh_vector,
)
from qnn.simulation.measuring import measure_words, words_cotangent
from qnn.simulation.schedule import (
    ACTIVE,
    COUNT,
    G2,
    INSIDE,
    KIND,
    LANES,
    LANES2,
    PHASES,
    PLACE,
    RELABEL,
    ROTATE,
    ROTATE_ROWS,
    TURN,
    TWO_TURNS,
    X2,
    Z2,
    G,
    X,
    Z,
)

_BLOCK_BITS = 14  # phases of so many amplitudes are made together: 128 KiB of angles


@kernel
def shared_angles(shared, column, factor, cos, sin):
    """Half the angles of the shared rotations (K_s,), their cosines and sines; column -1 stands for a constant."""
    half = np.empty(len(column))
    for k in range(len(column)):
        angle = 0.0 if column[k] < 0 else np.float64(shared[column[k]]) * factor[k, 0]
        half[k] = 0.5 * (angle + factor[k, 1])
    if len(half):
        cos_and_sin(half, 1.0, cos, sin)
    return half


@kernel
def row_angles(rows, column, factor, cos, sin):
    """Cosines and sines of half the rows' own angles, (K_r, T); the tile may be wider than there are rows."""
    half = np.zeros(cos.shape)
    for k in range(len(column)):
        for b in range(len(rows)):
            half[k, b] = 0.5 * (np.float64(rows[b, column[k]]) * factor[k, 0] + factor[k, 1])
    if half.size:
        cos_and_sin(half.reshape(-1), 1.0, cos.reshape(-1), sin.reshape(-1))


@kernel
def fill_phases(half, line, table, first, angles, cos, sin):
    """Cosines and sines of the phases of a diagonal group, times 2^(-turns/2), for a block of rows from `first` on."""
    mask, above = len(angles) - 1, first << line[INSIDE]
    for j in range(len(angles)):
        angles[j] = 0
    for k in range(line[PLACE], line[PLACE] + line[COUNT]):
        angles[table[k, 0] & mask] += sign(table[k, 0] & above) * table[k, 2] * half[table[k, 1]]
    walsh_vector(angles)
    cos_and_sin(angles, 2.0 ** (-0.5 * line[G]), cos.reshape(-1), sin.reshape(-1))


@kernel
def phase_block(line):
    """Rows, as a power of two, whose table of phases stays in a core's cache."""
    return min(line[ACTIVE], max(0, _BLOCK_BITS - line[INSIDE]))


@kernel
def phases_by_blocks(u, c, half, table):
    """A diagonal group; the table of phases is made for as many rows at a time as the cache holds."""
    inside, d = c[INSIDE], phase_block(c)
    tables = np.empty((2, 1 << d, u.shape[1] if inside else 1), u.dtype)
    angles = np.empty(1 << (d + inside))
    for first in range(0, 1 << c[ACTIVE], 1 << d):
        fill_phases(half, c, table, first, angles, tables[0], tables[1])
        phases(u, first, d, tables[0], tables[1])


@kernel
def phases_back_by_blocks(u, t, c, half, table, by_shared):
    """Its inverse on ψ and λ; derivatives are added to by_shared (K_s,)."""
    inside, d = c[INSIDE], phase_block(c)
    tables = np.empty((2, 1 << d, u.shape[1] if inside else 1), u.dtype)
    vector = np.empty(1 << (d + inside))  # first of angles, then of overlaps
    for first in range(0, 1 << c[ACTIVE], 1 << d):
        fill_phases(half, c, table, first, vector, tables[0], tables[1])
        if inside == 0:
            phases_back(u, t, first, d, tables[0], tables[1], vector)
        else:
            phases_back_in_lanes(u, t, first, d, tables[0], tables[1], inside, vector.reshape(1 << d, 1 << inside))
        walsh_vector(vector)
        for m in range(c[PLACE], c[PLACE] + c[COUNT]):
            z = table[m, 0]
            by_shared[table[m, 1]] += sign(z & (first << inside)) * table[m, 2] * vector[z & (len(vector) - 1)]


@kernel
def turns(u, c, direction):
    """One or two quarter turns times √2 each; with direction -1 their inverse, in inverse order."""
    d, one, g, g2 = c[ACTIVE], u.dtype.type(1), direction * c[G], direction * c[G2]
    if c[LANES] == 0 and c[LANES2] == 0:
        if c[KIND] == TURN:
            rotate(u, c[X], c[Z], g, d, one, one, one)
        elif direction < 0:
            two_turns(u, c[X2], c[Z2], g2, c[X], c[Z], g, d, one, one)
        else:
            two_turns(u, c[X], c[Z], g, c[X2], c[Z2], g2, d, one, one)
        return
    flip, flip2 = np.empty(u.shape[1], u.dtype), np.empty(u.shape[1], u.dtype)
    signs_within(c[LANES], c[INSIDE], flip)
    signs_within(c[LANES2], c[INSIDE], flip2)
    if c[KIND] == TURN:
        rotate(u, c[X], c[Z], g, d, one, one, flip)
    elif direction < 0:
        two_turns(u, c[X2], c[Z2], g2, c[X], c[Z], g, d, flip2, flip)
    else:
        two_turns(u, c[X], c[Z], g, c[X2], c[Z2], g2, d, flip, flip2)


@inlined
def rotate_shared(u, c, cos, sin):
    """A rotation by a shared angle."""
    if c[LANES] == 0:
        rotate(u, c[X], c[Z], c[G], c[ACTIVE], cos, sin, u.dtype.type(1))
    else:
        flip = np.empty(u.shape[1], u.dtype)
        signs_within(c[LANES], c[INSIDE], flip)
        rotate(u, c[X], c[Z], c[G], c[ACTIVE], cos, sin, flip)


@inlined
def rotate_shared_back(u, w, c, cos, sin):
    """Its inverse on ψ and λ; returns the derivative by the angle."""
    if c[LANES] == 0:
        return rotate_back(u, w, c[X], c[Z], c[G], c[ACTIVE], cos, sin, u.dtype.type(1))
    flip = np.empty(u.shape[1], u.dtype)
    signs_within(c[LANES], c[INSIDE], flip)
    return rotate_back(u, w, c[X], c[Z], c[G], c[ACTIVE], cos, sin, flip)


@kernel
def in_lanes(c, cos, sin, n_lanes):
    """Cosines, and sines with the signs within the lanes, of a rotation by the rows' own angles: (2, L)."""
    both = np.empty((2, n_lanes), cos.dtype)
    spread(cos, both[0])
    spread(sin, both[1])
    if c[LANES]:
        flip = np.empty(n_lanes, cos.dtype)
        signs_within(c[LANES], c[INSIDE], flip)
        for b in range(n_lanes):
            both[1, b] *= flip[b]
    return both


@inlined
def evolve(v, spare, code, table, labels, half, cos_s, sin_s, cos_r, sin_r):
    """|0…0> through all instructions; the final state is left in `v`, `spare` is used where amplitudes move."""
    for i in range(len(code)):
        if code[i, KIND] == RELABEL:
            v, spare = spare, v
    clear(v)
    for b in range(v.shape[1]):
        v[0, b] = 1
    for i in range(len(code)):
        c = code[i]
        kind, inside, k = c[KIND], c[INSIDE], c[PLACE]
        shape = (v.shape[0] >> inside, v.shape[1] << inside)
        u = v.reshape(shape)
        if kind == ROTATE:
            rotate_shared(u, c, cos_s[k], sin_s[k])
        elif kind == ROTATE_ROWS:
            if inside == 0:
                rotate(u, c[X], c[Z], c[G], c[ACTIVE], cos_r[k], sin_r[k], u.dtype.type(1))
            else:
                both = in_lanes(c, cos_r[k], sin_r[k], shape[1])
                rotate(u, c[X], c[Z], c[G], c[ACTIVE], both[0], both[1], u.dtype.type(1))
        elif kind in (TURN, TWO_TURNS):
            turns(u, c, np.int64(1))
        elif kind == PHASES:
            phases_by_blocks(u, c, half, table)
        elif kind == RELABEL:
            relabel(v, spare, labels[k], labels[k + 1])
            v, spare = spare, v
        else:
            multiply(v, v.dtype.type(2.0 ** (-0.5 * c[COUNT])))


@inlined
def sweep_back(v, w, spare, code, table, labels, half, cos_s, sin_s, cos_r, sin_r, last, by_shared, by_rows):
    """Undo the instructions on ψ and λ, last first; derivatives are added to by_shared (K_s,) and by_rows (K_r, T).

    `last` is the first instruction whose derivative is wanted: nothing before it is undone.
    """
    for i in range(len(code) - 1, last - 1, -1):
        c = code[i]
        kind, inside, k = c[KIND], c[INSIDE], c[PLACE]
        shape = (v.shape[0] >> inside, v.shape[1] << inside)
        u, t = v.reshape(shape), w.reshape(shape)
        if kind == ROTATE:
            by_shared[k] += rotate_shared_back(u, t, c, cos_s[k], sin_s[k])
        elif kind == ROTATE_ROWS:
            if inside == 0:
                one = u.dtype.type(1)
                rotate_rows_back(u, t, c[X], c[Z], c[G], c[ACTIVE], cos_r[k], sin_r[k], one, by_rows[k])
            else:
                rows_back_in_lanes(u, t, c, cos_r[k], sin_r[k], by_rows[k])
        elif kind in (TURN, TWO_TURNS):
            turns(u, c, np.int64(-1))
            turns(t, c, np.int64(-1))
        elif kind == PHASES:
            phases_back_by_blocks(u, t, c, half, table, by_shared)
        elif kind == RELABEL:
            relabel(v, spare, labels[k + 1], labels[k])
            v, spare = spare, v
            relabel(w, spare, labels[k + 1], labels[k])
            w, spare = spare, w
        else:
            multiply(v, v.dtype.type(2.0 ** (-0.5 * c[COUNT])))
            multiply(w, w.dtype.type(2.0 ** (-0.5 * c[COUNT])))


@inlined
def rows_back_in_lanes(u, t, c, cos, sin, by_rows):
    """`rotate_rows_back` where index bits lie inside the lanes."""
    one = u.dtype.type(1)
    both = in_lanes(c, cos, sin, u.shape[1])
    flip, out = np.empty(u.shape[1], u.dtype), np.zeros(u.shape[1], u.dtype)
    rotate_rows_back(u, t, c[X], c[Z], c[G], c[ACTIVE], both[0], both[1], one, out)
    signs_within(c[LANES], c[INSIDE], flip)
    for i in range(1 << c[INSIDE]):
        first = i * len(by_rows)
        for b in range(len(by_rows)):
            by_rows[b] += flip[first + b] * out[first + b]


@entry
def forward(
    v, spare, code, table, labels, words, column_s, factor_s, column_r, factor_r, shared, rows, values
):  # fmt: skip
    """From the angles of a tile to its final state `v` (2S, T), and to the values of `words` (rows, W) if any."""
    cs, cr = np.empty((2, len(column_s)), v.dtype), np.empty((2, len(column_r), v.shape[1]), v.dtype)
    half = shared_angles(shared, column_s, factor_s, cs[0], cs[1])
    row_angles(rows, column_r, factor_r, cr[0], cr[1])
    evolve(v, spare, code, table, labels, half, cs[0], cs[1], cr[0], cr[1])
    if len(words):
        measure_words(v, words, values)


@entry
def backward(
    v, lam, spare, code, table, labels, words, column_s, factor_s, column_r, factor_r, shared, rows,
    cotangent, last, by_shared, grad_rows,
):  # fmt: skip
    """From the final state of a tile to by_shared (K_s,) and grad_rows (rows, R), to which derivatives are added.

    The states are overwritten. Where there are no `words`, λ has been made before.
    """
    cs, cr = np.empty((2, len(column_s)), v.dtype), np.empty((2, len(column_r), v.shape[1]), v.dtype)
    half = shared_angles(shared, column_s, factor_s, cs[0], cs[1])
    row_angles(rows, column_r, factor_r, cr[0], cr[1])
    if len(words):
        words_cotangent(v, words, cotangent, lam)
    by_rows = np.zeros((len(column_r), v.shape[1]), v.dtype)
    sweep_back(v, lam, spare, code, table, labels, half, cs[0], cs[1], cr[0], cr[1], last, by_shared, by_rows)
    for k in range(len(column_r)):
        factor = v.dtype.type(factor_r[k, 0])
        for b in range(len(grad_rows)):
            grad_rows[b, column_r[k]] += factor * by_rows[k, b]
