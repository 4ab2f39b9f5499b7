"""Derivatives by some angles only: the same numbers there, zero elsewhere, and fewer circuits."""

import pytest
import torch

from qnn._meter import measure
from qnn.gradients import subset
from qnn.layers import QuantumLayer

X = torch.tensor([[0.3, 0.7]], dtype=torch.float64)


def gradients(method, columns=None):
    """Of inputs and weights together, in the order of the dense angles, and the circuits executed."""
    layer, x = QuantumLayer(2, 2, gradient=method, seed=0, dtype=torch.float64), X.clone().requires_grad_()
    with measure() as usage, subset.only(range(6) if columns is None else columns):
        values = layer(x)
    values[0, 0].backward()
    return torch.cat([layer.weights.grad.reshape(-1), x.grad.reshape(-1)]), usage.circuits


@pytest.mark.parametrize("method", ["parameter-shift", "finite-difference"])
@pytest.mark.parametrize("columns", [{1, 4}, {5}, set()])
def test_derivatives_that_are_asked_for_are_exact_and_the_others_zero(method, columns):
    full, n_full = gradients(method)
    some, n_some = gradients(method, columns)
    wanted = torch.tensor([column in columns for column in range(6)])
    assert torch.equal(some, full * wanted)
    assert (n_full, n_some) == (1 + 2 * 6, 1 + 2 * len(columns))


def test_the_direction_of_spsa_is_within_the_subset_and_amplitudes_do_not_care():
    assert gradients("spsa", {0, 5})[0].nonzero().reshape(-1).tolist() == [0, 5]
    assert torch.equal(gradients("adjoint", set())[0], gradients("adjoint")[0])


def test_blocks_nest_and_end_after_an_error():
    with pytest.raises(RuntimeError, match="inside"), subset.only({1, 2}):
        with subset.only({2}):
            assert subset.within([1, 2, 3]) == [2]
        assert subset.within([1, 2, 3]) == [1, 2]
        raise RuntimeError("inside")
    assert subset.within([1, 2, 3]) == [1, 2, 3]
