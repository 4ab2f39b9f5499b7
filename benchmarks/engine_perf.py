"""qnn's engine beside its peers: one forward and backward pass of the same circuit, end to end, float32.

    python benchmarks/engine_perf.py --preset figures [--threads 1] [--rounds 9]

Circuit: RX(x) on every wire; per layer H, RX(w), CNOT ring; <Z> on every wire. Every contestant runs in a process of
its own on as many cores as there are threads, with the same inputs and weights; values and gradients are compared first
(1e-4), then contestants take turns, round after round. A package that is not installed is reported as missing.

Presets: figures (six circuits), sweep (time against qubits, batch and depth), large (20 and 24 qubits),
memory (peak of (16, 3, 1024)), cold (first call), all. Each prints its goals beside the results. Records go to
benchmarks/results/engine.json, from which --report writes the README's table and picture.

GFLOP/s counts the circuit's arithmetic gate by gate, whatever a contestant really does, against the peak of a
matrix product: whoever needs fewer operations can come out above it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from engine import claims, isolated, points
from engine.contestants import CONTESTANTS
from engine.machine import description, least_seconds, roofline
from engine.race import Race
from engine.workload import Point, counted_operations

RESULTS = Path(__file__).with_name("results") / "engine.json"
PRESETS = ("figures", "sweep", "large", "memory", "cold")
TOO_SLOW_S = 10.0  # in a sweep, whoever needs longer is not asked about anything larger


def milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.3g}" if seconds < 1 else f"{1e3 * seconds:,.0f}"


def print_record(record: dict, peak: dict) -> None:
    """One point: median, spread, minimum, ratio to qnn, share of the machine's peak."""
    point = Point(**record["point"])
    ours = claims.seconds(record, "qnn")
    print(f"\n{point}  (qubits, layers, batch)")
    print(
        f"  {'':<34}{'median ms':>11}{'IQR ms':>9}{'min ms':>9}{'first s':>9}{'/ qnn':>8}{'GFLOP/s':>9}{'of peak':>9}"
    )
    least = record["roofline_s"]
    print(f"  {'roofline (gate by gate, at peak)':<34}{milliseconds(least):>11}")
    for name, result in sorted(record["results"].items(), key=lambda item: item[1]["median_s"]):
        median, spread = result["median_s"], result["q75_s"] - result["q25_s"]
        rate = counted_operations(point) / median / 1e9
        print(
            f"  {CONTESTANTS[name].label:<34}{milliseconds(median):>11}{milliseconds(spread):>9}"
            f"{milliseconds(result['min_s']):>9}{result['first_s']:>9.2f}"
            f"{median / ours if ours else float('nan'):>8.2f}{rate:>9.2f}{rate / peak['peak_gflops']:>9.1%}"
        )
    for name, error in record["errors"].items():
        print(f"  {CONTESTANTS[name].label:<34}{error}")


def print_claims(found: Sequence[claims.Claim]) -> None:
    width = max(len(claim.claim) for claim in found)
    print(f"\n{'claim':<{width}}  {'goal':<12}  {'verdict':<8}  result")
    for claim in found:
        print(f"{claim.claim:<{width}}  {claim.goal:<12}  {claim.verdict:<8}  {claim.result}")


def race(chosen: Sequence[Point], names: Sequence[str], options: argparse.Namespace, *, give_up: bool = False) -> dict:
    """Records of all points; with `give_up`, whoever is too slow at a point is not asked about larger ones."""
    peak, machine = roofline(options.threads), description(options.threads)
    contest, records = Race(names, options.threads, limit_s=options.limit), []
    too_slow: dict[str, list[Point]] = {}

    def hopeless(name: str, point: Point) -> bool:
        sizes = point.n_qubits, point.n_layers, point.batch
        return any(
            all(a >= b for a, b in zip(sizes, (p.n_qubits, p.n_layers, p.batch), strict=True))
            for p in too_slow.get(name, ())
        )

    try:
        for point in chosen:
            skip = (lambda name, point=point: hopeless(name, point)) if give_up else (lambda _: False)
            record = contest.run(point, rounds=options.rounds, slice_s=options.slice, skip=skip)
            record["roofline_s"] = least_seconds(point, peak, machine["last_level_cache_bytes"])
            records.append(record)
            for name in {*record["results"], *record["errors"]}:
                if name in record["errors"] or record["results"][name]["median_s"] > TOO_SLOW_S:
                    too_slow.setdefault(name, []).append(point)
            print_record(record, peak)
            sys.stdout.flush()
    finally:
        contest.close()
    for name, error in contest.missing.items():
        print(f"\nmissing: {CONTESTANTS[name].label}: {error}")
    return {"machine": machine, "roofline": peak, "records": records, "missing": contest.missing}


def measure(preset: str, options: argparse.Namespace) -> tuple[dict, list[claims.Claim]]:
    """The record of one preset and the claims it decides."""
    if preset == "figures":
        chosen = options.points or points.figures()
        made = race(chosen, options.names or points.ALL, options)
        return made, claims.of_figures(made["records"])
    if preset == "sweep":
        made = race(options.points or points.sweep(), options.names or points.PACKAGES, options, give_up=True)
        return made, claims.of_sweep(made["records"])
    if preset == "large":
        made = race(options.points or [Point(20, 3, 1)], options.names or points.LARGE, options)
        largest = Point(24, 3, 1)
        made["largest"] = isolated.runs(largest, options.threads)
        return made, claims.of_large(made["records"], made["largest"], largest)
    made = {"machine": description(options.threads)}
    if preset == "memory":
        point = options.points[0] if options.points else Point(16, 3, 1024)
        made["memory"] = isolated.memory(point, options.threads)
        return made, claims.of_memory(made["memory"], point)
    made["first_call"] = isolated.first_call(options.threads)
    return made, claims.of_first_call(made["first_call"])


def save(path: Path, preset: str, made: dict, found: Sequence[claims.Claim], options: argparse.Namespace) -> None:
    """Replace one preset's part of the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    everything = json.loads(path.read_text()) if path.exists() else {"schema": 1, "presets": {}}
    settings = {
        "threads": options.threads,
        "rounds": options.rounds,
        "slice_s": options.slice,
        "limit_s": options.limit,
    }
    everything["presets"][preset] = made | {"settings": settings, "claims": [claim.as_dict() for claim in found]}
    path.write_text(json.dumps(everything, indent=1) + "\n")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=(*PRESETS, "all"), default="figures")
    parser.add_argument("--threads", type=int, default=1, help="for torch, OpenMP, BLAS, XLA and Numba alike")
    parser.add_argument("--rounds", type=int, help="9 by default, 3 in a sweep")
    parser.add_argument("--slice", type=float, help="seconds of a turn, one step at least; 0.2, or 0.05 in a sweep")
    parser.add_argument("--limit", type=float, default=180.0, help="seconds after which a turn is given up")
    parser.add_argument("--points", type=_points, help='instead of the preset\'s: "n,L,N n,L,N"')
    parser.add_argument("--names", type=_names, help=f"contestants, of {','.join(CONTESTANTS)}")
    parser.add_argument("--json", type=Path, default=RESULTS)
    parser.add_argument("--report", action="store_true", help="then write the README's table and the picture")
    return parser.parse_args(arguments)


def _points(text: str) -> list[Point]:
    return [Point(*map(int, part.split(","))) for part in text.split()]


def _names(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in CONTESTANTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no contestant named {unknown[0]!r}; known: {', '.join(CONTESTANTS)}")
    return names


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    asked, everything = (options.rounds, options.slice), []
    for preset in PRESETS if options.preset == "all" else (options.preset,):
        usual = (3, 0.05) if preset == "sweep" else (9, 0.2)
        options.rounds, options.slice = (a or b for a, b in zip(asked, usual, strict=True))
        print(f"\n== {preset}, {options.threads} thread{'s' if options.threads > 1 else ''}")
        made, found = measure(preset, options)
        everything += found
        if found:
            print_claims(found)
        save(options.json, preset, made, found, options)
    if options.report:
        from engine_report import write_report

        write_report(options.json)
    return int(any(claim.verdict == "fail" for claim in everything))


if __name__ == "__main__":
    raise SystemExit(main())
