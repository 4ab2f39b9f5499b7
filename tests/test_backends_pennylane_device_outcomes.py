"""Measurements read from the outcomes of one basis: grouping, order of samples, exact values."""

import numpy as np
import pennylane as qml
import pytest
import torch

from qnn import _seeding
from qnn.backends.pennylane_device.outcomes import are_values, measure_outcomes, one_basis_each
from qnn.backends.pennylane_device.rows import StructureCache
from qnn.backends.statevector import Statevector


def script(*processes, shots=None):
    operations = [qml.RY(0.7, 0), qml.RX(1.1, 1), qml.CNOT([0, 1])]
    return qml.tape.QuantumScript(operations, list(processes), shots=shots)


def test_measurements_are_grouped_by_basis():
    tape = script(
        qml.sample(qml.X(0)),
        qml.expval(qml.Z(0)),
        qml.counts(wires=[0, 1]),
        qml.sample(qml.Y(1)),
        qml.counts(qml.Z(0)),
        qml.probs(wires=0),
        qml.expval(qml.Hermitian(np.ones((2, 2)), 1)),
        shots=10,
    )
    parts, join = one_basis_each(tape)
    kinds = [[type(mp).__name__ for mp in part.measurements] for part in parts]
    assert kinds == [
        ["ExpectationMP", "ProbabilityMP"],
        ["CountsMP"],
        ["SampleMP", "SampleMP"],
        ["CountsMP"],
        ["ExpectationMP"],
    ]
    assert [len(part.operations) - 3 for part in parts][:2] == [0, 0]
    numbered = join([("e", "p"), "c", ("x", "y"), "z", "h"])
    assert numbered == ("x", "e", "c", "y", "z", "p", "h")
    assert len(one_basis_each(script(qml.var(qml.X(0)), qml.var(qml.Z(1))))[0]) == 1
    assert one_basis_each(qml.tape.QuantumScript([qml.X(0)], []))[0][0].operations == [qml.X(0)]


def test_values_with_shots_are_those_of_pauli_words():
    matrix = [qml.expval(qml.Hermitian(np.ones((2, 2)), 0))]
    assert are_values(matrix, script(*matrix))
    assert not are_values(matrix, script(*matrix, shots=5))
    assert are_values([qml.expval(qml.Z(0) + qml.X(1))], script(shots=5))


def test_exact_values_follow_from_the_distribution():
    processes = [qml.var(qml.Z(1)), qml.expval(qml.Z(0)), qml.probs(wires=[1, 0]), qml.probs(wires=1)]
    (group,) = StructureCache(Statevector()).groups([script(*processes)])
    (found,) = measure_outcomes(group, None)
    expected = qml.device("default.qubit").execute(script(*processes))
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_samples_are_as_independent_shots_would_be():
    """Neighbouring samples are uncorrelated, though counts are drawn first and put in order afterwards."""
    shots = 4000
    (group,) = StructureCache(Statevector()).groups([script(qml.sample(wires=[0, 1]), shots=shots)])
    keys = _seeding.row_keys(5, 1, 0).numpy()
    (samples,) = measure_outcomes(group, keys)
    assert samples.shape == (shots, 2)
    z = 1.0 - 2.0 * samples[:, 0]
    z -= z.mean()
    correlation = (z[1:] * z[:-1]).mean() / z.var()
    assert abs(correlation) < 5 / np.sqrt(shots)
    (again,) = measure_outcomes(group, keys)
    assert np.array_equal(samples, again)
    (other,) = measure_outcomes(group, _seeding.row_keys(6, 1, 0).numpy())
    assert not np.array_equal(samples, other)


@pytest.mark.parametrize("shots", [30, (10, 20)])
def test_broadcast_samples(shots):
    tape = qml.tape.QuantumScript([qml.RX(np.array([0.0, np.pi, 0.0]), 0)], [qml.sample(wires=0)], shots=shots)
    (group,) = StructureCache(Statevector()).groups([tape])
    (found,) = measure_outcomes(group, _seeding.row_keys(5, 3, 0).numpy())
    blocks = found if isinstance(shots, tuple) else [found]
    assert [block.shape for block in blocks] == [(3, n, 1) for n in (shots if isinstance(shots, tuple) else [shots])]
    for block in blocks:
        np.testing.assert_array_equal(block[:, :, 0].mean(axis=1), [0.0, 1.0, 0.0])
    assert isinstance(group.angles(torch.float64)[0].rows, torch.Tensor)
