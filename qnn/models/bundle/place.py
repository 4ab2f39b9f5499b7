"""Where the quantum layers of a loaded model run: as saved, or as the caller says."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qnn.backends import registry
from qnn.backends.base import Backend
from qnn.errors import ArgumentError, BundleError, QnnError
from qnn.layers import QuantumLayer
from qnn.models.bundle.fields import Value
from qnn.models.bundle.quantum import Place, check_gradient, check_shots

# Simulators on this machine. Anything else may cost money, reach a network or load a plug-in: the caller names it.
_HERE = re.compile(
    r"statevector|aer|ibm:fake_\w+|braket:local\w*|pennylane:(default\.|lightning\.|reference\.|qnn\.)[\w.]+"
)


def keep_place(layers: Sequence[QuantumLayer]) -> Callable[[int], Place]:
    """For each layer the backend object that it has now."""
    return lambda number: (
        lambda backend, shots, gradient: (
            layers[number].backend,
            check_shots(shots),
            check_gradient(gradient),
        )
    )


def stored_place(backend: str | Backend | None, options: Mapping[str, Any]) -> Callable[[int], Place]:
    """The stored place, or that of `load(backend=..., **options)`.

    Raises:
        ArgumentError: options without a backend.
    """
    options = dict(options)
    if backend is None and options:
        raise ArgumentError(
            f"`{next(iter(options))}` must be given with `backend`; got it alone. Name the backend, too."
        )

    def place(stored: Value, shots: Value, gradient: Value) -> tuple[Backend, int | None, str]:
        name = stored.any_entries()["name"].text() if "name" in stored.any_entries() else ""
        if backend is None:
            return _resolved(stored, name), check_shots(shots), check_gradient(gradient)
        given = {key: value for key, value in options.items() if key not in ("shots", "gradient")}
        if backend == name:
            made = registry.from_specification({**stored.data, **given})
            defaults = check_shots(shots), check_gradient(gradient)
        else:
            made, defaults = registry.resolve(backend, **given), (None, "auto")
        return made, options.get("shots", defaults[0]), options.get("gradient", defaults[1])

    return lambda number: place


def _resolved(stored: Value, name: str) -> Backend:
    if not _HERE.fullmatch(name):
        raise BundleError(
            f"`{stored.name}` must be a simulator on this machine to be used unasked; got {name!r}. "
            f'Name where to run: qnn.load(path, backend="statevector"), or backend={name!r} if you mean that.'
        )
    try:
        return registry.from_specification(stored.data)
    except (QnnError, TypeError, ValueError) as error:
        raise BundleError(
            f'`{stored.name}` must be a backend that runs here; got "{name}": {error} '
            'Or load elsewhere: qnn.load(path, backend="statevector").'
        ) from error
