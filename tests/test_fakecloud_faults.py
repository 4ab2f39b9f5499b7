"""Faults come by probability or by script, each from a stream of its own that a seed repeats."""

import numpy as np

from qnn.fakecloud.faults import Faults

SIGMAS = 5.0


def drawn(faults, name, n):
    return [faults.happens(name) is not None for _ in range(n)]


def test_a_probability_is_kept_and_a_seed_repeats_it():
    """The share of 4,000 draws is p within 5 sigma of the binomial."""
    n, p = 4000, 0.3
    found = []
    for seed in (1, 1, 2):
        faults = Faults(seed)
        faults.set({"poll_503": p}, seed)
        found.append(drawn(faults, "poll_503", n))
    assert found[0] == found[1] != found[2]
    for share in map(np.mean, found):
        assert abs(share - p) < SIGMAS * np.sqrt(p * (1 - p) / n)


def test_faults_do_not_move_one_another():
    """What happens to results is the same whether looks at jobs fail or not."""
    faults, alone = Faults(0), Faults(0)
    faults.set({"result_503": 0.5, "poll_503": 0.5}, 0)
    alone.set({"result_503": 0.5}, 0)
    found = []
    for _ in range(50):
        faults.happens("poll_503")
        found.append(faults.happens("result_503"))
    assert found == [alone.happens("result_503") for _ in range(50)]


def test_of_several_faults_the_first_in_the_table_happens_and_all_are_drawn():
    faults = Faults(0)
    faults.set({"submit_503": [1, 1], "submit_429": [1, 0], "submit_twice": [1, 0, 1]}, 0)
    names = "submit_twice", "submit_503", "submit_429"
    assert [faults.happens(*names) for _ in range(3)] == ["submit_429", "submit_503", "submit_twice"]


def test_a_script_is_played_once():
    faults = Faults(0)
    faults.set({"submit_429": [0, 1, 1]}, 0)
    assert drawn(faults, "submit_429", 5) == [False, True, True, False, False]
    faults.set({"submit_503": 1}, 0)
    assert drawn(faults, "submit_429", 2) == [False, False]
    assert drawn(faults, "submit_503", 3) == [True] * 3
    faults.set({"submit_429": (True,)}, 0)
    assert drawn(faults, "submit_429", 2) == [True, False]
    assert faults.as_json() == {"submit_429": [1], "submit_503": 1.0}
    faults.set(None, 0)
    assert faults.as_json() == {} and not any(drawn(faults, "submit_503", 3))


def test_another_seed_starts_all_anew():
    faults = Faults(0)
    faults.set({"submit_429": [1], "poll_503": 0.5}, 0)
    first = drawn(faults, "submit_429", 2), drawn(faults, "poll_503", 30)
    faults.set({}, 1)
    faults.set({}, 0)
    assert (drawn(faults, "submit_429", 2), drawn(faults, "poll_503", 30)) == first
