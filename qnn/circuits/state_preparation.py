"""Preparing states from traced values: amplitudes by trees of RY rotations, basis states by RX(π·b).

PennyLane's preparations look at the values that they are given, which a traced tensor has not. `traceable` replaces
them, for such tensors only, by what is here.

The angles of a plain tree are undefined wherever a whole branch of the amplitudes is zero, and so is their
derivative, although the state depends smoothly on its amplitudes. The tree therefore prepares
y = (⊗_w RY(-φ_w)) a, with fixed generic φ_w, and RY(φ_w) on every wire turns y into a: branches of y do not
vanish where zeros, ones or repetitions stand among the amplitudes a.

References:
    Möttönen, Vartiainen, Bergholm and Salomaa, Quant. Inf. Comput. 5, 467 (2005), eq. 3.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pennylane as qml
import torch
from pennylane.operation import Operation, Operator

from qnn.errors import CaptureError

_GOLDEN = (math.sqrt(5) - 1) / 2
_lock = threading.RLock()
_thread = threading.local()  # what is replaced is so for this thread only


def amplitude_gates(amplitudes: torch.Tensor, wires: Sequence[Any]) -> list[Operator]:
    """Gates from |0…0> to Σ_j a_j |j> / ‖a‖, up to a global phase.

    Args:
        amplitudes: shape (2^n,) or (1, 2^n), real or complex; their scale does not matter, all zeros gives NaN angles.
        wires: n labels, the first the leftmost bit of j.

    Cost: 2^n - 1 RY and 2^n - 2 CNOT (twice that for complex amplitudes), and n RY.
    """
    turns = [0.7 + 0.2 * ((i + 1) * _GOLDEN % 1) for i in range(len(wires))]
    branches = _turned_back(_scaled(amplitudes.reshape(-1)), turns)
    phases = None
    if branches.is_complex():
        real, imaginary = torch.view_as_real(branches).unbind(-1)
        branches, phases = _length_and_angle(real, imaginary)
    branches = branches / torch.sqrt((branches * branches).sum())
    levels: list[torch.Tensor] = []
    while len(branches) > 1:
        pairs = branches.reshape(-1, 2)
        branches, half = _length_and_angle(pairs[:, 0], pairs[:, 1])
        levels.insert(0, 2 * half)
    gates: list[Operator] = []
    for depth, angles in enumerate(levels):
        gates += _uniformly_controlled(qml.RY, angles, wires[:depth], wires[depth])
    if phases is not None:
        gates += _diagonal(phases, wires)
    return gates + [qml.RY(turn, wires=wire) for turn, wire in zip(turns, wires, strict=True)]


def basis_gates(bits: torch.Tensor, wires: Sequence[Any]) -> list[Operator]:
    """RX(π·b) on each wire: |0> becomes |b> up to a phase."""
    return [qml.RX(math.pi * bit, wires=wire) for bit, wire in zip(bits.reshape(-1), wires, strict=True)]


def _scaled(amplitudes: torch.Tensor) -> torch.Tensor:
    """Divided by the largest part, which has no derivative: squares neither vanish nor overflow."""
    parts = torch.view_as_real(amplitudes) if amplitudes.is_complex() else amplitudes
    return amplitudes / parts.detach().abs().max()


def _turned_back(amplitudes: torch.Tensor, turns: Sequence[float]) -> torch.Tensor:
    """(⊗_w RY(-turn_w)) a."""
    n = len(turns)
    for wire, turn in enumerate(turns):
        parts = amplitudes.reshape(2**wire, 2, 2 ** (n - 1 - wire))
        zero, one = parts[:, 0], parts[:, 1]
        c, s = math.cos(turn / 2), math.sin(turn / 2)
        amplitudes = torch.stack([c * zero + s * one, c * one - s * zero], dim=1).reshape(-1)
    return amplitudes


def _length_and_angle(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Polar coordinates; at the origin zero, with zero derivatives, instead of NaN."""
    squared = x * x + y * y
    origin = squared == 0
    x, y = torch.where(origin, torch.ones_like(x), x), torch.where(origin, torch.zeros_like(y), y)
    length = torch.where(origin, torch.zeros_like(squared), torch.sqrt(torch.where(origin, x, squared)))
    return length, torch.atan2(y, x)


def _uniformly_controlled(
    rotation: type[Operation], angles: torch.Tensor, controls: Sequence[Any], target: Any
) -> Iterator[Operator]:
    """`rotation` of the target by angles[j] where the controls are in state j, along a Gray code."""
    k = len(controls)
    spectrum = angles  # Walsh-Hadamard: entry s is the mean of (-1)^(bits of j and s) angles[j]
    for bit in range(k):
        parts = spectrum.reshape(2**bit, 2, -1)
        spectrum = torch.stack([parts[:, 0] + parts[:, 1], parts[:, 0] - parts[:, 1]], dim=1).reshape(-1) / 2
    for i in range(2**k):
        yield rotation(spectrum[i ^ (i >> 1)], wires=target)
        if k:
            changing = min(((i + 1) & -(i + 1)).bit_length() - 1, k - 1)
            yield qml.CNOT([controls[k - 1 - changing], target])


def _diagonal(phases: torch.Tensor, wires: Sequence[Any]) -> list[Operator]:
    """diag(exp(i·phases)) up to a global phase."""
    gates: list[Operator] = []
    for depth in range(len(wires) - 1, -1, -1):
        pairs = phases.reshape(-1, 2)
        gates += _uniformly_controlled(qml.RZ, pairs[:, 1] - pairs[:, 0], wires[:depth], wires[depth])
        phases = (pairs[:, 0] + pairs[:, 1]) / 2
    return gates


@contextmanager
def traceable() -> Iterator[None]:
    """Inside, PennyLane's StatePrep and BasisState, and the templates made of them, take traced values."""
    replaced = [
        (qml.StatePrep, "_preprocess", staticmethod(_checked_amplitudes)),
        (qml.StatePrep, "compute_decomposition", staticmethod(lambda state, wires, **_: amplitude_gates(state, wires))),
        (qml.MottonenStatePreparation, "__init__", _plain_init),
        (
            qml.MottonenStatePreparation,
            "compute_decomposition",
            staticmethod(lambda state_vector, wires, **_: amplitude_gates(state_vector, wires)),
        ),
        (qml.BasisState, "__init__", _basis_init),
        (qml.BasisState, "compute_decomposition", staticmethod(lambda state, wires, **_: basis_gates(state, wires))),
    ]
    with _lock:
        before = [(owner, name, owner.__dict__[name]) for owner, name, _ in replaced]
        for owner, name, new in replaced:
            setattr(owner, name, _for_tensors(owner.__dict__[name], new))
        _thread.traces = True
        try:
            yield
        finally:
            _thread.traces = False
            for owner, name, old in before:
                setattr(owner, name, old)


def _for_tensors(old: Any, new: Any) -> Any:
    """`new` where the state is made of torch tensors, `old` for all else."""
    static = isinstance(old, staticmethod)
    first, second = (old.__func__, new.__func__) if static else (old, new)

    def choose(*args: Any, **kwargs: Any) -> Any:
        values = [kwargs[k] for k in ("state", "state_vector", "features") if k in kwargs] or list(
            args[0 if static else 1 :]
        )
        return (second if _is_traced(values[0]) else first)(*args, **kwargs)

    return staticmethod(choose) if static else choose


def _is_traced(state: Any) -> bool:
    if isinstance(state, (list, tuple)):
        return any(_is_traced(item) for item in state)
    return isinstance(state, torch.Tensor) and getattr(_thread, "traces", False)


def _as_tensor(state: Any) -> torch.Tensor:
    if isinstance(state, torch.Tensor):
        return state
    first = next(item for item in state if isinstance(item, torch.Tensor))
    return torch.stack([i if isinstance(i, torch.Tensor) else torch.full_like(first, i) for i in state])


def _checked_amplitudes(
    state: Any, wires: Any, pad_with: Any = None, normalize: bool = False, validate_norm: bool = True
) -> Any:
    """The amplitudes, padded; a norm cannot be checked while tracing, and the tree does not depend on it."""
    state = _as_tensor(state)
    missing = 2 ** len(qml.wires.Wires(wires)) - state.shape[-1]
    if state.ndim > 2 or missing < 0 or (missing and pad_with is None):
        raise CaptureError(
            f"Amplitudes must be 2^n = {missing + state.shape[-1]} numbers for these wires; "
            f"got shape {tuple(state.shape)}. Use as many features, or `pad_with=0.0` for fewer."
        )
    if missing:
        state = torch.cat([state, torch.full_like(state[..., :1], pad_with).expand(*state.shape[:-1], missing)], dim=-1)
    return state


def _plain_init(self: Operation, state_vector: Any, wires: Any, **_: Any) -> None:
    Operation.__init__(self, _checked_amplitudes(state_vector, wires), wires=wires)


def _basis_init(self: Operation, state: Any, wires: Any, **_: Any) -> None:
    state, wires = _as_tensor(state), qml.wires.Wires(wires)
    if state.numel() != len(wires):
        raise CaptureError(
            f"A basis state must have one bit for each of its {len(wires)} wires; got shape {tuple(state.shape)}. "
            "Give one feature per wire."
        )
    Operation.__init__(self, state, wires=wires)
