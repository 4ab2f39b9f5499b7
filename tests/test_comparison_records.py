"""The stored form: what is read back is what was written, and nothing broken is read or left behind."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from comparison_samples import make_records, make_study

from qnn.comparison.lines import JsonLines
from qnn.comparison.records import Record, read_records, record_from_dict
from qnn.errors import RecordError, StorageError


@pytest.fixture
def records() -> list[Record]:
    return make_records(make_study(), {"hybrid@statevector": 0.8, "mlp-matched": 0.85, "mlp": 0.9}, n_test=40)


@pytest.fixture
def stored(tmp_path, records) -> JsonLines:
    file = JsonLines(tmp_path / "records.jsonl")
    for record in records:
        file.append(record.as_dict())
    return file


def test_records_come_back_as_they_were(stored, records):
    assert read_records(stored.path) == records
    assert stored.path.read_text().count("\n") == len(records)


def test_the_fields_of_the_design_are_there(records):
    fixed = (
        "task model backend shots noise mitigation seed n_train n_test epochs steps test_accuracy train_accuracy "
        "test_loss n_weights n_quantum_weights circuits total_shots jobs measured"
    )
    row = records[0].as_dict()
    assert set(fixed.split()) <= set(row)
    assert set(row["measured"]) == {"device", "wall_s", "peak_memory_bytes", "versions"}


def test_records_from_before_there_was_mitigation(records):
    row = records[0].as_dict()
    assert row.pop("mitigation") is None
    assert record_from_dict(row) == records[0]
    with pytest.raises(RecordError, match=r"field `mitigation` must be str \| None; got True"):
        record_from_dict(row | {"mitigation": True})


def test_correct_rows_are_numbers(records):
    assert records[0].correct.mean() == records[0].test_accuracy


@pytest.mark.parametrize("kept", [1, 10, -1])
def test_a_torn_last_line_is_left_out_and_cut_off(stored, records, kept):
    content = stored.path.read_bytes()
    whole = content.rindex(b"\n", 0, -1) + 1
    torn = content[:-1] if kept == -1 else content[: whole + kept]  # also when only the newline is missing
    stored.path.write_bytes(torn)
    assert read_records(stored.path) == records[:-1]
    assert stored.path.read_bytes() == torn  # reading changes nothing
    assert stored.repair() is True
    assert stored.path.read_bytes() == content[:whole]
    assert stored.repair() is False
    stored.append(records[-1].as_dict())
    assert stored.path.read_bytes() == content


def test_a_broken_line_in_the_middle_is_refused_by_number(stored):
    lines = stored.path.read_text().splitlines(keepends=True)
    lines[2] = lines[2][:50] + "\n"
    stored.path.write_text("".join(lines))
    with pytest.raises(RecordError, match=r"line 3 of .* must be JSON; .* Move the file away"):
        read_records(stored.path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": "0"}, "field `seed` must be int; got '0'"),
        ({"seed": True}, "field `seed` must be int; got True"),
        ({"shots": 1.5}, r"field `shots` must be int \| None; got 1.5"),
        ({"test_accuracy": None}, "field `test_accuracy` must be float"),
        ({"test_accuracy": 0.123}, "`test_accuracy` must be the share of 1"),
        ({"test_correct": "0120"}, "`test_correct` must be 40 characters 0 or 1"),
        ({"curves": {"train_loss": []}}, "`curves` must have the columns"),
        ({"surprise": 1}, "only known fields; got `surprise`"),
        ({"measured": {}}, "must have `measured.device`"),
    ],
)
def test_a_record_with_a_wrong_field_is_refused_by_name(records, change, message):
    with pytest.raises(RecordError, match=message):
        record_from_dict({**records[0].as_dict(), **change}, "line 1")


def test_a_missing_field_is_named(records):
    row = records[0].as_dict()
    del row["epochs"]
    with pytest.raises(RecordError, match="must have the field `epochs`; it is missing"):
        record_from_dict(row)
    with pytest.raises(RecordError, match="must be a JSON object; got list"):
        record_from_dict([])


def test_nan_is_never_written(stored, records):
    before = stored.path.read_bytes()
    with pytest.raises(ValueError, match="Out of range"):
        stored.append({**records[0].as_dict(), "test_loss": float("nan")})
    assert stored.path.read_bytes() == before


def test_rewrite_keeps_a_file_that_is_the_same(stored, records):
    before = stored.path.stat().st_ino
    stored.rewrite(record.as_dict() for record in records)
    assert stored.path.stat().st_ino == before
    stored.rewrite(record.as_dict() for record in reversed(records))
    assert read_records(stored.path) == records[::-1]


def test_a_file_that_cannot_be_made_is_a_storage_error(tmp_path, records):
    with pytest.raises(StorageError, match=r"`out` must be writable; appending to .* failed: No such file"):
        JsonLines(tmp_path / "nowhere" / "records.jsonl").append(records[0].as_dict())


def _fill(path: Path, row: dict) -> int:
    """Append until the disk is full; the number of lines that were accepted."""
    file, accepted = JsonLines(path), 0
    with pytest.raises(StorageError, match=r"`out` must be writable; appending to .* failed: .*Free some space"):
        while accepted < 10_000:
            file.append({**row, "seed": accepted})
            accepted += 1
    return accepted


@pytest.mark.skipif(os.name != "posix" or sys.platform != "linux", reason="needs tmpfs")
def test_a_full_disk_leaves_whole_lines_only(tmp_path, records):
    """On a real file system of 64 KiB, or, without the right to mount one, under a file size limit."""
    row = {**records[0].as_dict(), "test_correct": "1" * 40, "test_accuracy": 1.0}
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)], capture_output=True, check=False
    )
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        if mounted.returncode:
            resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limit[1]))
        path = tmp_path / "records.jsonl"
        accepted = _fill(path, row)
        assert accepted > 5
        assert path.read_bytes().endswith(b"\n")
        assert [record.seed for record in read_records(path)] == list(range(accepted))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        if not mounted.returncode:
            subprocess.run(["umount", str(tmp_path)], check=True)


def test_lines_are_plain_json(stored):
    for line in stored.path.read_text().splitlines():
        assert json.loads(line)["task"] == "digits"
