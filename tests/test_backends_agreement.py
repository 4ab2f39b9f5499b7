"""The same layer, weights and inputs on every backend that runs here: values, and gradients of inputs and weights."""

import numpy as np
import pennylane as qml
import pytest
import torch
from qiskit.providers.fake_provider import GenericBackendV2

from qnn import QuantumLayer
from qnn.backends import IBM, Aer, Backend

SIGMAS = 6.0
REPETITIONS = 20  # estimate sigma well enough that 6 of it are exceeded once in 110,000 values
HEAVY_HEX = [[0, 1], [1, 2], [2, 3], [3, 4], [1, 5], [5, 6], [6, 3]]  # routing and a layout that is not trivial
EXACT = [
    ("aer", {}),
    ("aer", {"method": "statevector"}),
    ("aer", {"method": "density_matrix"}),
    ("aer", {"method": "matrix_product_state"}),
    (Aer(noise=GenericBackendV2(7, ["rz", "sx", "x", "cx"], coupling_map=HEAVY_HEX, noise_info=False)), {}),
    ("pennylane:default.qubit", {}),
    ("pennylane:lightning.qubit", {}),
    ("pennylane:default.mixed", {}),
    ("braket:local", {}),
]
SAMPLED = [
    ("statevector", {}),
    ("aer", {}),
    ("aer", {"sampler": "aer"}),
    ("pennylane:lightning.qubit", {}),
    (IBM(GenericBackendV2(7, ["rz", "sx", "x", "cx"], coupling_map=HEAVY_HEX, noise_info=False)), {}),
    ("braket:local", {}),
]


def asymmetric(inputs, weights):
    """No two wires are alike, and no direction of a gate is."""
    qml.RY(inputs[0], 0)
    qml.RX(0.7 * inputs[1], 2)
    qml.CNOT([0, 2])
    qml.CRY(weights[0], [2, 1])
    qml.IsingXY(weights[1] * inputs[0], [1, 3])
    qml.RX(weights[2], 3)
    qml.CNOT([3, 0])
    qml.S(1)
    return [
        qml.expval(qml.Z(0)),
        qml.expval(qml.X(1) @ qml.Y(3)),
        qml.expval(0.5 * qml.Z(2) - qml.Y(1) @ qml.Z(3) + 0.1 * qml.I(0)),
        qml.probs(wires=[3, 1]),
    ]


def layer() -> QuantumLayer:
    return QuantumLayer.from_pennylane(
        asymmetric, n_inputs=2, weight_shapes={"weights": 3}, seed=5, dtype=torch.float64, gradient="parameter-shift"
    )


INPUTS = torch.tensor([[0.8, -0.5], [1.9, 0.4], [-1.2, 2.2]], dtype=torch.float64)


def name_of(case) -> str:
    backend, options = case
    name = backend.name if isinstance(backend, Backend) else backend
    return "-".join([name, *map(str, options.values())])


def values_and_gradients(net: QuantumLayer) -> np.ndarray:
    """Values, and the derivatives of a weighted sum of them, as one vector."""
    inputs = INPUTS.clone().requires_grad_()
    net.zero_grad()
    values = net(inputs)
    (values * torch.linspace(-1, 1.5, values.numel()).reshape(values.shape)).sum().backward()
    return torch.cat([values.detach().ravel(), inputs.grad.ravel(), net.weights.grad.ravel()]).numpy()


def repeated(net: QuantumLayer) -> tuple[np.ndarray, np.ndarray]:
    """Mean over the repetitions, and its standard error."""
    found = np.stack([values_and_gradients(net) for _ in range(REPETITIONS)])
    return found.mean(axis=0), found.std(axis=0, ddof=1) / np.sqrt(REPETITIONS)


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    """By the embedded engine, whose values have oracles of their own."""
    return values_and_gradients(layer())


@pytest.mark.parametrize("case", EXACT, ids=map(name_of, EXACT))
def test_exact_backends_agree(case, truth) -> None:
    backend, options = case
    found = values_and_gradients(layer().to_backend(backend, **options))
    np.testing.assert_allclose(found, truth, atol=1e-6, rtol=0)


@pytest.mark.parametrize("case", SAMPLED, ids=map(name_of, SAMPLED))
def test_shots_agree_within_six_sigma(case, truth) -> None:
    """Each value is a sum of many outcomes, so close to Gaussian."""
    backend, options = case
    net = layer().to_backend(backend, shots=500, **options)
    mean, sigma = repeated(net)
    assert np.all(np.abs(mean - truth) < SIGMAS * sigma + 1e-3)


@pytest.mark.parametrize("device", ["fake_manila", "fake_auckland", "fake_sherbrooke"])
def test_devices_of_5_27_and_127_qubits_agree_under_noise(device) -> None:
    """The known noisy values are Aer's exact ones; the ideal ones are far away."""
    net = layer()
    ideal = values_and_gradients(net)
    noisy = values_and_gradients(net.to_backend("aer", noise=device, optimization_level=2))
    net.to_backend(f"ibm:{device}", shots=400)
    mean, sigma = repeated(net)
    assert np.all(np.abs(mean - noisy) < SIGMAS * sigma + 1e-3)
    assert np.abs(noisy - ideal).max() > 0.02
    assert np.linalg.norm(mean - noisy) < np.linalg.norm(mean - ideal)
