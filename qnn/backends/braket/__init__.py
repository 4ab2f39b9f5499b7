"""Amazon Braket: its simulators on this machine, and its devices at AWS. The only door to Braket's SDK."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from functools import lru_cache, partial, reduce
from operator import matmul
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from qnn._optional import require
from qnn.backends.base import BackendInfo, Capabilities, Executable
from qnn.backends.braket import options as choices
from qnn.backends.braket.errors import failures
from qnn.backends.braket.executable import BraketExecutable, SettingProgram
from qnn.backends.braket.gates import BraketGates, translate
from qnn.backends.braket.places import AwsPlace, LocalPlace
from qnn.backends.braket.service import BraketService
from qnn.backends.braket.simulator import ReadsOnce
from qnn.backends.braket.words import WordReadout, word_readout
from qnn.backends.compiled import CompilingBackend
from qnn.backends.transpiling import LEVEL
from qnn.circuits.circuit import Circuit, n_layers
from qnn.circuits.settings import Setting, plan_measurements
from qnn.errors import (
    ArgumentError,
    AuthenticationError,
    CapabilityError,
    NoiseCoverageWarning,
    QnnError,
    UnknownNameError,
    unknown_name,
)
from qnn.jobs import Policy

if TYPE_CHECKING:
    from braket.circuits.noise_model import NoiseModel

Sampler = Literal["exact", "braket"]
_CONNECTIONS = 100  # as many as Braket's SDK keeps for a batch


class Braket(CompilingBackend):
    """A device of Amazon Braket; all rows of a call, shifted ones included, are one submission.

    On this machine that is one call of `LocalSimulator.run_batch`. At AWS it is a program set where the device takes
    them (split at its limits), and otherwise a task for every circuit. Every task is a job of the journal: the same run
    finds it again after a crash, nothing is submitted twice, the meter counts tasks as jobs, and an error has the ARNs
    of all tasks as its attribute `job_ids`.

    Nothing at AWS has been tried: see docs/providers/braket.md.

    Args:
        device: "local" (state vector) or "local_dm" (density matrix) on this machine; "sv1", "dm1" or "tn1" at AWS;
            or the ARN of a device.
        noise: for density matrices. A probability p depolarizes, after each gate, the qubits that it acts on: one or
            two qubits together, three one by one. A `braket.circuits.noise_model.NoiseModel` is applied to the circuit
            in Braket's gates, its readout noise included.
        sampler: "exact" samples the exact outcome distribution by key, so that a seed repeats a run; "braket" takes the
            device's own shots, which cannot be seeded. None: "exact" on this machine, and "braket" at AWS, where no
            device returns exact distributions.
        s3_folder: "bucket/prefix" for the results of tasks at AWS. None: Braket's default bucket, which is made if need
            be.
        timeout_s: seconds for all tasks of a call at AWS, from the first request to the last result; None: as long as
            it takes.
        max_parallel: tasks of a call that are at AWS at the same time; None: 10.
        journal: file of the jobs at AWS; None: that of the user, see `qnn.jobs.default_path`.
        retry_s: seconds for which requests to AWS that fail for now are repeated; None: 600.
        reuse_exact: whether exact results of other runs are used, too; None: no.
        verbatim: for machines. True transpiles circuits here, to the machine's native gates on qubits of its own, and
            has them executed as they are; `mitigation` does the same. False: by the machine's own compiler.
        optimization_level: of Qiskit's transpiler, 0 to 3, with `verbatim`.
        seed_transpiler: seed of its layout and routing heuristics.

    Raises:
        MissingDependencyError: amazon-braket-sdk is not installed.
        UnknownNameError: no such device or sampler.
        ArgumentError: an option has no meaning for this device, or a value that cannot be used.
        CapabilityError: the device has no noise, or no exact distributions.
    """

    def __init__(
        self,
        device: str = "local",
        noise: float | NoiseModel | None = None,
        sampler: Sampler | None = None,
        s3_folder: str | None = None,
        timeout_s: float | None = None,
        max_parallel: int | None = None,
        journal: str | Path | None = None,
        retry_s: float | None = None,
        reuse_exact: bool | None = None,
        verbatim: bool = False,
        optimization_level: int = LEVEL,
        seed_transpiler: int = 0,
    ) -> None:
        super().__init__()
        self.device = device
        self.name = f"braket:{device}"
        self.noise = noise
        self.s3_folder, self.max_parallel = s3_folder, max_parallel
        self._patience: dict[str, Any] = {
            "timeout_s": timeout_s,
            "journal": journal,
            "retry_s": retry_s,
            "reuse_exact": reuse_exact,
        }
        self._given_sampler = sampler
        self._service: BraketService | None = None  # one session and one look at the device for all circuits
        self._at_aws: AwsPlace | None = None
        self._arn = choices.arn_of(device)
        self._simulator = choices.simulator_of(device)
        self.sampler = choices.sampler_for(self._simulator, sampler, self.name)
        remote = {"s3_folder": s3_folder, "max_parallel": max_parallel, **self._patience}
        choices.check_remote(remote, self.name, is_remote=self._arn is not None)
        self.policy = Policy(**{name: value for name, value in self._patience.items() if value is not None})
        self._transpiler = {"optimization_level": optimization_level, "seed_transpiler": seed_transpiler}
        self._verbatim = verbatim
        choices.check_verbatim(verbatim, self._transpiler, self.name, is_machine=self._simulator is None)
        if noise is not None:
            choices.check_noisy(self._simulator, noise, self.name)
        require("braket.circuits", extra="braket", purpose="The backend `braket`")
        self._check_noise()

    def _check_noise(self) -> None:
        """Refuse what is neither a probability nor Braket's noise model."""
        if self.noise is None or choices.is_probability(self.noise):
            return
        from braket.circuits.noise_model import NoiseModel

        if not isinstance(self.noise, NoiseModel):
            raise ArgumentError(
                "`noise` must be a probability or a braket.circuits.noise_model.NoiseModel; "
                f"got {type(self.noise).__name__}. Try noise=0.01."
            )

    @property
    def capabilities(self) -> Capabilities:
        """As known without asking AWS; the wires of a machine are checked when a circuit is compiled for it."""
        known = self._simulator
        return Capabilities(
            exact=known is not None and known.exact,
            noisy=self.noise is not None or known is None,
            remote=self._arn is not None,
            keyed=self.sampler == "exact",
            max_wires=None if known is None else known.n_qubits,
            verbatim=known is not None or self._verbatim,  # machines have compilers of their own
        )

    def verbatim(self) -> Braket:
        """The device without a compiler of its own behind `compile`."""
        if self.capabilities.verbatim:
            return self
        return Braket(self.device, sampler=self._given_sampler, **self._options_of_aws(), verbatim=True)

    def specification(self) -> dict[str, Any] | None:
        """The options that differ from their defaults; None when `noise` is a live object."""
        if not isinstance(self.noise, int | float | None):
            return None
        verbatim = {"verbatim": True, **self._transpiler} if self._verbatim else {}
        return self._options(noise=self.noise, sampler=self._given_sampler, **verbatim)

    def _options(self, **further: Any) -> dict[str, Any]:
        """The name and the options for AWS, and further ones, where they are given."""
        options = {**self._options_of_aws(), **further}
        return {"name": self.name} | {key: value for key, value in options.items() if value is not None}

    def _options_of_aws(self) -> dict[str, Any]:
        patience = self._patience | {"journal": self.policy.journal}
        return {"s3_folder": self.s3_folder, "max_parallel": self.max_parallel, **patience}

    def service(self) -> BraketService | None:
        """The tasks at AWS, also while the device is offline; None on this machine.

        Raises:
            BackendError: AWS is out of reach, or refuses the credentials.
        """
        if self._arn is None:
            return None
        if self._service is None:
            folder = None if self.s3_folder is None else choices.bucket_and_prefix(self.s3_folder)
            self._service = BraketService(_connect(self._arn, self.name), _attach, self.name, folder, self.max_parallel)
        return self._service

    def _compile(self, circuit: Circuit) -> Executable:
        """Translate the circuit; a device at AWS is asked for its properties, nothing is submitted."""
        settings = plan_measurements(circuit.measurements).settings
        if not settings:
            return BraketExecutable(circuit, self, None, (), {})
        place = self._place()
        if isinstance(place, AwsPlace) and self._verbatim:
            return self._compile_verbatim(circuit, settings, place)
        gates = place.gates if isinstance(place, AwsPlace) else None
        translated = [translate(circuit, setting, gates) for setting in settings]
        self._check_width(max(t.n_qubits for t in translated), place)
        programs = [self._program(t, setting) for t, setting in zip(translated, settings, strict=True)]
        facts = {
            "depth": max(n_layers((step.qubits for step in t.steps), t.n_qubits) for t in translated),
            "two_qubit_gates": max(sum(len(step.qubits) > 1 for step in t.steps) for t in translated),
            "device": self.device,
        }
        return BraketExecutable(circuit, self, place, programs, facts)

    def _compile_verbatim(self, circuit: Circuit, settings: Sequence[Setting], place: AwsPlace) -> Executable:
        """Transpile the circuit to the machine's native gates, on the machine's qubits."""
        from qnn.backends.braket.verbatim import placed

        self._check_width(circuit.n_wires, place)

        def make(circuit: Circuit, gates: Sequence[BraketGates], facts: dict[str, Any], site: Any) -> BraketExecutable:
            programs = [
                self._program(each, setting)
                for each, setting in zip(gates, plan_measurements(circuit.measurements).settings, strict=True)
            ]
            return BraketExecutable(circuit, self, place, programs, facts | {"device": self.device}, site)

        return placed(circuit, settings, place.native, make, **self._transpiler)

    def _place(self) -> LocalPlace | AwsPlace:
        """Where circuits run. A local simulator belongs to one circuit; a device at AWS is connected to once."""
        if self._arn is None:
            from braket.devices import LocalSimulator

            assert self._simulator is not None
            return LocalPlace(LocalSimulator(_simulator_class(self._simulator.density)()), self.name)
        if self._at_aws is None:
            service = self.service()
            assert service is not None
            # what a process needs that only waits for tasks, and which a live noise model could not be part of
            place = AwsPlace(service, _program_set, self.policy, self._options())
            place.check_open()
            self._at_aws = place
        return self._at_aws

    def __getstate__(self) -> dict[str, Any]:
        """The options, without the session at AWS."""
        return super().__getstate__() | {"_at_aws": None, "_service": None}

    def _check_width(self, n_qubits: int, place: LocalPlace | AwsPlace) -> None:
        limits = [place.n_qubits] if isinstance(place, AwsPlace) else []
        limits += [] if self._simulator is None else [self._simulator.n_qubits]
        if n_qubits > min(limits):
            raise CapabilityError(
                f"`n_qubits` must be at most {min(limits)} to run on {self.name}; got {n_qubits}. "
                "Use fewer qubits, or a larger device."
            )

    def _program(self, gates: BraketGates, setting: Setting) -> SettingProgram:
        measured = self._with_noise(gates)
        words = None if self._arn is None else partial(word_readout, setting, self.name)
        number = dict(zip(setting.wires, gates.measured, strict=True))
        exact = partial(_exact_program, measured, gates, number)
        return SettingProgram(gates, exact, partial(_measured_program, measured), words)

    def _with_noise(self, gates: BraketGates) -> Any:
        """The Braket circuit that measures every qubit."""
        depolarizing = self.noise if isinstance(self.noise, int | float) else None
        circuit = _circuit(gates, depolarizing)
        if self.noise is None or depolarizing is not None:
            return circuit
        from braket.circuits import Noise

        try:
            noisy = self.noise.apply(circuit)  # type: ignore[union-attr]
        except ValueError as error:
            raise ArgumentError(
                f"`noise` must fit the gates of the circuit; Braket says: {error}. "
                "Restrict noise of two qubits to gates of two, as in GateCriteria(Gate.CNot)."
            ) from error
        if not any(isinstance(instruction.operator, Noise) for instruction in noisy.instructions):
            names = ", ".join(sorted({step.name for step in gates.steps}))
            warnings.warn(
                f"The noise model says nothing about this circuit, whose gates are: {names}. It runs without noise.",
                NoiseCoverageWarning,
                stacklevel=2,
            )
        return noisy


def survey() -> list[BackendInfo]:
    """What is missing to use the devices at AWS, found without contacting anybody."""
    names = ("braket:sv1", "braket:dm1", "braket:<device arn>")
    try:
        missing = _missing_at_aws()
    except QnnError as error:
        missing = " ".join(str(error).split())
    note = "Amazon Braket at AWS: credentials and a region are set, and were not tried; tasks cost money"
    return [BackendInfo(name, not missing, missing or note) for name in names]


def _missing_at_aws() -> str:
    """What is not configured, and how to; empty when nothing is missing."""
    core = require("botocore.session", extra="braket", purpose="Amazon Braket at AWS")
    with failures("read the configuration of AWS"):
        session = core.get_session()
        chain = session.get_component("credential_provider")
        for asking in ("iam-role", "container-role", "custom-process"):  # these would ask a server or run a program
            chain.remove(asking)
        missing = []
        if "credential_process" not in session.get_scoped_config() and chain.load_credentials() is None:
            missing.append("no AWS credentials (set them with `aws configure` or AWS_ACCESS_KEY_ID)")
        if not (os.environ.get("AWS_REGION") or session.get_config_variable("region")):
            missing.append("no AWS region (set AWS_DEFAULT_REGION, such as us-east-1)")
    return " and ".join(missing)


def _connect(arn: str, name: str) -> Any:
    """The `AwsDevice`, which asks AWS for the device's properties.

    Raises:
        AuthenticationError: no credentials or no region, found before AWS is contacted, or refused by it.
        UnknownNameError: AWS knows no such device.
    """
    from boto3 import Session
    from botocore.config import Config
    from braket.aws import AwsDevice, AwsSession

    try:
        with failures(f"connect to {name}"):
            session = Session(region_name=os.environ.get("AWS_REGION"))
            if session.region_name is None and (region := arn.split(":")[3]):
                session = Session(region_name=region)
            if session.get_credentials() is None:
                raise AuthenticationError(
                    f'Backend "{name}" needs AWS credentials, and none are set. Set them by AWS\'s own means: '
                    "`aws configure`, `aws sso login`, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
                )
            if session.region_name is None:
                raise AuthenticationError(
                    f'Backend "{name}" needs an AWS region, and none is set. '
                    "Set AWS_DEFAULT_REGION to one of Amazon Braket, such as us-east-1."
                )
            connections = Config(max_pool_connections=_CONNECTIONS)
            return AwsDevice(arn, aws_session=AwsSession(boto_session=session, config=connections))
    except UnknownNameError as error:
        raise unknown_name("Amazon Braket device", arn, _listed()) from error


def _attach(arn: str, session: Any) -> Any:
    """The task of that ARN, made by whichever process."""
    from braket.aws import AwsQuantumTask

    return AwsQuantumTask(arn, aws_session=session, quiet=True)


def _listed() -> list[str]:
    """ARNs of the devices that the installed SDK lists."""
    from braket.devices import Devices

    families = [family for family in vars(Devices).values() if isinstance(family, type)]
    return [
        str(member.value)
        for family in families
        for name, member in getattr(family, "__members__", {}).items()
        if not name.startswith("_")
    ]


def _circuit(gates: BraketGates, depolarizing: float | None = None) -> Any:
    """The Braket circuit that measures every qubit, with depolarizing noise after each gate.

    Native gates are within a verbatim box; those qubits of the machine are measured that are asked for.
    """
    from braket.circuits import Circuit as BraketCircuit
    from braket.circuits import FreeParameter

    circuit = BraketCircuit()
    for step in gates.steps:
        angles = [FreeParameter(gates.parameters[a]) if isinstance(a, int) else a for a in step.angles]
        getattr(circuit, step.name)(*step.qubits, *angles)
        if depolarizing is None:
            continue
        if len(step.qubits) == 2:
            circuit.two_qubit_depolarizing(*step.qubits, probability=depolarizing)
        else:
            for qubit in step.qubits:
                circuit.depolarizing(qubit, probability=depolarizing)
    if gates.verbatim:
        return BraketCircuit().add_verbatim_box(circuit).measure(list(gates.measured))
    return circuit.measure(list(range(gates.n_qubits)))


def _measured_program(measured: Any) -> Any:
    """OpenQASM of a circuit that measures every qubit."""
    from braket.circuits.serialization import IRType

    return measured.to_ir(IRType.OPENQASM)


def _exact_program(measured: Any, gates: BraketGates, number: dict[int, int], readout: WordReadout | None) -> Any:
    """OpenQASM that returns the outcome probabilities of the measured wires, or expectation values of Z words.

    Made from the circuit that measures, since Braket adds readout noise before measurements only.
    """
    from braket.circuits import Circuit as BraketCircuit
    from braket.circuits import Observable
    from braket.circuits.measure import Measure
    from braket.circuits.serialization import IRType

    exact = BraketCircuit([i for i in measured.instructions if not isinstance(i.operator, Measure)])
    for qubit in range(gates.n_qubits):
        if qubit not in exact.qubits:
            exact.i(qubit)
    if readout is None:
        exact.probability(target=list(gates.measured))
    else:
        for word in readout.words:
            exact.expectation(
                observable=reduce(matmul, [Observable.Z() for _ in word]), target=[number[wire] for wire in word]
            )
    return exact.to_ir(IRType.OPENQASM)


def _program_set(programs: list[tuple[Any, list[dict[str, float]]]], shots: int) -> Any:
    """All rows of all programs as one program set."""
    from braket.ir.openqasm import Program
    from braket.program_sets import ProgramSet

    made = []
    for program, rows in programs:
        if rows[0]:
            columns = {name: [row[name] for row in rows] for name in rows[0]}
            made.append(Program(source=program.source, inputs=columns))
        else:
            made += [Program(source=program.source)] * len(rows)
    return ProgramSet(made, shots_per_executable=shots)


@lru_cache(maxsize=2)
def _simulator_class(density: bool) -> type:
    from braket.default_simulator import DensityMatrixSimulator, StateVectorSimulator

    base = DensityMatrixSimulator if density else StateVectorSimulator
    return type(f"ReadsOnce{base.__name__}", (ReadsOnce, base), {})
