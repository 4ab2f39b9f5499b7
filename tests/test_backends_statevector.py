"""The embedded simulator keeps the backend contract."""

import numpy as np
import pennylane as qml
import pytest
import torch
from contracts.backend_contract import BackendContract

from qnn import QuantumLayer
from qnn.backends import Angles, Statevector, statevector
from qnn.circuits.circuit import Circuit, Operation, Slot
from qnn.circuits.observables import measurement_from


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


def _executable(n_wires, observables):
    """RY by an angle of its own on every wire."""
    turns = tuple(Operation("RY", (i,), Slot("rows", i)) for i in range(n_wires))
    circuit = Circuit(n_wires, turns, (), 0, n_wires).with_measurements(tuple(map(measurement_from, observables)))
    return Statevector().compile(circuit)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sparse_maps_are_the_dense_ones_in_any_mode(monkeypatch, dtype):
    """Probabilities of all and words: values, both directions of the derivative, second derivatives and vmap."""
    observables = [qml.probs(wires=range(5)), qml.Z(0) @ qml.Z(3), 0.5 * qml.Z(2) + 2, qml.X(1)]
    rows = torch.rand(3, 5, dtype=dtype, generator=torch.Generator().manual_seed(0))
    cotangent = torch.linspace(-1, 1, 35, dtype=dtype)
    found = []
    for entries in (2**20, 0):
        monkeypatch.setattr(statevector, "_DENSE", entries)
        executable = _executable(5, observables)
        assert [isinstance(weights, np.ndarray) for _, weights in executable._exact] == [entries > 0] * 2
        f = lambda angles, run=executable: run.differentiable(Angles(angles.new_zeros(0), angles))
        loss = lambda angles, f=f: (f(angles) * cotangent).square().sum()
        one = lambda row, f=f: f(row[None])[0]
        found.append(
            (
                f(rows),
                torch.func.grad(loss)(rows),
                torch.func.jacfwd(f)(rows),
                torch.func.hessian(loss)(rows),
                torch.vmap(one)(rows),
            )
        )
        assert found[-1][0].dtype == dtype
    assert found[0][1].abs().max() > 0.01
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=1e-5 if dtype == torch.float32 else 1e-12)


def test_backprop_of_all_outcomes_and_a_word_takes_no_matrix():
    """14 wires: 2^14 x (2^14 + 1) entries would be 2 GiB; no tensor has more than some states' entries."""
    executable = _executable(14, [qml.probs(wires=range(14)), qml.Z(0) @ qml.Z(1)])
    rows = torch.linspace(0.1, 2, 14, dtype=torch.float64)[None].requires_grad_()
    with torch.profiler.profile(profile_memory=True) as profile:
        values = executable.differentiable(Angles(rows.new_zeros(0), rows))
        (grad,) = torch.autograd.grad(values[0, -1], rows)
    largest = max(event.cpu_memory_usage for event in profile.events())
    assert largest < 64 * 2**14 * 8
    c, s = rows.detach()[0, :2].cos(), rows.detach()[0, :2].sin()
    torch.testing.assert_close(values[0, -1].detach(), c[0] * c[1])
    torch.testing.assert_close(grad[0, :2], -s * c.flip(0))


def test_a_plain_map_is_left_out(monkeypatch):
    """Probabilities alone are what the engine gives: no product."""
    executable = _executable(3, [qml.probs(wires=range(3))])
    angles = Angles(torch.zeros(0, dtype=torch.float64), torch.rand(2, 3, dtype=torch.float64))
    wanted = executable.run(angles).values
    monkeypatch.setattr(statevector, "_product", None)
    torch.testing.assert_close(executable.differentiable(angles), wanted)


def test_sparse_maps_are_exported_for_any_number_of_rows():
    layer = QuantumLayer(11, 1, observables=[qml.probs(wires=range(11)), qml.Z(0)], seed=0).eval()
    rows = {0: torch.export.Dim("rows")}
    program = torch.export.export(layer, (torch.rand(2, 11),), dynamic_shapes=(rows,))
    inputs = torch.rand(3, 11)
    torch.testing.assert_close(program.module()(inputs), layer(inputs), rtol=0, atol=1e-5)
