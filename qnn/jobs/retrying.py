"""Trying again what failed for now: growing pauses with jitter, and an end."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import TypeVar

import tenacity

from qnn.errors import BackendUnavailableError, RateLimitError

#: Errors after which trying again may help.
TRANSIENT = (RateLimitError, BackendUnavailableError)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 60.0

T = TypeVar("T")


def patiently(call: Callable[[], T], retry_s: float, stop: Event) -> T:
    """The result of `call`, made again while it raises transient errors.

    Pauses are uniform between 0 and a bound that doubles from half a second to a minute (full jitter).

    Args:
        call: raises an error of `TRANSIENT` where trying again may help, another one where it does not.
        retry_s: seconds after which the last error is raised.
        stop: once set, no further attempt is made.
    """
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(TRANSIENT),
        wait=tenacity.wait_random_exponential(multiplier=_FIRST_PAUSE_S, max=_LONGEST_PAUSE_S),
        stop=tenacity.stop_any(tenacity.stop_before_delay(retry_s), tenacity.stop_when_event_set(stop)),
        sleep=tenacity.sleep_using_event(stop),
        reraise=True,
    )
    return retrying(call)
