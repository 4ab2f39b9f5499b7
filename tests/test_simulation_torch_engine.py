"""The engine in torch operations: any order of derivative, and constants that serve every mode of torch."""

import pennylane as qml
import pytest
import torch
from random_circuits import random_angles, random_circuit

from qnn.backends.base import Angles
from qnn.backends.statevector import Statevector
from qnn.circuits.capture import capture
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
    torch_engine._constants.clear()
    with torch.inference_mode():
        first = run(ANGLES).clone()
    rows = ANGLES.rows.clone().requires_grad_()
    values = run(Angles(ANGLES.shared, rows))
    values.sum().backward()
    torch.testing.assert_close(values.detach(), first)
    assert rows.grad is not None and bool((rows.grad != 0).any())


def test_constants_are_kept_up_to_a_bound(monkeypatch) -> None:
    torch_engine._constants.clear()
    monkeypatch.setattr(torch_engine, "_CONSTANT_ENTRIES", 4 * 16)
    run(ANGLES)
    assert 0 < len(torch_engine._constants) <= 4


def test_dtype_comes_back() -> None:
    assert run(Angles(ANGLES.shared.float(), ANGLES.rows.float())).dtype == torch.float32


def test_forward_mode_and_its_mixtures() -> None:
    """jvp against differences, forward over reverse, and reverse over forward."""

    def values(shared, rows):
        return run(Angles(shared, rows))

    leaves = ANGLES.shared, ANGLES.rows
    reverse = torch.func.jacrev(values, argnums=(0, 1))(*leaves)
    forward = torch.func.jacfwd(values, argnums=(0, 1))(*leaves)
    for a, b in zip(reverse, forward, strict=True):
        torch.testing.assert_close(a, b, atol=1e-12, rtol=0)
    one = torch.func.jacfwd(torch.func.jacrev(lambda s: values(s, leaves[1]).sum()))(leaves[0])
    other = torch.func.jacrev(torch.func.jacfwd(lambda s: values(s, leaves[1]).sum()))(leaves[0])
    torch.testing.assert_close(one, other, atol=1e-12, rtol=0)
    third = torch.func.jacrev(torch.func.hessian(lambda s: values(s, leaves[1]).sum()))(leaves[0])
    torch.testing.assert_close(third, third.permute(2, 0, 1), atol=1e-11, rtol=0)


@pytest.mark.parametrize(("shared", "rows"), [(True, False), (False, True)])
def test_a_gradient_alone_is_that_of_both(shared: bool, rows: bool) -> None:
    both = ANGLES.shared.clone().requires_grad_(), ANGLES.rows.clone().requires_grad_()
    expected = torch.autograd.grad(run(Angles(*both)).pow(2).sum(), both)
    one = ANGLES.shared.clone().requires_grad_(shared), ANGLES.rows.clone().requires_grad_(rows)
    run(Angles(*one)).pow(2).sum().backward()
    for leaf, gradient in zip(one, expected, strict=True):
        if leaf.requires_grad:
            torch.testing.assert_close(leaf.grad, gradient, atol=1e-12, rtol=0)
        else:
            assert leaf.grad is None


def test_what_is_kept_for_the_backward_pass_does_not_grow_with_depth() -> None:
    def kept(depth: int) -> int:
        circuit = random_circuit(5, 3, depth)
        angles = random_angles(circuit, 100, 3)
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: (sizes.append(t.numel()), t)[1], lambda t: t):
            values = Statevector().compile(circuit).differentiable(Angles(angles.shared.requires_grad_(), angles.rows))
        assert values.requires_grad
        return sum(size for size in sizes if size >= 2 * 2**3 * 100)

    assert kept(6) == kept(60) > 0


def test_probabilities_of_some_wires_add_up_the_others() -> None:
    circuit = capture(
        lambda inputs: (qml.RY(inputs[0], 0), qml.CNOT([0, 2]), qml.RX(inputs[1], 1)),
        n_inputs=2, weight_shapes={}, observables=[qml.probs(wires=[2, 0])], n_wires=3,
    ).circuit  # fmt: skip
    rows = torch.tensor([[0.4, 1.0], [2.0, 0.1]], dtype=torch.float64)
    found = Statevector().compile(circuit).differentiable(Angles(rows.new_zeros(0), rows))
    one = torch.sin(rows[:, 0] / 2) ** 2
    zero = torch.zeros_like(one)
    torch.testing.assert_close(found, torch.stack([1 - one, zero, zero, one], dim=1))


def test_many_words_are_summed_in_parts(monkeypatch) -> None:
    words = [qml.Z(0), qml.Z(1), qml.Z(0) @ qml.Z(2), qml.Y(0) @ qml.X(2), qml.Y(0), qml.Z(2)]
    circuit = capture(
        lambda inputs: [qml.Rot(*inputs, wires=w) for w in range(3)] and qml.CNOT([0, 1]),
        n_inputs=3, weight_shapes={}, observables=words, n_wires=3,
    ).circuit  # fmt: skip
    rows = torch.rand(4, circuit.n_rows, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    executable, angles = Statevector().compile(circuit), Angles(rows.new_zeros(0), rows)
    expected = executable.run(angles).values
    torch.testing.assert_close(executable.differentiable(angles), expected, atol=1e-12, rtol=0)
    monkeypatch.setattr(torch_engine, "_WORD_ENTRIES", 1)
    torch.testing.assert_close(executable.differentiable(angles), expected, atol=1e-12, rtol=0)
