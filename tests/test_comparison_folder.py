"""A run folder belongs to one study and one process."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from comparison_samples import BUDGET, make_study

from qnn.comparison.folder import RunFolder, differences
from qnn.comparison.study import Study
from qnn.errors import StorageError, StudyError

STUDY = make_study()


def test_a_new_folder_gets_the_definition(tmp_path):
    with RunFolder(tmp_path / "a" / "b").open(STUDY):
        pass
    held = json.loads((tmp_path / "a" / "b" / "study.json").read_text())
    assert Study.from_dict(held) == STUDY
    assert held["id"] == STUDY.id


def test_the_same_study_may_come_back_under_another_wording(tmp_path):
    for command in ("qnn compare", "qnn compare --seeds 3"):
        with RunFolder(tmp_path).open(replace(STUDY, command=command)):
            pass
    assert RunFolder(tmp_path).read_study().command == "qnn compare"


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (make_study(n_seeds=5), "`seeds` is 0, 1, 2 there and 0, 1, 2, 3, 4 here"),
        (make_study(tasks=("iris",)), "`tasks` is digits there and iris here"),
        (
            make_study(("mlp",)),
            r"`tables\[full data\].contestants` is hybrid@statevector, mlp-matched, mlp there and mlp",
        ),
        (make_study(shuffle_labels=True), "`shuffle_labels` is False there and True here"),
        (
            replace(STUDY, tables=(replace(STUDY.tables[0], budget=replace(BUDGET, epochs=9)),)),
            r"`tables\[full data\].budget.epochs` is 4 there and 9 here",
        ),
    ],
)
def test_a_folder_of_another_study_is_refused_with_what_differs(tmp_path, other, message):
    with RunFolder(tmp_path).open(STUDY):
        pass
    before = (tmp_path / "study.json").read_bytes()
    with pytest.raises(StudyError, match=message) as caught, RunFolder(tmp_path).open(other):
        pass
    assert f"go on with the one that is there: {STUDY.command} --out {tmp_path}" in str(caught.value)
    assert (tmp_path / "study.json").read_bytes() == before


def test_a_folder_with_other_things_is_refused_untouched(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(StudyError, match=r"holds other things \(thesis.tex\). Choose another folder"):
        RunFolder(tmp_path).open(STUDY).__enter__()
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_is_not_a_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match="must be a folder; got the file"):
        RunFolder(tmp_path / "file").open(STUDY).__enter__()
    with pytest.raises(StorageError, match="must be a folder that can be made"):
        RunFolder(tmp_path / "file" / "below").open(STUDY).__enter__()


def test_what_a_kill_left_before_the_definition_does_not_matter(tmp_path):
    (tmp_path / ".study.json.abc123").write_text("{")
    (tmp_path / ".lock").write_text("")
    with RunFolder(tmp_path).open(STUDY):
        assert (tmp_path / "study.json").exists()


@pytest.mark.parametrize("content", ["", "[]", '{"schema": 99}', '{"schema": 1, "tasks": 3}'])
def test_an_unreadable_definition_is_refused(tmp_path, content):
    (tmp_path / "study.json").write_text(content)
    with pytest.raises(StudyError, match=r"must hold a study.json of this version of qnn; .* cannot be read"):
        RunFolder(tmp_path).open(STUDY).__enter__()


def test_an_empty_folder_has_no_study_to_read(tmp_path):
    with pytest.raises(StudyError, match=r"has no study.json\. Make one with qnn compare"):
        RunFolder(tmp_path).read_study()


def test_a_second_process_is_kept_out(tmp_path):
    program = (
        "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.flock(f, fcntl.LOCK_EX); "
        "print('locked', flush=True); input()"
    )
    with RunFolder(tmp_path).open(STUDY):
        pass
    command = [sys.executable, "-c", program, str(tmp_path / ".lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(StudyError, match="another process is running a study in"):
            RunFolder(tmp_path).open(STUDY).__enter__()
        other.communicate("\n")
    with RunFolder(tmp_path).open(STUDY):
        pass


def test_torn_lines_are_cut_off_when_the_folder_is_opened(tmp_path):
    with RunFolder(tmp_path).open(STUDY) as folder:
        folder.records.append({"a": 1})
        folder.trials.append({"b": 2})
    for name in ("records.jsonl", "trials.jsonl"):
        with (tmp_path / name).open("a") as file:
            file.write('{"c": ')
    with RunFolder(tmp_path).open(STUDY) as folder:
        assert folder.records.path.read_text() == '{"a": 1}\n'
        assert folder.trials.path.read_text() == '{"b": 2}\n'


def test_differences_of_equal_data_are_none():
    assert list(differences(STUDY.definition(), STUDY.definition())) == []
