"""The one-qubit classifier of Pérez-Salinas et al. (2020) as their program trains it: points, circuit, costs, a run."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import cache

import numpy as np
import pennylane as qml
import torch
from scipy.optimize import minimize

from qnn import QuantumLayer
from qnn.errors import InertParameterWarning

FIDELITY, SQUARED, WEIGHTED = "fidelity", "squared fidelity", "weighted fidelity"
N_TRAIN, N_TEST = 200, 4000
RADIUS = math.sqrt(2 / math.pi)  # the circle covers half of [-1, 1]²
NUDGE = 1e-9


@dataclass(frozen=True)
class Draw:
    """What one seed fixes: points, labels (1 inside the circle) and initial weights, drawn in the authors' order."""

    inputs: torch.Tensor  # shape: (4200, 2)
    labels: torch.Tensor  # shape: (4200,)
    theta: torch.Tensor  # shape: (L, 3)
    alpha: torch.Tensor  # shape: (L, 2)


def drawn(seed: int, n_layers: int) -> Draw:
    """Points uniform in [-1, 1]², then weights uniform in [0, 1), from NumPy's legacy generator as in the program."""
    generator = np.random.RandomState(seed)
    points = 2 * generator.rand(N_TRAIN + N_TEST, 2) - 1
    inside = np.linalg.norm(points, axis=1) < RADIUS
    weights = generator.rand(n_layers, 3), generator.rand(n_layers, 2)
    return Draw(*(torch.from_numpy(array) for array in (points, inside.astype(np.int64), *weights)))


@cache
def circuit(n_layers: int) -> QuantumLayer:
    """Layers U(θ + α ∘ x) with U(φ) = RZ(-φ₂) RY(φ₁) RZ(-φ₃), the third coordinate of x being 0: (N, 2) ↦ (N, 2).

    The first and the last rotation about Z cannot change a probability of |0> and |1>; the authors train them, too.
    """

    def function(inputs, theta, alpha):
        for layer in range(n_layers):
            qml.RZ(-theta[layer, 2], wires=0)
            qml.RY(theta[layer, 0] + alpha[layer, 0] * inputs[0], wires=0)
            qml.RZ(-theta[layer, 1] - alpha[layer, 1] * inputs[1], wires=0)
        return qml.probs(wires=0)

    shapes = {"theta": (n_layers, 3), "alpha": (n_layers, 2)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InertParameterWarning)
        return QuantumLayer.from_pennylane(function, n_inputs=2, weight_shapes=shapes, dtype=torch.float64)


class Classifier(torch.nn.Module):
    """Scores of two classes: fidelities with |0> and |1>, times class weights where the cost has them."""

    def __init__(self, n_layers: int, weighted: bool) -> None:
        super().__init__()
        self.circuit = circuit(n_layers)
        self.class_weights = torch.nn.Parameter(torch.ones(2, dtype=torch.float64)) if weighted else None

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Scores, (N, 2) ↦ (N, 2); the larger one is the class."""
        fidelities = self.circuit(inputs)
        return fidelities if self.class_weights is None else self.class_weights * fidelities


def mean_cost(kind: str, scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean of -|<y|ψ>|, of 1 - |<y|ψ>|², or of half the squared distance of weighted fidelities from the labels."""
    if kind == WEIGHTED:
        return 0.5 * (scores - torch.nn.functional.one_hot(labels, 2)).square().sum(dim=1).mean()
    fidelity = scores.gather(1, labels[:, None])
    return (1 - fidelity).mean() if kind == SQUARED else -fidelity.clamp_min(1e-300).sqrt().mean()


@dataclass(frozen=True)
class Fit:
    """What one run of the optimiser came to."""

    cost: float
    train_accuracy: float
    test_accuracy: float
    evaluations: int


def fitted(kind: str, n_layers: int, seed: int, nudge: int | None = None) -> Fit:
    """One run of SciPy's L-BFGS-B with its default options from the seed's start, by adjoint gradients of qnn.

    With `nudge` (a seed), the start is moved by normal numbers of standard deviation 1e-9.
    """
    draw, model = drawn(seed, n_layers), Classifier(n_layers, kind == WEIGHTED)
    weights = [model.circuit.theta, model.circuit.alpha]
    start = [draw.theta, draw.alpha]
    if model.class_weights is not None:
        weights, start = [*weights, model.class_weights], [*start, torch.ones(2, dtype=torch.float64)]
    first = torch.cat([block.flatten() for block in start]).numpy()
    if nudge is not None:
        first = first + NUDGE * np.random.default_rng(nudge).standard_normal(first.shape)

    def value_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        torch.nn.utils.vector_to_parameters(torch.from_numpy(flat.copy()), weights)
        cost = mean_cost(kind, model(draw.inputs[:N_TRAIN]), draw.labels[:N_TRAIN])
        gradients = torch.autograd.grad(cost, weights)
        return cost.item(), torch.cat([block.flatten() for block in gradients]).numpy()

    found = minimize(value_and_gradient, first, jac=True, method="L-BFGS-B")
    with torch.no_grad():
        torch.nn.utils.vector_to_parameters(torch.from_numpy(found.x), weights)
        right = (model(draw.inputs).argmax(dim=1) == draw.labels).double()
    return Fit(float(found.fun), right[:N_TRAIN].mean().item(), right[N_TRAIN:].mean().item(), int(found.nfev))
