"""Numbers as people read them: with a unit, and no more digits than they deserve."""

from __future__ import annotations

import math

from qnn.comparison.statistics import Interval

MINUS = "\N{MINUS SIGN}"
THIN = "\N{NARROW NO-BREAK SPACE}"


def percent(fraction: float) -> str:
    """A fraction as percent: 0.9234 is "92.3 %"."""
    return f"{100 * fraction:.1f}{THIN}%"


def percent_range(interval: Interval) -> str:
    """Both bounds: "90.1 to 94.5 %"."""
    return f"{100 * interval.low:.1f} to {100 * interval.high:.1f}{THIN}%"


def points(fraction: float, sign: bool = True) -> str:
    """A difference of fractions in percentage points, with its sign: -0.012 is "−1.2"."""
    text = f"{100 * fraction:+.1f}" if sign else f"{100 * abs(fraction):.1f}"
    if text in ("+0.0", "-0.0"):
        text = "0.0"
    return text.replace("-", MINUS)


def points_range(interval: Interval) -> str:
    """Both bounds of a difference: "−2.1 to +0.4"."""
    return f"{points(interval.low)} to {points(interval.high)}"


def seconds(value: float) -> str:
    """A duration: "0.012 s", "1.2 s", "75 s", "12 min"."""
    if value >= 600:
        return f"{value / 60:.0f}{THIN}min"
    return f"{_significant(value, 2)}{THIN}s"


def memory(value: int) -> str:
    """Bytes in MiB or GiB."""
    if value >= 2**30:
        return f"{value / 2**30:.1f}{THIN}GiB"
    return f"{_significant(value / 2**20, 2)}{THIN}MiB"


def count(value: float) -> str:
    """A count with thin groups of three; large ones as millions or billions; "0" is a dash."""
    if value == 0:
        return "–"
    for size, name in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if value >= size:
            return f"{value / size:.3g}{THIN}{name}"
    return f"{value:,.0f}".replace(",", THIN)


def ratio(value: float) -> str:
    """A factor with two significant digits."""
    return f"{_significant(value, 2)}"


def _significant(value: float, digits: int) -> str:
    """A number of 0 or more with so many significant digits, but with its whole part in full and no exponent."""
    if value <= 0:
        return "0"
    places = max(0, digits - 1 - math.floor(math.log10(value)))
    return f"{value:.{min(places, 6)}f}"
