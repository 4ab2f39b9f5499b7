"""The number of an epoch's record that decides, and the direction in which it gets better."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

from qnn.errors import ArgumentError, unknown_name

_SMALLER_IS_BETTER = ("loss", "error", "deviance", "divergence", "perplexity", "distance")
_LARGER_IS_BETTER = (
    "accuracy", "precision", "recall", "score", "f1", "auc", "auroc", "r2", "kappa", "jaccard", "matthews", "fidelity",
)  # fmt: skip


def is_number(value: object) -> bool:
    """Whether a value of a record can be compared: a real number, and no boolean."""
    return isinstance(value, Real) and not isinstance(value, bool)


def monitored_value(record: Mapping[str, Any], name: str) -> float:
    """The entry `name` of an epoch's record.

    Raises:
        UnknownNameError: the record has no such entry; the message lists those that are numbers.
        ArgumentError: the entry is there, but is no number in this epoch.
    """
    known = [key for key, value in record.items() if is_number(value)]
    if name not in record:
        raise unknown_name("entry of an epoch's record", name, known)
    if name not in known:
        raise ArgumentError(
            f'`monitor` must name a number of the epoch\'s record; got {record[name]!r} for "{name}" in epoch '
            f"{record.get('epoch')}. Pass a validation part, or monitor one of: {', '.join(sorted(known))}."
        )
    return float(record[name])


def direction(name: str, mode: str) -> str:
    """Either "min" or "max": as asked for, or with "auto" by the name.

    Example:
        >>> direction("validation_loss", "auto"), direction("validation_accuracy", "auto"), direction("wall_s", "min")
        ('min', 'max', 'min')
    """
    if mode not in ("auto", "min", "max"):
        raise unknown_name("mode", mode, ("auto", "min", "max"))
    if mode != "auto":
        return mode
    lower = name.lower()
    if "neg_" in lower:  # scikit-learn's sign: larger is better
        return "max"
    if any(word in lower for word in _SMALLER_IS_BETTER):
        return "min"
    if any(word in lower for word in _LARGER_IS_BETTER):
        return "max"
    raise ArgumentError(
        f'`mode` must say which way "{name}" gets better; got "auto", and the name does not tell. '
        'Write mode="min" or mode="max".'
    )
