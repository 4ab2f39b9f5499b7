"""QNodes as the tape that their transforms leave; transforms that do more are refused."""

import pennylane as qml
import pytest

import qnn
from qnn.circuits.recording import recorded
from qnn.errors import UnsupportedError


def crossed(x):
    qml.RX(x, wires=0)
    return qml.expval(qml.Z(0)), qml.expval(qml.X(0))


def summed(x):
    qml.RX(x, wires=0)
    return qml.expval(qml.Z(0) + qml.Z(1))


def node_of(function):
    return qml.QNode(function, qml.device("default.qubit"))


@pytest.mark.parametrize(
    ("transform", "function", "message"),
    [
        (qml.transforms.split_non_commuting, crossed, r"split_non_commuting, which make 2 circuits of one"),
        (qml.transforms.broadcast_expand, crossed, r"broadcast_expand, which make 2 circuits of one"),
        (qml.transforms.split_to_single_terms, summed, r"split_to_single_terms, which compute with its results. Leave"),
        (qml.transforms.split_non_commuting, summed, r"split_non_commuting, which compute with its results. Leave"),
    ],
)
def test_transforms_that_are_more_than_a_circuit_are_refused_by_name(transform, function, message):
    node = transform(qml.transforms.cancel_inverses(node_of(function)))
    with pytest.raises(UnsupportedError, match=r"`circuit` must have transforms .* got .*cancel_inverses, ") as caught:
        qnn.run(node, parameters={"x": [0.1, 0.2]})
    assert caught.match(message)


@pytest.mark.parametrize("transform", [qml.transforms.split_non_commuting, qml.transforms.split_to_single_terms])
def test_transforms_that_had_nothing_to_split_are_kept(transform):
    def function(x):
        qml.RX(x, wires=0)
        return qml.expval(qml.Z(0)), qml.expval(qml.Z(1))

    plain = qnn.run(function, parameters={"x": 0.4}).expectation
    assert list(qnn.run(transform(node_of(function)), parameters={"x": 0.4}).expectation) == list(plain)


def test_the_node_stays_as_it_was_and_its_function_runs_once():
    calls = []

    def function(x):
        calls.append(x)
        qml.RX(x, wires=0)
        return [qml.expval(qml.Z(0))]

    node = node_of(function)
    tape, listed = recorded(node, {"x": 0.2})
    assert calls == [0.2]
    assert listed
    assert node.func is function
    assert [op.name for op in tape.operations] == ["RX"]
    assert not recorded(node_of(lambda: qml.expval(qml.Z(0))), {})[1]
    assert not recorded(tape, {})[1]


def test_measurements_come_in_the_order_of_the_return_statement() -> None:
    def function(x):
        qml.RX(x, 0)
        first, second = qml.expval(qml.Z(0)), qml.expval(qml.Y(0))
        return second, first

    tape, _ = recorded(function, {"x": 0.3})
    assert [str(m) for m in tape.measurements] == ["expval(Y(0))", "expval(Z(0))"]
