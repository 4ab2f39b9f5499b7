"""`qnn.run`: a circuit from anywhere, on any backend, in one job."""

from __future__ import annotations

import warnings
from contextvars import Context
from typing import Any

import numpy as np
import torch

from qnn._integers import checked_seed, whole
from qnn._seeding import draw_root, row_keys
from qnn.backends import read_out, registry
from qnn.backends.base import Angles, Backend
from qnn.circuits.circuit import Circuit
from qnn.circuits.observables import Measurement, Probabilities
from qnn.errors import ArgumentError, CapabilityError, NoEffectWarning
from qnn.running.observables import measurements_of, written
from qnn.running.result import Result
from qnn.running.sources import Source, as_source

_MAX_OUTCOMES = 2**26  # probabilities of all rows: 512 MiB
_MAX_MEASURED = 24  # wires


def run(
    circuit: Any,
    backend: str | Backend = "statevector",
    shots: int | None = None,
    *,
    observables: Any = None,
    parameters: Any = None,
    seed: int | None = None,
    **backend_options: Any,
) -> Result:
    """Run a circuit: counts, probabilities or expectation values.

    Many sets of parameters are one job: leading dimensions of their values are leading dimensions of the result.
    Nothing is differentiated; for that there is `QuantumLayer`.

    Args:
        circuit: an OpenQASM 2 or 3 file or text, a PennyLane quantum function, QNode or script, a Qiskit
            `QuantumCircuit`, or a `qnn.circuits` Circuit.
        backend: name or `Backend`: "statevector", "aer", "pennylane:<device>", "ibm:<device>", "braket:<device>".
        shots: shots per executed circuit; None is exact, or what the QNode itself says.
        observables: what to measure instead of what the circuit says: one observable or a list of Pauli strings
            ("ZIZ" or "Z0 Z2"), of PennyLane observables, ``qml.var(...)`` or ``qml.probs(wires=...)``, or "probs";
            "Z" is Z on every wire. Each further basis is one more circuit with `shots` of its own, in the same job.
            None measures the wires that the circuit measures, or all, in the computational basis.
        parameters: values of the free parameters by name, radians; arrays are many sets. For a PennyLane function its
            arguments, which broadcast by PennyLane's own rules. For a qnn Circuit `Angles`, or its blocks "shared"
            and "rows".
        seed: repeats the shots, on backends that sample by keys; None draws one from torch's default generator.
        **backend_options: options of the backend, such as ``noise="fake_manila"`` for "aer".

    Raises:
        ArgumentError: something given cannot be used; the message says what.
        QasmError: the program cannot be read; the message has line and column.
        UnsupportedError: the circuit has what cannot be expressed, such as measurements in the middle.
        CapabilityError: the backend has too few wires, cannot be exact, or counts no outcomes.

    Example:
        >>> bell = 'OPENQASM 3.0; include "stdgates.inc"; qubit[2] q; h q[0]; cx q[0], q[1];'
        >>> run(bell)
        <qnn run on statevector, exact: 00: 0.5, 11: 0.5>
        >>> run(bell, shots=1000, seed=1).counts
        {'00': 496, '11': 504}
        >>> run(bell, observables="XX").expectation
        1.0
    """
    place = registry.resolve(backend, **backend_options)
    shots, seed = _checked_shots(shots), checked_seed(seed)
    source = as_source(circuit, parameters)
    measurements, bare = measurements_of(source, observables)
    shots = source.shots if shots is None else shots
    _check_capabilities(source, place, shots, wants_counts=source.sampled and observables is None)
    _check_counts(source, measurements, place, shots)
    _check_size(source, measurements)
    _warn_of_seed(seed, shots, place)
    root = draw_root(seed) if shots is not None else 0
    values, variance = _execute(source.circuit.with_measurements(measurements), place, source.angles, shots, root)
    return _result(
        source,
        measurements,
        bare,
        values,
        variance,
        backend=place.name,
        options=dict(backend_options),
        shots=shots,
        seed=root if shots is not None and place.capabilities.keyed else None,
    )


def _result(
    source: Source,
    measurements: tuple[Measurement, ...],
    bare: bool,
    values: np.ndarray,
    variance: np.ndarray | None,
    **facts: Any,
) -> Result:
    """Values (N, M), and their variances, in the shapes that the source's rows and measurements ask for."""
    distribution, wires, by_observable = _columns(measurements)
    shape = source.leading if bare and by_observable else (*source.leading, len(by_observable))
    chosen = lambda table: table[:, by_observable].reshape(shape) if by_observable else None
    return Result(
        name=source.name,
        leading=source.leading,
        wires=wires,
        labels=tuple(source.labels[wire] for wire in wires),
        observables=tuple(written(m, source.names) for m in measurements if not isinstance(m, Probabilities)),
        _distribution=values[:, distribution].reshape(*source.leading, -1) if wires else None,
        _values=chosen(values),
        _variance=None if variance is None else chosen(variance),
        **facts,
    )


def _execute(
    circuit: Circuit, backend: Backend, angles: np.ndarray, shots: int | None, root: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Values (N, M) of the measurements, and the variance of each estimate if there were shots: one job."""
    executable = backend.compile(circuit.linear())
    rows = torch.from_numpy(np.ascontiguousarray(angles))
    # A context of its own: the same seed repeats wherever it is called, inside a training step too.
    keys = None if shots is None else Context().run(row_keys, root, len(angles), 0)
    found = executable.run(Angles(rows.new_zeros(0), rows), shots=shots, keys=keys)
    read = read_out.estimate(found, executable.plan, circuit.variance_columns)
    return read.values.numpy(), None if read.variance is None else read.variance.numpy()


def _columns(measurements: tuple[Measurement, ...]) -> tuple[slice, tuple[int, ...], list[int]]:
    """Where the probabilities stand among the values, of which wires, and where the observables stand."""
    column, place = 0, slice(0, 0)
    wires: tuple[int, ...] = ()
    by_observable: list[int] = []
    for measurement in measurements:
        if isinstance(measurement, Probabilities):
            place, wires = slice(column, column + measurement.n_outputs), measurement.wires
        else:
            by_observable.append(column)
        column += measurement.n_outputs
    return place, wires, by_observable


def _checked_shots(shots: Any) -> int | None:
    number = whole(shots)
    if shots is not None and (number is None or not 0 < number < 2**31):
        raise ArgumentError(
            f"`shots` must be a positive integer below 2^31, or None for exact values; got {shots!r}. Use shots=1024."
        )
    return number


def _warn_of_seed(seed: int | None, shots: int | None, backend: Backend) -> None:
    if seed is None or shots is None or backend.capabilities.keyed:
        return
    if backend.capabilities.remote:  # by a journal
        consequence = (
            "and another run differs. Within one run the same seed is the same job, whose sample the journal keeps. "
            "Give another seed for another sample."
        )
    else:
        consequence = "and another run may differ. Leave `seed` out, or seed the device itself."
    warnings.warn(
        f'`seed` does not say what each row draws: backend "{backend.name}" draws its shots by a state of its own, '
        f"{consequence}",
        NoEffectWarning,
        stacklevel=3,
    )


def _check_capabilities(source: Source, backend: Backend, shots: int | None, *, wants_counts: bool) -> None:
    can, n_wires = backend.capabilities, source.circuit.n_wires
    if can.max_wires is not None and n_wires > can.max_wires:
        raise CapabilityError(
            f'`circuit` must have at most {can.max_wires} qubits to run on backend "{backend.name}"; {source.name} has '
            f"{n_wires}. Use fewer qubits or another backend."
        )
    if shots is None and not can.exact:
        raise CapabilityError(
            f'`shots` must be given for backend "{backend.name}", which only samples; got None. Use shots=1024.'
        )
    if shots is None and wants_counts:
        raise ArgumentError(f"`shots` must be given, since {source.name} returns samples; got None. Use shots=1024.")
    if shots is not None and not can.shots:
        raise CapabilityError(f'`shots` must be None for backend "{backend.name}", which is exact; got {shots}.')


def _check_counts(source: Source, measurements: tuple[Measurement, ...], backend: Backend, shots: int | None) -> None:
    """Refuse a histogram of outcomes where none is observed."""
    if shots is None or backend.capabilities.counts or not any(isinstance(m, Probabilities) for m in measurements):
        return
    raise CapabilityError(
        f"`observables` must be given for {backend!r}, which counts no outcomes as they are, as under `mitigation`; "
        f'{source.name} measures outcomes. Give observables="Z", or shots=None where the backend is exact.'
    )


def _check_size(source: Source, measurements: tuple[Measurement, ...]) -> None:
    """Refuse tables of outcomes that would not fit into memory."""
    for measurement in measurements:
        if not isinstance(measurement, Probabilities):
            continue
        k, n_rows = len(measurement.wires), len(source.angles)
        if k > _MAX_MEASURED or n_rows * 2**k > _MAX_OUTCOMES:
            raise ArgumentError(
                f"`circuit` must measure few enough qubits for all outcomes to fit in memory, {_MAX_MEASURED} at most; "
                f"{source.name} measures {k} in {n_rows} row(s). Measure fewer of them, or give `observables`."
            )
