"""The program in torch operations: for autograd, double backward and devices other than the CPU.

Real and imaginary parts are kept apart, as in the compiled kernels.

Shapes: B batch rows, S = 2^Q amplitudes, W measured values.
"""

from __future__ import annotations

import numpy as np
import torch

from qnn.simulation.program import OutcomeMeasurement, Program, WordMeasurement


def run(program: Program, shared: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Measured values of every row, differentiable in both blocks.

    Args:
        program: what to run.
        shared: shape (S,), angles in radians.
        rows: shape (B, R), angles in radians.

    Returns:
        Shape (B, W), in the dtype and on the device of `rows`.

    Cost:
        Time O(B·K·2^Q); memory the same when gradients are recorded, since autograd keeps each step.
    """
    rotations = program.rotations
    re_BS = torch.zeros(rows.shape[0], 2**program.n_wires, dtype=rows.dtype, device=rows.device)
    re_BS = torch.cat([torch.ones_like(re_BS[:, :1]), re_BS[:, 1:]], dim=1)
    im_BS = torch.zeros_like(re_BS)
    for k in range(len(rotations)):
        angle: torch.Tensor | float = 0.0
        if rotations.column[k] >= 0:
            block = rows[:, rotations.column[k], None] if rotations.per_row[k] else shared[rotations.column[k]]
            angle = block * float(rotations.scale[k])
        action = pauli_action(int(rotations.x[k]), int(rotations.z[k]), re_BS)
        half = torch.as_tensor((angle + float(rotations.constant[k])) / 2, dtype=rows.dtype, device=rows.device)
        re_BS, im_BS = _rotate(re_BS, im_BS, torch.cos(half), torch.sin(half), *action)
    return _measure(program, re_BS, im_BS)


_Action = tuple[torch.Tensor, torch.Tensor, bool]
_actions: dict[tuple[int, int, int, torch.dtype, torch.device], _Action] = {}
_ACTION_ENTRIES = 1 << 24  # kept in all, of 12 or 16 bytes each


def pauli_action(x: int, z: int, like: torch.Tensor) -> _Action:
    """How the word acts on states such as `like` (B, S).

    (Pψ)[j] = phase[j]·ψ[source[j]], with phase real, or i times real where the last entry is True. Kept for the next
    call, but for those made while torch.compile or torch.export traces with tensors that have no values.
    """
    key = (x, z, like.shape[1], like.dtype, like.device)
    if type(like) is not torch.Tensor:
        return _action(*key)
    if key not in _actions:
        if (len(_actions) + 1) * like.shape[1] > _ACTION_ENTRIES:
            _actions.clear()
        with torch.inference_mode(False):  # autograd refuses to save tensors made in inference mode
            _actions[key] = _action(*key)
    return _actions[key]


def _action(x: int, z: int, n_amplitudes: int, dtype: torch.dtype, device: torch.device) -> _Action:
    j = np.arange(n_amplitudes, dtype=np.int64)
    n_y = (x & z).bit_count()
    sign = (-1.0) ** (n_y // 2) * (1.0 - 2.0 * (np.bitwise_count((j ^ x) & z) & 1))
    phase = sign.astype(np.float64 if dtype == torch.float64 else np.float32)
    return torch.from_numpy(j ^ x).to(device), torch.from_numpy(phase).to(device), n_y % 2 == 1


def _apply(
    re: torch.Tensor, im: torch.Tensor, source: torch.Tensor, phase: torch.Tensor, imaginary: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pψ as real and imaginary parts."""
    re, im = re.index_select(1, source) * phase, im.index_select(1, source) * phase
    return (-im, re) if imaginary else (re, im)


def _rotate(re, im, cos, sin, source, phase, imaginary):
    """cos·ψ - i sin·Pψ."""
    p_re, p_im = _apply(re, im, source, phase, imaginary)
    return cos * re + sin * p_im, cos * im - sin * p_re


def _measure(program: Program, re: torch.Tensor, im: torch.Tensor) -> torch.Tensor:
    measurement = program.measurement
    if isinstance(measurement, OutcomeMeasurement):
        outcome = torch.as_tensor(measurement.outcome, device=re.device)
        empty = torch.zeros(re.shape[0], measurement.n_values, dtype=re.dtype, device=re.device)
        return empty.index_add(1, outcome, re * re + im * im)
    return _word_values(measurement, re, im)


def _word_values(measurement: WordMeasurement, re: torch.Tensor, im: torch.Tensor) -> torch.Tensor:
    columns = []
    for x, z in zip(measurement.x, measurement.z, strict=True):
        p_re, p_im = _apply(re, im, *pauli_action(int(x), int(z), re))
        columns.append((re * p_re + im * p_im).sum(dim=1))
    return torch.stack(columns, dim=1) if columns else re.new_zeros(re.shape[0], 0)
