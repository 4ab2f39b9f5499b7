"""What a reproduction is: claims with the published figure beside ours, kept as a record, printed, drawn, written down.

Each command of this folder builds a `Record`, prints it and, unless it runs with --quick, writes it to
results/NAME.json, its picture to docs/images/NAME.png, and docs/reproductions.md anew from all records. It exits with 1
if a claim fails.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from document import write_document
from matplotlib.figure import Figure

from qnn._files import write_atomic
from qnn.comparison.figures import to_png

ROOT = Path(__file__).parents[1]
RESULTS, IMAGES, DOCUMENT = (
    ROOT / "reproductions" / "results",
    ROOT / "docs" / "images",
    ROOT / "docs" / "reproductions.md",
)
PACKAGES = ("qnn", "numpy", "scipy", "torch", "pennylane")


@dataclass(frozen=True)
class Claim:
    """A published (or derived) figure, ours, and how far apart they may be.

    Args:
        quantity: what is compared.
        published: the paper's figure.
        ours: the figure measured here.
        allowed: largest |ours - published|.
        digits: format of the figures, as of `format`.
        published_digits: format of the published figure where it differs.
        relation: "within" `allowed` of the published figure, or "below" it.
    """

    quantity: str
    published: float
    ours: float
    allowed: float
    digits: str = ".3f"
    published_digits: str = ""
    relation: Literal["within", "below"] = "within"

    @property
    def holds(self) -> bool:
        """Whether the two agree."""
        return (
            self.ours < self.published if self.relation == "below" else abs(self.ours - self.published) <= self.allowed
        )

    def cells(self) -> list[str]:
        """The line of a table."""
        published = format(self.published, self.published_digits or self.digits)
        ours, allowed = format(self.ours, self.digits), format(self.allowed, self.digits)
        if self.relation == "below":
            published, allowed = f"< {published}", ""
        return [self.quantity, published, ours, allowed, "yes" if self.holds else "NO"]


@dataclass(frozen=True)
class Table:
    """Further figures, as text: `rows` under `heads`, with a sentence before them."""

    sentence: str
    heads: list[str]
    rows: list[list[str]]


@dataclass
class Record:
    """One reproduction: what the paper says, what was done here, what came out.

    Args:
        name: of the script, the record and the picture.
        title: heading in the document.
        paper: authors, journal, year.
        doi: where to find it.
        says: what the paper claims, a paragraph.
        done: how it was tested here, paragraphs.
        claims: the comparison.
        tables: what else is worth knowing.
        source: what the figures beside ours are.
        remarks: paragraphs after the tables: what does not agree, and what that means.
        caption: of the picture.
        data: what the picture is drawn from.
    """

    name: str
    title: str
    paper: str
    doi: str
    says: str
    done: list[str]
    claims: list[Claim]
    caption: str
    data: dict[str, Any]
    tables: list[Table] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    source: str = "published"

    def as_json(self, seconds: float) -> dict[str, Any]:
        """Plain data; what differs from run to run stands in the block `measured`."""
        record = asdict(self)
        record["claims"] = [asdict(claim) | {"cells": claim.cells(), "holds": claim.holds} for claim in self.claims]
        record["command"] = f"python reproductions/{self.name}.py"
        record["measured"] = {
            "seconds": round(seconds, 1),
            "date": date.today().isoformat(),
            "python": platform.python_version(),
            "versions": {package: version(package) for package in PACKAGES},
        }
        return record


def aligned(heads: list[str], rows: list[list[str]]) -> str:
    """A table for the terminal: the first column on the left, the others on the right."""
    lines = [heads, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return "\n".join(
        "  ".join(cell.ljust(width) if not column else cell.rjust(width) for column, (cell, width) in columns)
        for columns in (list(enumerate(zip(line, widths, strict=True))) for line in lines)
    )


def show(record: Record) -> None:
    """Print claims and tables."""
    print(f"{record.title}\n{record.paper}, https://doi.org/{record.doi}\n")
    print(aligned(["", record.source, "ours", "allowed", "agrees"], [claim.cells() for claim in record.claims]))
    for table in record.tables:
        print(f"\n{table.sentence}\n{aligned(table.heads, table.rows)}")
    for remark in record.remarks:
        print(f"\n{remark}")


def command(description: str | None, reproduce: Callable[[bool], Record], draw: Callable[[dict], Figure]) -> int:
    """Run one reproduction from the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smaller run, in seconds; prints, writes nothing")
    quick = parser.parse_args().quick
    begin = time.process_time()
    record = reproduce(quick)
    seconds = time.process_time() - begin
    show(record)
    print(f"\n{seconds:.1f} s of CPU time")
    if not quick:
        picture = write_atomic(IMAGES / f"{record.name}.png", to_png(draw(record.data)))
        kept = write_atomic(
            RESULTS / f"{record.name}.json",
            json.dumps(record.as_json(seconds), indent=1, ensure_ascii=False) + "\n",
        )
        print(f"{kept}\n{picture}\n{write_document(RESULTS, DOCUMENT)}")
    return 0 if all(claim.holds for claim in record.claims) else 1
