"""Backends by name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import torch

from qnn.backends.base import Angles, Backend, BackendInfo
from qnn.circuits.circuit import Circuit, Operation
from qnn.circuits.observables import Expectation, pauli
from qnn.errors import ArgumentError, QnnError, unknown_name

_CLASSES = {  # by the name of their module
    "statevector": "Statevector",
    "aer": "Aer",
    "pennylane": "PennyLane",
    "ibm": "IBM",
    "braket": "Braket",
    "fakecloud": "FakeCloud",
}
# What names a device after a colon: an example to write.
_WITH_DEVICE = {
    "pennylane": "pennylane:default.qubit",
    "ibm": "ibm:fake_manila",
    "braket": "braket:local",
    "fakecloud": "fakecloud:http://127.0.0.1:8137",
}
_PLAIN = (str, int, float, bool, type(None))
_shared: dict[tuple[Any, ...], Backend] = {}


def resolve(backend: str | Backend, **options: Any) -> Backend:
    """The backend of that name, with options.

    Args:
        backend: "statevector", "aer", "pennylane:<device>", "ibm:<device>", "braket:<device>", "fakecloud:<url>", or a
            `Backend`, which is returned as it is.
        **options: options of the backend's class, such as ``noise="fake_manila"`` for "aer". Equal names with equal
            plain options share one backend, and so its compiled circuits. Every backend on this machine has
            ``workers=4``, and with it ``rows_per_task``: see `qnn.backends.Workers`. Every backend has
            ``mitigation="readout"``, "zne", "readout+zne" or a dictionary of options: see `qnn.backends.Mitigated`.

    Raises:
        UnknownNameError: no such backend.
        ArgumentError: the backend has no such option, or options are given with an object.
    """
    mitigation = options.pop("mitigation", None)
    if mitigation is not None:
        return _mitigated(resolve(backend, **options), mitigation)
    workers, rows_per_task = (options.pop(name, None) for name in ("workers", "rows_per_task"))
    if workers is not None:
        spread = {"processes": workers} | ({} if rows_per_task is None else {"rows_per_task": rows_per_task})
        return _load_module("workers").Workers(resolve(backend, **options), **spread)
    if rows_per_task is not None:
        raise ArgumentError(
            f"`rows_per_task` must come with `workers`; got {rows_per_task!r} alone. Add workers=4, or leave it out."
        )
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


def _mitigated(inner: Backend, mitigation: object) -> Backend:
    """`inner` with mitigation; shared, with its calibrations, where `inner` is."""
    room = _load_module("mitigation")
    found = room.Mitigated(inner, **room.read(mitigation))
    if not any(inner is shared for shared in _shared.values()):
        return found
    return _shared.setdefault(("mitigation", id(inner), repr(found.mitigation.plain())), found)


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
    """Every backend that qnn knows, and whether it runs here; imports what it can, and contacts nobody."""
    found = [_probe("statevector", "embedded simulator with adjoint gradients"), _probe("aer", "Qiskit Aer")]
    found += [_probe(f"pennylane:{name}", "PennyLane device") for name in _load_module("pennylane").list_devices()]
    found.append(_probe("ibm:fake_manila", "IBM's fake devices, on this machine"))
    found.append(_probe("braket:local", "Amazon Braket's local simulator"))
    for family in ("ibm", "braket", "fakecloud"):
        found += _load_module(family).survey()
    return found


def _probe(name: str, note: str) -> BackendInfo:
    """Run one gate on the backend."""
    circuit = Circuit(1, (Operation("PauliX", (0,)),), (Expectation(pauli("Z")),))
    angles, keys = Angles(torch.zeros(0), torch.zeros(1, 0)), torch.zeros(1, 5, dtype=torch.int64)
    try:
        backend = resolve(name)
        backend.compile(circuit).run(angles, shots=None if backend.capabilities.exact else 1, keys=keys)
    except (QnnError, ImportError) as error:
        return BackendInfo(name, False, " ".join(str(error).split()))
    return BackendInfo(name, True, note)


def _split(name: str) -> tuple[str, str | None]:
    """Family and device of a name such as "pennylane:default.qubit"."""
    family, colon, device = name.partition(":")
    if family not in _CLASSES or (colon and family not in _WITH_DEVICE):
        raise unknown_name("backend", name, [f"{f}:<device>" if f in _WITH_DEVICE else f for f in _CLASSES])
    if family in _WITH_DEVICE and not device:
        raise ArgumentError(
            f'`backend` must name a device after the colon; got "{name}". Write "{_WITH_DEVICE[family]}".'
        )
    return family, device or None


def _load(family: str) -> type[Backend]:
    return getattr(_load_module(family), _CLASSES[family])


def _load_module(family: str) -> Any:
    return import_module(f"qnn.backends.{family}")


def _check_options(name: str, cls: type[Backend], options: Mapping[str, Any]) -> None:
    """Refuse options that the class does not have; devices of PennyLane check their own."""
    parameters = [] if cls.__init__ is Backend.__init__ else list(inspect.signature(cls).parameters.values())
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
    named = "device" if ":" in name else None  # it is in the name already
    known = [p.name for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD and p.name != named]
    for option in options:
        if option == named or (option not in known and not open_ended):
            exist = f"It has: {', '.join(known)}." if known else "It has no options."
            exist = "It takes the options of the PennyLane device." if open_ended else exist
            raise ArgumentError(f'Backend "{name}" has no option `{option}`. {exist}')
