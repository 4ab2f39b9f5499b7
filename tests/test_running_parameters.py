"""Values of free parameters: shapes, leading dimensions, and what is refused."""

import numpy as np
import pytest
import torch

import qnn
from qnn.backends.base import Angles
from qnn.circuits.circuit import Circuit, Operation, Slot
from qnn.circuits.observables import Expectation, pauli
from qnn.errors import ArgumentError, NotFiniteError, ShapeError, UnknownNameError

HEAD = 'OPENQASM 3.0; include "stdgates.inc"; '
TWO = HEAD + "input float a; input float b; qubit[2] q; ry(a) q[0]; ry(2*b - a) q[1];"
ARRAY = HEAD + "input array[float[64], 2, 2] w; qubit[2] q; ry(w[0][1]) q[0]; ry(w[1][0]) q[1];"
DOMAIN = HEAD + "input float t; qubit q; ry(sqrt(t)) q; rx(1/t) q;"
SLOTS = Circuit(
    2,
    (
        Operation("RY", (1,), Slot("rows", 1)),
        Operation("RY", (0,), Slot("shared", 0)),
        Operation("RY", (0,), Slot("rows", 0)),
        Operation("RY", (1,), 0.25),
    ),
    (Expectation(pauli("ZI")), Expectation(pauli("IZ"))),
    1,
    2,
)


def test_leading_dimensions_broadcast():
    a, b = np.array([[0.1], [0.2]]), np.array([0.3, 0.5, 1.0])
    got = qnn.run(TWO, parameters={"a": a, "b": b}, observables="Z").expectation
    assert got.shape == (2, 3, 2)
    np.testing.assert_allclose(got, np.cos(np.stack(np.broadcast_arrays(a, 2 * b - a), axis=-1)), atol=1e-12)


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor, lambda v: torch.tensor(v, requires_grad=True)])
def test_values_of_any_kind(kind):
    got = qnn.run(TWO, parameters={"a": kind([0.5, 1.0]), "b": 1}, observables=["Z0"]).expectation
    np.testing.assert_allclose(got, np.cos([[0.5], [1.0]]), atol=1e-7)  # torch's default dtype is float32


def test_arrays_have_their_own_dimensions_last():
    w = np.random.default_rng(0).uniform(0, 3, (5, 2, 2))
    got = qnn.run(ARRAY, parameters={"w": w}, observables="Z").expectation
    np.testing.assert_allclose(got, np.cos(np.stack([w[:, 0, 1], w[:, 1, 0]], axis=1)), atol=1e-12)
    np.testing.assert_allclose(qnn.run(ARRAY, parameters={"w": w[3]}, observables="Z").expectation, got[3])


def test_one_set_in_a_list_keeps_its_dimension():
    assert qnn.run(TWO, parameters={"a": [0.0], "b": 0.0}, shots=5).counts == [{"00": 5}]
    assert qnn.run(TWO, parameters={"a": 0.0, "b": 0.0}, shots=5).counts == {"00": 5}


def test_angles_of_our_own_circuit():
    rows = np.random.default_rng(1).uniform(0, 3, (2, 3, 2))
    got = qnn.run(SLOTS, parameters={"shared": [0.4], "rows": rows}).expectation
    np.testing.assert_allclose(got, np.cos(rows + np.array([0.4, 0.25])), atol=1e-12)
    angles = Angles(torch.tensor([0.4], dtype=torch.float64), torch.from_numpy(rows[0]))
    np.testing.assert_allclose(qnn.run(SLOTS, parameters=angles).expectation, got[0], atol=1e-12)
    fixed = Circuit(1, (Operation("PauliX", (0,)),), ())
    assert qnn.run(fixed).probabilities == {"1": 1.0}
    assert qnn.run(fixed, parameters=Angles(torch.zeros(0), torch.zeros(3, 0))).probabilities == [{"1": 1.0}] * 3


@pytest.mark.parametrize(
    ("circuit", "parameters", "error", "message"),
    [
        (TWO, {"a": 1.0}, ArgumentError, r'got none for b. Write for example parameters={"b": 0.3}'),
        (TWO, {"a": 1.0, "c": 2.0}, UnknownNameError, r'No free parameter named "c".* Known: a, b'),
        (TWO, [1.0, 2.0], ArgumentError, r"`parameters` must map names to values; got list"),
        (TWO, {"a": "x", "b": 1}, ArgumentError, r'`parameters\["a"\]` must be real numbers; got \'x\''),
        (TWO, {"a": 1j, "b": 1}, ArgumentError, r'`parameters\["a"\]` must be real numbers; got 1j'),
        (TWO, {"a": [1, [2]], "b": 1}, ArgumentError, r'`parameters\["a"\]` must be real numbers'),
        (TWO, {"a": np.nan, "b": 1}, NotFiniteError, r'`parameters\["a"\]` must be finite; got nan'),
        (TWO, {"a": [1, 2], "b": [1, 2, 3]}, ShapeError, r"broadcast; got a: \(2,\), b: \(3,\)"),
        (TWO, {"a": [], "b": 1}, ShapeError, r"at least one set of values; got shape \(0,\)"),
        (HEAD + "qubit q; x q;", {"a": 1}, ArgumentError, r'the circuit has no free ones; got "a"'),
        (ARRAY, {"w": np.zeros((2, 3))}, ShapeError, r'`parameters\["w"\]` must have shape \(2, 2\) as declared'),
        (ARRAY, {"w": 0.3}, ShapeError, r'`parameters\["w"\]` must have shape \(2, 2\) as declared.*got \(\)'),
        (DOMAIN, {"t": [1.0, -1.0]}, NotFiniteError, r"sqrt\(t\) has none in row 1"),
        (DOMAIN, {"t": [1.0, 0.0]}, NotFiniteError, r"1/t has none in row 1"),
        (SLOTS, None, ArgumentError, r'`parameters\["shared"\]` must have shape \(1,\), .*; got none. Write'),
        (SLOTS, {"shared": [1], "rows": [1]}, ArgumentError, r'"rows"\]` must have shape \(..., 2\), .*; got \(1,\)'),
        (SLOTS, {"shared": [1], "rows": [1, 2], "x": 1}, ArgumentError, r'must be "shared" and "rows"; got "x"'),
        (torch.nn.Linear(1, 1), None, ArgumentError, r"; got Linear. Call a layer on its inputs"),
        (7, None, ArgumentError, r"`circuit` must be an OpenQASM file or text, .*; got int. Give a file such as"),
    ],
)
def test_refusals(circuit, parameters, error, message):
    with pytest.raises(error, match=message):
        qnn.run(circuit, parameters=parameters)
