"""From options to a study: tables, budgets, contestants, and the command that makes it again."""

import argparse
import json
import shlex
from itertools import pairwise

import pytest

from qnn.cli import compare as verb
from qnn.comparison.budget import MAX_TUNING_TRIALS, learning_rate_grid
from qnn.comparison.define import define_study
from qnn.comparison.study import Study
from qnn.errors import ArgumentError, NoEffectWarning, UnknownNameError


def parse(line: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    verb.add_parser(parser.add_subparsers(dest="verb"))
    words = shlex.split(line)
    assert words[0] == "qnn"
    return parser.parse_args(words[1:])


def study_of(line: str):
    arguments = parse(line)
    return define_study(
        arguments.task or "digits", arguments.models, **{n: getattr(arguments, n) for n in verb._STUDY_OPTIONS}
    )


def test_default_study_has_two_tables_with_all_contestants_where_they_belong():
    study = define_study()
    full, reduced = study.tables
    assert (full.name, reduced.name) == ("full data", "shots and noise")
    assert [c.name for c in full.contestants] == ["hybrid@statevector", "mlp-matched", "mlp", "cnn", "logistic"]
    assert {c.name for c in reduced.contestants} >= {
        "hybrid@aer",
        "hybrid@aer+fake_manila",
        "hybrid@statevector",
        "cnn",
    }
    assert (full.primary, full.reference) == ("hybrid@statevector", "mlp-matched")
    assert (reduced.primary, reduced.reference) == ("hybrid@aer", "mlp-matched")
    assert full.budget.n_train is None and reduced.budget.n_train is not None
    assert full.budget.tuning_trials == reduced.budget.tuning_trials == 3


def test_contestants_are_what_their_names_say():
    exact, sampled, noisy = (
        define_study(models="hybrid@statevector,hybrid@aer,hybrid@aer+fake_manila").tables[1].contestants
    )
    assert (exact.backend, exact.shots, exact.noise) == ("statevector", None, None)
    assert (sampled.backend, sampled.shots, sampled.gradient) == ("aer", 1024, "parameter-shift")
    assert (noisy.backend, noisy.shots, noisy.noise) == ("aer", 1024, "fake_manila")
    assert [c.sampled for c in (exact, sampled, noisy)] == [False, True, True]


@pytest.mark.parametrize(
    ("models", "tables"),
    [
        ("hybrid@statevector,mlp", ["full data"]),
        ("logistic,mlp", ["full data"]),
        ("hybrid@aer,mlp", ["shots and noise"]),
        ("hybrid@aer,hybrid@statevector,mlp", ["full data", "shots and noise"]),
    ],
)
def test_tables_follow_from_the_models(models, tables):
    assert [table.name for table in define_study(models=models).tables] == tables


def test_reference_without_a_matched_mlp_is_the_first_classical_one():
    assert define_study(models=["logistic", "hybrid@statevector", "mlp"]).tables[0].reference == "logistic"


def test_no_cnn_by_default_where_rows_are_not_images():
    assert "cnn" not in [c.name for c in define_study("digits,iris").tables[0].contestants]
    with pytest.raises(ArgumentError, match='got "cnn", which needs images, and the task "iris" has none'):
        define_study("iris", "cnn")


@pytest.mark.parametrize(
    "line",
    [
        "qnn compare",
        "qnn compare --task digits,moons --models mlp,hybrid@statevector --seeds 2 --epochs 3 --n-train 100",
        "qnn compare --task iris --task moons --models mlp --models logistic --shuffle-labels --split-seed 4",
        "qnn compare --models hybrid@aer,mlp --shots 64 --reduced-train 50 --reduced-epochs 2 --n-qubits 3",
        "qnn compare --batch-size 8 --tuning-trials 1 --n-layers 1 --models mlp",
        "qnn compare --models hybrid@aer,mlp --mitigation zne+readout",
        """qnn compare --models hybrid@aer,mlp --mitigation '{"zne": [1, 3], "extrapolation": "linear"}'""",
    ],
)
def test_the_command_makes_the_same_study_again(line):
    study = study_of(line)
    again = study_of(study.command)
    assert again == study
    assert again.id == study.id


OPTIONS = {
    "seeds": 2,
    "epochs": 3,
    "reduced_epochs": 4,
    "batch_size": 16,
    "reduced_batch_size": 4,
    "n_train": 100,
    "reduced_train": 50,
    "shots": 64,
    "mitigation": "readout",
    "tuning_trials": 1,
    "n_qubits": 3,
    "n_layers": 1,
    "split_seed": 5,
    "shuffle_labels": True,
}


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_changes_the_study_and_its_cells(name):
    plain, changed = define_study(), define_study(**{name: OPTIONS[name]})
    assert plain.id != changed.id
    assert {cell.id for cell in plain.cells()} != {cell.id for cell in changed.cells()}


def test_every_option_of_the_command_line_is_tested_above():
    assert set(OPTIONS) == set(verb._STUDY_OPTIONS)


def test_mitigation_is_of_those_that_have_shots_or_noise_and_their_names_say_so():
    models = "hybrid@statevector,hybrid@aer,hybrid@aer+fake_manila,mlp-matched"
    study = define_study("iris", models, mitigation={"zne": (1, 3), "readout": True})
    exact, sampled, noisy, matched = study.tables[1].contestants
    assert (exact.mitigation, matched.mitigation) == (None, None)
    assert sampled.mitigation == noisy.mitigation == '{"readout": true, "zne": [1, 3]}'
    names = [exact.name, sampled.name, noisy.name, matched.name]
    assert names == [
        "hybrid@statevector",
        "hybrid@aer (readout+zne mitigated)",
        "hybrid@aer+fake_manila (readout+zne mitigated)",
        "mlp-matched",
    ]
    assert study.tables[1].primary == names[1] and (sampled.backend, noisy.noise) == ("aer", "fake_manila")
    assert Study.from_dict(json.loads(json.dumps(study.as_dict()))) == study
    assert define_study("iris", models, mitigation='{"zne": [1, 3], "readout": true}') == study


def test_shift_rules_do_not_hold_for_every_mitigation():
    for mitigation, gradient in (
        ("zne", "parameter-shift"),
        ({"readout": True, "clip": True}, "finite-difference"),
    ):
        (table,) = define_study("iris", "hybrid@aer", mitigation=mitigation).tables
        assert table.contestants[0].gradient == gradient


def test_shots_are_for_all_that_can_sample_but_the_exact_simulator():
    """Given, they are; left out, Aer alone has its default, and the command says no more than that."""
    models = "hybrid@statevector,hybrid@pennylane:default.qubit,hybrid@braket:local,hybrid@aer,hybrid@fakecloud:http://127.0.0.1:9,mlp"
    for given, shots, spelt in (
        (5, [None, 5, 5, 5, 5, None], True),
        (None, [None, None, None, 1024, None, None], False),
    ):
        study = define_study("iris", models, shots=given)
        found = {contestant.name: contestant for table in study.tables for contestant in table.contestants}
        assert [found[name].shots for name in models.split(",")] == shots
        assert all((c.gradient == "parameter-shift") == (c.shots is not None) for c in found.values())
        assert ("--shots 5" in study.command) == spelt == ("--shots" in study.command)
    (table,) = define_study("iris", "hybrid@braket:local,mlp", shots=5, mitigation="readout").tables
    assert table.contestants[0].mitigation and table.contestants[0].shots == 5
    with pytest.warns(
        NoEffectWarning, match="`shots`=5 has no effect, since none of these samples: hybrid@statevector"
    ):
        define_study("iris", "hybrid@statevector,mlp", shots=5)


def test_ids_without_mitigation_are_those_from_before_there_was_any():
    study = define_study("iris", "hybrid@aer,mlp", seeds=1)
    assert study.id == "dd01577d8e4ffb7c" and study.cells()[0].id == "47db5768b38cd0f8"


def test_cells_are_unique_and_ordered():
    cells = define_study("digits,moons", seeds=2).cells()
    assert len({cell.id for cell in cells}) == len(cells) == 2 * 2 * (4 + 6)
    assert [cell.seed for cell in cells[:2]] == [0, 1]


def test_all_models_have_one_split_but_in_the_control_each_seed_has_its_own():
    assert {cell.split_seed for cell in define_study().cells()} == {0}
    assert {cell.split_seed for cell in define_study(shuffle_labels=True).cells()} == {0, 1, 2}


def test_learning_rate_grids_are_nested():
    grids = [set(learning_rate_grid(n)) for n in range(1, MAX_TUNING_TRIALS + 1)]
    assert all(small < large for small, large in pairwise(grids))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"models": "hybrid@statvector"}, UnknownNameError, 'Did you mean "statevector"'),
        ({"models": "hybird@aer"}, UnknownNameError, 'No model named "hybird@aer". Did you mean "hybrid@aer"'),
        ({"models": "mpl"}, UnknownNameError, 'Did you mean "mlp"'),
        ({"models": "hybrid@aer+fake_manilla"}, UnknownNameError, "fake_manila"),
        ({"models": "hybrid@aer+"}, ArgumentError, 'must name a noise model after "\\+"'),
        ({"models": "hybrid@statevector+fake_manila"}, ArgumentError, 'Write "hybrid@aer\\+fake_manila"'),
        ({"models": " , "}, ArgumentError, "`models` must name at least one"),
        ({"models": [3]}, ArgumentError, "`models` must be names"),
        ({"task": "digit"}, UnknownNameError, 'Did you mean "digits"'),
        ({"seeds": 0}, ArgumentError, "`seeds` must be a positive integer; got 0"),
        ({"epochs": 0}, ArgumentError, "`epochs` must be a positive integer; got 0"),
        ({"reduced_epochs": -1}, ArgumentError, "`epochs` must be a positive integer; got -1"),
        ({"batch_size": 0}, ArgumentError, "`batch_size` must be a positive integer"),
        (
            {"n_train": 5000},
            ArgumentError,
            '`n_train` must be from 10 to 1149, the training rows of "digits"; got 5000',
        ),
        ({"reduced_train": 3}, ArgumentError, "`reduced_train` must be from 10"),
        ({"shots": 0}, ArgumentError, "`shots` must be a positive integer"),
        ({"mitigation": "readot"}, UnknownNameError, 'No mitigation named "readot". Did you mean "readout"'),
        ({"mitigation": "{zne}"}, ArgumentError, "`mitigation` must be JSON after a brace"),
        (
            {"models": "hybrid@statevector,mlp", "mitigation": "zne"},
            ArgumentError,
            "`mitigation` must come with a contestant that has shots or noise; got hybrid@statevector, mlp. Add",
        ),
        (
            {"models": "hybrid@braket:local,mlp", "mitigation": "readout"},
            ArgumentError,
            "got hybrid@braket:local, mlp. .* give `shots` to hybrids that can sample, or leave `mitigation` out",
        ),
        ({"tuning_trials": 8}, ArgumentError, "`tuning_trials` must be an integer from 1 to 7; got 8"),
        ({"n_qubits": 0}, ArgumentError, "`n_qubits` must be a positive integer"),
        ({"n_layers": 1.5}, ArgumentError, "`n_layers` must be a positive integer; got 1.5"),
    ],
)
def test_bad_options_are_refused_before_anything_runs(options, error, message):
    with pytest.raises(error, match=message):
        define_study(**options)
