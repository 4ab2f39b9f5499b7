"""Tapes of equal structure as rows of one call."""

import numpy as np
import pennylane as qml
import torch

from qnn.backends.pennylane_device.rows import StructureCache, blocks, numbers
from qnn.backends.statevector import Statevector


def tape(x=0.3, y=0.4, process=None, wires=(0, 1), shots=None):
    a, b = wires
    operations = [qml.RX(x, a), qml.GlobalPhase(0.1), qml.CRY(y, [a, b]), qml.Barrier([a, b])]
    return qml.tape.QuantumScript(operations, [process or qml.expval(qml.Z(b))], shots=shots)


def test_the_cache_groups_by_structure_and_shots():
    cache = StructureCache(Statevector())
    batch = [tape(), tape(process=qml.probs(wires=0)), tape(0.7), tape(shots=5)]
    groups = cache.groups(batch)
    assert [group.places for group in groups] == [[0, 2], [1], [3]]
    assert len(cache) == 2
    assert cache.groups(batch)[0].structure is groups[0].structure


def test_the_cache_forgets_the_oldest():
    cache = StructureCache(Statevector())
    first = cache.groups([tape()])[0].structure
    for n in range(200):
        cache.groups([tape(process=qml.expval((n + 2.0) * qml.Z(0)))])
    assert len(cache) == 128
    assert cache.groups([tape()])[0].structure is not first


def test_values_of_groups():
    cache = StructureCache(Statevector())
    (group,) = cache.groups([tape(0.1, 0.2), tape(0.3, 0.4)])
    np.testing.assert_allclose(group.values(), [[0.1, 0.1, 0.2], [0.3, 0.1, 0.4]])
    assert group.shared is None
    (group,) = cache.groups([tape(np.array([0.1, 0.2]), 0.4)])
    assert group.shared == (False, True)
    (group,) = cache.groups([tape(np.array([0.1, 0.2]), 0.4), tape(0.9, np.array([0.5, 0.6, 0.7]))])
    np.testing.assert_allclose(group.values()[:, [0, 2]], [[0.1, 0.4], [0.2, 0.4], [0.9, 0.5], [0.9, 0.6], [0.9, 0.7]])
    assert [rows for *_, rows in group.slices()] == [slice(0, 2), slice(2, 5)]


def test_blocks():
    table = np.array([[1.0, 2.0, 3.0], [1.0, 5.0, 6.0]])
    angles, shared = blocks(table, (True, False, False), torch.float32)
    assert shared == (True, False, False)
    assert angles.shared.tolist() == [1.0] and angles.rows.tolist() == [[2.0, 3.0], [5.0, 6.0]]
    assert angles.rows.dtype == torch.float32
    for none in (None, (False, False, False)):
        angles, shared = blocks(table, none, torch.float64)
        assert shared is None and angles.rows.tolist() == table.tolist()


def test_numbers_are_taken_out_of_tensors():
    values = [0.5, torch.tensor(0.25, requires_grad=True), qml.numpy.array(0.125, requires_grad=True)]
    assert [float(value) for value in numbers(values)] == [0.5, 0.25, 0.125]
    assert all(not isinstance(value, torch.Tensor) for value in numbers(values))
