"""IBM Quantum: its machines by name, and its fake devices on this machine, by the same primitives."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

import torch
from qiskit.circuit import Delay
from qiskit.providers import BackendV2
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer import AerSimulator
from qiskit_aer.noise import RelaxationNoisePass

from qnn._optional import require
from qnn.backends._qiskit.binding import BoundCircuit
from qnn.backends._qiskit.facts import gates_of
from qnn.backends._qiskit.folding import Site
from qnn.backends._qiskit.placing import Placement, in_setting, place, repeatable, unmeasured
from qnn.backends.aer import DeviceNoise, fake_device, restricted
from qnn.backends.base import BackendInfo, Capabilities
from qnn.backends.compiled import CompilingBackend
from qnn.backends.ibm.client import machine
from qnn.backends.ibm.errors import failures, without_secrets
from qnn.backends.ibm.executable import IBMExecutable, Unit
from qnn.backends.ibm.modes import ExecutionMode
from qnn.backends.ibm.options import (
    MAX_EXECUTIONS,
    check_choices,
    mode_by_plan,
    primitive_options,
    primitives,
    refuse_for_local,
    waiting,
)
from qnn.backends.ibm.service import IBMService
from qnn.circuits.circuit import Circuit
from qnn.circuits.observables import Expectation, PauliSum
from qnn.circuits.settings import plan_measurements
from qnn.errors import (
    ArgumentError,
    BackendError,
    BackendUnavailableError,
    CapabilityError,
    MissingDependencyError,
    NoEffectWarning,
    RateLimitError,
)

Mode = Literal["job", "batch", "session"]
Primitive = Literal["sampler", "estimator"]


class IBM(CompilingBackend):
    """A machine of IBM Quantum, or one of IBM's fake devices in local mode: the same code for both.

    Each call of a layer, forward and shifted rows together, is one job: with the Sampler one PUB for each measurement
    basis, whose parameter array holds every row; with the Estimator one PUB, whose observables are broadcast over the
    rows. The circuit is transpiled to the device once.

    Real machines have not been tried: what is tested is the local mode.

    Args:
        device: "fake_manila" and the like, the name of a machine such as "ibm_torino", or a Qiskit `BackendV2`.
        mode: "job" for single jobs, or a "batch" or "session" that is opened with the first job and closed by
            `close`, by leaving ``with backend:``, or at the end of the process. A session is billed by the clock.
            None: by the account's plan, "job" on the open plan and in local mode, else "batch".
        primitive: "sampler" returns counts, for any measurement; "estimator" returns mitigated expectation values.
            None: the estimator where `resilience_level` or `resilience` is given.
        resilience_level: of the Estimator, 0 to 2. None: 0.
        resilience: further options of IBM's ``ResilienceOptions``, such as ``{"zne_mitigation": True}``.
        twirling: options of IBM's ``TwirlingOptions``; True twirls gates and measurements.
        dynamical_decoupling: "XX", "XpXm" or "XY4", or options of IBM's ``DynamicalDecouplingOptions``. In local mode
            idle times have the device's relaxation only with this option.
        execution: options of IBM's ``ExecutionOptions``, such as ``{"rep_delay": 1e-4}``; for machines only.
        optimization_level: of Qiskit's transpiler, 0 to 3.
        seed_transpiler: seed of its layout and routing heuristics.
        max_execution_time_s: seconds on the machine after which IBM cancels a job; for machines only.
        max_executions: circuits times shots of one job; larger requests are several jobs, submitted together.
        timeout_s: seconds to wait for the results of one call; None waits as long as it takes. For machines only.
        retry_s: seconds for which requests that fail for now are repeated; None is 600. For machines only.
        journal: file of the job journal; None is that of the user. For machines only.
        reuse_exact: for all remote backends; without effect here, since machines return no exact results.
        instance: CRN or name of the instance; None takes that of the saved account.
        account: name of the saved account; None takes the default one.
        tags: job tags.

    Raises:
        MissingDependencyError: qiskit-ibm-runtime is not installed.
        UnknownNameError: no such fake device, mode or primitive.
        ArgumentError: an option is not one of IBM's, or belongs to the other primitive.
    """

    def __init__(
        self,
        device: str | BackendV2,
        mode: Mode | None = None,
        primitive: Primitive | None = None,
        resilience_level: int | None = None,
        resilience: Mapping[str, Any] | None = None,
        twirling: bool | Mapping[str, Any] | None = None,
        dynamical_decoupling: str | Mapping[str, Any] | None = None,
        execution: Mapping[str, Any] | None = None,
        optimization_level: int = 2,
        seed_transpiler: int = 0,
        max_execution_time_s: int | None = None,
        max_executions: int = MAX_EXECUTIONS,
        timeout_s: float | None = None,
        retry_s: float | None = None,
        journal: str | None = None,
        reuse_exact: bool = False,
        instance: str | None = None,
        account: str | None = None,
        tags: Sequence[str] = (),
    ) -> None:
        super().__init__()
        # Every option by its name, before there are other locals: what a copy is made from.
        self._given = {key: value for key, value in locals().items() if key not in ("self", "__class__", "device")}
        if not isinstance(device, str | BackendV2):
            raise ArgumentError(
                f'`device` must be the name of a device or a Qiskit BackendV2; got {device!r}. Use "fake_manila".'
            )
        self._device_name = device if isinstance(device, str) else device.name
        self._device_object = None if isinstance(device, str) else device
        self.name = f"ibm:{self._device_name}"
        self.mode = mode
        mitigated = resilience_level is not None or resilience is not None
        self.primitive = primitive or ("estimator" if mitigated else "sampler")
        self.optimization_level = optimization_level
        self.seed_transpiler = seed_transpiler
        self.max_executions = max_executions
        self.policy = waiting(journal, timeout_s, retry_s, reuse_exact)
        self._given["journal"] = self.policy.journal
        self.instance, self.account = instance, account
        check_choices(self.mode, self.primitive, mitigated, optimization_level, seed_transpiler, max_executions)
        self.is_local = _is_local(device)
        if self.is_local:
            self.device  # an unknown name is refused here  # noqa: B018
            refuse_for_local(
                self.name,
                execution=execution,
                max_execution_time_s=max_execution_time_s,
                instance=instance,
                account=account,
                timeout_s=timeout_s,
                retry_s=retry_s,
                journal=journal,
            )
        self._options = primitive_options(
            self.primitive,
            local=self.is_local,
            tags=tags,
            resilience_level=resilience_level,
            resilience=resilience,
            twirling=twirling,
            dynamical_decoupling=dynamical_decoupling,
            execution=execution,
            max_execution_time=max_execution_time_s,
        )
        self._execution = ExecutionMode()

    @property
    def decoupled(self) -> bool:
        """Whether dynamical decoupling is on."""
        return bool(self._options.get("dynamical_decoupling", {}).get("enable"))

    @cached_property
    def device(self) -> Any:
        """The Qiskit device.

        Raises:
            UnknownNameError: no such device.
            AuthenticationError: no account, or a wrong one.
            BackendUnavailableError: IBM is out of reach, or lists no device.
        """
        if self._device_object is not None:
            return self._device_object
        if self.is_local:
            return fake_device(self._device_name)
        return machine(self._device_name, account=self.account, instance=self.instance)

    @cached_property
    def max_shots(self) -> int | None:
        """The device's limit for one circuit, or None where it names none."""
        configuration = getattr(self.device, "configuration", None)
        found = getattr(configuration() if callable(configuration) else self.device, "max_shots", None)
        return found if isinstance(found, int) else None

    @cached_property
    def _mode_by_plan(self) -> str:
        """How jobs are executed, refused here where the plan does not allow it."""
        if self.is_local:
            return self.mode or "job"
        with failures("ask for the account's plan"):
            service = self.device.service
            return mode_by_plan(self.mode, service.instances(), service.active_instance())

    def service(self) -> IBMService | None:
        """Its jobs at IBM; None in local mode.

        Raises:
            AuthenticationError, BackendUnavailableError, UnknownNameError: there is no way to the machine.
        """
        return None if self.is_local else self._service

    @cached_property
    def _service(self) -> IBMService:
        return IBMService(self)

    @property
    def result_options(self) -> dict[str, Any]:
        """What changes results, for the identity of jobs."""
        kept = {key: value for key, value in self._options.items() if key not in ("environment", "max_execution_time")}
        transpiled = {"optimization_level": self.optimization_level, "seed_transpiler": self.seed_transpiler}
        return {"primitive": self.primitive, "options": kept} | transpiled

    def final_options(self, device: Any) -> Any:
        """The primitive's options on `device`, with IBM's defaults in the place of what was not given."""
        with failures(f"make a primitive for {self._device_name}"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # which options override others is told when a job is submitted
            return primitives()[self.primitive][0](mode=device, options=dict(self._options)).finalize_options()

    @property
    def circuits_per_setting(self) -> int:
        """Circuits that the Estimator makes of one: as many as an extrapolation has noise factors."""
        return len(self.noise_factors)

    @property
    def noise_factors(self) -> tuple[float, ...]:
        """How often an extrapolation folds the gates, in each of its circuits; one circuit as it is without."""
        resilience = self._options.get("resilience", {})
        folds = resilience.get("zne_mitigation")
        if folds is None:
            folds = self._options.get("resilience_level") == 2
        factors = resilience.get("zne", {}).get("noise_factors") if folds else (1,)
        given = isinstance(factors, Sequence) and not isinstance(factors, str)
        return tuple(factors) if given else (1, 3, 5)

    @property
    def capabilities(self) -> Capabilities:
        """Only samples, with noise, by generators of its own."""
        return Capabilities(
            exact=False,
            noisy=True,
            remote=not self.is_local,
            keyed=False,
            max_wires=self.device.num_qubits,
            counts=self.primitive == "sampler",
            extrapolates=len(self.noise_factors) > 1 or bool(self._options.get("resilience", {}).get("pec_mitigation")),
        )

    def with_readout_mitigation(self) -> IBM | None:
        """The Estimator with IBM's own mitigation of readout; None for the Sampler.

        Raises:
            ArgumentError: it is switched off.

        Warns:
            NoEffectWarning: it is switched on already.
        """
        if self.primitive == "sampler":
            return None
        given = dict(self._given["resilience"] or {})
        if given.get("measure_mitigation") is False:
            raise ArgumentError(
                "`measure_mitigation` must not be False beside mitigation of readout, which it is on "
                f"{self.name}; got both. Leave one of them out."
            )
        if given.get("measure_mitigation") or self._given["resilience_level"]:
            warnings.warn(
                f"`mitigation` of readout has no effect on {self.name}, which mitigates it already. Leave it out.",
                NoEffectWarning,
                stacklevel=4,  # the caller of `Mitigated`
            )
        resilience = given | {"measure_mitigation": True}
        device = self._device_name if self._device_object is None else self._device_object
        return IBM(device, **self._given | {"resilience": resilience})

    def specification(self) -> dict[str, Any] | None:
        """The options that were given; None where the device is a live object."""
        if self._device_object is not None:
            return None
        given = {key: value for key, value in self._given.items() if value not in (None, ())}
        defaults = {
            "optimization_level": 2, "seed_transpiler": 0, "max_executions": MAX_EXECUTIONS, "reuse_exact": False
        }  # fmt: skip
        return {"name": self.name} | {key: value for key, value in given.items() if defaults.get(key) != value}

    def close(self) -> None:
        """Close the session or batch, if one is open; the next job opens another."""
        self._execution.close()

    def __enter__(self) -> IBM:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        """The options only: a worker connects by itself. A machine's object holds a token and is left behind."""
        state = super().__getstate__()
        for derived in ("device", "max_shots", "_mode_by_plan", "_service"):
            state.pop(derived, None)
        if not self.is_local and self._device_object is not None:
            state["instance"] = self.instance or getattr(self._device_object, "_instance", None)
            state["_device_object"] = None
        return state

    def submit(
        self,
        device: Any,
        pubs: Sequence[Any],
        shots: int,
        seed: int | None,
        *,
        tag: str | None = None,
        before: Sequence[Any] = (),
    ) -> Any:
        """One job; it is not waited for.

        Args:
            device: where it runs.
            pubs: IBM's primitive unified blocs.
            shots: per circuit.
            seed: of the local simulator.
            tag: by which it can be found again.
            before: jobs of the same request that have been submitted.
        """
        make, _ = primitives()[self.primitive]
        tags = [*self._options["environment"]["job_tags"], *([tag] if tag else [])]
        options = self._options | {"environment": {"job_tags": tags}}
        if self.is_local:
            options["simulator"] = {**options["simulator"], "seed_simulator": seed}
        if self.primitive == "estimator":
            options["default_shots"] = shots
        try:
            with failures(f"submit a job to {self._device_name}", [job.job_id() for job in before]):
                primitive = make(mode=self._execution.on(device, self._mode_by_plan), options=options)
                return primitive.run(pubs) if self.primitive == "estimator" else primitive.run(pubs, shots=shots)
        except (RateLimitError, BackendUnavailableError):
            raise
        except BackendError as error:
            with failures(f"look after the {self._mode_by_plan}"):
                ended = self._execution.has_ended()
            if not ended:
                raise
            raise BackendUnavailableError(
                f"IBM Quantum has closed the {self._mode_by_plan} on {self._device_name}. "
                "Submit again: that opens another."
            ) from error

    def results_of(self, jobs: Sequence[Any]) -> list[Any]:
        """The results of jobs in local mode, waited for."""
        ids, results = [job.job_id() for job in jobs], []
        for job in jobs:
            with failures(f"return the result of job {job.job_id()}", ids):
                results.append(job.result())
        return results

    def _compile(self, circuit: Circuit) -> IBMExecutable:
        if circuit.n_wires > self.device.num_qubits:
            raise CapabilityError(
                f"`n_qubits` must be at most {self.device.num_qubits} to run on {self.name}; got {circuit.n_wires}. "
                'Use fewer qubits, or a larger device such as "ibm:fake_sherbrooke".'
            )
        settings = plan_measurements(circuit.measurements).settings
        self._check_gates()
        self._mode_by_plan  # refuses, before anything is submitted, what the plan has not  # noqa: B018
        if self.primitive == "estimator":
            self._check_expectations(circuit)
        if not settings:
            return IBMExecutable(circuit, self, None, (), {})
        source = DeviceNoise(self.device)
        placement = place(
            circuit,
            sorted({wire for setting in settings for wire in setting.wires}),
            target=self.device.target,
            basis_gates=source.basis_gates,
            optimization_level=self.optimization_level,
            seed=self.seed_transpiler,
            compact=self.is_local,
        )
        level, gates = self.optimization_level, source.basis_gates
        if self.primitive == "estimator":
            placed = [unmeasured(placement)]
        else:
            placed = [in_setting(placement, setting, gates, level) for setting in settings]
        device = self._local_device(placement, source) if self.is_local else self.device

        def executable(circuit: Circuit, placed: Sequence[BoundCircuit]) -> IBMExecutable:
            bound = [repeatable(each, gates) for each in placed]
            units = [Unit(each, each.measured(), None) for each in bound]
            if self.primitive == "estimator":
                observables = [_operator(m.observable, placement) for m in circuit.measurements]  # type: ignore[union-attr]
                units = [Unit(bound[0], bound[0].circuit, observables)]
            site = Site(placement, tuple(gates), executable, tuple(bound))
            return IBMExecutable(circuit, self, device, units, self._facts(placement, bound), site)

        return executable(circuit, placed)

    def _check_gates(self) -> None:
        """IBM's mitigation is written in the gates of its present machines."""
        asked = [name for name in ("twirling", "dynamical_decoupling") if self._options.get(name)]
        asked += ['primitive="estimator"'] if self.primitive == "estimator" else []
        missing = [gate for gate in ("rz", "sx", "x") if gate not in self.device.target.operation_names]
        if asked and missing:
            raise CapabilityError(
                f"`{asked[0]}` must be left out on {self.name}, which has no gate {', '.join(missing)}; "
                'IBM\'s code needs it. Use a device such as "ibm:fake_manila".'
            )

    def _check_expectations(self, circuit: Circuit) -> None:
        other = [m for m in circuit.measurements if not isinstance(m, Expectation)]
        if other:
            raise CapabilityError(
                f'`primitive="estimator"` must have expectation values to measure; got {other[0]}. '
                'Use primitive="sampler" without resilience options.'
            )

    def _local_device(self, placement: Placement, source: DeviceNoise) -> AerSimulator:
        """The qubits in use of a fake device; with 127 of them Aer would need minutes and memory for nothing."""
        noise = source.on(placement.physical, ())
        target = restricted(self.device.target, placement.physical)
        if self.decoupled:
            properties = [self.device.qubit_properties(q) for q in placement.physical]
            times = [[getattr(p, t) or float("inf") for p in properties] for t in ("t1", "t2")]
            relaxation = RelaxationNoisePass(*times, dt=target.dt, op_types=Delay)
            noise._custom_noise_passes.append(relaxation)
        return AerSimulator(target=target, noise_model=noise, max_parallel_threads=torch.get_num_threads())

    def _facts(self, placement: Placement, bound: Sequence[BoundCircuit]) -> dict[str, Any]:
        return {
            "depth": max(b.circuit.depth() for b in bound),
            "two_qubit_gates": max(sum(len(qubits) > 1 for _, qubits in gates_of(b.circuit)) for b in bound),
            "gates": max(sum(1 for _ in gates_of(b.circuit)) for b in bound),
            "device": self._device_name,
            "layout": {wire: placement.physical[qubit] for wire, qubit in placement.qubits.items()},
            "primitive": self.primitive,
            "execution_mode": self._mode_by_plan + (", on this machine" if self.is_local else ""),
        }


def _is_local(device: str | BackendV2) -> bool:
    if isinstance(device, str):
        return device.lower().startswith("fake_")
    return not any(cls.__name__ == "IBMBackend" for cls in type(device).__mro__)


def _operator(observable: PauliSum, placement: Placement) -> SparsePauliOp:
    """An observable on the qubits of the placed circuit."""
    terms = [
        ("".join(letter for _, letter in word), [placement.qubits[wire] for wire, _ in word], coefficient)
        for coefficient, word in observable.terms
    ]
    return SparsePauliOp.from_sparse_list(terms or [("", [], 0.0)], num_qubits=placement.body.num_qubits)


def survey() -> list[BackendInfo]:
    """A line for `qnn doctor`: whether an account is saved. Nobody is contacted."""
    name = "ibm:<machine>"
    try:
        runtime = require("qiskit_ibm_runtime", extra="ibm", purpose="IBM Quantum")
        accounts = runtime.QiskitRuntimeService.saved_accounts()
    except MissingDependencyError as error:
        return [BackendInfo(name, False, str(error))]
    except Exception as error:  # a damaged file of accounts
        return [BackendInfo(name, False, f"the saved accounts cannot be read: {without_secrets(str(error))}")]

    if accounts or os.environ.get("QISKIT_IBM_TOKEN"):
        return [BackendInfo(name, True, "credentials found, not tried; a job there may cost money")]
    return [
        BackendInfo(
            name,
            False,
            "no account is saved. Save one with QiskitRuntimeService.save_account(token=..., instance=...), "
            "or set QISKIT_IBM_TOKEN and QISKIT_IBM_INSTANCE",
        )
    ]
