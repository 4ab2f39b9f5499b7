"""Steps that fail whatever the model, refused before a bundle is read."""

import pytest

from qnn.compression import compress_bundle
from qnn.compression.steps import checked_steps
from qnn.errors import ArgumentError, DtypeError, UnknownNameError


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"quantize": "angles"}, ArgumentError, "One of `bits` and `angles` must be given for angles; got none"),
        ({"quantize": {"method": "angles", "bits": 99}}, ArgumentError, "`bits` must be from 1 to .*; got 99"),
        ({"quantize": {"skip": 5}}, DtypeError, "`skip` must be a sequence of paths"),
        ({"quantize": "int8-static"}, ArgumentError, '`data` must be given for "int8-static", to calibrate; got None'),
        ({"quantize": {"method": []}}, UnknownNameError, "No method of quantisation named"),
        (
            {"surrogate": True, "quantize": {"method": "angles", "bits": 3}},
            ArgumentError,
            "`quantize` must be of classical layers after a surrogate, which leaves no circuits",
        ),
    ],
)
def test_what_fails_whatever_the_model_is_refused_before_the_bundle_is_read(options, error, message, tmp_path):
    with pytest.raises(error, match=message):
        compress_bundle(tmp_path / "none", tmp_path / "out", **options)


def test_steps_come_in_their_order():
    assert [*checked_steps({"quantize": "int8-dynamic", "surrogate": True, "prune": None}, None)] == [
        "surrogate",
        "quantize",
    ]
