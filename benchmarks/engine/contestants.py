"""Everyone who runs the circuit: each builds a step from one point's data, in a process of its own.

A contestant is a function `(point, data, threads) -> (step, read)`. Calling the step does one forward and one backward
pass and returns what it made, which `read` turns into NumPy arrays outside the timing: values (N, n), gradients of
inputs (N, n) and of weights (L, n). Imports stand inside: a missing package is only missed by its own contestant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from engine.workload import Data, Point

Step = Callable[[], Any]
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Contestant:
    """One row of the table.

    Attributes:
        label: how reports call it.
        build: `(point, data, threads) -> (step, read)`.
        packages: distributions whose versions belong beside its figures.
        kernel_only: runs on NumPy arrays, without torch around it.
    """

    label: str
    build: Callable[[Point, Data, int], tuple[Step, Callable[[Any], Arrays]]]
    packages: tuple[str, ...] = ()
    kernel_only: bool = False

    def versions(self) -> dict[str, str]:
        found = {}
        for package in self.packages:
            try:
                found[package] = version(package)
            except PackageNotFoundError:
                found[package] = "missing"
        return found


def _torch_step(layer: Callable, weights: list, data: Data, threads: int) -> tuple[Step, Callable[[Any], Arrays]]:
    """A step of anything that maps a torch tensor to values, with its weights as a list of leaves."""
    import torch

    torch.set_num_threads(threads)
    inputs = torch.from_numpy(data.inputs.copy()).requires_grad_()
    cotangent = torch.from_numpy(data.cotangent)

    def step() -> torch.Tensor:
        inputs.grad = None
        for weight in weights:
            weight.grad = None
        values = layer(inputs)
        values.backward(cotangent)
        return values

    def read(values: torch.Tensor) -> Arrays:
        assert values.dtype == inputs.grad.dtype == torch.float32, f"float32 wanted, got {values.dtype}"
        gradient = torch.stack([weight.grad for weight in weights]).reshape(data.weights.shape)
        return values.detach().numpy(), inputs.grad.numpy(), gradient.numpy()

    return step, read


def qnn_layer(point: Point, data: Data, threads: int) -> tuple[Step, Callable[[Any], Arrays]]:
    import torch

    from qnn import QuantumLayer

    torch.set_num_threads(threads)
    layer = QuantumLayer(point.n_qubits, point.n_layers)
    with torch.no_grad():
        layer.weights.copy_(torch.from_numpy(data.weights))
    return _torch_step(layer, [layer.weights], data, threads)


def qnn_engine(point: Point, data: Data, threads: int) -> tuple[Step, Callable[[Any], Arrays]]:
    import torch

    from qnn import QuantumLayer
    from qnn.simulation.engine import Engine
    from qnn.simulation.program import words_program

    torch.set_num_threads(threads)  # the engine uses as many
    engine = Engine(words_program(QuantumLayer(point.n_qubits, point.n_layers).circuit))
    shared, combine = data.weights.ravel(), engine.program.measurement.weights.astype(np.float32)
    cotangent = np.ascontiguousarray(data.cotangent @ combine.T)

    def step() -> Arrays:
        words, states = engine.forward(shared, data.inputs, keep=True)
        by_shared, by_rows = engine.backward(shared, data.inputs, states, cotangent)
        return words, by_rows, by_shared

    return step, lambda made: (made[0] @ combine, made[1], made[2].reshape(data.weights.shape))


def c_kernel(point: Point, data: Data, threads: int, *, kind: str) -> tuple[Step, Callable[[Any], Arrays]]:
    from engine.kernel import CKernel

    kernel = CKernel(point.n_qubits, point.n_layers, threads=threads, kind=kind)

    def step() -> Arrays:
        values, kept = kernel.forward(data.inputs, data.weights, keep=True)
        return values, *kernel.backward(data.inputs, data.weights, data.cotangent, kept)

    return step, lambda made: made


def c_function(point: Point, data: Data, threads: int, *, kind: str) -> tuple[Step, Callable[[Any], Arrays]]:
    import torch

    from engine.kernel import CKernel, torch_function

    function = torch_function(CKernel(point.n_qubits, point.n_layers, threads=threads, kind=kind))
    weights = torch.from_numpy(data.weights.copy()).requires_grad_()
    return _torch_step(lambda inputs: function(inputs, weights), [weights], data, threads)


def pennylane_layer(point: Point, data: Data, threads: int, *, device: str, method: str):
    import pennylane as qml
    import torch

    n, layers = point.n_qubits, point.n_layers
    options = {"c_dtype": np.complex64} if device.startswith("lightning") else {}

    @qml.qnode(qml.device(device, wires=n, **options), interface="torch", diff_method=method)
    def circuit(inputs, weights):
        for wire in range(n):
            qml.RX(inputs[..., wire], wires=wire)
        for layer in range(layers):
            for wire in range(n):
                qml.Hadamard(wires=wire)
                qml.RX(weights[layer, wire], wires=wire)
            for wire in range(n if n > 1 else 0):
                qml.CNOT(wires=[wire, (wire + 1) % n])
        return [qml.expval(qml.PauliZ(wire)) for wire in range(n)]

    layer = qml.qnn.TorchLayer(circuit, {"weights": data.weights.shape})
    with torch.no_grad():
        layer.weights.copy_(torch.from_numpy(data.weights))
    return _torch_step(lambda inputs: layer(inputs).to(torch.float32), [layer.weights], data, threads)


def tensorcircuit_step(point: Point, data: Data, threads: int, *, readout: str):
    """The jitted value and gradient of the whole batch, arrays already on JAX's side."""
    import jax
    import jax.numpy as jnp
    import tensorcircuit as tc

    tc.set_backend("jax")
    tc.set_dtype("complex64")
    n, layers = point.n_qubits, point.n_layers

    def values_of(inputs, weights):
        circuit = tc.Circuit(n)
        for wire in range(n):
            circuit.rx(wire, theta=inputs[wire])
        for layer in range(layers):
            for wire in range(n):
                circuit.h(wire)
                circuit.rx(wire, theta=weights[layer, wire])
            for wire in range(n if n > 1 else 0):
                circuit.cnot(wire, (wire + 1) % n)
        if readout == "expectation_ps":
            return jnp.stack([jnp.real(circuit.expectation_ps(z=[wire])) for wire in range(n)])
        state = circuit.state()
        probabilities = (jnp.real(state) ** 2 + jnp.imag(state) ** 2).reshape((2,) * n)
        sides = [probabilities.sum(axis=tuple(a for a in range(n) if a != wire)) for wire in range(n)]
        return jnp.stack([side[0] - side[1] for side in sides])

    def loss(inputs, weights, cotangent):
        values = jax.vmap(values_of, in_axes=(0, None))(inputs, weights)
        return (values * cotangent).sum(), values

    compiled = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))
    operands = tuple(map(jnp.asarray, (data.inputs, data.weights, data.cotangent)))

    def read(made) -> Arrays:
        (_, values), gradients = made
        return np.asarray(values), *map(np.asarray, gradients)

    return lambda: jax.block_until_ready(compiled(*operands)), read


def deepquantum_circuit(point: Point, data: Data, threads: int):
    import deepquantum as dq
    import torch

    n = point.n_qubits
    circuit = dq.QubitCircuit(n)
    for wire in range(n):
        circuit.rx(wire, encode=True)
    for _ in range(point.n_layers):
        for wire in range(n):
            circuit.h(wire)
            circuit.rx(wire)
        for wire in range(n if n > 1 else 0):
            circuit.cnot(wire, (wire + 1) % n)
    for wire in range(n):
        circuit.observable(wire)
    weights = list(circuit.parameters())
    with torch.no_grad():
        for parameter, weight in zip(weights, data.weights.ravel(), strict=True):
            parameter.fill_(float(weight))

    def values_of(inputs: torch.Tensor) -> torch.Tensor:
        circuit(inputs)
        return circuit.expectation().reshape(inputs.shape)

    return _torch_step(values_of, weights, data, threads)


CONTESTANTS = {
    "qnn": Contestant("qnn", qnn_layer, ("qnn", "torch", "numba", "numpy")),
    "qnn-kernel": Contestant("qnn, kernel", qnn_engine, ("qnn", "numba", "numpy"), kernel_only=True),
    "c-best": Contestant("C, best", partial(c_function, kind="best"), ("torch",)),
    "c-best-kernel": Contestant("C, best, kernel", partial(c_kernel, kind="best"), (), kernel_only=True),
    "c-gates": Contestant("C, gate by gate", partial(c_function, kind="gates"), ("torch",)),
    "c-gates-kernel": Contestant("C, gate by gate, kernel", partial(c_kernel, kind="gates"), (), kernel_only=True),
    "pennylane": Contestant(
        "PennyLane default.qubit",
        partial(pennylane_layer, device="default.qubit", method="backprop"),
        ("pennylane", "torch"),
    ),
    "lightning": Contestant(
        "lightning.qubit adjoint",
        partial(pennylane_layer, device="lightning.qubit", method="adjoint"),
        ("pennylane", "pennylane-lightning", "torch"),
    ),
    "tensorcircuit": Contestant(
        "TensorCircuit-NG",
        partial(tensorcircuit_step, readout="expectation_ps"),
        ("tensorcircuit-ng", "jax", "jaxlib"),
    ),
    "tensorcircuit-probs": Contestant(
        "TensorCircuit-NG, probabilities",
        partial(tensorcircuit_step, readout="probabilities"),
        ("tensorcircuit-ng", "jax", "jaxlib"),
    ),
    "deepquantum": Contestant("DeepQuantum", deepquantum_circuit, ("deepquantum", "torch")),
}
