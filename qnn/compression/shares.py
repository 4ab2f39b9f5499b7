"""How much to take away: an amount, a threshold or what is to be left, checked; and what of it in which round."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, SupportsFloat

from qnn._integers import whole
from qnn.errors import ArgumentError, DtypeError, unknown_name

SCHEDULES = ("cubic", "linear")


@dataclass(frozen=True)
class Share:
    """What is asked for; exactly one of the three is set.

    Attributes:
        amount: a share between 0 and 1, or a count.
        threshold: of a score, below which everything goes.
        target: scalars that may be left in the whole model.
    """

    amount: float | int | None
    threshold: float | None
    target: int | None

    def count(self, n: int, most: int, things: str) -> int:
        """How many of `n` the amount is: at least 1.

        Raises:
            ArgumentError: more than `most`, or so little that it is none.
        """
        assert self.amount is not None
        asked = self.amount if isinstance(self.amount, int) else round(self.amount * n)
        if not 1 <= asked <= most:
            got = f"{asked:,}" if isinstance(self.amount, int) else f"{self.amount}, which is {asked:,}"
            advice = "less, or a share such as 0.5" if asked > most else "a larger share, or a count"
            raise ArgumentError(
                f"`amount` must be between 1 and {most:,} of the {n:,} {things}; got {got}. Use {advice}."
            )
        return asked

    def left(self, n: int) -> int:
        """The target, which must be below `n`, the present size.

        Raises:
            ArgumentError: it is not.
        """
        assert self.target is not None
        if self.target >= n:
            raise ArgumentError(
                f"`target` must be below the size of the model, {n:,}; got {self.target:,}. Ask for fewer weights."
            )
        return self.target

    def __str__(self) -> str:
        """As in a call."""
        return next(f"{name}={value}" for name, value in vars(self).items() if value is not None)


def checked_share(amount: Any, threshold: Any, target: Any = None, *, with_target: bool = True) -> Share:
    """The options as a `Share`; `target` only where there is such an option.

    Raises:
        ArgumentError: none or several of them, or one that is out of range.
        DtypeError: one that is no number.
    """
    given = {"amount": amount, "threshold": threshold, "target": target}
    named = [name for name, value in given.items() if value is not None]
    if len(named) != 1:
        got = " and ".join(f"`{name}`" for name in named) or "none"
        known = "`amount`, `threshold` and `target`" if with_target else "`amount` and `threshold`"
        raise ArgumentError(f"One of {known} must be given; got {got}. Use amount=0.5.")
    for name in named:
        value = given[name]
        if isinstance(value, bool) or not isinstance(value, SupportsFloat):
            raise DtypeError(f"`{name}` must be a number; got {value!r}. Use {_ADVICE[name]}.")
        if not (math.isfinite(value) and float(value) > 0):
            raise ArgumentError(f"`{name}` must be finite and above 0; got {value}. Use {_ADVICE[name]}.")
    if amount is not None:
        count = whole(amount)
        if count is None and float(amount) >= 1:
            number = float(amount)
            advice = "Pruning everything leaves no model: use amount=0.5."
            if number > 1:
                advice = f"Use amount={number:.0f}, an integer." if number.is_integer() else "Use amount=0.5."
            raise ArgumentError(f"`amount` must be a share below 1 or a count; got {amount}. {advice}")
        return Share(float(amount) if count is None else count, None, None)
    if target is not None:
        if whole(target) is None:
            raise DtypeError(f"`target` must be a whole number of weights; got {target!r}. Use {_ADVICE['target']}.")
        return Share(None, None, whole(target))
    return Share(None, float(threshold), None)


_ADVICE = {"amount": "amount=0.5", "threshold": "threshold=0.01", "target": "target=1000"}


def fractions(rounds: Any, schedule: str) -> list[float]:
    """What part of it all is done after each round, rising to 1.

    "linear" takes the same in each; "cubic" much at first and less and less, 1 - (1 - r/R)³ [1].

    References:
        [1] M. Zhu, S. Gupta, "To prune, or not to prune", arXiv:1710.01878, equation 1.

    Raises:
        ArgumentError: no round.
        UnknownNameError: no such schedule.

    Example:
        >>> fractions(2, "cubic"), fractions(2, "linear")
        ([0.875, 1.0], [0.5, 1.0])
    """
    n = whole(rounds)
    if n is None:
        raise DtypeError(f"`rounds` must be an integer; got {rounds!r}. Use rounds=1.")
    if n < 1:
        raise ArgumentError(f"`rounds` must be at least 1; got {n}. Use rounds=1.")
    if schedule not in SCHEDULES:
        raise unknown_name("schedule", schedule, SCHEDULES)
    power = 3 if schedule == "cubic" else 1
    return [1 - (1 - (number + 1) / n) ** power for number in range(n)]
