"""docs/reproductions.md from the records of all reproductions: no number stands there that no command printed.

    python reproductions/document.py

Every command of this folder does the same after its run.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from qnn._files import write_atomic

ORDER = ("reuploading", "barren_plateau", "fourier_spectrum", "natural_gradient")
HEAD = """# Published results, reproduced

One command each; `make reproduce` runs all. Every command prints the published figure beside ours, exits with 1 when
they disagree, and writes its record (`reproductions/results/`), from which this page is generated. `--quick` is a
smaller run that writes nothing.
"""


def markdown(heads: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown, numbers on the right."""
    lines = [heads, ["---"] + ["---:"] * (len(heads) - 1), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)


def section(record: dict[str, Any]) -> str:
    """One reproduction."""
    claims, measured = record["claims"], record["measured"]
    agreeing = sum(claim["holds"] for claim in claims)
    versions = ", ".join(f"{package} {number}" for package, number in measured["versions"].items())
    parts = [
        f"## {record['title']}",
        f"[{record['paper']}](https://doi.org/{record['doi']}). {record['says']}",
        f"```sh\n{record['command']}\n```",
        *record["done"],
        markdown(["", record["source"], "ours", "allowed difference", "agrees"], [claim["cells"] for claim in claims]),
        f"{agreeing} of {len(claims)} agree. {measured['seconds']:.0f} s of CPU time, {measured['date']}; "
        f"Python {measured['python']}, {versions}.",
        f"![{record['caption']}](images/{record['name']}.png)",
    ]
    for table in record["tables"]:
        parts += [table["sentence"], markdown(table["heads"], table["rows"])]
    return "\n\n".join([*parts, *record["remarks"]])


def document(results: Path) -> str:
    """The page, from the records that exist."""
    records = [results / f"{name}.json" for name in ORDER]
    sections = [section(json.loads(path.read_text())) for path in records if path.exists()]
    return "\n\n".join([HEAD.rstrip(), *sections]) + "\n"


def write_document(results: Path, target: Path) -> Path:
    """Write the page, whole or not at all."""
    return write_atomic(target, document(results))


if __name__ == "__main__":
    root = Path(__file__).parents[1]
    print(write_document(root / "reproductions" / "results", root / "docs" / "reproductions.md"))
