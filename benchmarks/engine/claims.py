"""What the engine has to show, checked against records: each claim with its goal, the result, and whether it holds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from engine.contestants import CONTESTANTS
from engine.workload import Point

PENNYLANE_GOALS = {
    Point(4, 3, 32): 40,
    Point(8, 3, 32): 60,
    Point(8, 3, 256): 60,
    Point(10, 3, 64): 30,
    Point(12, 3, 32): 25,
    Point(16, 3, 8): 8,
}
C_GOAL, TENSORCIRCUIT_GOAL, LIGHTNING_GOAL = 1.5, 10, 1.5
MEMORY_GOAL, COLD_GOAL, WARM_GOAL = 300e6, 15.0, 0.5
MILLISECOND = 1e-3


@dataclass(frozen=True)
class Claim:
    """`verdict` is "pass", "fail" or "missing" (nothing to compare with)."""

    claim: str
    goal: str
    result: str
    verdict: str

    def as_dict(self) -> dict:
        return asdict(self)


def _judged(claim: str, goal: str, result: str | None, holds: bool | None) -> Claim:
    verdict = "missing" if result is None or holds is None else "pass" if holds else "fail"
    return Claim(claim, goal, result if result is not None else "not measured", verdict)


def seconds(record: dict, name: str) -> float | None:
    result = record["results"].get(name)
    return result["median_s"] if result else None


def ratio(record: dict, slower: str, faster: str = "qnn") -> float | None:
    """How many times longer the one takes than the other."""
    above, below = seconds(record, slower), seconds(record, faster)
    return None if above is None or below is None else above / below


def _times_faster(record: dict, peer: str, goal: float) -> Claim:
    found = ratio(record, peer)
    text = None if found is None else f"{found:.1f} times"
    label = f"{Point(**record['point'])}: faster than {CONTESTANTS[peer].label}"
    return _judged(label, f">= {goal:g} times", text, found is not None and found >= goal)


def _beside_c(record: dict, kind: str) -> Claim:
    """Kernel against kernel where the C step takes less than 1 ms, end to end above."""
    whole = seconds(record, kind)
    small = whole is not None and whole < MILLISECOND
    found = ratio(record, "qnn-kernel", f"{kind}-kernel") if small else ratio(record, "qnn", kind)
    how = "kernel to kernel" if small else "end to end"
    text = None if found is None else f"{found:.2f} times"
    label = f"{Point(**record['point'])}: time beside {CONTESTANTS[kind].label}, {how}"
    return _judged(label, f"<= {C_GOAL:g} times", text, found is not None and found <= C_GOAL)


def of_figures(records: Iterable[dict]) -> list[Claim]:
    records = list(records)
    claims = [
        _times_faster(record, "pennylane", PENNYLANE_GOALS[point])
        for record in records
        if (point := Point(**record["point"])) in PENNYLANE_GOALS
    ]
    for peer in ("tensorcircuit", "tensorcircuit-probs"):
        claims += [
            _times_faster(record, peer, TENSORCIRCUIT_GOAL)
            for record in records
            if 8 <= record["point"]["n_qubits"] <= 12 and record["point"]["batch"] >= 32
        ]
    for kind in ("c-gates", "c-best"):
        claims += [_beside_c(record, kind) for record in records]
    return claims


def of_sweep(records: Iterable[dict]) -> list[Claim]:
    compared, slower = 0, []
    for record in records:
        theirs, found = seconds(record, "tensorcircuit"), ratio(record, "tensorcircuit")
        if theirs is None or found is None or theirs < MILLISECOND:
            continue
        compared += 1
        if found < 1:
            slower.append(f"{Point(**record['point'])} {1 / found:.2f} times")
    text = f"slower at {len(slower)} of {compared} points" + (": " + "; ".join(slower) if slower else "")
    claim = "never slower than TensorCircuit-NG where its step takes 1 ms or more"
    return [_judged(claim, "0 points", text if compared else None, not slower)]


def of_large(records: Iterable[dict], run: dict, point: Point) -> list[Claim]:
    claims = [_times_faster(record, "lightning", LIGHTNING_GOAL) for record in records]
    text = (
        run.get("error") or f"{run['seconds']:.1f} s, values {'finite and within range' if run['finite'] else 'WRONG'}"
    )
    return [*claims, _judged(f"{point}: runs forward and backward", "runs", text, bool(run.get("finite")))]


def of_memory(measured: dict, point: Point) -> list[Claim]:
    claim, goal = f"{point}: peak memory above idle", f"< {MEMORY_GOAL / 1e6:g} MB"
    if "above_idle_bytes" not in measured:
        failed = "error" in measured
        return [_judged(claim, goal, measured["error" if failed else "unavailable"], False if failed else None)]
    above = measured["above_idle_bytes"]
    return [_judged(claim, goal, f"{above / 1e6:.0f} MB", above < MEMORY_GOAL)]


def of_first_call(measured: dict) -> list[Claim]:
    pairs = ("cold_s", "an empty", COLD_GOAL), ("warm_s", "a warm", WARM_GOAL)
    return [
        _judged(
            f"first call after import, {name} cache of kernels",
            f"< {goal:g} s",
            measured.get("error") or f"{measured[key]:.2f} s",
            "error" not in measured and measured[key] < goal,
        )
        for key, name, goal in pairs
    ]
