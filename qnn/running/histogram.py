"""Measured outcomes as a table with bars and as a picture: counts of shots, or exact probabilities."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

_MOST = 32  # outcomes shown
_FEWEST = 4  # places on the axis of a picture, so that a single bar does not fill it
_LABELLED = 16  # bars with a number on top
_BAR = 40  # characters
_EIGHTHS = " ▏▎▍▌▋▊▉"
_WIDEST = 9.6  # inches
_CHARACTER = 0.085  # inches, of a label of the axis


def outcome_table(probabilities: Mapping[str, float], *, shots: int | None) -> str:
    """One line an outcome: bits, count and share or probability, and a bar; the most likely ones if there are many.

    Args:
        probabilities: by outcome, as bits; those left out have none.
        shots: how often the circuit was run; None if the probabilities are exact.
    """
    shown, left_out = _selected(probabilities)
    largest = max(shown.values())
    width = max(len("outcome"), *(len(bits) for bits in shown))
    if shots is None:
        lines = [f"{'outcome':<{width}}  probability"]
        lines += [f"{bits:<{width}}  {p:>11.6f}  {_bar(p / largest)}" for bits, p in shown.items()]
        more = f"probability {sum(left_out.values()):.6f}"
    else:
        counts = {bits: round(p * shots) for bits, p in shown.items()}
        digits = max(len("count"), len(str(max(counts.values()))))
        lines = [f"{'outcome':<{width}}  {'count':>{digits}}  {'share':>6}"]
        lines += [
            f"{bits:<{width}}  {count:>{digits}}  {count / shots:>6.1%}  {_bar(shown[bits] / largest)}"
            for bits, count in counts.items()
        ]
        rest = shots - sum(counts.values())
        more = f"{rest} shot(s), {rest / shots:.1%}"
    if left_out:
        lines.append(f"… and {len(left_out)} more outcome(s) with {more}")
    return "\n".join(lines)


def histogram_figure(
    probabilities: Mapping[str, float], *, shots: int | None, labels: Sequence[str], title: str
) -> Figure:
    """Histogram of outcomes: all of up to four wires, else those that occur, the most likely ones if there are many.

    Args:
        probabilities: by outcome, as bits.
        shots: how often the circuit was run, for counts with the standard deviation √(n p (1-p)) of each; None for
            exact probabilities.
        labels: what the measured wires are called, leftmost bit first.
        title: above the picture.
    """
    shown, left_out = _selected(_complete(probabilities, len(labels)))
    across = len(next(iter(shown))) * _CHARACTER + 0.15  # inches, a label
    upright = len(shown) > _LABELLED or len(shown) * across > _WIDEST - 1.2
    width = min(_WIDEST, max(4.5, 1.2 + len(shown) * (0.26 if upright else max(0.48, across))))
    figure = Figure(figsize=(width, 3.6 + (across if upright else 0.0)), layout="constrained")
    axes = figure.add_subplot()
    scale = 1 if shots is None else shots
    heights = [scale * p for p in shown.values()]
    errors = None if shots is None else [math.sqrt(max(0.0, shots * p * (1 - p))) for p in shown.values()]
    bars = axes.bar(list(shown), heights, yerr=errors, color="#56B4E9", ecolor="#222222", capsize=2.5, width=0.7)
    if len(shown) <= _LABELLED:
        numbers = [(f"{h:.3f}" if h else "0") if shots is None else f"{round(h)}" for h in heights]
        axes.bar_label(bars, numbers, fontsize="small", padding=2)
    if shots is not None:
        axes.yaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True))
    axes.margins(y=0.14)
    axes.set_ylim(bottom=0)
    beside = max(0.6, (_FEWEST - len(shown)) / 2)
    axes.set_xlim(-beside, len(shown) - 1 + beside)
    axes.set_ylabel("probability (exact)" if shots is None else f"count ({shots:,} shots), ± 1 std. dev.")
    axes.set_xlabel(_caption(labels, left_out, width))
    axes.set_title(textwrap.fill(title, int(11 * width)), fontsize="medium")
    axes.spines[["top", "right"]].set_visible(False)
    if upright:
        axes.tick_params(axis="x", labelrotation=90)
    for label in axes.get_xticklabels():
        label.set_fontfamily("monospace")
    return figure


def _complete(probabilities: Mapping[str, float], n_wires: int) -> dict[str, float]:
    """All outcomes of a few wires, those without probability too: an axis with gaps is misread."""
    every = [format(i, f"0{n_wires}b") for i in range(2**n_wires)] if 2**n_wires <= _LABELLED else []
    return {**dict.fromkeys(every, 0.0), **probabilities}


def _caption(labels: Sequence[str], left_out: Mapping[str, float], width: float) -> str:
    """What the bits are, and what is not shown."""
    order = labels[0] if len(labels) == 1 else f"{labels[0]} … {labels[-1]}" if len(labels) > 4 else " ".join(labels)
    text = f"outcome of {order}" + (", leftmost bit first" if len(labels) > 1 else "")
    if left_out:
        text += f"; {len(left_out)} others not shown ({sum(left_out.values()):.1%})"
    return textwrap.fill(text, int(11 * width))


def _selected(probabilities: Mapping[str, float]) -> tuple[dict[str, float], dict[str, float]]:
    """What is shown, in the order of the bits, and what is left out."""
    by_size = sorted(probabilities, key=lambda bits: (-probabilities[bits], bits))
    shown = {bits: probabilities[bits] for bits in sorted(by_size[:_MOST])}
    return shown, {bits: probabilities[bits] for bits in by_size[_MOST:]}


def _bar(share: float) -> str:
    eighths = round(share * _BAR * 8)
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + _EIGHTHS[rest]).rstrip() or "▏"
