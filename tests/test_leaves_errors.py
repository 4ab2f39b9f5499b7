"""Error classes, suggestions, fingerprints and optional packages."""

import inspect

import pytest

from qnn import errors
from qnn._fingerprint import canonical_json, fingerprint
from qnn._optional import require


def test_every_error_is_ours_and_a_builtin() -> None:
    classes = [c for _, c in inspect.getmembers(errors, inspect.isclass) if c.__module__ == errors.__name__]
    raised = [c for c in classes if issubclass(c, Exception) and not issubclass(c, Warning)]
    assert len(raised) > 10
    for cls in raised:
        assert issubclass(cls, errors.QnnError) and cls.__doc__
        builtins = [
            b for b in cls.__mro__ if b.__module__ == "builtins" and b not in (Exception, BaseException, object)
        ]
        assert builtins or cls is errors.QnnError
    assert all(issubclass(c, errors.QnnWarning) for c in classes if issubclass(c, Warning))


def test_a_misspelt_name_gets_the_nearest_and_all_known() -> None:
    error = errors.unknown_name("fruit", "aple", ["pear", "apple"])
    assert str(error) == 'No fruit named "aple". Did you mean "apple"? Known: apple, pear.'
    assert str(errors.unknown_name("fruit", "xyz", ["pear"])) == 'No fruit named "xyz". Known: pear.'


def test_fingerprints_do_not_depend_on_the_order_of_keys() -> None:
    assert fingerprint({"a": 1, "b": [0.1, None]}) == fingerprint({"b": [0.1, None], "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2}) != fingerprint({"a": 1.0 + 1e-16 * 3})
    assert len(fingerprint(1, length=8)) == 8
    assert canonical_json({"b": 0.1, "a": "é"}) == '{"a":"\\u00e9","b":0.1}'
    with pytest.raises(ValueError, match="Out of range float"):
        fingerprint(float("nan"))


def test_a_missing_package_names_its_extra() -> None:
    assert require("json", extra="ibm", purpose="Reading").loads("1") == 1
    with pytest.raises(errors.MissingDependencyError, match=r'Flying needs the package "no_such_wings".*"qnn\[air\]"'):
        require("no_such_wings.feathers", extra="air", purpose="Flying")
