"""Reading JSON that somebody else wrote: limits first, then every entry checked and named."""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from qnn._integers import whole
from qnn.errors import BundleError, QnnError

MAX_JSON_BYTES = 16 * 2**20  # 12 qubits with 50 layers take 0.07 MiB
_MAX_BRACKETS = 10**6  # lists and objects; one takes 3 bytes in the file, and 64 in memory
MAX_DEPTH = 200
FRESH = "Get a fresh copy of the bundle, or save the model again."
_SHOWN = 60  # characters of a wrong value in a message
_short = reprlib.Repr()  # `repr` would write a huge value in full before it is cut
_short.maxstring = _short.maxlong = _short.maxother = _SHOWN


def refusal(field: str, requirement: str, got: str, advice: str = FRESH) -> BundleError:
    """The error of a bundle whose `field` is not as it must be."""
    return BundleError(f"`{field}` must {requirement}; got {got}. {advice}")


def reason(error: BaseException) -> str:
    """The first line of an error, with its class where it is not one of ours; no full stop."""
    line = next(iter(str(error).strip().splitlines()), "").rstrip(".")
    return line if isinstance(error, QnnError) else f"{type(error).__name__}: {line}".rstrip(": ")


@dataclass(frozen=True)
class Value:
    """One value of a JSON file, with the name of its place.

    Attributes:
        data: plain data.
        file: the file that it is in.
        place: path within the file, such as ``quantum_layers[0].shots``; empty for the whole file.
    """

    data: Any
    file: str
    place: str = ""

    @property
    def name(self) -> str:
        """File and place, as errors call it."""
        return f"{self.file}: {self.place}" if self.place else self.file

    def refusal(self, requirement: str, got: str | None = None) -> BundleError:
        """The error for this value."""
        if got is None:
            shown = _short.repr(self.data)
            got = shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "…"
        return refusal(self.name, requirement, got)

    def entries(self, required: Iterable[str], optional: Iterable[str] = ()) -> dict[str, Value]:
        """The entries of an object that has all of `required`, and no others but the `optional`."""
        if not isinstance(self.data, dict):
            raise self.refusal("be an object")
        for name in required:
            if name not in self.data:
                raise self.refusal(f'have an entry "{name}"', "none")
        known = {*required, *optional}
        for name in self.data:
            if name not in known:
                raise self.refusal(f"have no entries but {', '.join(sorted(known)) or 'none'}", f'"{name}"')
        return {name: self._child(name) for name in self.data}

    def any_entries(self) -> dict[str, Value]:
        """The entries of an object, whatever their names."""
        return self.entries((), self.data if isinstance(self.data, dict) else ())

    def _child(self, name: str) -> Value:
        return Value(self.data[name], self.file, f"{self.place}.{name}" if self.place else name)

    def items(self, most: int = 1_000_000) -> Iterator[Value]:
        """The items of a list of at most `most`."""
        if not isinstance(self.data, list):
            raise self.refusal("be a list")
        if len(self.data) > most:
            raise self.refusal(f"have at most {most} items", f"{len(self.data)}")
        return (Value(item, self.file, f"{self.place}[{i}]") for i, item in enumerate(self.data))

    def whole(self, least: int = 0, most: int = 2**63 - 1) -> int:
        """An integer from `least` to `most`."""
        number = whole(self.data)
        if number is None or not least <= number <= most:
            raise self.refusal(f"be an integer from {least} to {most}")
        return number

    def number(self) -> float:
        """A finite number."""
        if isinstance(self.data, bool) or not isinstance(self.data, int | float):
            raise self.refusal("be a number")
        try:
            value = float(self.data)
        except OverflowError:
            value = math.inf
        if not math.isfinite(value):
            raise self.refusal("be finite")
        return value

    def text(self, known: Iterable[str] | None = None) -> str:
        """A string, one of `known` where that is given."""
        if not isinstance(self.data, str):
            raise self.refusal("be a string")
        if known is not None and self.data not in known:
            raise self.refusal(f"be one of {', '.join(sorted(known))}")
        return self.data

    def flag(self) -> bool:
        """True or false."""
        if not isinstance(self.data, bool):
            raise self.refusal("be true or false")
        return self.data


def parse(content: bytes, file: str) -> Value:
    """The content of a JSON file: no key twice, no NaN, no infinity, at most `MAX_DEPTH` levels.

    Memory: some 300 MiB at worst, for a file of `MAX_JSON_BYTES` that consists of strings of two letters.

    Raises:
        BundleError: it is something else.
    """
    if len(content) > MAX_JSON_BYTES:
        raise refusal(file, f"be at most {MAX_JSON_BYTES // 2**20} MiB", f"{len(content):,} bytes")
    brackets = content.count(b"[") + content.count(b"{")  # those in strings, too: far fewer in a file of ours
    if brackets > _MAX_BRACKETS:
        raise refusal(file, f"have at most {_MAX_BRACKETS:,} lists and objects", f"{brackets:,}")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        entries = dict(pairs)
        if len(entries) != len(pairs):
            raise ValueError("an entry twice")
        return entries

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant}, which is no JSON")

    try:
        data = json.loads(content.decode(), object_pairs_hook=unique, parse_constant=refuse, parse_float=_finite)
    except RecursionError:
        raise refusal(file, f"have at most {MAX_DEPTH} levels", "more") from None
    except ValueError as error:  # of encoding, of JSON, of numbers with thousands of digits
        raise refusal(file, "be JSON in UTF-8", str(error).splitlines()[0].rstrip(".")) from error
    if _depth(data) > MAX_DEPTH:
        raise refusal(file, f"have at most {MAX_DEPTH} levels", "more")
    return Value(data, file)


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"the number {digits[:20]}, which is too large")
    return value


def _depth(data: Any) -> int:
    """Levels of nesting, found without recursion; stops above `MAX_DEPTH`."""
    level, depth = [data], 0
    while level and depth <= MAX_DEPTH:
        depth += 1
        level = [
            item
            for value in level
            if isinstance(value, dict | list)
            for item in (value.values() if isinstance(value, dict) else value)
        ]
    return depth
