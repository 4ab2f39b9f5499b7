"""Products and Jacobians of broadcast tapes and of several cotangents, against central differences."""

import numpy as np
import pennylane as qml
import pytest
import torch

from qnn.backends.pennylane_device.derivatives import Linearization, jacobians, vjps
from qnn.backends.pennylane_device.rows import StructureCache
from qnn.backends.statevector import Statevector

STEP = 1e-6
CONFIG = qml.devices.ExecutionConfig()


def tape(x, y, phase=0.2, trainable=(0, 1, 2)):
    operations = [qml.RX(x, 0), qml.GlobalPhase(phase), qml.CRY(y, [0, 1])]
    processes = [qml.expval(qml.Z(1)), qml.probs(wires=[1, 0])]
    return qml.tape.QuantumScript(operations, processes, trainable_params=list(trainable))


def results(*tapes):
    return qml.device("qnn.statevector").execute(list(tapes), CONFIG)


def difference(plus, minus):
    return [(np.asarray(a) - np.asarray(b)) / (2 * STEP) for a, b in zip(plus, minus, strict=True)]


def groups(*tapes):
    return StructureCache(Statevector()).groups(list(tapes))


X, Y = np.array([0.3, 1.2, -0.7]), 0.8
COTANGENT = (np.array([0.2, -0.4, 1.0]), np.arange(12.0).reshape(3, 4) / 7)


def total(result):
    return sum((np.asarray(block) * weight).sum() for block, weight in zip(result, COTANGENT, strict=True))


def test_a_broadcast_tape_alone_and_with_others():
    """Shared angles sum over rows, broadcast ones keep theirs, whether the tape is alone in its call or not."""
    alone = groups(tape(X, Y))[0]
    together = groups(tape(X, Y), tape(2 * X, Y))[0]
    assert alone.shared is not None and together.shared is None
    by_y = (total(results(tape(X, Y + STEP))[0]) - total(results(tape(X, Y - STEP))[0])) / (2 * STEP)
    by_x = [
        (total(results(tape(X + STEP * e, Y))[0]) - total(results(tape(X - STEP * e, Y))[0])) / (2 * STEP)
        for e in np.eye(3)
    ]
    for group in (alone, together):
        products = vjps(group, [COTANGENT] * len(group.tapes), torch.float64, None)[0]
        np.testing.assert_allclose(products[0], by_x, atol=1e-8)
        assert products[1].shape == () and products[1] == 0.0
        np.testing.assert_allclose(products[2], by_y, atol=1e-8)


def test_only_trainable_parameters_are_returned():
    group = groups(tape(X, Y, trainable=[2]))[0]
    assert [p.shape for p in vjps(group, [COTANGENT], torch.float64, None)[0]] == [()]
    broadcast_phase = groups(tape(X, Y, phase=np.zeros(3), trainable=[1]))[0]
    np.testing.assert_array_equal(vjps(broadcast_phase, [COTANGENT], torch.float64, None)[0][0], np.zeros(3))


def test_jacobians_of_broadcast_tapes_are_diagonal():
    (jacobian,), _ = jacobians(groups(tape(X, Y))[0], torch.float64)
    by_y = difference(results(tape(X, Y + STEP))[0], results(tape(X, Y - STEP))[0])
    for m in range(2):
        np.testing.assert_allclose(jacobian[m][2], by_y[m], atol=1e-8)
    by_x = difference(results(tape(X + STEP, Y))[0], results(tape(X - STEP, Y))[0])
    for m, full in enumerate((jacobian[0][0], jacobian[1][0])):
        assert full.shape == (*by_x[m].shape, 3)
        for row in range(3):
            np.testing.assert_allclose(full[row, ..., row], by_x[m][row], atol=1e-8)
            assert np.count_nonzero(np.delete(full[row], row, axis=-1)) == 0


def test_several_cotangents_at_once():
    several = (np.array([0.5, -1.0]), np.array([[0.1, 0.2, 0.3, 0.4], [0.0, 1.0, 0.0, 0.0]]))
    group = groups(tape(0.3, Y))[0]
    (products,) = vjps(group, [several], torch.float64, None)
    for c in range(2):
        (single,) = vjps(group, [(several[0][c], several[1][c])], torch.float64, None)
        np.testing.assert_allclose([p[c] for p in products], single, atol=1e-14)


def test_a_cotangent_of_zero_is_a_number():
    group = groups(tape(X, Y))[0]
    (zero,) = vjps(group, [(0.0, COTANGENT[1])], torch.float64, None)
    (same,) = vjps(group, [(np.zeros(3), COTANGENT[1])], torch.float64, None)
    np.testing.assert_array_equal(zero[0], same[0])


@pytest.mark.parametrize("change", [0.0, 1e-3])
def test_a_forward_run_is_used_only_at_the_same_angles(change):
    group, moved = groups(tape(0.3, Y), tape(0.3 + change, Y)), None
    angles, shared = group[0].angles(torch.float64)
    run = Linearization.of(group[0].structure.executable(shared), angles)
    moved = groups(tape(0.3, Y), tape(0.3 + 2 * change, Y))[0].angles(torch.float64)[0]
    assert run.is_of(run.executable, moved) == (change == 0.0)
