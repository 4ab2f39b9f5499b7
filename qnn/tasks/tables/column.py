"""One column of a table: numbers, or texts, with missing entries marked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

#: Entries of text files that mean "no value", in lower case.
MISSING = frozenset({"", "na", "n/a", "nan", "null", "#n/a"})

EXACT = 2.0**53  # beyond it, float64 cannot tell whole numbers apart
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+]?inf(inity)?", re.ASCII | re.IGNORECASE)
_PLAIN = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?", re.ASCII)
_LIKE_NUMBER = re.compile(r"[-+]?\d[\d.,' ]*%?", re.ASCII)  # 1,5 or 1 000 or 10%


@dataclass(frozen=True, eq=False)
class Column:
    """The values of one column, as numbers or as texts.

    Attributes:
        name: as the file has it.
        numbers: (N,) float64, NaN where there is no value; None for a column of texts.
        texts: (N,) object, a str or None where there is no value; None for numbers that came as such.
        unusable: why it can be neither, such as a type that is no number and no text; None otherwise.
    """

    name: str
    numbers: np.ndarray | None
    texts: np.ndarray | None
    unusable: str | None = None

    @property
    def is_number(self) -> bool:
        """Whether every entry that there is, is a number."""
        return self.numbers is not None

    @property
    def missing(self) -> np.ndarray:
        """Where there is no value, (N,) bool."""
        if self.numbers is not None:
            return np.isnan(self.numbers)
        assert self.texts is not None
        return np.fromiter((text is None for text in self.texts), bool, len(self.texts))

    def select(self, rows: np.ndarray) -> Column:
        """The given rows (K,)."""
        numbers = None if self.numbers is None else self.numbers[rows]
        return Column(self.name, numbers, None if self.texts is None else self.texts[rows], self.unusable)

    def labels(self) -> np.ndarray:
        """Entries as names of categories or classes, (N,) object: a number without needless zeros, a text as it is.

        1, 1.0 and "1" have one name in every kind of file; "01" keeps its zero, as postcodes need.
        """
        if self.texts is not None:
            return np.array([None if text is None else _label(text) for text in self.texts], dtype=object)
        assert self.numbers is not None
        return np.array([None if x != x else number_text(x) for x in self.numbers.tolist()], dtype=object)

    def as_numbers(self) -> np.ndarray:
        """Entries as numbers, (N,) float64; NaN where there is none, or one that is no number."""
        if self.numbers is not None:
            return self.numbers
        assert self.texts is not None
        return np.array([float(t) if t is not None and _NUMBER.fullmatch(t) else np.nan for t in self.texts])

    def almost_numbers(self) -> np.ndarray:
        """Rows that keep a column of texts, most of which look like numbers, from being one; empty for true texts."""
        if self.texts is None or self.numbers is not None:
            return np.zeros(0, dtype=np.int64)
        present = [(row, text) for row, text in enumerate(self.texts) if text is not None]
        parsed = [_NUMBER.fullmatch(text) is not None for _, text in present]
        alike = sum(_LIKE_NUMBER.fullmatch(text) is not None for _, text in present)
        if all(parsed) or (2 * sum(parsed) < len(present) and alike < 0.9 * len(present)):
            return np.zeros(0, dtype=np.int64)  # all parsed: more digits than float64 has, so names, not quantities
        return np.array([row for (row, _), ok in zip(present, parsed, strict=True) if not ok], dtype=np.int64)


def text_column(name: str, entries: Sequence[str], *, decimal_comma: bool = False) -> Column:
    """A column of a text file: numbers if every entry that there is, is one.

    Args:
        name: of the column.
        entries: N cells.
        decimal_comma: "2,5" is two and a half.
    """
    texts = np.array([None if (cell := entry.strip()).lower() in MISSING else cell for entry in entries], dtype=object)
    plain = ["nan" if text is None else text for text in texts]
    if decimal_comma:
        plain = [text.replace(",", ".") if text.count(",") == 1 and "." not in text else text for text in plain]
    numbers = _parse(plain)
    if numbers is None:
        return Column(name, None, texts)
    if decimal_comma:
        texts = np.array([None if t is None else p for t, p in zip(texts, plain, strict=True)], dtype=object)
    return Column(name, numbers, texts)


def number_text(value: float) -> str:
    """The shortest text of a number: "3" for 3.0, "0.5"."""
    return str(int(value)) if value == int(value) and abs(value) < EXACT else repr(value)


def _parse(entries: list[str]) -> np.ndarray | None:
    """Entries as float64, or None where one is no number or loses digits as float64."""
    try:
        numbers = np.array(entries, dtype=np.float64)
    except ValueError:
        return None
    joined = "".join(entries)
    if "_" in joined or not joined.isascii():  # Python reads 1_000 and other scripts' digits
        return None
    long = np.abs(numbers) >= EXACT
    if long.any() and any(entries[row].lstrip("+-").isdigit() for row in np.flatnonzero(long)):
        return None
    return numbers


def _label(text: str) -> str:
    return number_text(float(text)) if _PLAIN.fullmatch(text) and abs(float(text)) < EXACT else text
