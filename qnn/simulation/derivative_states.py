"""How states move with their angles: overlaps of derivative states, for the Fubini-Study metric.

One forward sweep carries |ψ> and, for every angle in question that has acted already, |∂ψ>. Trailing Clifford gates
and global phases are left out: they change no overlap.

Shapes: B batch rows, S = 2^Q amplitudes, K rotations, A angles in question. A state is real, its real parts above its
imaginary parts (2S), as in `torch_engine`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from qnn.simulation.program import Program
from qnn.simulation.torch_engine import signed_permutation


def fubini_study(
    program: Program,
    angles: Sequence[tuple[bool, int]],
    groups: Sequence[int],
    shared: torch.Tensor,
    rows: torch.Tensor,
) -> torch.Tensor:
    """Re(<∂ᵢψ|∂ⱼψ> - <∂ᵢψ|ψ><ψ|∂ⱼψ>) of every row, zero for angles of different groups.

    Args:
        program: what to run; its measurement does not matter.
        angles: A pairs (whether in the rows block, column there).
        groups: shape (A,), the group of each angle. States of a group are dropped once its last gate has acted.
        shared: shape (S,), angles in radians.
        rows: shape (B, R), angles in radians.

    Returns:
        Shape (B, A, A), in the dtype of `rows`.

    Cost:
        Time O(B·K·2^Q) times the number of derivative states carried at once, which are A for one group;
        as much memory.
    """
    place = {angle: i for i, angle in enumerate(angles)}
    r = program.rotations
    acting = [place.get((bool(row), int(column)), -1) for row, column in zip(r.per_row, r.column, strict=True)]
    last = {groups[i]: k for k, i in enumerate(acting) if i >= 0}
    metric = rows.new_zeros(rows.shape[0], len(angles), len(angles))
    psi = rows.new_zeros(2 ** (program.n_wires + 1), 1, rows.shape[0])
    psi[0] = 1
    carried: dict[int, tuple[list[int], torch.Tensor]] = {}  # of each group begun: its angles, and ∂ψ (2S, a, B)
    for k, i in enumerate(acting):
        source, sign = signed_permutation(int(r.x[k]), int(r.z[k]), True, program.n_wires, psi)
        half = _half_angle(program, k, shared, rows)
        cos, sin, sign = half.cos(), half.sin(), sign[:, None, None]
        turned = psi.index_select(0, source) * sign
        psi, turned = cos * psi + sin * turned, cos * turned - sin * psi  # ψ and -iPψ after the rotation
        for group, (members, states) in carried.items():
            moved = torch.addcmul(cos * states, states.index_select(0, source), sign * sin)
            carried[group] = members, moved
        if i >= 0:
            group = groups[i]
            carried[group] = _joined(carried.get(group), i, turned * (float(r.scale[k]) / 2))
            if last[group] == k:
                members, states = carried.pop(group)
                index = torch.tensor(members, device=rows.device)
                metric[:, index[:, None], index] = _overlaps(psi, states)
    return metric


def _half_angle(program: Program, k: int, shared: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Half the angle of rotation k, shape (B,) or ()."""
    r = program.rotations
    scale, constant, column = float(r.scale[k]) / 2, float(r.constant[k]) / 2, int(r.column[k])
    if column < 0:
        return rows.new_tensor(constant)
    return (rows[:, column] if r.per_row[k] else shared[column]) * scale + constant


def _joined(
    group: tuple[list[int], torch.Tensor] | None, angle: int, derivative: torch.Tensor
) -> tuple[list[int], torch.Tensor]:
    """The group with one more derivative state, or with more of one: an angle may drive several rotations."""
    if group is None:
        return [angle], derivative
    members, states = group
    if angle not in members:
        return [*members, angle], torch.cat([states, derivative], dim=1)
    states[:, members.index(angle)] += derivative[:, 0]
    return members, states


def _overlaps(psi: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
    """Re(<∂ᵢψ|∂ⱼψ> - <∂ᵢψ|ψ><ψ|∂ⱼψ>), shape (B, a, a); <ψ|∂ψ> is imaginary, since norms stay 1."""
    real, imaginary = np.split(np.arange(psi.shape[0]), 2)
    crossed = torch.cat([-psi[imaginary], psi[real]])  # its real products with ∂ψ are Im <ψ|∂ψ>
    by_row = states.permute(2, 1, 0)  # shape: (B, a, 2S)
    phase = by_row @ crossed.permute(2, 0, 1)  # shape: (B, a, 1)
    return by_row @ by_row.mT - phase @ phase.mT
