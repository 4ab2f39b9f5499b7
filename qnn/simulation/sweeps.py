"""Whole circuits in one compiled call each way, and the measurement between them.

Shapes as in `kernels`; N_s shared angles, N_r angles of their own for every row. All of a schedule's instructions run inside one call, so
that a small circuit costs no more than its arithmetic.
"""

from __future__ import annotations

import numpy as np

from qnn.simulation.kernels import (
    _jit,
    cos_and_sin,
    phases,
    phases_back,
    relabel,
    rotate,
    rotate_back,
    rotate_rows_back,
    sign,
    turn,
    two_turns,
    walsh_vector,
)

from qnn.simulation.schedule import (
    ACTIVE,
    COUNT,
    G2,
    G,
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
    X,
    X2,
    Z,
    Z2,
)


@_jit
def signs_within(z, lane_bits, out):
    """out[i·w + b] = (-1)^|i&z| for the i-th index within the lanes."""
    width = len(out) >> lane_bits
    for i in range(1 << lane_bits):
        f = out.dtype.type(sign(i & z))
        for b in range(i * width, (i + 1) * width):
            out[b] = f


@_jit
def spread(values, out):
    """A value of each batch row (T,), repeated for every index within the lanes (L,)."""
    width = len(values)
    for i in range(len(out) // width):
        out[i * width : (i + 1) * width] = values


@_jit
def fill_phases(half, line, table, lane_bits, cos, sin):
    """Cosines and sines of the phases of a diagonal group, times 2^(-turns/2)."""
    bits = line[ACTIVE] + lane_bits
    angles = np.zeros(1 << bits)
    mask = (1 << bits) - 1
    for k in range(line[PLACE], line[PLACE] + line[COUNT]):
        angles[table[k, 0] & mask] += table[k, 2] * half[table[k, 1]]
    walsh_vector(angles)
    cos_and_sin(angles, 2.0 ** (-0.5 * line[G]), cos, sin)


@_jit
def evolve(v, spare, lane_bits, code, table, labels, half, cos_s, sin_s, cos_r, sin_r):
    """|0…0> through all instructions; the final state is left in `v`, `spare` is overwritten where amplitudes move."""
    for i in range(len(code)):
        if code[i, KIND] == RELABEL:
            v, spare = spare, v
    v[:] = 0
    v[0, : v.shape[1] >> lane_bits] = 1
    one = v.dtype.type(1)
    flip, flip2 = np.empty(v.shape[1], v.dtype), np.empty(v.shape[1], v.dtype)
    cos, sin = np.empty(v.shape[1], v.dtype), np.empty(v.shape[1], v.dtype)
    for i in range(len(code)):
        c = code[i]
        kind, d = c[KIND], c[ACTIVE]
        if kind == ROTATE:
            k = c[PLACE]
            if lane_bits == 0:
                rotate(v, c[X], c[Z], c[G], d, cos_s[k], sin_s[k], one)
            else:
                signs_within(c[LANES], lane_bits, flip)
                rotate(v, c[X], c[Z], c[G], d, cos_s[k], sin_s[k], flip)
        elif kind == ROTATE_ROWS:
            k = c[PLACE]
            if lane_bits == 0:
                rotate(v, c[X], c[Z], c[G], d, cos_r[k], sin_r[k], one)
            else:
                signs_within(c[LANES], lane_bits, flip)
                spread(cos_r[k], cos)
                spread(sin_r[k], sin)
                rotate(v, c[X], c[Z], c[G], d, cos, sin, flip)
        elif kind == TURN or kind == TWO_TURNS:
            turns(v, c, lane_bits, False, flip, flip2)
        elif kind == PHASES:
            width = v.shape[1] if lane_bits else 1
            tables = np.empty((2, 1 << d, width), v.dtype)
            fill_phases(half, c, table, lane_bits, tables[0], tables[1])
            phases(v, d, tables[0], tables[1])
        elif kind == RELABEL:
            relabel(v, spare, labels[c[PLACE]], lane_bits)
            v, spare = spare, v
        else:
            v *= v.dtype.type(2.0 ** (-0.5 * c[COUNT]))


@_jit
def turns(v, c, lane_bits, back, flip, flip2):
    """One or two quarter turns, or their inverse in inverse order."""
    g = -1 if back else 1
    one = v.dtype.type(1)
    if lane_bits == 0:
        if c[KIND] == TURN:
            turn(v, c[X], c[Z], g * c[G], c[ACTIVE], one)
        elif back:
            two_turns(v, c[X2], c[Z2], -c[G2], c[X], c[Z], -c[G], c[ACTIVE], one, one)
        else:
            two_turns(v, c[X], c[Z], c[G], c[X2], c[Z2], c[G2], c[ACTIVE], one, one)
        return
    signs_within(c[LANES], lane_bits, flip)
    if c[KIND] == TURN:
        turn(v, c[X], c[Z], g * c[G], c[ACTIVE], flip)
        return
    signs_within(c[LANES2], lane_bits, flip2)
    if back:
        two_turns(v, c[X2], c[Z2], -c[G2], c[X], c[Z], -c[G], c[ACTIVE], flip2, flip)
    else:
        two_turns(v, c[X], c[Z], c[G], c[X2], c[Z2], c[G2], c[ACTIVE], flip, flip2)


@_jit
def sweep_back(
    v, w, spare, lane_bits, code, table, labels, half, cos_s, sin_s, cos_r, sin_r, last, grad_s, grad_r
):  # fmt: skip
    """Undo the instructions on ψ and λ, last first; derivatives are added to grad_s (N_s,) and grad_r (N_r, T).

    `last` is the first instruction whose derivative is wanted: nothing before it is undone.
    """
    one = v.dtype.type(1)
    n_lanes = v.shape[1]
    n_tile = n_lanes >> lane_bits
    flip, flip2 = np.empty(n_lanes, v.dtype), np.empty(n_lanes, v.dtype)
    cos, sin, out = np.empty(n_lanes, v.dtype), np.empty(n_lanes, v.dtype), np.empty(n_lanes, v.dtype)
    for i in range(len(code) - 1, last - 1, -1):
        c = code[i]
        kind, d = c[KIND], c[ACTIVE]
        if kind == ROTATE:
            k = c[PLACE]
            if lane_bits == 0:
                grad_s[k] += rotate_back(v, w, c[X], c[Z], c[G], d, cos_s[k], sin_s[k], one)
            else:
                signs_within(c[LANES], lane_bits, flip)
                grad_s[k] += rotate_back(v, w, c[X], c[Z], c[G], d, cos_s[k], sin_s[k], flip)
        elif kind == ROTATE_ROWS:
            k = c[PLACE]
            if lane_bits == 0:
                rotate_rows_back(v, w, c[X], c[Z], c[G], d, cos_r[k], sin_r[k], one, grad_r[k])
            else:
                signs_within(c[LANES], lane_bits, flip)
                spread(cos_r[k], cos)
                spread(sin_r[k], sin)
                out[:] = 0
                rotate_rows_back(v, w, c[X], c[Z], c[G], d, cos, sin, flip, out)
                for b in range(n_lanes):
                    grad_r[k, b % n_tile] += out[b]
        elif kind == TURN or kind == TWO_TURNS:
            turns(v, c, lane_bits, True, flip, flip2)
            turns(w, c, lane_bits, True, flip, flip2)
        elif kind == PHASES:
            width = n_lanes if lane_bits else 1
            tables = np.empty((2, 1 << d, width), v.dtype)
            fill_phases(half, c, table, lane_bits, tables[0], tables[1])
            overlap = np.empty((1 << d, 1 << lane_bits), v.dtype)
            phases_back(v, w, d, tables[0], tables[1], overlap)
            vector = overlap.reshape(-1)
            walsh_vector(vector)
            for k in range(c[PLACE], c[PLACE] + c[COUNT]):
                grad_s[table[k, 1]] += table[k, 2] * vector[table[k, 0] & (len(vector) - 1)]
        elif kind == RELABEL:
            inverse = labels[c[PLACE] + 1]
            relabel(v, spare, inverse, lane_bits)
            v, spare = spare, v
            relabel(w, spare, inverse, lane_bits)
            w, spare = spare, w
        else:
            v *= v.dtype.type(2.0 ** (-0.5 * c[COUNT]))
            w *= w.dtype.type(2.0 ** (-0.5 * c[COUNT]))
