"""Errors of clients raised anew: ours pass, others are translated, and no frame or variable tells what they knew."""

import pytest
from shown_errors import shown

from qnn.backends.foreign_errors import Translated, chain
from qnn.errors import BackendError, ShapeError

SECRET = "planted-4f1c9be2-secret"


def client():
    header = {"Authorization": SECRET}  # as in a frame of a client
    try:
        raise OSError(f"reset after {len(header)} header")
    except OSError as error:
        raise ConnectionError("no answer") from error


def translated(hidden=False):
    return Translated(lambda error: (BackendError(f"could not: {type(error).__name__}"), hidden))


def test_the_cause_is_kept_and_its_frames_are_not():
    with pytest.raises(BackendError, match="could not: ConnectionError") as caught, translated():
        client()
    assert str(caught.value.__cause__) == "no answer"
    assert [type(error) for error in chain(caught.value)] == [ConnectionError, OSError]
    told = shown(caught.value)
    assert "no answer" in told and "reset after 1 header" in told and SECRET not in told


def test_a_hidden_error_is_in_no_variable():
    with pytest.raises(BackendError, match="could not: ValueError") as caught, translated(hidden=True):
        raise ValueError(SECRET)
    assert caught.value.__cause__ is None and caught.value.__suppress_context__
    assert SECRET not in shown(caught.value)


@pytest.mark.parametrize("error", [ShapeError("ours"), KeyboardInterrupt()])
def test_errors_that_are_ours_and_interrupts_pass(error):
    with pytest.raises(type(error)) as caught, translated():
        raise error
    assert caught.value is error


def test_a_chain_ends_at_an_error_of_ours():
    first = ValueError("before")
    ours = BackendError("an attempt")
    ours.__context__ = first
    last = ValueError("after")
    last.__context__ = ours
    assert chain(last) == [] and chain(ours) == [first]
