"""The engine in torch operations: any order of derivative, and constants that serve every mode of torch."""

import torch
from random_circuits import random_angles, random_circuit

from qnn.backends.base import Angles
from qnn.backends.statevector import Statevector
from qnn.simulation import torch_engine

CIRCUIT = random_circuit(3, 3, 12)
ANGLES = random_angles(CIRCUIT, 2, 3)


def run(angles: Angles) -> torch.Tensor:
    return Statevector().compile(CIRCUIT).differentiable(angles)


def test_first_and_second_derivatives_by_differences() -> None:
    def values(shared, rows):
        return run(Angles(shared, rows))

    leaves = ANGLES.shared.clone().requires_grad_(), ANGLES.rows.clone().requires_grad_()
    assert torch.autograd.gradcheck(values, leaves, fast_mode=True)
    assert torch.autograd.gradgradcheck(values, leaves, fast_mode=True)


def test_constants_made_in_inference_mode_serve_training_later() -> None:
    torch_engine._actions.clear()
    with torch.inference_mode():
        first = run(ANGLES).clone()
    rows = ANGLES.rows.clone().requires_grad_()
    values = run(Angles(ANGLES.shared, rows))
    values.sum().backward()
    torch.testing.assert_close(values.detach(), first)
    assert rows.grad is not None and bool((rows.grad != 0).any())


def test_constants_are_kept_up_to_a_bound(monkeypatch) -> None:
    torch_engine._actions.clear()
    monkeypatch.setattr(torch_engine, "_ACTION_ENTRIES", 4 * 8)
    run(ANGLES)
    assert 0 < len(torch_engine._actions) <= 4


def test_dtype_comes_back() -> None:
    assert run(Angles(ANGLES.shared.float(), ANGLES.rows.float())).dtype == torch.float32
