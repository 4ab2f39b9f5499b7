"""Places to write to, looked at before anything is made."""

import pytest

from qnn.compression import compress_bundle
from qnn.errors import ArgumentError, DtypeError, StorageError


def test_places_where_nothing_can_be_written_are_refused_before_the_bundle_is_read(tmp_path):
    (tmp_path / "file.csv").write_text("a,b")
    (tmp_path / "other.zip").write_text("no zip")
    nothing, out, file = tmp_path / "nothing", tmp_path / "out", tmp_path / "file.csv"
    for place, error, message in (
        (file, ArgumentError, r'`out` must end in "\.zip" or be a folder; got ".*", a file'),
        (tmp_path / "other.zip", ArgumentError, "`out` must be free or a bundle; got .*, which is another file"),
        (file / "a.zip", StorageError, "`out` must be where a file can be written; got .*a.zip"),
        (None, DtypeError, "`out` must be a path; got NoneType"),
    ):
        with pytest.raises(error, match=message):
            compress_bundle(nothing, place, "iris", quantize="int8-dynamic")
    for place, error, message in (
        (file / "a.onnx", StorageError, "`onnx` must be where a file can be written; got .*a.onnx"),
        (out, ArgumentError, "`onnx` must be another place than the bundles"),
        (3, DtypeError, "`onnx` must be a path; got int"),
    ):
        with pytest.raises(error, match=message):
            compress_bundle(nothing, out, "iris", quantize="int8-dynamic", onnx=place)
    with pytest.raises(DtypeError, match="`path` must be a path; got NoneType"):
        compress_bundle(None, out, quantize="int8-dynamic")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.csv", "other.zip"]
