"""Errors of a provider's client, raised anew in qnn's words and without what its frames know."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from qnn.errors import QnnError


class Translated:
    """A context in which foreign errors become ours.

    Reports of errors that show local variables would show requests with their tokens: the frames of the client are
    left behind, and no variable of this frame holds an error that is hidden.

    Args:
        translate: our error for a foreign one, and whether the foreign one must not be shown as its cause.
    """

    def __init__(self, translate: Callable[[Exception], tuple[QnnError, bool]]) -> None:
        self._translate = translate

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        if not isinstance(error, Exception) or isinstance(error, QnnError):
            return
        ours, hidden = self._translate(error)
        for each in (error, *chain(error)):
            each.__traceback__ = None
        cause = None if hidden else error
        del error, frames, each
        raise ours from cause


def chain(error: BaseException) -> list[BaseException]:
    """What led to an error, up to one of our own, which another attempt may have left behind."""
    found: list[BaseException] = []
    cause = error.__cause__ or error.__context__
    while cause is not None and not isinstance(cause, QnnError) and cause not in found:
        found.append(cause)
        cause = cause.__cause__ or cause.__context__
    return found
