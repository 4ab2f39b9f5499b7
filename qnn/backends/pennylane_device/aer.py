"""`qml.device("qnn.aer")`: Qiskit Aer as a PennyLane device, a whole batch of tapes in one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from pennylane.devices import ExecutionConfig
from pennylane.devices.default_qubit import observable_accepts_sampling
from pennylane.devices.modifiers import simulator_tracking, single_tape_support
from pennylane.devices.preprocess import decompose, validate_device_wires, validate_measurements
from pennylane.exceptions import DeviceError
from pennylane.measurements import ExpectationMP, ProbabilityMP, SampleMeasurement, VarianceMP
from pennylane.tape import QuantumScript
from pennylane.transforms import defer_measurements
from pennylane.transforms.core import CompilePipeline

from qnn.backends.aer import Aer
from qnn.backends.pennylane_device.device import EngineDevice, in_order
from qnn.backends.pennylane_device.outcomes import are_values, measure_outcomes, one_basis_each
from qnn.backends.pennylane_device.preprocessing import TABLE_GATES, to_gates
from qnn.backends.pennylane_device.rows import Group, results_of
from qnn.backends.pennylane_device.structure import supported
from qnn.errors import ArgumentError


@simulator_tracking
@single_tape_support
class AerDevice(EngineDevice):
    """Qiskit Aer, exact or with shots, with the noise of a model or of a device.

    All tapes of equal structure in a batch, such as the shifted ones of a parameter-shift gradient, are one call of
    `AerSimulator.run`.

    Args:
        wires: number of wires, or their labels; None takes what each circuit uses.
        shots: default number of shots; PennyLane prefers `qml.set_shots` on the QNode.
        seed: root of all sampling; None draws it from torch's default generator.
        method: as for `qnn.backends.Aer`, and so the following.
        noise: name of a fake device, a Qiskit device or a noise model.
        sampler: "exact" samples the exact distribution, "aer" takes Aer's own shots.
        seed_transpiler: seed of Qiskit's layout and routing heuristics.
        optimization_level: of Qiskit's transpiler, 0 to 3.
        max_parallel_threads: threads of Aer.

    Raises:
        ArgumentError: an option is unknown or has a wrong value.

    Example:
        >>> import pennylane as qml
        >>> @qml.qnode(qml.device("qnn.aer", wires=1))
        ... def circuit(x):
        ...     qml.RX(x, 0)
        ...     return qml.expval(qml.Z(0))
        >>> round(float(circuit(0.5)), 6)
        0.877583
    """

    _options = ("method", "noise", "sampler", "seed_transpiler", "optimization_level", "max_parallel_threads")

    def __init__(
        self,
        wires: Any = None,
        shots: Any = None,
        seed: int | None = None,
        *,
        method: Any = None,
        noise: Any = None,
        sampler: Any = "exact",
        seed_transpiler: int = 0,
        optimization_level: int | None = None,
        max_parallel_threads: int | None = None,
        **unknown: Any,
    ) -> None:
        backend = Aer(method, noise, sampler, seed_transpiler, optimization_level, max_parallel_threads)
        super().__init__(backend, wires, shots, seed, unknown)

    @property
    def name(self) -> str:
        """The name in `qml.device`."""
        return "qnn.aer"

    def setup_execution_config(
        self, config: ExecutionConfig | None = None, circuit: QuantumScript | None = None
    ) -> ExecutionConfig:
        """Measurements in the middle of a circuit are deferred to its end."""
        config = config or ExecutionConfig()
        self._check_config(config)
        if config.mcm_config.mcm_method not in (None, "deferred"):
            raise DeviceError(
                f"mcm_method {config.mcm_config.mcm_method} not supported on {self.name}; it has: deferred."
            )
        return replace(config, mcm_config=replace(config.mcm_config, mcm_method="deferred"))

    def preprocess_transforms(self, execution_config: ExecutionConfig | None = None) -> CompilePipeline:
        """The transforms that bring a tape to gates of the table and to one basis."""
        steps = CompilePipeline()
        steps.add_transform(defer_measurements, allow_postselect=False)
        steps.add_transform(validate_device_wires, self.wires, name=self.name)
        steps.add_transform(
            validate_measurements,
            analytic_measurements=_exact_from_outcomes,
            sample_measurements=_sampled,
            name=self.name,
        )
        steps.add_transform(one_basis_each)
        steps.add_transform(
            decompose,
            stopping_condition=supported,
            skip_initial_state_prep=False,
            decomposer=to_gates,
            device_wires=self.wires,
            target_gates=TABLE_GATES,
            name=self.name,
        )
        return steps

    def execute(self, circuits: Sequence[QuantumScript], execution_config: ExecutionConfig | None = None) -> Any:
        """Run a batch, tapes of equal structure in one call of Aer."""
        groups = self._structures.groups(circuits)
        sampled = any(tape.shots for tape in circuits)
        keys = self._keys(groups) if sampled else [None] * len(groups)
        return in_order(groups, [self._run(group, key) for group, key in zip(groups, keys, strict=True)])

    def _run(self, group: Group, keys: np.ndarray | None) -> list[Any]:
        tape, n_wires, most = group.tapes[0], group.structure.n_wires, self.backend.capabilities.max_wires
        if most is not None and n_wires > most:
            raise ArgumentError(
                f"`wires` in use must be at most {most} for {self.backend}; got {n_wires}. Use fewer wires."
            )
        if not are_values(tape.measurements, tape):
            return measure_outcomes(group, keys)
        if tape.shots:
            assert keys is not None, "sampling needs keys"
            return self._sampled_values(group, torch.float64, keys)
        angles, shared = group.angles(torch.float64)
        executable = group.structure.executable(shared)
        return results_of(executable, group, executable.run(angles).values.numpy())


def _exact_from_outcomes(process: Any) -> bool:
    if not isinstance(process, ExpectationMP | ProbabilityMP | VarianceMP):
        return False
    return process.obs is None or process.obs.pauli_rep is not None or observable_accepts_sampling(process.obs)


def _sampled(process: Any) -> bool:
    if not isinstance(process, SampleMeasurement):
        return False
    return process.obs is None or process.obs.pauli_rep is not None or observable_accepts_sampling(process.obs)
