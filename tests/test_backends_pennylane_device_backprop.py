"""Backpropagation: in torch through the engine's program, elsewhere through PennyLane's simulation."""

import numpy as np
import pennylane as qml
import pytest
import torch
from pennylane import numpy as pnp
from pennylane.math import Interface

from qnn.backends.pennylane_device.backprop import differentiable_result, is_traced
from qnn.backends.pennylane_device.rows import StructureCache
from qnn.backends.statevector import Statevector

TORCH = qml.devices.ExecutionConfig(gradient_method="backprop", interface="torch")
AUTOGRAD = qml.devices.ExecutionConfig(gradient_method="backprop", interface="autograd")


def group_of(x, process=None):
    tape = qml.tape.QuantumScript([qml.RX(x, 0), qml.RY(0.3, 0)], [process or qml.expval(qml.Z(0))])
    return StructureCache(Statevector()).groups([tape])[0]


def test_what_autodiff_follows():
    tensor = torch.tensor(0.4, requires_grad=True)
    assert is_traced(group_of(0.4), TORCH)
    assert not is_traced(group_of(pnp.array(0.4, requires_grad=True)), AUTOGRAD)
    seen = []

    def cost(x):
        seen.append(
            (is_traced(group_of(x), AUTOGRAD), is_traced(group_of(0.1, qml.expval(qml.s_prod(x, qml.Z(0)))), AUTOGRAD))
        )
        return x

    qml.grad(cost)(pnp.array(0.4, requires_grad=True))
    assert seen == [(True, True)]
    assert TORCH.interface is Interface.TORCH and tensor.requires_grad


@pytest.mark.parametrize("process", [qml.expval(qml.Z(0)), qml.probs(wires=0), qml.state()], ids=str)
@pytest.mark.parametrize("batch", [None, 3])
def test_results_are_tensors_in_the_graph(process, batch):
    x = torch.full(() if batch is None else (batch,), 0.4, dtype=torch.float64, requires_grad=True)
    result = differentiable_result(group_of(x, process), 0, TORCH, torch.float64)
    expected = {"ExpectationMP": (), "ProbabilityMP": (2,), "StateMP": (2,)}[type(process).__name__]
    assert tuple(result.shape) == (() if batch is None else (batch,)) + expected
    assert result.requires_grad
    (gradient,) = torch.autograd.grad(torch.view_as_real(result).sum() if result.is_complex() else result.sum(), x)
    assert gradient.shape == x.shape


def test_constants_are_in_double_precision():
    x = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    result = differentiable_result(group_of(x), 0, TORCH, torch.float64)
    np.testing.assert_allclose(result.item(), np.cos(0.4) * np.cos(0.3), atol=1e-15)
