"""The program in torch operations: for devices other than the CPU, export, and any order of derivative.

A state is one real tensor, its real parts above its imaginary parts, so that -iP for a Pauli word P is a signed
permutation of the rows and a rotation is ψ ← cos·ψ + sin·(-iP)ψ. The derivative runs the circuit in reverse,
two states whatever the depth; it is itself made of torch operations, so that it can be differentiated again.

Shapes: B batch rows, S = 2^Q amplitudes, K rotations, W measured values.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch._subclasses.fake_tensor import is_fake

from qnn.simulation.program import OutcomeMeasurement, Program, WordMeasurement


def run(program: Program, shared: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Measured values of every row, differentiable in both blocks, any number of times, forward and in reverse.

    Args:
        program: what to run.
        shared: shape (S,), angles in radians.
        rows: shape (B, R), angles in radians.

    Returns:
        Shape (B, W), in the dtype and on the device of `rows`.

    Cost:
        Time O(B·K·2^Q). Memory O(B·2^Q) for first derivatives; K times that where the derivative is differentiated
        again, and while torch.export traces, which writes the plain operations down.
    """
    half_shared, half_rows = _half_angles(program, shared, rows)
    if torch.compiler.is_exporting():
        psi = _evolved(half_shared, half_rows, program)
    else:
        psi = _Evolve.apply(half_shared, half_rows, program)
    m = program.measurement
    return (_outcome_values(m, psi) if isinstance(m, OutcomeMeasurement) else _word_values(m, psi)).T


def _half_angles(program: Program, shared: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Half the angles of the rotations: those alike in every row (K_s,), and the others (K_r, B)."""
    r = program.rotations
    alike = torch.cat([shared, shared.new_zeros(1)])  # column -1, of rotations by a constant, is the 0
    column = np.where(r.column < 0, shared.shape[0], r.column)
    blocks = []
    for source, k in ((alike[:, None], ~r.per_row), (rows.T, r.per_row)):
        scale, constant = _constant(r.scale[k, None] / 2, rows), _constant(r.constant[k, None] / 2, rows)
        blocks.append(source.index_select(0, _constant(column[k], rows)) * scale + constant)
    return blocks[0][:, 0], blocks[1]


class _Step(NamedTuple):
    """One rotation: (-iPψ)[j] = sign[j]·ψ[source[j]], turned by the half angle at `place` of its block."""

    source: torch.Tensor  # shape: (2S,)
    sign: torch.Tensor  # shape: (2S,)
    per_row: bool
    place: int


def _steps(program: Program, like: torch.Tensor, *, backwards: bool = False) -> Iterator[_Step]:
    r = program.rotations
    place = np.where(r.per_row, np.cumsum(r.per_row), np.cumsum(~r.per_row)) - 1
    for k in range(len(r))[:: -1 if backwards else 1]:
        action = signed_permutation(int(r.x[k]), int(r.z[k]), True, program.n_wires, like)
        yield _Step(*action, bool(r.per_row[k]), int(place[k]))


def _evolved(half_shared: torch.Tensor, half_rows: torch.Tensor, program: Program) -> torch.Tensor:
    """The final state (2S, B)."""
    cos, sin = _trigonometry(half_shared, half_rows)
    psi = _zero_state(half_rows, program)
    for source, sign, per_row, place in _steps(program, half_rows):
        turned = psi.index_select(0, source)
        psi = torch.addcmul(cos[per_row][place] * psi, turned, sign[:, None] * sin[per_row][place])
    return psi


def _trigonometry(half_shared, half_rows):
    """Cosines and sines (1, 1 or B), each of both blocks: [False] of angles alike in every row, [True] of others."""
    blocks = (half_shared[:, None], half_rows)
    return [[block.cos().split(1) for block in blocks], [block.sin().split(1) for block in blocks]]


def _zero_state(half_rows: torch.Tensor, program: Program) -> torch.Tensor:
    """|0...0> for every row, shape (2S, B)."""
    zero = half_rows.new_zeros(1, half_rows.shape[1])
    return torch.cat([zero + 1, zero.expand(2 ** (program.n_wires + 1) - 1, -1)])


class _Evolve(torch.autograd.Function):
    """Half angles ↦ final state; its derivatives run the circuit once more instead of keeping every step."""

    generate_vmap_rule = True

    @staticmethod
    def forward(half_shared, half_rows, program):
        return _evolved(half_shared, half_rows, program)

    @staticmethod
    def setup_context(ctx, inputs, output):
        half_shared, half_rows, ctx.program = inputs
        ctx.save_for_backward(half_shared, half_rows, output)
        ctx.save_for_forward(half_shared, half_rows, output)  # the same three: vmap keeps one list of their dimensions

    @staticmethod
    def backward(ctx, cotangent):
        """λ† dψ, undoing one rotation after the other on ψ and on λ.

        References:
            Jones and Gacon, arXiv:2009.02823, algorithm 1.
        """
        half_shared, half_rows, psi = ctx.saved_tensors
        cos, sin = _trigonometry(half_shared, half_rows)
        wanted = ctx.needs_input_grad[:2]
        found: tuple[list, list] = ([], [])
        missing = half_shared.shape[0] * wanted[0] + half_rows.shape[0] * wanted[1]
        pair = torch.stack([psi, cotangent], dim=1)
        for source, sign, per_row, place in _steps(ctx.program, half_rows, backwards=True):
            turned = pair.index_select(0, source)
            if wanted[per_row]:  # dψ/d(half angle) is -iPψ
                by_row = sign @ (pair[:, 1] * turned[:, 0])
                found[per_row].append(by_row if per_row else by_row.sum())
                missing -= 1
            if not missing:
                break
            c, s = cos[per_row][place], sin[per_row][place]
            pair = torch.addcmul(c * pair, turned, (sign[:, None] * s)[:, None], value=-1)
        blocks = zip(found, (half_shared, half_rows), wanted, strict=True)
        grads = [(torch.stack(f[::-1]) if f else torch.zeros_like(half)) if w else None for f, half, w in blocks]
        return (*grads, None)

    @staticmethod
    def jvp(ctx, d_shared, d_rows, d_program):
        """dψ, by carrying it along with ψ."""
        half_shared, half_rows, _ = ctx.saved_tensors
        cos, sin = _trigonometry(half_shared, half_rows)
        tangents = (d_shared, d_rows)
        psi = _zero_state(half_rows, ctx.program)
        d_psi = torch.zeros_like(psi)
        for source, sign, per_row, place in _steps(ctx.program, half_rows):
            c, s = cos[per_row][place], sin[per_row][place]
            turned, d_turned = (sign[:, None] * state.index_select(0, source) for state in (psi, d_psi))
            psi, turned = c * psi + s * turned, c * turned - s * psi  # ψ and -iPψ after the rotation
            d_psi = c * d_psi + s * d_turned
            tangent = tangents[per_row]
            d_psi = d_psi if tangent is None else d_psi + tangent[place] * turned
        return d_psi


_constants: dict[tuple, tuple[torch.Tensor, torch.Tensor]] = {}
_CONSTANT_ENTRIES = 1 << 24  # kept in all, of 12 or 16 bytes each


def signed_permutation(
    x: int, z: int, turning: bool, n_wires: int, like: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """How a Pauli word P acts on real and imaginary parts: source (2S,) and sign (2S,).

    -iP where `turning`: (-iPψ)[j] = sign[j]·ψ[source[j]]. Otherwise P in expectation values:
    <ψ|P|ψ> = Σ_j sign[j]·ψ[j]·ψ[source[j]]. Kept for the next call, but for those made while torch.compile or
    torch.export traces with tensors that have no values.
    """
    if is_fake(like):
        source, sign = _signed_permutation(x, z, turning, n_wires)
        return _constant(source, like), _constant(sign, like)
    key = (x, z, turning, n_wires, like.dtype, like.device)
    kept = _constants.get(key)
    if kept is None:
        if (len(_constants) + 1) * 2 ** (n_wires + 1) > _CONSTANT_ENTRIES:
            _constants.clear()
        # Neither tensors of inference mode, which autograd refuses to save, nor of a transform that will have ended.
        with torch.inference_mode(False), torch._C._DisableFuncTorch():
            source, sign = _signed_permutation(x, z, turning, n_wires)
            kept = _constants[key] = _constant(source, like), _constant(sign, like)
    return kept


def _signed_permutation(x: int, z: int, turning: bool, n_wires: int) -> tuple[np.ndarray, np.ndarray]:
    j = np.arange(2**n_wires, dtype=np.int64)
    n_y = (x & z).bit_count()
    sign = (-1.0) ** (n_y // 2) * (1.0 - 2.0 * (np.bitwise_count((j ^ x) & z) & 1))
    swaps = turning == (n_y % 2 == 0)  # real parts come from imaginary ones
    real, imaginary = (sign, sign) if not swaps else (sign, -sign) if turning else (-sign, sign)
    places = (j ^ x) + len(j) * np.array([[swaps], [not swaps]])
    return places.reshape(-1), np.concatenate([real, imaginary])


def _constant(values: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    """Numbers beside `like`: in its dtype, unless they are places."""
    tensor = torch.from_numpy(values)
    return tensor.to(device=like.device, dtype=tensor.dtype if values.dtype.kind == "i" else like.dtype)


def _outcome_values(measurement: OutcomeMeasurement, psi: torch.Tensor) -> torch.Tensor:
    """Probabilities (W, B): every outcome has equally many amplitudes."""
    half = psi.shape[0] // 2
    probability = psi[:half].square() + psi[half:].square()
    order = np.argsort(measurement.outcome, kind="stable")
    if not np.array_equal(order, np.arange(half)):
        probability = probability.index_select(0, _constant(order, psi))
    return probability.reshape(measurement.n_values, half // measurement.n_values, -1).sum(dim=1)


_WORD_ENTRIES = 1 << 22  # of the signs of words that are summed at once


def _word_values(measurement: WordMeasurement, psi: torch.Tensor) -> torch.Tensor:
    """Expectation values (W, B): words that flip the same bits share a product of states."""
    if not measurement.n_values:
        return psi.new_zeros(0, psi.shape[1])
    n_wires = psi.shape[0].bit_length() - 2
    groups: dict[tuple[int, int], list[int]] = {}
    for w, (x, z) in enumerate(zip(measurement.x.tolist(), measurement.z.tolist(), strict=True)):
        groups.setdefault((x, (x & z).bit_count() % 2), []).append(w)
    at_once = max(1, _WORD_ENTRIES // psi.shape[0])
    values = []
    for (x, _), words in groups.items():
        signs = [signed_permutation(x, int(measurement.z[w]), False, n_wires, psi) for w in words]
        product = psi * psi.index_select(0, signs[0][0])
        for start in range(0, len(words), at_once):
            values.append(torch.stack([sign for _, sign in signs[start : start + at_once]]) @ product)
    order = np.argsort(np.concatenate(list(groups.values())), kind="stable")
    found = values[0] if len(values) == 1 else torch.cat(values)
    return found if np.array_equal(order, np.arange(len(order))) else found.index_select(0, _constant(order, psi))
