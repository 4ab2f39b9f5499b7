"""How the service behaves: times, limits, order; all of it can be changed while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from qnn._integers import whole
from qnn.errors import ArgumentError, unknown_name

ORDERS = ("first", "last", "random")
OUTAGES = ("503", "closed")


def _option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"text": text})


@dataclass(frozen=True)
class Settings:
    """Behaviour of the service; the text of each field is also the help of its option."""

    seed: int = _option(0, "of faults and of the random order")
    latency_s: float = _option(0.0, "seconds before every answer")
    workers: int = _option(1, "jobs that run at the same time; 0 keeps all of them in the queue")
    seconds_per_job: float = _option(0.0, "seconds that a job takes at least")
    order: str = _option("first", "which queued job runs next: first, last or random")
    tag_lag_s: float = _option(0.0, "seconds until a job is found by its tag, and listed")
    id_lag_s: float = _option(0.0, "seconds until a job is found by its id (404 before)")
    result_lag_s: float = _option(0.0, "seconds from the end of a job until its result can be had (503 before)")
    max_wires: int = _option(24, "widest circuit (400 beyond)")
    max_executions: int = _option(10_000_000, "circuits times shots of a job (400 beyond)")
    max_pending: int | None = _option(None, "jobs that have not ended, at any time (429 beyond, code 3458)")
    max_submissions_per_s: float | None = _option(None, "rate limit of submissions (429 beyond)")
    quota_s: float | None = _option(None, "billed seconds of all jobs together (402 beyond)")
    own_randomness: bool = _option(False, "draw shots afresh, as machines do, and refuse sampling keys")
    down_s: float = _option(0.0, "seconds from now for which nothing is served")
    outage: str = _option("503", "what clients see meanwhile: 503, or closed connections")

    def changed(self, changes: Mapping[str, Any]) -> Settings:
        """Other settings; each is checked.

        Raises:
            UnknownNameError: no such setting.
            ArgumentError: a value that cannot be used.
        """
        for name, value in changes.items():
            if name not in KINDS:
                raise unknown_name("setting", name, KINDS)
            _check(name, value)
        return replace(self, **changes)

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


#: Name to the kind of its values.
KINDS = {f.name: str(f.type) for f in fields(Settings)}
_CHOICES = {"order": ORDERS, "outage": OUTAGES}


def _check(name: str, value: Any) -> None:
    kind = KINDS[name].removesuffix(" | None")
    if value is None and kind != KINDS[name]:
        return
    if name in _CHOICES:
        if value not in _CHOICES[name]:
            raise unknown_name(f"`{name}`", value, _CHOICES[name])
        return
    number = isinstance(value, int | float) and not isinstance(value, bool)
    good, what = {
        "bool": (isinstance(value, bool), "true or false"),
        "int": (whole(value) is not None and value >= 0, "a whole number from 0 up"),
        "float": (number and 0 <= value < float("inf"), "a number from 0 up"),
    }[kind]
    if not good:
        raise ArgumentError(f"`{name}` must be {what}; got {value!r}. Leave it out for the default.")
