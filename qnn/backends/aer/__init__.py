"""Qiskit Aer: exact, with shots, and with the noise of a model or of a device."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

import torch
from qiskit.providers import BackendV2
from qiskit.transpiler import Target
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel
from qiskit_aer.noise.device import basic_device_gate_errors, basic_device_readout_errors

from qnn._optional import require
from qnn.backends._qiskit.binding import BoundCircuit
from qnn.backends._qiskit.facts import gate_names, gates_of
from qnn.backends._qiskit.folding import Site
from qnn.backends._qiskit.placing import SIMULATOR_BASIS, Placement, in_setting, place
from qnn.backends.aer import noise_model
from qnn.backends.aer.executable import AerExecutable, MeasuredSetting
from qnn.backends.aer.noise_model import ModelNoise, NoiseSource
from qnn.backends.base import Capabilities
from qnn.backends.compiled import CompilingBackend
from qnn.backends.transpiling import check_transpiler
from qnn.circuits.circuit import Circuit
from qnn.circuits.settings import plan_measurements
from qnn.errors import ArgumentError, CapabilityError, UnsupportedError, unknown_name

Method = Literal["automatic", "statevector", "density_matrix", "matrix_product_state"]
Sampler = Literal["exact", "aer"]
_METHODS = ("automatic", "statevector", "density_matrix", "matrix_product_state")
_SAMPLERS = ("exact", "aer")
_CPU_METHODS = ("matrix_product_state",)
_BATCHED_ON_GPU = 16  # qubits up to which many rows share the GPU; beyond, one fills it
_MAX_DENSITY_WIRES = 13  # 4^13 complex numbers of 16 bytes: 1 GiB


class Aer(CompilingBackend):
    """Qiskit Aer's simulator, one call of `AerSimulator.run` for all rows.

    With ``shots=None`` values are exact, noise and readout error included. With shots the exact
    distribution of each circuit is sampled by its key: the same statistics as Aer's own shots, many
    times faster.

    Args:
        method: "statevector", "density_matrix" or "matrix_product_state"; "automatic" takes the density matrix
            where gates are noisy, and the state vector otherwise.
        noise: name of a fake device such as "fake_manila" (needs the extra `ibm`), a Qiskit device
            (`BackendV2`), or a `qiskit_aer.noise.NoiseModel`. For a device the circuit is transpiled to its gates
            and its coupling map, so that layout and SWAPs are real; for a noise model to its basis gates only.
        sampler: "exact" samples the exact outcome distribution; "aer" takes Aer's own shots, which also makes
            random noise trajectories possible where a density matrix is too large. Aer's generator is seeded from
            the keys of all rows together, so that an identical call repeats, but a row's draw depends on the others.
        seed_transpiler: seed of Qiskit's layout and routing heuristics.
        optimization_level: of Qiskit's transpiler, 0 to 3. None: 2 for a device; 0 for a noise model, so that
            every gate as written carries its noise; 1 without noise.
        max_parallel_threads: threads of Aer. None: as many as torch uses (`torch.get_num_threads`), so that
            OMP_NUM_THREADS=1 in a worker process holds here too.
        device: "CPU" or "GPU". None: the GPU where Aer has one and the method can use it (never tried by us). There,
            circuits of up to 16 qubits run many rows at a time.

    Raises:
        UnknownNameError: no such method, sampler or fake device.
        ArgumentError: `noise` is something else.
        CapabilityError: the options contradict each other.
    """

    name = "aer"

    def __init__(
        self,
        method: Method | None = None,
        noise: str | NoiseModel | BackendV2 | None = None,
        sampler: Sampler = "exact",
        seed_transpiler: int = 0,
        optimization_level: int | None = None,
        max_parallel_threads: int | None = None,
        device: Literal["CPU", "GPU"] | None = None,
    ) -> None:
        super().__init__()
        self.method = "automatic" if method is None else method
        self.noise = noise
        self.sampler = sampler
        self.seed_transpiler = seed_transpiler
        self.optimization_level = optimization_level
        self.max_parallel_threads = max_parallel_threads
        self.device = device
        self._check_options()
        self._source = _noise_source(noise)
        trajectories = self.method in ("statevector", "matrix_product_state") and noise is not None
        if trajectories and sampler == "exact":
            raise CapabilityError(
                f'`method="{self.method}"` with noise runs random trajectories, whose distribution is not known '
                'exactly; got sampler="exact". Use sampler="aer", or method="density_matrix".'
            )
        self._exact = not trajectories

    def _check_options(self) -> None:
        if self.method not in _METHODS:
            raise unknown_name("method", self.method, _METHODS)
        if self.sampler not in _SAMPLERS:
            raise unknown_name("sampler", self.sampler, _SAMPLERS)
        check_transpiler(0 if self.optimization_level is None else self.optimization_level, self.seed_transpiler)
        threads = self.max_parallel_threads
        if threads is not None and (not isinstance(threads, int) or threads < 1):
            raise ArgumentError(
                f"`max_parallel_threads` must be a positive integer; got {threads!r}. Use None for torch's number."
            )
        if self.device not in (None, "CPU", "GPU"):
            raise ArgumentError(f'`device` must be "CPU" or "GPU"; got {self.device!r}. Use None for what there is.')
        if self.device == "GPU" and (not _has_gpu() or self.method in _CPU_METHODS):
            why = "this Aer has none" if not _has_gpu() else f'method="{self.method}" has no GPU code'
            advice = "Install qiskit-aer-gpu instead of qiskit-aer" if not _has_gpu() else "Leave `device` out"
            raise CapabilityError(f'`device` must be "CPU", because {why}; got "GPU". {advice}.')

    @property
    def threads(self) -> int:
        """Threads that Aer may use now."""
        return self.max_parallel_threads or torch.get_num_threads()

    @property
    def capabilities(self) -> Capabilities:
        """Exact and with shots; noisy with `noise`; keyed unless Aer draws the shots itself."""
        limits = [] if self._source is None or self._source.n_qubits is None else [self._source.n_qubits]
        noisy_gates = self._source is not None and self._source.noisy_gates
        density = self.method == "density_matrix" or (self.method == "automatic" and noisy_gates)
        if density and self.sampler == "exact":
            limits.append(_MAX_DENSITY_WIRES)
        elif self.method != "matrix_product_state":
            limits.append(_statevector_limit())
        return Capabilities(
            exact=self._exact,
            noisy=self._source is not None,
            keyed=self.sampler == "exact",
            max_wires=min(limits, default=None),
            rowwise=self.sampler == "exact",
        )

    def specification(self) -> dict[str, Any] | None:
        """The options that differ from their defaults; None when `noise` is a live object."""
        if not isinstance(self.noise, str | None):
            return None
        options = {
            "method": None if self.method == "automatic" else self.method,
            "noise": self.noise,
            "sampler": None if self.sampler == "exact" else self.sampler,
            "seed_transpiler": self.seed_transpiler or None,
            "optimization_level": self.optimization_level,
            "max_parallel_threads": self.max_parallel_threads,
            "device": self.device,
        }
        return {"name": self.name} | {key: value for key, value in options.items() if value is not None}

    def __repr__(self) -> str:
        """The name, and the noise where there is some."""
        noise = "" if self._source is None else f" with noise of {self._source.name}"
        return f"<qnn backend aer{noise}>"

    def _compile(self, circuit: Circuit) -> AerExecutable:
        settings = plan_measurements(circuit.measurements).settings
        if not settings:
            return AerExecutable(circuit, self, None, (), {})
        source = self._source
        self._check_width(circuit.n_wires, None if source is None else source.n_qubits)
        basis = _simulator_basis(self.method) if source is None else source.basis_gates
        level = self.optimization_level
        if level is None:
            level = 1 if source is None else source.optimization_level
        placement = place(
            circuit,
            sorted({wire for setting in settings for wire in setting.wires}),
            target=None if source is None else source.target,
            basis_gates=basis,
            optimization_level=level,
            seed=self.seed_transpiler,
        )
        bound = [in_setting(placement, setting, basis, level) for setting in settings]
        model = None if source is None else source.on(placement.physical, [b.circuit for b in bound])
        method = self._method_for(model, len(placement.physical))
        _check_gates([name for b in bound for name, _ in gates_of(b.circuit)], method)
        hardware = self._hardware(method, len(placement.physical))
        simulator = AerSimulator(method=method, noise_model=model, runtime_parameter_bind_enable=True, **hardware)

        def executable(circuit: Circuit, bound: Sequence[BoundCircuit]) -> AerExecutable:
            measured = [_measured_setting(b, model) for b in bound]
            facts = self._facts(placement, bound, method) | {"processor": hardware["device"]}
            site = Site(placement, tuple(basis), executable, tuple(bound))
            return AerExecutable(circuit, self, simulator, measured, facts, site)

        return executable(circuit, bound)

    def _check_width(self, n_wires: int, available: int | None) -> None:
        if available is not None and n_wires > available:
            raise CapabilityError(
                f"`n_qubits` must be at most {available} to run on {self._source.name}; got {n_wires}. "  # type: ignore[union-attr]
                'Use fewer qubits, or a larger device such as noise="fake_sherbrooke".'
            )

    def _method_for(self, model: NoiseModel | None, n_qubits: int) -> str:
        """Which of Aer's methods simulates `n_qubits` with this noise."""
        method = self.method
        if method == "automatic":
            method = "density_matrix" if model is not None and noise_model.has_gate_errors(model) else "statevector"
            if method == "density_matrix" and self.sampler == "aer" and n_qubits > _MAX_DENSITY_WIRES:
                method = "statevector"  # random trajectories
        if method == "density_matrix" and n_qubits > _MAX_DENSITY_WIRES:
            raise CapabilityError(
                f"A density matrix must have at most {_MAX_DENSITY_WIRES} qubits to fit in memory; "
                f"got {n_qubits} after transpiling. Use fewer qubits, or shots with "
                'Aer(noise=..., method="statevector", sampler="aer"), which simulates noise by random trajectories.'
            )
        return method

    def _hardware(self, method: str, n_qubits: int) -> dict[str, Any]:
        """Aer's options for the processor, by method and number of qubits."""
        if self.device == "CPU" or method in _CPU_METHODS or not _has_gpu():
            return {"device": "CPU"}
        return {"device": "GPU", "batched_shots_gpu": n_qubits <= _BATCHED_ON_GPU}

    def _facts(self, placement: Placement, bound: Sequence[BoundCircuit], method: str) -> dict[str, Any]:
        facts: dict[str, Any] = {
            "depth": max(b.circuit.depth() for b in bound),
            "two_qubit_gates": max(sum(len(qubits) > 1 for _, qubits in gates_of(b.circuit)) for b in bound),
            "method": method,
        }
        if self._source is not None:
            facts["device"] = self._source.name
            facts["layout"] = {wire: placement.physical[qubit] for wire, qubit in placement.qubits.items()}
        return facts


class DeviceNoise(NoiseSource):
    """The noise of a device, computed from the properties in its target for the qubits in use only."""

    optimization_level = 2

    def __init__(self, device: BackendV2) -> None:
        self.name = device.name or type(device).__name__
        self.n_qubits = device.num_qubits
        self.target = device.target
        self.basis_gates = gate_names(device.operation_names)

    def on(self, qubits: Sequence[int], circuits: Sequence[Any]) -> NoiseModel:
        """As `NoiseModel.from_backend` would make it, without the other qubits."""
        target = restricted(self.target, qubits)
        model = NoiseModel(basis_gates=list(self.basis_gates))
        for where, error in basic_device_readout_errors(target=target):
            model.add_readout_error(error, where, warnings=False)
        for name, where, error in basic_device_gate_errors(target=target):
            model.add_quantum_error(error, name, where, warnings=False)
        return model


def _noise_source(noise: object) -> NoiseSource | None:
    if noise is None:
        return None
    if isinstance(noise, str):
        return DeviceNoise(fake_device(noise))
    if isinstance(noise, NoiseModel):
        return ModelNoise(noise)
    if isinstance(noise, BackendV2) and not isinstance(noise, AerSimulator):
        return DeviceNoise(noise)
    raise ArgumentError(
        "`noise` must be the name of a fake device, a Qiskit device, or a qiskit_aer NoiseModel; "
        f'got {type(noise).__name__}. Try noise="fake_manila".'
    )


@lru_cache(maxsize=8)
def fake_device(name: str) -> BackendV2:
    """The fake device of a name such as "fake_manila": a snapshot of a real device's properties.

    Raises:
        MissingDependencyError: qiskit-ibm-runtime is not installed.
        UnknownNameError: no such device.
    """
    provider = require("qiskit_ibm_runtime.fake_provider", extra="ibm", purpose=f'`noise="{name}"`')
    classes = {
        str(cls.backend_name): cls
        for cls in vars(provider).values()
        if isinstance(cls, type) and issubclass(cls, BackendV2) and hasattr(cls, "backend_name")
    }
    if name not in classes:
        raise unknown_name("fake device", name, classes)
    return classes[name]()


def restricted(target: Target | None, qubits: Sequence[int]) -> Target:
    """The target of some qubits only, renumbered: qubit `qubits[i]` becomes i."""
    assert target is not None
    number = {qubit: i for i, qubit in enumerate(qubits)}
    properties = target.qubit_properties
    small = Target(
        num_qubits=len(qubits), dt=target.dt, qubit_properties=[properties[q] for q in qubits] if properties else None
    )
    for name in target.operation_names:
        kept = {
            tuple(number[q] for q in where): entry
            for where, entry in (target[name] or {}).items()
            if where is not None and all(q in number for q in where)
        }
        if kept:
            small.add_instruction(target.operation_from_name(name), kept, name=name)
    return small


def _measured_setting(bound: BoundCircuit, model: NoiseModel | None) -> MeasuredSetting:
    """The circuits of one setting, exact and with measurements, and the detectors' confusion."""
    exact = bound.circuit.copy()
    if model is not None:
        for qubit in bound.qubits:  # Aer applies an error of "measure" before measuring, and not before saving
            error = noise_model.gate_error(model, "measure", (qubit,))
            if error is not None:
                exact.append(error.to_instruction(), [qubit])
    exact.save_probabilities(list(bound.qubits[::-1]))
    confusions = tuple(None if model is None else noise_model.confusion(model, qubit) for qubit in bound.qubits)
    return MeasuredSetting(bound, exact, bound.measured(), confusions)


@lru_cache(maxsize=4)
def _instructions(method: str) -> frozenset[str]:
    """What Aer applies with this method."""
    return frozenset(AerSimulator(method=method).configuration().basis_gates)


def _simulator_basis(method: str) -> tuple[str, ...]:
    """The gates to transpile to where neither a device nor a noise model says."""
    return tuple(name for name in SIMULATOR_BASIS if name in _instructions(method))


def _check_gates(names: Sequence[str], method: str) -> None:
    foreign = sorted(set(names) - _instructions(method))
    if foreign:
        raise UnsupportedError(
            f'Aer cannot apply {", ".join(foreign)} with method "{method}". Put the noise on one- and two-qubit '
            'gates such as rx and cx, or use shots with method="statevector", sampler="aer".'
        )


@lru_cache(maxsize=1)
def _has_gpu() -> bool:
    return "GPU" in AerSimulator().available_devices()


@lru_cache(maxsize=1)
def _statevector_limit() -> int:
    """Wires of the largest state vector that fits in this machine's memory, by Aer's own account."""
    return int(AerSimulator(method="statevector").num_qubits)
