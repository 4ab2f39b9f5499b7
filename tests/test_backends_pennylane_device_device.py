"""Sampling keys of a batch of tapes, and results in order."""

import copy
import multiprocessing
import pickle
import sys
import threading

import numpy as np
import pennylane as qml
import pytest

from qnn import _seeding
from qnn.backends.pennylane_device import device as device_module
from qnn.errors import ArgumentError


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


def test_threads_that_share_a_device_draw_their_own_shots():
    dev, n_threads, n_calls = device(), 4, 300
    groups = dev._structures.groups([tape(0.1)])
    drawn = [[] for _ in range(n_threads)]

    def draw(own):
        own.extend(int(dev._keys(groups)[0][0, 2]) for _ in range(n_calls))

    threads = [threading.Thread(target=draw, args=(own,)) for own in drawn]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert sorted(call for own in drawn for call in own) == list(range(n_threads * n_calls))


def test_a_fork_while_a_thread_counts():
    dev = device()
    groups = dev._structures.groups([tape(0.1)])
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=lambda: sender.send(int(dev._keys(groups)[0][0, 2])))
    with device_module._counting:
        child.start()
        arrived = receiver.poll(30)
    found = receiver.recv() if arrived else child.kill()
    child.join(10)
    assert arrived, "the forked process hangs"
    assert found == 0


@pytest.mark.parametrize("name", ["qnn.statevector", "qnn.aer"])
def test_copies_of_a_device_count_on(name):
    dev = qml.device(name, wires=1, seed=0)
    dev.execute([tape(0.1)])
    for twin in (copy.deepcopy(dev), pickle.loads(pickle.dumps(dev))):
        assert twin._keys(twin._structures.groups([tape(0.1)]))[0][0, 2] == 1


@pytest.mark.parametrize("name", ["qnn.statevector", "qnn.aer"])
@pytest.mark.parametrize("seed", [-1, 2**63, 2**70, 1.0, True, "x"])
def test_seeds_are_those_of_layers(name, seed):
    with pytest.raises(ArgumentError, match=rf"`seed` must be an integer from 0 to 2\^63 - 1, or None; got {seed!r}\."):
        qml.device(name, wires=1, seed=seed)
    assert qml.device(name, wires=1, seed=np.uint64(2**63 - 1))._root == 2**63 - 1
