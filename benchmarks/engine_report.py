"""From the records of `engine_perf.py`: the README's table and a picture of time against qubits, batch and depth.

    python benchmarks/engine_report.py [--json benchmarks/results/engine.json]

The table replaces what stands between `<!-- engine-table -->` and `<!-- /engine-table -->` in README.md; the picture is
docs/images/engine.png.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from engine.contestants import CONTESTANTS
from engine.picture import draw
from engine.workload import Point

ROOT = Path(__file__).parents[1]
README, PICTURE = ROOT / "README.md", ROOT / "docs" / "images" / "engine.png"
BEGIN, END = "<!-- engine-table -->", "<!-- /engine-table -->"
COLUMNS = ("qnn", "c-best", "c-gates", "tensorcircuit", "deepquantum", "pennylane", "lightning")


def _time(seconds: float) -> str:
    for limit, unit, factor in ((1e-3, "µs", 1e6), (1, "ms", 1e3)):
        if seconds < limit:
            return f"{seconds * factor:.{2 if seconds * factor < 10 else 1 if seconds * factor < 100 else 0}f} {unit}"
    return f"{seconds:.2f} s"


def table(figures: dict) -> str:
    """Markdown: a line a circuit, a column a contestant, medians; and what it was measured on."""
    records, machine = figures["records"], figures["machine"]
    present = [name for name in COLUMNS if any(name in record["results"] for record in records)]
    heads = ["(qubits, layers, batch)", *(CONTESTANTS[name].label for name in present), "qnn faster than default.qubit"]
    rows = []
    for record in records:
        results = record["results"]
        cells = [_time(results[name]["median_s"]) if name in results else "–" for name in present]
        both = "qnn" in results and "pennylane" in results
        times = f"{results['pennylane']['median_s'] / results['qnn']['median_s']:.0f} times" if both else "–"
        rows.append([str(Point(**record["point"])), *cells, times])
    versions = {
        package: number
        for record in records
        for name in present
        if name in record["results"]
        for package, number in record["results"][name]["versions"].items()
    }
    threads = "1 thread" if machine["threads"] == 1 else f"{machine['threads']} threads"
    place = f"{threads} on {machine['cpu']}, {machine['date'][:10]}"
    listed = ", ".join(f"{package} {number}" for package, number in sorted(versions.items()))
    note = f"Medians of one forward and backward pass, float32, {place}; {listed}."
    lines = [heads, ["---"] + ["---:"] * (len(heads) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + f"\n\n{note}"


def write_table(figures: dict, readme: Path = README) -> None:
    text = readme.read_text()
    if BEGIN not in text or END not in text:
        raise SystemExit(f"{readme.name} must hold {BEGIN} and {END}, between which the table goes. Add both lines.")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    readme.write_text(f"{before}{BEGIN}\n{table(figures)}\n{END}{after}")


def write_report(records: Path, readme: Path = README, picture: Path = PICTURE) -> None:
    """Whatever the records allow: the table from the figures, the picture from the sweep."""
    presets = json.loads(records.read_text())["presets"]
    if "figures" in presets:
        write_table(presets["figures"], readme)
        print(f"table in {readme}")
    if "sweep" in presets:
        picture.parent.mkdir(parents=True, exist_ok=True)
        draw(presets["sweep"], picture)
        print(f"picture in {picture}")
    if not {"figures", "sweep"} & set(presets):
        raise SystemExit(f"{records} must hold the preset figures or sweep; got {', '.join(presets) or 'nothing'}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=Path(__file__).with_name("results") / "engine.json")
    write_report(parser.parse_args().json)


if __name__ == "__main__":
    main()
