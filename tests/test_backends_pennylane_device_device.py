"""Sampling keys of a batch of tapes, and results in order."""

import numpy as np
import pennylane as qml

from qnn import _seeding


def tape(x, process=None, shots=100):
    return qml.tape.QuantumScript([qml.RX(x, 0)], [process or qml.expval(qml.Z(0))], shots=shots)


def device(seed=0):
    return qml.device("qnn.statevector", wires=1, seed=seed)


def test_rows_are_numbered_through_the_batch_whatever_their_group():
    dev = device()
    batch = [tape(0.1), tape(0.2, qml.probs(wires=0)), tape(np.array([0.3, 0.4, 0.5])), tape(0.6, qml.probs(wires=0))]
    groups = dev._structures.groups(batch)
    keys = dev._keys(groups)
    assert [group.places for group in groups] == [[0, 2], [1, 3]]
    assert [list(block[:, 3]) for block in keys] == [[0, 2, 3, 4], [1, 5]]
    assert {int(call) for block in dev._keys(groups) for call in block[:, 2]} == {1}, "calls are counted"


def test_results_come_back_in_the_order_of_the_batch():
    dev = device()
    batch = [tape(0.0, shots=None), tape(0.0, qml.probs(wires=0), shots=None), tape(np.pi, shots=None)]
    zero, distribution, one = dev.execute(batch)
    np.testing.assert_allclose([zero, one], [1.0, -1.0], atol=1e-12)
    np.testing.assert_allclose(distribution, [1.0, 0.0], atol=1e-12)
    assert dev.execute(batch[2]) == one, "a single tape needs no batch"


def test_equal_tapes_of_a_batch_draw_independently():
    shots, repeats = 100, 500
    values = np.array(device().execute([tape(np.pi / 2)] * repeats))
    assert abs(values.var() * shots - 1) < 5 * np.sqrt(2 / repeats)


def test_inside_a_training_step_the_draw_is_that_of_the_step():
    batch = [tape(np.pi / 2)] * 3
    draws = []
    for step in (4, 4, 5):
        with _seeding.step_scope(step):
            draws.append(device().execute(batch))
    assert draws[0] == draws[1] != draws[2]
