"""`qml.device("qnn.statevector")`: the embedded engine as a PennyLane device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pennylane as qml
import torch
from pennylane.devices import ExecutionConfig
from pennylane.devices.modifiers import simulator_tracking, single_tape_support
from pennylane.devices.qubit import simulate
from pennylane.exceptions import DeviceError
from pennylane.math import Interface
from pennylane.tape import QuantumScript
from pennylane.transforms.core import CompilePipeline

from qnn import _seeding
from qnn.backends.pennylane_device.backprop import differentiable_result, is_traced
from qnn.backends.pennylane_device.derivatives import Linearization, jacobians, vjps
from qnn.backends.pennylane_device.device import EngineDevice, has_pauli_observables, in_order
from qnn.backends.pennylane_device.preprocessing import adjoint_runs, adjoint_suits, pipeline
from qnn.backends.pennylane_device.rows import Group, results_of
from qnn.backends.pennylane_device.states import check_size, measure_states
from qnn.backends.statevector import Statevector
from qnn.errors import ArgumentError

_DTYPES = {np.dtype(np.complex64): torch.float32, np.dtype(np.complex128): torch.float64}
_MCM_METHODS = ("deferred", "one-shot", "tree-traversal")


@simulator_tracking
@single_tape_support
class StatevectorDevice(EngineDevice):
    """State-vector simulation with adjoint gradients; tapes of equal structure are rows of one call.

    Expectation values of Pauli sums and probabilities come from the engine, with shots too; anything else is
    measured by PennyLane's routines on the engine's final states. Operations that the engine has no gates for
    (measurements in the middle of the circuit, wide state preparations) and backpropagation other than torch's run on
    PennyLane's own simulation.

    Args:
        wires: number of wires, or their labels; None takes what each circuit uses.
        shots: default number of shots; PennyLane prefers `qml.set_shots` on the QNode.
        seed: root of all sampling; None draws it from torch's default generator.
        c_dtype: numpy.complex128, or numpy.complex64 to compute in single precision.

    Raises:
        ArgumentError: an option is unknown or has a wrong value.

    Example:
        >>> import pennylane as qml
        >>> @qml.qnode(qml.device("qnn.statevector", wires=1))
        ... def circuit(x):
        ...     qml.RX(x, 0)
        ...     return qml.expval(qml.Z(0))
        >>> round(float(circuit(0.5)), 6)
        0.877583
    """

    _options = ("c_dtype",)

    def __init__(
        self,
        wires: Any = None,
        shots: Any = None,
        seed: int | None = None,
        c_dtype: Any = np.complex128,
        **unknown: Any,
    ) -> None:
        super().__init__(Statevector(), wires, shots, seed, unknown)
        dtype = np.dtype(c_dtype)
        if dtype not in _DTYPES:
            raise ArgumentError(
                f"`c_dtype` must be numpy.complex64 or numpy.complex128; got {c_dtype}. Use one of them."
            )
        self._dtype = _DTYPES[dtype]
        self._kept: Linearization | None = None

    @property
    def name(self) -> str:
        """The name in `qml.device`."""
        return "qnn.statevector"

    def supports_derivatives(
        self, execution_config: ExecutionConfig | None = None, circuit: QuantumScript | None = None
    ) -> bool:
        """Adjoint ("device"), backpropagation, and the better of them ("best"); all without shots."""
        if execution_config is None:
            return True
        method = execution_config.gradient_method
        if method in ("adjoint", "device"):
            return circuit is None or adjoint_runs(circuit)
        if method not in ("backprop", "best"):
            return False
        return circuit is None or not (circuit.shots or _measures_sparse_matrices(circuit))

    def supports_vjp(
        self, execution_config: ExecutionConfig | None = None, circuit: QuantumScript | None = None
    ) -> bool:
        """As `supports_derivatives`."""
        return self.supports_derivatives(execution_config, circuit)

    def setup_execution_config(
        self, config: ExecutionConfig | None = None, circuit: QuantumScript | None = None
    ) -> ExecutionConfig:
        """Choose what was left open: the gradient method, and how to measure in the middle of a circuit."""
        config = config or ExecutionConfig()
        self._check_config(config)
        method = config.gradient_method
        if method == "device":
            method = "adjoint"
        elif method == "best":
            once = config.derivative_order == 1 and circuit is not None
            method = "adjoint" if once and adjoint_suits(circuit) else "backprop"
        adjoint = method == "adjoint"
        products = config.use_device_jacobian_product
        if products is None or (_asks_for_products(config, circuit) and not config.grad_on_execution):
            products = adjoint
        return replace(
            config,
            gradient_method=method,
            use_device_gradient=method in ("adjoint", "backprop"),
            use_device_jacobian_product=products,
            grad_on_execution=adjoint and not products
            if config.grad_on_execution is None
            else config.grad_on_execution,
            mcm_config=self._mcm_config(config, bool(circuit is not None and circuit.shots)),
        )

    def _mcm_config(self, config: ExecutionConfig, shots: bool) -> Any:
        mcm = config.mcm_config
        method = mcm.mcm_method
        if method is None:
            method = "tree-traversal" if shots else "deferred"
        elif method == "device":
            method = "tree-traversal"
        if method not in _MCM_METHODS:
            raise DeviceError(f"mcm_method {method} not supported on {self.name}; it has: {', '.join(_MCM_METHODS)}.")
        if mcm.postselect_mode == "fill-shots" and method != "deferred":
            raise DeviceError('postselect_mode="fill-shots" needs mcm_method="deferred".')
        return replace(mcm, mcm_method=method)

    def preprocess_transforms(self, execution_config: ExecutionConfig | None = None) -> CompilePipeline:
        """The transforms that bring a tape to the engine's gates."""
        return pipeline(execution_config or ExecutionConfig(), self.wires, self.name)

    def execute(self, circuits: Sequence[QuantumScript], execution_config: ExecutionConfig | None = None) -> Any:
        """Run a batch, tapes of equal structure in one call of the engine."""
        config = execution_config or ExecutionConfig()
        self._kept = None
        groups = self._structures.groups(circuits)
        sampled = any(tape.shots for tape in circuits)
        keys = self._keys(groups) if sampled else [None] * len(groups)
        return in_order(groups, [self._run(group, config, key) for group, key in zip(groups, keys, strict=True)])

    def _keeps(self, group: Group, config: ExecutionConfig) -> bool:
        """Whether a gradient will be asked for, so that the final states are worth keeping."""
        if config.gradient_method != "adjoint" or not config.use_device_jacobian_product:
            return False
        return config.interface is not Interface.NUMPY and any(tape.trainable_params for tape in group.tapes)

    def _run(self, group: Group, config: ExecutionConfig, keys: np.ndarray | None) -> list[Any]:
        structure, shots = group.structure, group.tapes[0].shots
        check_size(structure.n_wires, 2, self._dtype.itemsize)
        if config.gradient_method == "backprop" and is_traced(group, config):
            return [differentiable_result(group, i, config, self._dtype) for i in range(len(group.tapes))]
        if not structure.runs:
            return [
                self._simulate(tape, config, keys, rows)
                for tape, (_, _, rows) in zip(group.tapes, group.slices(), strict=True)
            ]
        if structure.measurements is None or (shots and not has_pauli_observables(group.tapes[0])):
            return measure_states(group, self._dtype, keys)
        if shots:
            assert keys is not None, "sampling needs keys"
            return self._sampled_values(group, self._dtype, keys)
        angles, shared = group.angles(self._dtype)
        executable = structure.executable(shared)
        if not self._keeps(group, config):
            return results_of(executable, group, executable.run(angles).values.numpy())
        self._kept = Linearization.of(executable, angles)
        return results_of(executable, group, self._kept.estimate.values.numpy())

    def _simulate(self, tape: QuantumScript, config: ExecutionConfig, keys: np.ndarray | None, rows: slice) -> Any:
        """What the engine has no gates for, by PennyLane's own simulation."""
        rng = None if keys is None else _seeding.generator(keys[rows.start])
        mcm = config.mcm_config
        return simulate(tape, rng=rng, mcm_method=mcm.mcm_method, postselect_mode=mcm.postselect_mode)

    def __getstate__(self) -> dict[str, Any]:
        """Options and counters; states kept for a gradient stay behind."""
        return self.__dict__ | {"_kept": None}

    def compute_vjp(
        self, circuits: Sequence[QuantumScript], cotangents: Any, execution_config: ExecutionConfig | None = None
    ) -> Any:
        """Vector-Jacobian products, tapes of equal structure in one reverse sweep."""
        groups = self._structures.groups(circuits)
        products = [vjps(g, [cotangents[place] for place in g.places], self._dtype, self._kept) for g in groups]
        return in_order(groups, products)

    def execute_and_compute_vjp(
        self, circuits: Sequence[QuantumScript], cotangents: Any, execution_config: ExecutionConfig | None = None
    ) -> Any:
        """Results and vector-Jacobian products, from one forward run."""
        groups = self._structures.groups(circuits)
        results, products = [], []
        for group in groups:
            angles, shared = group.angles(self._dtype)
            run = Linearization.of(group.structure.executable(shared), angles)
            results.append(results_of(run.executable, group, run.estimate.values.numpy()))
            products.append(vjps(group, [cotangents[place] for place in group.places], self._dtype, run))
        return in_order(groups, results), in_order(groups, products)

    def compute_derivatives(
        self, circuits: Sequence[QuantumScript], execution_config: ExecutionConfig | None = None
    ) -> Any:
        """Jacobians, tapes of equal structure in one reverse sweep."""
        groups = self._structures.groups(circuits)
        return in_order(groups, [jacobians(group, self._dtype)[0] for group in groups])

    def execute_and_compute_derivatives(
        self, circuits: Sequence[QuantumScript], execution_config: ExecutionConfig | None = None
    ) -> Any:
        """Results and Jacobians, from one forward run."""
        groups = self._structures.groups(circuits)
        found = [jacobians(group, self._dtype) for group in groups]
        values = [
            results_of(group.structure.executable(None), group, own)
            for group, (_, own) in zip(groups, found, strict=True)
        ]
        return in_order(groups, values), in_order(groups, [own for own, _ in found])


def _asks_for_products(config: ExecutionConfig, circuit: QuantumScript | None) -> bool:
    """Whether products are the better choice where nobody chose (QNodes then say False).

    Torch never asks for more. PennyLane contracts Jacobians of single tapes only: broadcast ones would be split.
    """
    return config.interface is Interface.TORCH or (circuit is not None and circuit.batch_size is not None)


def _measures_sparse_matrices(tape: QuantumScript) -> bool:
    """Whether backpropagation would end at SciPy, which no framework follows."""
    return any(isinstance(mp.obs, qml.SparseHamiltonian) for mp in tape.measurements)
