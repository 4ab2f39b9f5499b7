"""Mitigation as text: equal options, equal texts, and back."""

import pytest

from qnn.backends.mitigation.options import Options, read
from qnn.backends.mitigation.written import from_text, methods_of, to_text
from qnn.errors import ArgumentError, UnknownNameError


@pytest.mark.parametrize(
    ("mitigation", "text", "methods"),
    [
        ("readout", "readout", "readout"),
        ("zne + readout", "readout+zne", "readout+zne"),
        ({"readout": True, "zne": (1, 3, 5)}, "readout+zne", "readout+zne"),
        ({"zne": (1, 3), "folding": "global"}, '{"zne": [1, 3], "folding": "global"}', "zne"),
        ({"clip": True, "readout": True}, '{"readout": true, "clip": true}', "readout"),
    ],
)
def test_a_text_stands_for_the_options(mitigation, text, methods):
    assert to_text(mitigation) == to_text(text) == text and methods_of(text) == methods
    assert Options(**read(from_text(text))).plain() == Options(**read(mitigation)).plain()


@pytest.mark.parametrize(
    ("mitigation", "error", "message"),
    [
        ("readot", UnknownNameError, 'No mitigation named "readot". Did you mean "readout"'),
        ("{readout: true}", ArgumentError, "`mitigation` must be JSON after a brace; got {readout: true}: .*Quote the"),
        ({"scales": [1, 3]}, UnknownNameError, 'No option of `mitigation` named "scales"'),
        ({"zne": False}, ArgumentError, "`mitigation` must switch something on"),
        (True, ArgumentError, '`mitigation` must be "readout", "zne", "readout\\+zne" or a dictionary .*; got True'),
    ],
)
def test_what_is_none(mitigation, error, message):
    with pytest.raises(error, match=message):
        to_text(mitigation)
