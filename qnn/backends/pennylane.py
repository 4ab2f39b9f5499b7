"""Any PennyLane device as a backend."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pennylane as qml
import torch
from pennylane.tape import QuantumScript

from qnn.backends.base import Angles, Capabilities, Estimate, Executable
from qnn.backends.compiled import CompilingBackend
from qnn.backends.estimation import from_counts, like
from qnn.backends.operands import check_operands, dense_angles
from qnn.backends.pennylane_service import PluginService
from qnn.backends.requests import run_jobs
from qnn.circuits import replay
from qnn.circuits.circuit import Circuit, Slot
from qnn.circuits.settings import Setting
from qnn.errors import ArgumentError, BackendError, CapabilityError, unknown_name
from qnn.jobs import Policy

# Devices that PennyLane itself lists and that are not made of qubits, or compute nothing.
_NOT_QUBITS = frozenset({"default.gaussian", "default.qutrit", "default.qutrit.mixed", "null.qubit"})

# Simulators of PennyLane's own, known to apply the gates that they are given; a plugin may transpile.
_AS_WRITTEN = ("default.", "lightning.", "reference.")


class PennyLane(CompilingBackend):
    """A PennyLane device; rows run by parameter broadcasting where it has that, else by PennyLane's expansion.

    Args:
        device: short name as for `pennylane.device`, such as "lightning.qubit".
        as_written: whether the device executes the gates that it is given on the wires that they are on, which is what
            `mitigation` needs. Known of PennyLane's own simulators; of plugins, which may compile circuits for a
            machine, you must know it: switch their compilers off, and say True. None: what is known.
        remote: whether calls become jobs at a provider. They then go through the journal of jobs: a call whose result
            is there is not made again by the same run.
        journal: file of the jobs of a remote device; None: that of the user, see `qnn.jobs.default_path`.
        **device_options: options of the device. Without `wires` each circuit gets a device of its own size.
            A `seed` makes the device's shots repeatable from its first call on; sampling keys have no effect, so
            rows and steps are as independent as the device's own generator makes them.

    Raises:
        UnknownNameError: no such device is installed.
        ArgumentError: the device refuses an option, `as_written` or `remote` is no truth value, or `shots` is given
            here instead of in the run.
        BackendError: the device needs a package that is missing.
    """

    WITHOUT_VERBATIM = "Where its device executes circuits as they are, say so: as_written=True."

    def __init__(
        self,
        device: str = "default.qubit",
        as_written: bool | None = None,
        remote: bool = False,
        journal: str | None = None,
        **device_options: Any,
    ) -> None:
        super().__init__()
        self.device = device
        self.as_written, self.remote = as_written, remote
        self.device_options = device_options
        self.name = f"pennylane:{device}"
        if device not in list_devices():
            raise unknown_name("PennyLane device", device, list_devices())
        if "shots" in device_options:
            raise ArgumentError(
                f"`shots` must be given to the layer or to `run`, not to the device; got {device_options['shots']!r}. "
                'Write QuantumLayer(..., backend="pennylane:...", shots=1024).'
            )
        for option, value in (("as_written", as_written), ("remote", remote)):
            if not isinstance(value, bool | None):
                raise ArgumentError(f"`{option}` must be True or False; got {value!r}. Use True.")
        if journal is not None and not remote:
            raise ArgumentError(
                f"`journal` must come with remote=True; got {journal!r} for a device on this machine. Leave it out."
            )
        if remote:
            _written_down(device_options)
        self.policy = Policy(journal)
        self._service = PluginService(self.name) if remote else None
        self._n_wires: int | None = None
        if device_options:
            made = self._make_device(1)  # so that a wrong option is refused here and not at the first circuit
            self._n_wires = len(made.wires) if made.wires and "wires" in device_options else None

    @property
    def capabilities(self) -> Capabilities:
        """Exact and with shots; the device draws by itself, so keys are not honoured."""
        limits = [self._n_wires, _memory_limit(self.device)]
        return Capabilities(
            keyed=False,
            remote=bool(self.remote),
            max_wires=min((n for n in limits if n is not None), default=None),
            verbatim=self.device.startswith(_AS_WRITTEN) if self.as_written is None else self.as_written,
        )

    def specification(self) -> dict[str, Any] | None:
        """Name and options; None when an option is a live object, or a seed, which one device alone must draw from."""
        if "seed" in self.device_options or not all(
            isinstance(value, str | int | float | bool | None) for value in self.device_options.values()
        ):
            return None
        remote = {"remote": True, "journal": self.policy.journal} if self.remote else {}
        known = {"as_written": self.as_written, **remote}
        given = {key: value for key, value in known.items() if value is not None}
        return {"name": self.name} | given | self.device_options

    def service(self) -> PluginService | None:
        """Its calls as jobs; None for a device on this machine."""
        return self._service

    def _compile(self, circuit: Circuit) -> PennyLaneExecutable:
        if self._n_wires is not None and circuit.n_wires > self._n_wires:
            raise CapabilityError(
                f"`n_qubits` must be at most {self._n_wires} on {self.name} with wires={self._n_wires}; "
                f"got {circuit.n_wires}. Leave `wires` out, or give more."
            )
        return PennyLaneExecutable(circuit, self, self._make_device(circuit.n_wires))

    def _make_device(self, n_wires: int) -> qml.devices.Device:
        options = {"wires": n_wires} | self.device_options
        try:
            return qml.device(self.device, **options)
        except TypeError as error:
            raise ArgumentError(
                f'`device_options` must be options of "{self.device}"; got {sorted(self.device_options)} ({error}). '
                "Look them up in the device's documentation."
            ) from error
        except Exception as error:  # a plugin may raise anything
            raise BackendError(f'The PennyLane device "{self.device}" cannot be made: {error}') from error


class PennyLaneExecutable(Executable):
    """A circuit on one PennyLane device."""

    def __init__(self, circuit: Circuit, backend: PennyLane, device: qml.devices.Device) -> None:
        super().__init__(circuit, backend)
        self.backend: PennyLane = backend
        self._device = device

    def run(self, angles: Angles, *, shots: int | None = None, keys: torch.Tensor | None = None) -> Estimate:
        """Execute every row of every setting in one call of the device.

        Raises:
            BackendError: the device cannot run the circuit, or cannot run it exactly.
            BudgetError: a budget has no room for the call.
            JournalError, JobNotFoundError: for a remote device; see `PluginService`.
        """
        check_operands(self.circuit, angles, shots, keys)
        n_rows = angles.n_rows
        if n_rows == 0 or (shots is not None and not self.plan.settings):
            counts = [np.zeros((n_rows, 2 ** len(s.wires)), dtype=np.int64) for s in self.plan.settings]
            result = Estimate(like(np.zeros((n_rows, self.circuit.n_outputs)) + self.plan.constants, angles))
            return result if shots is None else from_counts(self.plan, counts, angles, shots)
        blocks = self._journaled(angles, shots, keys) if self.backend.remote else self._counted(angles, shots)
        if shots is None:
            return Estimate(like(blocks[0], angles))
        return from_counts(self.plan, blocks, angles, shots)

    def circuits_per_row(self, shots: int | None) -> int:
        """One per measurement setting when sampling, none where only constants are sampled; one for exact values."""
        return len(self.plan.settings) if shots else 1

    def _counted(self, angles: Angles, shots: int | None) -> list[np.ndarray]:
        """What the device returns, taken from budgets and counted in meters."""
        self.reserve(angles.n_rows, shots)
        found = self._called(angles, shots)
        self.record(angles.n_rows, shots)
        return found

    def _journaled(self, angles: Angles, shots: int | None, keys: torch.Tensor | None) -> list[np.ndarray]:
        """The same as one job of the journal."""
        service = self.backend.service()
        assert service is not None
        (found,) = run_jobs(
            self,
            service,
            self.backend.policy,
            dense_angles(angles),
            keys,
            shots=shots,
            rows_per_job=angles.n_rows,
            payload=lambda part: lambda: self._called(angles, shots),
            form=lambda part: {},
            options={"device": _written_down(self.backend.device_options)},
        )
        return found

    def _called(self, angles: Angles, shots: int | None) -> list[np.ndarray]:
        """Counts of each setting (N, 2^k); without shots the outputs (N, M)."""
        columns = self._columns(angles, repeat=shots is not None)
        if shots is None:
            return [self._exact(columns, angles.n_rows)]
        return self._counts(columns, angles.n_rows, shots)

    def _columns(self, angles: Angles, *, repeat: bool) -> dict[Slot, Any]:
        """The value of every slot: numbers where all rows agree, arrays (N,) where they differ or must be repeated."""
        dense = dense_angles(angles)
        n_shared = self.circuit.n_shared
        columns: dict[Slot, Any] = {}
        for slot in self.circuit.slot_operations:
            column = dense[:, slot.index + (n_shared if slot.block == "rows" else 0)]
            alike = slot.block == "shared" and (self.circuit.n_rows > 0 or not repeat)
            columns[slot] = float(column[0]) if alike or len(column) == 1 else column
        return columns

    def _exact(self, columns: dict[Slot, Any], n_rows: int) -> np.ndarray:
        """Exact outputs, shape (N, M)."""
        processes = [replay.measurement_process(m) for m in self.circuit.measurements]
        results = self._execute([QuantumScript(self._gates(columns), processes)])[0]
        results = [results] if len(processes) == 1 else results
        blocks = [
            np.broadcast_to(np.asarray(result).reshape(-1, m.n_outputs), (n_rows, m.n_outputs))
            for result, m in zip(results, self.circuit.measurements, strict=True)
        ]
        return np.concatenate(blocks, axis=1)

    def _counts(self, columns: dict[Slot, Any], n_rows: int, shots: int) -> list[np.ndarray]:
        """How often each outcome was seen in each setting, shape (N, 2^k)."""
        repeated = any(isinstance(column, np.ndarray) for column in columns.values()) or n_rows == 1
        partition = shots if repeated else [shots] * n_rows  # without arrays nothing is broadcast: repeat the shots
        scripts = [
            QuantumScript(
                [*self._gates(columns), *_basis_change(setting)],
                [qml.probs(wires=list(setting.wires))],
                shots=partition,
            )
            for setting in self.plan.settings
        ]
        return [
            np.rint(np.asarray(result).reshape(n_rows, -1) * shots).astype(np.int64)
            for result in self._execute(scripts)
        ]

    def _gates(self, columns: dict[Slot, Any]) -> list[Any]:
        with qml.QueuingManager.stop_recording():
            return replay.queue(self.circuit, columns.__getitem__)

    def _execute(self, scripts: Sequence[QuantumScript]) -> Sequence[Any]:
        try:
            return qml.execute(scripts, self._device, diff_method=None, interface=None, cache=False)
        except Exception as error:  # a plugin may raise anything
            exact = "" if scripts[0].shots else " exactly"
            raise BackendError(
                f'The PennyLane device "{self._device.name}" cannot run this circuit{exact}: {error}. '
                'Use another device, such as backend="pennylane:default.qubit"' + (", or give shots." if exact else ".")
            ) from error


def _written_down(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a device as plain data, by which its jobs are told from those of the same device with others.

    Raises:
        ArgumentError: an option is a live object without a name.
    """
    found: dict[str, Any] = {}
    for option, value in options.items():
        name = getattr(value, "name", None)
        name = name() if callable(name) else name
        if isinstance(name, str):
            found[option] = [type(value).__qualname__, name]
            continue
        try:
            found[option] = json.loads(json.dumps(value))
        except TypeError as error:
            raise ArgumentError(
                f"`{option}` must be plain data, or have a name, on a remote device, whose jobs are known by their "
                f"options; got {type(value).__name__}. Give the name of what it is, or leave `remote` out."
            ) from error
    return found


_STATES = {"default.qubit": 1, "lightning.qubit": 1, "lightning.kokkos": 1, "reference.qubit": 1, "default.mixed": 2}


def _memory_limit(device: str) -> int | None:
    """Wires of the largest state that fits in this machine's memory, of devices known to hold one in full.

    2^n amplitudes of 16 bytes, or a density matrix of 4^n.
    """
    if device not in _STATES:
        return None
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return ((memory // 16).bit_length() - 1) // _STATES[device]


def list_devices() -> list[str]:
    """Names of the installed PennyLane devices that are made of qubits."""
    return sorted(name for name in qml.plugin_devices if name not in _NOT_QUBITS and not name.startswith("qnn."))


def _basis_change(setting: Setting) -> list[Any]:
    """The gates that turn the setting's basis into that of Z."""
    gates: list[Any] = []
    with qml.QueuingManager.stop_recording():
        for wire, letter in setting.basis:
            if letter == "Y":
                gates.append(qml.adjoint(qml.S)(wires=wire))
            if letter != "Z":
                gates.append(qml.Hadamard(wire))
    return gates
