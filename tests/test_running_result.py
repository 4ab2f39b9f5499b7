"""The result of a run: in words, as tables, as pictures."""

import pickle

import numpy as np
import pytest

import qnn
from qnn.errors import ArgumentError

BELL = 'OPENQASM 3.0; include "stdgates.inc"; qubit[2] q; h q[0]; cx q[0], q[1];'
TURNED = 'OPENQASM 3.0; include "stdgates.inc"; input float t; qubit[4] q; ry(t) q[0]; h q[1]; h q[2]; h q[3];'


@pytest.fixture(scope="module")
def many():
    return qnn.run(TURNED, shots=100, parameters={"t": np.linspace(0, 3, 6).reshape(2, 3)}, seed=0)


def test_outcomes_as_dictionaries_and_as_an_array(many):
    for i in range(2):
        for j in range(3):
            row = many.counts[i][j]
            assert sum(row.values()) == 100
            assert many.probabilities[i][j] == {bits: count / 100 for bits, count in row.items()}
            assert {bits: many.distribution[i, j, int(bits, 2)] * 100 for bits in row} == pytest.approx(row)
    assert list(qnn.run(BELL).probabilities.items()) == [("00", 0.5), ("11", 0.5)]


def test_repr():
    exact = qnn.run(BELL, observables=["probs", "XX"])
    assert repr(exact) == "<qnn run on statevector, exact: <X0 X1> = 1, 00: 0.5, 11: 0.5>"
    shots = qnn.run(TURNED, shots=64, parameters={"t": 0.0}, seed=3, observables="Z1")
    assert repr(shots).startswith("<qnn run on statevector, 64 shots, seed 3: <Z1> = ")
    assert " ± 0.12" in repr(shots)
    assert repr(qnn.run(TURNED, parameters={"t": 1.0})).endswith("0111: 0.09627, 8 more>")


def test_repr_of_many_rows(many):
    assert repr(many) == ("<qnn run on statevector, 100 shots, seed 0, 2×3 rows: outcomes of q[0], q[1], q[2], q[3]>")
    values = qnn.run(TURNED, parameters={"t": [0.0, 1.0]}, observables="Z")
    assert repr(values) == "<qnn run on statevector, exact, 2 rows: <Z0>, <Z1>, <Z2>, <Z3>>"
    assert str(many) == repr(many)


def test_str_is_a_table():
    assert str(qnn.run(BELL)).split("\n")[1] == f"00          0.500000  {'█' * 40}"


def test_histograms(many, tmp_path):
    figure = many.histogram((1, 2), title="mine")
    heights = [bar.get_height() for bar in figure.axes[0].containers[-1]]
    assert heights == pytest.approx(many.distribution[1, 2] * 100)
    assert figure.axes[0].get_title() == "mine"
    exact = qnn.run(BELL, "aer", noise="fake_manila").histogram()
    assert exact.axes[0].get_title() == "circuit on aer, noise=fake_manila"
    assert exact.axes[0].get_ylabel() == "probability (exact)"
    assert qnn.run(BELL)._repr_png_().startswith(b"\x89PNG")
    assert many._repr_png_() is None
    assert qnn.run(BELL, observables="XX")._repr_png_() is None


def test_a_result_can_be_kept(many):
    again = pickle.loads(pickle.dumps(many))
    assert again.counts == many.counts
    assert repr(again) == repr(many)


@pytest.mark.parametrize(
    ("options", "ask", "message"),
    [
        ({}, lambda r: r.counts, r"`shots` must be given to count outcomes; this run is exact"),
        ({}, lambda r: r.expectation, r"`observables` must be given to have expectation values"),
        ({}, lambda r: r.standard_error, r"`observables` must be given to have expectation values"),
        (
            {"observables": ["XX", "ZZ"]},
            lambda r: r.probabilities,
            r'must include probabilities .*; this run measured <X0 X1>, <Z0 Z1>. Leave .* or add "probs"',
        ),
        ({"observables": "XX", "shots": 5}, lambda r: r.counts, r"must include probabilities to have outcomes"),
        ({"observables": "XX"}, lambda r: r.histogram(), r"must include probabilities to have outcomes"),
        ({}, lambda r: r.histogram(0), r"`row` must be left out, since there is one row only; got 0"),
    ],
)
def test_what_was_not_measured_is_not_there(options, ask, message):
    with pytest.raises(ArgumentError, match=message):
        ask(qnn.run(BELL, **options))


@pytest.mark.parametrize("row", [None, 0, (2, 0), (0, 0, 0), (0.5, 0), True, (True, 0), "00", np.array([0, 0.5])])
def test_rows_that_do_not_exist(many, row):
    with pytest.raises(ArgumentError, match=r"`row` must be one of \(2, 3\) rows; got .*. Use for example"):
        many.histogram(row)


def test_rows_by_whole_numbers_of_any_kind():
    line = qnn.run(TURNED, parameters={"t": [0.0, 1.0]})
    bars = lambda row: [bar.get_height() for bar in line.histogram(row).axes[0].containers[-1]]
    assert bars(1) == bars(np.int64(1)) == bars(-1) == bars((1,)) == bars(np.array([1]))
    assert bars(0) != bars(1)
    for row in (True, False, 1.0, "1"):
        with pytest.raises(ArgumentError, match=r"`row` must be one of \(2,\) rows; got .*\. Use .* histogram\(0\)"):
            line.histogram(row)
