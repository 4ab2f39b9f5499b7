"""Counts of measured outcomes, as a table with bars and as a picture."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

from matplotlib.figure import Figure

_MOST = 32  # outcomes shown
_FEWEST = 4  # places on the axis of a picture, so that a single bar does not fill it
_BAR = 40  # characters
_EIGHTHS = " ▏▎▍▌▋▊▉"


def counts_table(counts: Mapping[str, int]) -> str:
    """One line an outcome: bits, count, share and a bar; the most frequent ones if there are many."""
    shown, left_out = _selected(counts)
    total, largest = sum(counts.values()), max(counts.values())
    width = max(len("outcome"), *(len(bits) for bits in shown))
    digits = max(len("count"), len(str(largest)))
    lines = [f"{'outcome':<{width}}  {'count':>{digits}}  {'share':>6}"]
    lines += [
        f"{bits:<{width}}  {count:>{digits}}  {count / total:>6.1%}  {_bar(count / largest)}"
        for bits, count in shown.items()
    ]
    if left_out:
        shots = sum(left_out.values())
        lines.append(f"… and {len(left_out)} more outcome(s) with {shots} shot(s), {shots / total:.1%}")
    return "\n".join(lines)


def counts_figure(counts: Mapping[str, int], *, title: str) -> Figure:
    """Histogram of counts; the most frequent outcomes if there are many."""
    shown, left_out = _selected(counts)
    width = max(4.5, 1.5 + 0.45 * len(shown))  # inches
    figure = Figure(figsize=(width, 3.6), layout="constrained")
    axes = figure.add_subplot()
    bars = axes.bar(list(shown), list(shown.values()), color="#0072B2", width=0.7)
    if len(shown) <= 16:
        axes.bar_label(bars, fontsize="small", padding=2)
    axes.margins(y=0.12)
    beside = max(0.6, (_FEWEST - len(shown)) / 2)
    axes.set_xlim(-beside, len(shown) - 1 + beside)
    axes.set_ylabel(f"count (of {sum(counts.values())} shots)")
    axes.set_xlabel("outcome" + (f" ({len(left_out)} rarer ones not shown)" if left_out else ""))
    axes.set_title(textwrap.fill(title, int(11 * width)), fontsize="medium")
    axes.spines[["top", "right"]].set_visible(False)
    if len(shown) * len(next(iter(shown))) > 24:
        axes.tick_params(axis="x", labelrotation=90)
    for label in axes.get_xticklabels():
        label.set_fontfamily("monospace")
    return figure


def _selected(counts: Mapping[str, int]) -> tuple[dict[str, int], dict[str, int]]:
    """What is shown, in the order of the bits, and what is left out."""
    by_count = sorted(counts, key=lambda bits: (-counts[bits], bits))
    shown = {bits: counts[bits] for bits in sorted(by_count[:_MOST])}
    return shown, {bits: counts[bits] for bits in by_count[_MOST:]}


def _bar(share: float) -> str:
    eighths = round(share * _BAR * 8)
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + _EIGHTHS[rest]).rstrip() or "▏"
