"""Backends by name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch

from qnn.backends.base import Angles, Backend
from qnn.circuits.circuit import Circuit, Operation
from qnn.circuits.observables import Expectation, pauli
from qnn.errors import ArgumentError, QnnError, UnsupportedError, unknown_name

_CLASSES = {
    "statevector": ("qnn.backends.statevector", "Statevector"),
    "aer": ("qnn.backends.aer", "Aer"),
    "pennylane": ("qnn.backends.pennylane", "PennyLane"),
}
# Names that the design knows, and what to use until they exist.
_LATER = {
    "ibm": 'For the noise of an IBM device use backend="aer" with noise="fake_manila".',
    "braket": 'Use backend="statevector", or "pennylane:<device>" with the PennyLane plugin for Braket.',
}
_PLAIN = (str, int, float, bool, type(None))
_shared: dict[tuple[Any, ...], Backend] = {}


@dataclass(frozen=True)
class BackendInfo:
    """One line of `qnn doctor`.

    Attributes:
        name: as given to `resolve`.
        usable: whether it runs here.
        note: what it is, or why it is not usable and what to do.
    """

    name: str
    usable: bool
    note: str


def resolve(backend: str | Backend, **options: Any) -> Backend:
    """The backend of that name, with options.

    Args:
        backend: "statevector", "aer", "pennylane:<device>", or a `Backend`, which is returned as it is.
        **options: options of the backend's class, such as ``noise="fake_manila"`` for "aer". Equal names with equal
            plain options share one backend, and so its compiled circuits.

    Raises:
        UnknownNameError: no such backend.
        UnsupportedError: the backend is planned and not in this version.
        ArgumentError: the backend has no such option, or options are given with an object.
    """
    if isinstance(backend, Backend):
        if options:
            raise ArgumentError(
                f"`{next(iter(options))}` must be given to the backend object itself; got it beside {backend!r}. "
                "Build the object with that option, or give the backend's name."
            )
        return backend
    if not isinstance(backend, str):
        raise ArgumentError(
            f'`backend` must be a name or a qnn Backend; got {type(backend).__name__}. Use "statevector" for a start.'
        )
    family, device = _split(backend)
    cls = _load(family)
    _check_options(backend, cls, options)
    arguments = {"device": device, **options} if device else options
    if "seed" in options or not all(isinstance(value, _PLAIN) for value in arguments.values()):
        return cls(**arguments)  # a seeded device draws from a state of its own, which is not to be shared
    key = (family, *sorted((name, type(value).__name__, value) for name, value in arguments.items()))
    if key not in _shared:
        _shared[key] = cls(**arguments)
    return _shared[key]


def variant(present: Backend, backend: str | Backend | None, options: Mapping[str, Any]) -> tuple[Backend, bool]:
    """Another backend, or the present one with some options changed.

    Args:
        present: where things run now.
        backend: name or object; None, or the name of the present one, means that one.
        options: replace those of the present backend, or go to the new one.

    Returns:
        The backend, and whether it is the present kind.
    """
    if backend is not None and backend != present.name:
        return resolve(backend, **options), False
    if not options:
        return present, True
    specification = present.specification()
    if specification is None:
        raise ArgumentError(
            f"`{next(iter(options))}` must be set on a backend of plain options; got {present!r}, which has others. "
            "Build a backend object with all its options, and pass that."
        )
    return from_specification({**specification, **options}), True


def from_specification(specification: Mapping[str, Any]) -> Backend:
    """The backend that `Backend.specification` describes.

    Raises:
        ArgumentError: the description has no name.
    """
    options = dict(specification)
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise ArgumentError(f'`specification` must have a "name"; got {dict(specification)}. Take one from a backend.')
    return resolve(name, **options)


def list_backends() -> list[BackendInfo]:
    """Every backend that the design knows, and whether it runs here; imports what it can."""
    found = [_probe("statevector", "embedded simulator with adjoint gradients"), _probe("aer", "Qiskit Aer")]
    try:
        devices = import_module(_CLASSES["pennylane"][0]).list_devices()
    except ImportError as error:
        found.append(BackendInfo("pennylane:<device>", False, f"{error}. Install it with: pip install pennylane."))
        devices = []
    found += [_probe(f"pennylane:{name}", "PennyLane device") for name in devices]
    return found + [
        BackendInfo(f"{name}:<device>", False, f"not in this version. {hint}") for name, hint in _LATER.items()
    ]


def _probe(name: str, note: str) -> BackendInfo:
    """Run one gate on the backend."""
    circuit = Circuit(1, (Operation("PauliX", (0,)),), (Expectation(pauli("Z")),))
    try:
        resolve(name).compile(circuit).run(Angles(torch.zeros(0), torch.zeros(1, 0)))
    except (QnnError, ImportError) as error:
        return BackendInfo(name, False, " ".join(str(error).split()))
    return BackendInfo(name, True, note)


def _split(name: str) -> tuple[str, str | None]:
    """Family and device of a name such as "pennylane:default.qubit"."""
    family, colon, device = name.partition(":")
    if family in _LATER:
        raise UnsupportedError(f'Backend "{name}" is not part of this version of qnn. {_LATER[family]}')
    if family not in _CLASSES or (colon and family != "pennylane"):
        raise unknown_name("backend", name, ["statevector", "aer", "pennylane:<device>"])
    if family == "pennylane" and not device:
        raise ArgumentError(
            f'`backend` must name a PennyLane device after the colon; got "{name}". Write "pennylane:default.qubit".'
        )
    return family, device or None


def _load(family: str) -> type[Backend]:
    module, cls = _CLASSES[family]
    return getattr(import_module(module), cls)


def _check_options(name: str, cls: type[Backend], options: Mapping[str, Any]) -> None:
    """Refuse options that the class does not have; devices of PennyLane check their own."""
    parameters = [] if cls.__init__ is Backend.__init__ else list(inspect.signature(cls).parameters.values())
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
    known = [p.name for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD and p.name != "device"]
    for option in options:
        if option == "device" or (option not in known and not open_ended):
            exist = f"It has: {', '.join(known)}." if known else "It has no options."
            exist = "It takes the options of the PennyLane device." if open_ended else exist
            raise ArgumentError(f'Backend "{name}" has no option `{option}`. {exist}')
