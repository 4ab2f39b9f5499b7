"""From a contestant's name to its description, and from the description to a model.

Grammar: `hybrid@BACKEND`, `hybrid@BACKEND+NOISE`, or the name of a classical baseline.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch

from qnn.backends.base import Backend
from qnn.backends.mitigation.written import from_text, methods_of
from qnn.backends.registry import resolve
from qnn.baselines import build_baseline, count_weights, list_baselines
from qnn.comparison.budget import OBSERVABLES, SHOTS
from qnn.comparison.study import Contestant
from qnn.errors import ArgumentError, unknown_name
from qnn.layers import QuantumLayer
from qnn.models import QuantumNeuralNetwork
from qnn.tasks import TaskData

DEFAULT_MODELS = (
    "hybrid@statevector",
    "hybrid@aer",
    "hybrid@aer+fake_manila",
    "mlp-matched",
    "mlp",
    "cnn",
    "logistic",
)
_EXACT = "statevector"  # what all others are compared with
_SAMPLED = ("aer",)  # backends that are compared with shots, beside those that can do nothing else


def parse_contestant(
    name: str, *, n_qubits: int, n_layers: int, shots: int | None = None, mitigation: str | None = None
) -> Contestant:
    """The contestant of that name.

    Args:
        name: see the grammar above.
        n_qubits: wires of the quantum layer.
        n_layers: layers of its ansatz.
        shots: shots per circuit, which all hybrids take whose backend can sample, but "hybrid@statevector", to which
            they are compared. None: on Aer, and where nothing is exact, the default.
        mitigation: of the errors of hybrids that sample, as text; the name then says so.

    Raises:
        ArgumentError, CapabilityError: a backend that cannot be used like that.
        UnknownNameError: neither a baseline, nor a backend, nor a noise model is called that.

    Example:
        >>> parse_contestant("hybrid@aer", n_qubits=4, n_layers=3, shots=1024).gradient
        'parameter-shift'
    """
    model, at, place = name.partition("@")
    if not at:
        if name not in list_baselines():
            raise unknown_name("model", name, known_models())
        if name == "mlp-matched":
            return Contestant(name, "classical", n_qubits=n_qubits, n_layers=n_layers, observables=OBSERVABLES)
        return Contestant(name, "classical")
    if model != "hybrid":
        raise unknown_name("model", name, known_models())
    backend, plus, noise = place.partition("+")
    sampled = backend in _SAMPLED or (not plus and _samples(backend, given=shots is not None))
    if plus and backend not in _SAMPLED:
        raise ArgumentError(
            f'`models` must name noise only on a backend that simulates it ({", ".join(_SAMPLED)}); got "{name}". '
            f'Write "hybrid@aer+{noise or "fake_manila"}".'
        )
    if plus and not noise:
        raise ArgumentError(f'`models` must name a noise model after "+"; got "{name}". Write "{name}fake_manila".')
    contestant = Contestant(
        name,
        "hybrid",
        backend=backend,
        noise=noise or None,
        shots=(SHOTS if shots is None else shots) if sampled else None,
        gradient="parameter-shift" if sampled else "auto",
        n_qubits=n_qubits,
        n_layers=n_layers,
        observables=OBSERVABLES,
    )
    if mitigation is not None and sampled:
        mitigated = f"{name} ({methods_of(mitigation)} mitigated)"
        contestant = replace(contestant, name=mitigated, mitigation=mitigation)
    made = _backend(contestant)  # misspelt names and missing packages are found here, before anything runs
    if sampled and not made.capabilities.linear:
        return replace(contestant, gradient="finite-difference")
    return contestant


def _samples(backend: str, *, given: bool) -> bool:
    """Whether a hybrid there has shots: always where nothing is exact, else where they are `given`."""
    can = resolve(backend).capabilities
    return not can.exact or (given and can.shots and backend != _EXACT)


def known_models() -> list[str]:
    """Names for did-you-mean: the default hybrids and every baseline."""
    return sorted({*DEFAULT_MODELS, *list_baselines()})


def find_unsuitable(contestants: Iterable[Contestant], task: TaskData) -> list[Contestant]:
    """Those that cannot take this task: a CNN where rows are not images."""
    return [c for c in contestants if c.name == "cnn" and task.image_shape is None]


def build_model(contestant: Contestant, task: TaskData, seed: int) -> torch.nn.Module:
    """The untrained model: (N, D) features to (N, C) logits.

    Args:
        contestant: its description.
        task: gives the numbers of inputs and classes.
        seed: of the initial weights, and of shots.
    """
    if contestant.quantum:
        return _hybrid(contestant, task, seed, _backend(contestant))
    n_weights = None
    if contestant.name == "mlp-matched":
        n_weights = count_weights(_hybrid(contestant, task, seed, "statevector"))
    return build_baseline(
        contestant.name,
        n_inputs=task.n_inputs,
        n_outputs=task.n_classes,
        image_shape=task.image_shape,
        n_weights=n_weights,
        seed=seed,
    )


def count_quantum_weights(model: torch.nn.Module) -> int:
    """Trainable gate angles of all quantum layers of a model."""
    layers = [module for module in model.modules() if isinstance(module, QuantumLayer)]
    weights = {id(weight): weight for layer in layers for weight in layer.parameters() if weight.requires_grad}
    return sum(weight.numel() for weight in weights.values())


def _hybrid(contestant: Contestant, task: TaskData, seed: int, backend: str | Backend) -> torch.nn.Module:
    assert contestant.n_qubits is not None and contestant.n_layers is not None
    return QuantumNeuralNetwork(
        task.n_inputs,
        None,
        task.n_classes,
        n_qubits=contestant.n_qubits,
        n_layers=contestant.n_layers,
        observables=contestant.observables,
        backend=backend,
        shots=contestant.shots,
        gradient=contestant.gradient or "auto",
        seed=seed,
    )


def _backend(contestant: Contestant) -> Backend:
    options: dict[str, Any] = {} if contestant.noise is None else {"noise": contestant.noise}
    if contestant.mitigation is not None:
        options["mitigation"] = from_text(contestant.mitigation)
    return resolve(contestant.backend or "", **options)
