"""Derivatives by some angles only: whoever opens the block decides which, the others count as zero and cost nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token

_columns: ContextVar[frozenset[int] | None] = ContextVar("qnn_wanted_columns", default=None)


def within(wanted: list[int]) -> list[int]:
    """Those of the wanted columns that the innermost block asks for; all of them outside of any."""
    columns = _columns.get()
    return wanted if columns is None else [column for column in wanted if column in columns]


def begin(columns: Collection[int] | None) -> Token:
    """Open a block by hand, to be closed by `end`."""
    return _columns.set(None if columns is None else frozenset(columns))


def end(token: Token) -> None:
    """Close it."""
    _columns.reset(token)


@contextmanager
def only(columns: Collection[int]) -> Iterator[None]:
    """Evaluate, by shift rules and differences, the derivatives of these columns of the dense angles and no others.

    What counts is when a circuit is run forward, which evaluates the shifted copies too. Methods that need no shifted
    copies do not look at it.
    """
    token = begin(columns)
    try:
        yield
    finally:
        end(token)
