"""Where noise on Aer comes from, and reading a Qiskit Aer noise model.

A `NoiseModel` has no public way to look an error up or to drop qubits, so its tables are read here
and nowhere else (private attributes, as of Aer 0.18).
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from qnn.backends._qiskit.facts import gate_names, gates_of
from qnn.errors import NoiseCoverageWarning, UnsupportedError

# On superconducting hardware a rotation about Z is a change of frame: exact, and without duration.
_VIRTUAL_GATES = frozenset({"rz", "p", "u1"})


class NoiseSource(ABC):
    """Where noise comes from: a device or a model.

    Attributes:
        name: for messages.
        n_qubits: how many there are, or None for any number.
        target: the device to transpile to, or None.
        basis_gates: the gates to transpile to.
        optimization_level: the transpiler's, when the user does not say.
        noisy_gates: whether gates may have errors, so that a density matrix is needed.
    """

    name: str
    n_qubits: int | None = None
    target: Any | None = None
    basis_gates: tuple[str, ...]
    optimization_level: int
    noisy_gates: bool = True

    @abstractmethod
    def on(self, qubits: Sequence[int], circuits: Sequence[Any]) -> Any:
        """The noise of `qubits`, renumbered from 0, for circuits that use them."""


class ModelNoise(NoiseSource):
    """A noise model given as such: qubit i of the model is wire i."""

    name = "a noise model"
    optimization_level = 0

    def __init__(self, model: Any) -> None:
        if has_correlated_readout(model):
            raise UnsupportedError(
                "`noise` must have readout errors of single qubits; got one on several. "
                "Give each qubit a readout error of its own."
            )
        self.basis_gates = gate_names(model.basis_gates)
        self.noisy_gates = has_gate_errors(model)
        self._model = model

    def on(self, qubits: Sequence[int], circuits: Sequence[Any]) -> Any:
        """The model without the other qubits; warns about gates of which it says nothing."""
        model = restrict(self._model, qubits)
        if model.is_ideal():
            missing = ["no gate and no measurement of this circuit has an error"]
        elif has_gate_errors(model):
            gates = [(name, where) for circuit in circuits for name, where in gates_of(circuit)]
            missing = uncovered_gates(model, gates, qubits)
        else:
            missing = []  # readout error alone is a complete model
        if missing:
            warnings.warn(
                f"`noise` does not cover every gate of the circuit; without an error: {'; '.join(missing)}. "
                "Add errors for them, for example with NoiseModel.add_all_qubit_quantum_error.",
                NoiseCoverageWarning,
                stacklevel=4,  # the caller of `compile`
            )
        return model


def restrict(model: Any, qubits: Sequence[int]) -> Any:
    """The noise model of some qubits only, renumbered: qubit `qubits[i]` becomes i.

    An error on several qubits keeps their order. Relaxation during explicit delays is dropped, since
    circuits have none.
    """
    place = {qubit: i for i, qubit in enumerate(qubits)}
    small = type(model)(basis_gates=model.basis_gates)
    for name, error in model._default_quantum_errors.items():
        small.add_all_qubit_quantum_error(error, name, warnings=False)
    for name, table in model._local_quantum_errors.items():
        for where, error in table.items():
            if all(qubit in place for qubit in where):
                small.add_quantum_error(error, name, [place[qubit] for qubit in where], warnings=False)
    if model._default_readout_error is not None:
        small.add_all_qubit_readout_error(model._default_readout_error, warnings=False)
    for where, error in model._local_readout_errors.items():
        if all(qubit in place for qubit in where):
            small.add_readout_error(error, [place[qubit] for qubit in where], warnings=False)
    return small


def gate_error(model: Any, name: str, qubits: tuple[int, ...]) -> Any | None:
    """The quantum error of an instruction on given qubits, or None."""
    local = model._local_quantum_errors.get(name, {}).get(qubits)
    return local if local is not None else model._default_quantum_errors.get(name)


def has_gate_errors(model: Any) -> bool:
    """Whether any instruction has a quantum error; readout errors do not count."""
    return bool(model._default_quantum_errors or model._local_quantum_errors)


def confusion(model: Any, qubit: int) -> np.ndarray | None:
    """C[true, reported] of one qubit's detector, shape (2, 2), or None where it is perfect."""
    error = model._local_readout_errors.get((qubit,), model._default_readout_error)
    return None if error is None else np.asarray(error.probabilities, dtype=np.float64)


def has_correlated_readout(model: Any) -> bool:
    """Whether a readout error spans several qubits."""
    errors = [*model._local_readout_errors.values(), model._default_readout_error]
    return any(error is not None and error.number_of_qubits > 1 for error in errors)


def uncovered_gates(model: Any, gates: Iterable[tuple[str, tuple[int, ...]]], wires: Sequence[int]) -> list[str]:
    """Gates about which the model says nothing, as "name on wires ..."; rotations about Z do not count.

    Args:
        model: the noise model, on qubits numbered from 0.
        gates: name and qubits of each gate.
        wires: for each qubit, the wire to name in the text.
    """
    missing: dict[str, set[str]] = {}
    for name, qubits in gates:
        if name not in _VIRTUAL_GATES and gate_error(model, name, qubits) is None:
            missing.setdefault(name, set()).add("-".join(str(wires[q]) for q in qubits))
    return [f"{name} on {', '.join(sorted(places))}" for name, places in sorted(missing.items())]
