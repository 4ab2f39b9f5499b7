"""The embedded simulator keeps the backend contract."""

import pennylane as qml
import torch
from contracts.backend_contract import BackendContract

from qnn import QuantumLayer
from qnn.backends import Statevector


class TestStatevector(BackendContract):
    def make(self):
        return Statevector()


def test_large_maps_to_outputs_are_sparse_and_exact():
    """2^11 probabilities beside two Pauli words: values and gradients against torch's autograd."""
    torch.manual_seed(0)
    observables = [qml.probs(wires=range(11)), qml.Z(0) @ qml.Z(3), qml.Z(2)]
    layer = QuantumLayer(11, 1, observables=observables, seed=0, dtype=torch.float64)
    inputs, cotangent = torch.rand(2, 11, dtype=torch.float64), torch.rand(2, 2**11 + 2, dtype=torch.float64)
    found = []
    for gradient in ("adjoint", "backprop"):
        with layer.using(gradient=gradient):
            values = layer(inputs)
            (grad,) = torch.autograd.grad((values * cotangent).sum(), layer.weights)
        found.append((values.detach(), grad))
    assert found[0][1].abs().max() > 0.01
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-12)
