"""The answer in words: sentences that follow from paired intervals, and say "undecided" when those do not decide.

The comparison that the verdict is about, the table's primary quantum contestant against its
reference, was named before anything was run. The best classical contestant is only known
afterwards, so intervals against all of them hold together (Bonferroni). Both guard against the
winner's curse.
"""

from __future__ import annotations

from dataclasses import dataclass

from qnn.comparison.planning import needed_to_decide
from qnn.comparison.quantities import count, percent, points, points_range, ratio, seconds
from qnn.comparison.statistics import Interval, accuracy_interval, difference_interval
from qnn.comparison.study import Study
from qnn.comparison.summary import Panel, Row

BETTER, WORSE, UNDECIDED, NOT_ASKED = "better", "worse", "undecided", "not asked"
PASSED, FAILED = "control passed", "control failed"


@dataclass(frozen=True)
class Verdict:
    """What one table says about one task.

    Attributes:
        table, task: where.
        decision: "better", "worse" or "undecided" of the primary against the reference; "not asked" where
            one of them is missing; "control passed" or "control failed" after training on shuffled labels.
        sentence: the verdict in one sentence.
        further: sentences on the best classical contestant, on shots and noise, and on cost.
    """

    table: str
    task: str
    decision: str
    sentence: str
    further: tuple[str, ...] = ()


def judge(study: Study, panel: Panel) -> Verdict:
    """The verdict of one panel."""
    if study.shuffle_labels:
        return _judge_control(panel)
    primary, reference = panel.primary, panel.reference
    if primary is None or reference is None or primary.difference is None:
        missing = "quantum" if primary is None else "classical"
        return Verdict(
            panel.table.name,
            panel.task,
            NOT_ASKED,
            f"On {_where(panel)} there is no {missing} contestant to compare with.",
        )
    decision, sentence = _judge_pair(panel, primary, reference, primary.difference)
    further = [_against_best(panel, primary), _shots_and_noise(panel), _cost(primary, reference)]
    return Verdict(panel.table.name, panel.task, decision, sentence, tuple(text for text in further if text))


def _judge_pair(panel: Panel, primary: Row, reference: Row, difference: Interval) -> tuple[str, str]:
    """Decision and sentence of the comparison that was named beforehand."""
    pair = f"{primary.name} {{}} {reference.name}"
    numbers = f"{points(difference.estimate)} points, 95 % interval {points_range(difference)}"
    scores = f"{percent(primary.accuracy.estimate)} against {percent(reference.accuracy.estimate)}"
    if difference.n_seeds < 2:
        return UNDECIDED, (
            f"Undecided on {_where(panel)}: {pair.format('and')} were trained with one seed, which says nothing about "
            f"the spread between seeds ({scores}); run at least three."
        )
    if difference.low > 0:
        return BETTER, f"On {_where(panel)}, {pair.format('is more accurate than')}: {scores} ({numbers})."
    if difference.high < 0:
        return WORSE, f"On {_where(panel)}, {pair.format('is less accurate than')}: {scores} ({numbers})."
    return UNDECIDED, (
        f"Undecided on {_where(panel)}: {pair.format('and')} score {scores}, and the interval of the difference "
        f"contains 0 ({numbers}); {_what_decides(difference)}."
    )


def _what_decides(difference: Interval) -> str:
    """What it would take to decide a difference of the size seen."""
    needed = needed_to_decide(difference)
    size = f"a true difference of {points(needed.difference, sign=False)} points"
    if needed.seeds is None and needed.rows is None:
        return f"to decide {size} takes more seeds and more test rows"
    if needed.rows is None:
        return f"to decide {size} would take about {needed.seeds} seeds; more test rows alone would not do"
    if needed.seeds is None:
        return f"to decide {size} would take about {count(needed.rows)} test rows; more seeds alone would not do"
    return f"to decide {size} would take about {needed.seeds} seeds or {count(needed.rows)} test rows"


def _against_best(panel: Panel, primary: Row) -> str:
    """How the primary stands against the best classical contestant, corrected for having looked at all."""
    opponents = panel.classical
    best = max(opponents, key=lambda row: row.accuracy.estimate)
    if len(opponents) < 2 or primary.accuracy.n_seeds < 2:
        return ""
    difference = difference_interval(primary.correct, best.correct, n_comparisons=len(opponents))
    word = "it is better" if difference.low > 0 else "it is worse" if difference.high < 0 else "undecided"
    return (
        f"Against the best of {len(opponents)} classical contestants, {best.name} ({percent(best.accuracy.estimate)}): "
        f"{points(difference.estimate)} points, {points_range(difference)} after correction for {len(opponents)} "
        f"comparisons: {word}."
    )


def _shots_and_noise(panel: Panel) -> str:
    """What shots and noise cost the hybrid, against the exact one with the same budget."""
    exact = next((row for row in panel.rows if row.contestant.quantum and not row.contestant.sampled), None)
    sampled = [row for row in panel.rows if row.contestant.sampled]
    if exact is None or not sampled or exact.accuracy.n_seeds < 2:
        return ""
    parts = []
    for row in sampled:
        difference = difference_interval(row.correct, exact.correct, n_comparisons=len(sampled))
        word = "" if difference.decided else ", undecided"
        parts.append(f"{row.name} {points(difference.estimate)} points ({points_range(difference)}{word})")
    return f"Against the exact {exact.name} with the same budget: {'; '.join(parts)}."


def _cost(primary: Row, reference: Row) -> str:
    """What the quantum part cost to train."""
    factor = primary.wall_s / reference.wall_s if reference.wall_s > 0 else float("inf")
    used = f"{count(primary.circuits)} circuits"
    if primary.shots:
        used += f", {count(primary.shots)} shots"
    return (
        f"One training of {primary.name} took {ratio(factor)} times as long as one of {reference.name} "
        f"({seconds(primary.wall_s)} against {seconds(reference.wall_s)}) and executed {used}."
    )


def _judge_control(panel: Panel) -> Verdict:
    """Trained on shuffled labels, nobody may know more than chance."""
    chance = _mean_chance(panel)
    level = 1 - 0.05 / len(panel.rows)  # Bonferroni: when nobody knows anything, all pass 95 times in 100
    above = [row.name for row in panel.rows if accuracy_interval(row.correct, level).low > chance]
    where = _where(panel)
    if not above:
        sentence = f"Control on {where} with shuffled labels: no contestant is above chance ({percent(chance)})."
        return Verdict(panel.table.name, panel.task, PASSED, sentence)
    sentence = f"Control on {where} with shuffled labels failed: {', '.join(above)} above chance ({percent(chance)})."
    return Verdict(panel.table.name, panel.task, FAILED, sentence)


def _mean_chance(panel: Panel) -> float:
    records = panel.rows[0].records
    return sum(record.chance_accuracy for record in records) / len(records)


def _where(panel: Panel) -> str:
    return f"{panel.task} ({panel.table.name})"
