"""OpenQASM text, where it came from, and errors that point into it."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import openqasm3
from antlr4 import CommonTokenStream, InputStream
from antlr4.error.ErrorListener import ErrorListener
from openqasm3.parser import QASM3ParsingError, QASMNodeVisitor, qasm3Lexer, qasm3Parser

from qnn.errors import ArgumentError, QasmError, UnsupportedError

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_VERSION = re.compile(r"\s*OPENQASM\s+(\d+)")
_MAX_CHARACTERS = 4_000_000


@dataclass(frozen=True)
class Place:
    """Line and column, both counted from 1."""

    line: int
    column: int


@dataclass
class Source:
    """The text of a program.

    Attributes:
        text: as it was given.
        name: file name for messages; empty for text that is in no file.
    """

    text: str
    name: str = ""
    _moved: dict[int, list[int]] = field(default_factory=dict, repr=False)  # columns widened by `^` → `**`, per line

    @classmethod
    def load(cls, path_or_text: str | Path) -> Source:
        """Read a file, or take the text itself.

        A `Path`, a string that ends in ".qasm" on one line, and a string that names an existing file are files.

        Raises:
            ArgumentError: the file is missing or is no text, or there is nothing in it.
        """
        if not isinstance(path_or_text, (str, Path)):
            kind = type(path_or_text).__name__
            raise ArgumentError(f"`path_or_text` must be a path or OpenQASM text; got {kind}. Pass a str or a Path.")
        if not _is_path(path_or_text):
            source = cls(str(path_or_text))
        else:
            path = Path(path_or_text)
            try:
                source = cls(path.read_text(encoding="utf-8"), str(path))
            except (OSError, UnicodeDecodeError) as error:
                raise _unreadable(path, error) from error
        if len(source.text) > _MAX_CHARACTERS:
            raise ArgumentError(
                f"`path_or_text` must be at most {_MAX_CHARACTERS:,} characters long; got {len(source.text):,}. "
                "Write repeated parts as loops or gate definitions."
            )
        if not _without_comments(source.text).strip():
            origin = f'the file "{source.name}"' if source.name else "text"
            raise ArgumentError(f"`path_or_text` must hold an OpenQASM program; got {origin} without any statement.")
        return source

    @property
    def version(self) -> int:
        """2 or 3; a text that does not say is 3, unless it includes qelib1.inc.

        Raises:
            UnsupportedError: another version.
        """
        bare = _without_comments(self.text)
        declared = _VERSION.match(bare)
        if declared is None:
            return 2 if re.search(r'include\s*"qelib1\.inc"', bare) else 3
        version = int(declared.group(1))
        if version not in (2, 3):
            place = self._place_of_offset(declared.start(1))
            raise UnsupportedError(self.message(place, f"OpenQASM {version} is not known here. Use version 2 or 3."))
        return version

    def parse(self) -> openqasm3.ast.Program:
        """The syntax tree by the reference parser, which reads version 3 and what version 2 shares with it.

        Raises:
            QasmError: a syntax error, with line, column and the line itself.
        """
        text = self.text if self.version == 3 else self._powers_rewritten()
        try:
            return _parse(text)
        except (_Unreadable, QASM3ParsingError) as error:
            raise self._syntax_error(error) from error
        except RecursionError as error:
            raise QasmError(self.message(None, "expressions are nested too deeply. Simplify them.")) from error

    def error(self, node: Any, message: str) -> QasmError:
        """A `QasmError` that points at a node of the syntax tree."""
        return QasmError(self.message(self.place(node), message))

    def unsupported(self, node: Any, what: str, advice: str) -> UnsupportedError:
        """An `UnsupportedError` that names a construct and points at it."""
        return UnsupportedError(self.message(self.place(node), f"{what} cannot be part of a circuit here. {advice}"))

    def place(self, node: Any) -> Place | None:
        """Where a statement or expression of the syntax tree begins."""
        if node is None or getattr(node, "span", None) is None:
            return None
        line, column = node.span.start_line, node.span.start_column
        return Place(line, column - bisect_left(self._moved.get(line, []), column) + 1)

    def message(self, place: Place | None, message: str) -> str:
        """`message` with file, line and column before it, and the line with a caret below it."""
        file = f"{self.name}: " if self.name else ""
        if place is None:
            return f"{file}{message}"
        lines = self.text.splitlines()
        shown = lines[place.line - 1] if place.line <= len(lines) else ""
        start = max(0, place.column - 80)
        excerpt = shown[start : start + 100].replace("\t", " ")
        caret = " " * (place.column - 1 - start) + "^"
        return f"{file}line {place.line}, column {place.column}: {message}\n    {excerpt}\n    {caret}"

    def line_of_gate(self, name: str) -> int | None:
        """The line on which the program defines a gate, or None."""
        bare = _without_comments(self.text)
        found = re.search(rf"\bgate\s+{re.escape(name)}\b", bare)
        return bare[: found.start()].count("\n") + 1 if found else None

    def _syntax_error(self, error: _Unreadable | QASM3ParsingError) -> QasmError | UnsupportedError:
        place: Place | None
        if isinstance(error, _Unreadable):
            place, reason = self._shifted(error.line, error.column), error.reason
        else:  # "L3:C14: reason", from building the tree
            marked = re.match(r"L(\d+):C(\d+): (.*)", str(error), re.DOTALL)
            place = self._shifted(int(marked[1]), int(marked[2])) if marked else None
            reason = marked[3] if marked else str(error)
        line = self.text.splitlines()[place.line - 1].lstrip() if place else ""
        if re.match(r"opaque\b", line):
            what = '"opaque", a gate without a definition,'
            return UnsupportedError(self.message(place, f"{what} cannot be part of a circuit here. Define the gate."))
        return QasmError(self.message(place, f"{reason}. Correct the line, or the end of the one before it."))

    def _shifted(self, line: int, column: int) -> Place:
        return Place(line, column - bisect_left(self._moved.get(line, []), column) + 1)

    def _powers_rewritten(self) -> str:
        """Version 2 writes a power as `^`, which in version 3 is another operator with other precedence."""
        lines = []
        for number, line in enumerate(self.text.split("\n"), start=1):
            code = line.partition("//")[0]
            parts = code.split("^")
            column = 0
            for part in parts[:-1]:
                column += len(part) + 2
                self._moved.setdefault(number, []).append(column - 1)
            lines.append("**".join(parts) + line[len(code) :])
        return "\n".join(lines)

    def _place_of_offset(self, offset: int) -> Place:
        before = self.text[:offset]
        return Place(before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1)


class _Unreadable(Exception):
    """A syntax error: line from 1, column from 0, and what is wrong."""

    def __init__(self, line: int, column: int, reason: str) -> None:
        super().__init__(reason)
        self.line, self.column, self.reason = line, column, reason


class _Raising(ErrorListener):
    """Raises at the first error, where the parser's own listener would also print it."""

    def syntaxError(self, recognizer: Any, offendingSymbol: Any, line: int, column: int, msg: str, e: Any) -> None:
        """Called by the lexer (without a symbol) and the parser."""
        if offendingSymbol is None:
            raise _Unreadable(line, column, msg)
        found = offendingSymbol.text
        shown = "the end of the text" if found == "<EOF>" else f'"{found}"'
        raise _Unreadable(line, column, f"syntax error at {shown}")


def _parse(text: str) -> openqasm3.ast.Program:
    """The same as `openqasm3.parse`, without output on stderr."""
    lexer = qasm3Lexer(InputStream(text))
    parser = qasm3Parser(CommonTokenStream(lexer))
    for part in (lexer, parser):
        part.removeErrorListeners()
        part.addErrorListener(_Raising())
    return QASMNodeVisitor().visitProgram(parser.program())


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence that offers the nearest known name, or nothing."""
    close = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f' Did you mean "{close[0]}"?' if close else ""


def _is_path(path_or_text: str | Path) -> bool:
    if isinstance(path_or_text, Path):
        return True
    if "\n" in path_or_text or ";" in path_or_text:
        return False
    if path_or_text.endswith((".qasm", ".qasm3", ".inc")):
        return True
    try:
        return Path(path_or_text).is_file()
    except (OSError, ValueError):
        return False


def _unreadable(path: Path, error: Exception) -> ArgumentError:
    if isinstance(error, UnicodeDecodeError):
        return ArgumentError(f'`path_or_text` must name a UTF-8 text file; "{path}" is none. Save it as UTF-8.')
    if isinstance(error, FileNotFoundError):
        folder = path.parent
        near = did_you_mean(path.name, (p.name for p in folder.glob("*.qasm"))) if folder.is_dir() else ""
        return ArgumentError(f'`path_or_text` must name an existing file; there is no "{path}".{near} Check the path.')
    reason = getattr(error, "strerror", None) or str(error)
    return ArgumentError(f'`path_or_text` must name a readable file; reading "{path}" failed: {reason}.')


def _without_comments(text: str) -> str:
    """The text with every comment blanked out, so that offsets stay as they are."""
    return _COMMENT.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)
