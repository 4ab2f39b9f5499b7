"""Reading CSV: what is wrong is named by its line."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from qnn.errors import TableError
from qnn.tasks.tables.column import text_column
from qnn.tasks.tables.table import Table, check_names, make_table

DELIMITERS = (",", ";", "\t", "|")  # the first that is most frequent in the header
_SHOWN = 5
_FIELD_LIMIT = 2**20


def read_csv(path: Path) -> Table:
    """A table from a CSV file in UTF-8, with or without a byte order mark, whose first line names the columns.

    The delimiter (comma, semicolon, tab or bar) is the one that the header has most of. Where it is the semicolon,
    "2,5" is a number. Cells may be quoted, and quoted cells may hold delimiters and line breaks. Spaces around a
    cell do not count; empty cells, NA, N/A, NaN and null are missing values. Empty lines are skipped.

    Raises:
        TableError: with the line that cannot be read.
    """
    text = _decode(path)
    delimiter = _delimiter(text)
    rows, lines = _cells(text, delimiter, path.name)
    if not rows:
        raise TableError(f"{path.name} must start with a line of column names; got an empty file. Check the file.")
    header, body = [name.strip() for name in rows[0]], rows[1:]
    _check_header(header, path.name)
    _check_widths(len(header), body, lines[1:], path.name)
    columns = zip(*body, strict=True) if body else ([] for _ in header)
    read = [
        text_column(name, list(entries), decimal_comma=delimiter == ";")
        for name, entries in zip(header, columns, strict=True)
    ]
    return make_table(path.name, read, np.array(lines[1:], dtype=np.int64))


def _decode(path: Path) -> str:
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        hint = "UTF-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else f"the byte 0x{data[error.start]:02x}"
        raise TableError(f"{path.name} must be UTF-8; got {hint} in line {line}. Save it as UTF-8.") from error


def _delimiter(text: str) -> str:
    """The delimiter that the first line has most of, outside quotes."""
    outside = "".join(text.lstrip("\r\n").split("\n", 1)[0].split('"')[::2])
    return max(DELIMITERS, key=outside.count)


def _cells(text: str, delimiter: str, source: str) -> tuple[list[list[str]], list[int]]:
    """Rows of cells, without empty lines, and the line at which each starts."""
    limit = csv.field_size_limit(_FIELD_LIMIT)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True)
    rows, lines, start = [], [], 1
    try:
        for row in reader:
            if row and (len(row) > 1 or row[0].strip()):
                rows.append(row)
                lines.append(start)
            start = reader.line_num + 1
    except csv.Error as error:
        reason = "a quote that is not closed" if "unexpected end" in str(error) else str(error)
        raise TableError(
            f"{source} must be CSV; got {reason} in the row of line {start}. Correct that line."
        ) from error
    finally:
        csv.field_size_limit(limit)
    return rows, lines


def _check_header(header: list[str], source: str) -> None:
    if all(name.lstrip("+-").replace(".", "", 1).isdigit() for name in header):
        raise TableError(
            f"{source} must start with a line of column names; got the numbers {', '.join(header[:3])}"
            f"{', …' if len(header) > 3 else ''}. Put a line of names on top."
        )
    check_names(source, header)


def _check_widths(width: int, rows: list[list[str]], lines: list[int], source: str) -> None:
    """Raise unless every row has as many cells as the header; name the first lines that do not."""
    ragged = [(line, len(row)) for line, row in zip(lines, rows, strict=True) if len(row) != width]
    if ragged:
        shown = ", ".join(f"{n} in line {line}" for line, n in ragged[:_SHOWN])
        more = f" and {len(ragged) - _SHOWN} lines more" if len(ragged) > _SHOWN else ""
        raise TableError(
            f"Every line of {source} must have {width} cells like its header; got {shown}{more}. "
            "Quote cells that contain the delimiter."
        )
